"""The CloudCasa dialect: its handlers, and every kind that they look at."""

from collections.abc import Sequence

from holdfast.core.objects import Kind
from holdfast.core.ports import Handler
from holdfast.dialects.cloudcasa import kinds
from holdfast.dialects.cloudcasa.definitions import KubeclusterHandler, KubehookHandler, ObjectstoreHandler, PolicyHandler
from holdfast.dialects.cloudcasa.kubejob import KubejobHandler
from holdfast.dialects.cloudcasa.points import BackupinstanceHandler
from holdfast.dialects.cloudcasa.scheduled import KubebackupHandler, KubeoffloadHandler, KuberestoreHandler


class CloudCasa:
    """Implements `core.ports.Dialect`."""

    name = "cloudcasa"

    @property
    def handlers(self) -> Sequence[Handler]:
        """One handler for each reconciled kind."""
        return (
            KubeclusterHandler("kubeclusters"),
            PolicyHandler("policies"),
            ObjectstoreHandler("objectstores"),
            KubehookHandler("kubehooks"),
            KubebackupHandler("kubebackups"),
            KubeoffloadHandler("kubeoffloads"),
            KuberestoreHandler("kuberestores"),
            KubejobHandler(),
            BackupinstanceHandler(),
        )

    @property
    def watched(self) -> Sequence[Kind]:
        """Every kind that a handler looks up or owns, beside the handled ones."""
        return (
            kinds.SETTINGS,
            kinds.NAMECLAIM,
            kinds.NAMESPACE,
            kinds.JOB,
            kinds.POD,
            kinds.CLAIM,
            kinds.STORAGE_CLASS,
            kinds.VOLUME_SNAPSHOT,
            kinds.CONFIG_MAP,
            kinds.SERVICE_ACCOUNT,
            kinds.ROLE_BINDING,
            kinds.CLUSTER_ROLE_BINDING,
        )

    @property
    def makes(self) -> Sequence[Kind]:
        """Every kind that it creates, changes or deletes, beside Jobs and Secrets."""
        return (
            kinds.NAMECLAIM,
            kinds.KUBEJOB,
            kinds.JOBLOG,
            kinds.BACKUPINSTANCE,
            kinds.NAMESPACE,
            kinds.CLAIM,
            kinds.VOLUME_SNAPSHOT,
            kinds.CONFIG_MAP,
            kinds.SERVICE_ACCOUNT,
            kinds.ROLE_BINDING,
            kinds.CLUSTER_ROLE_BINDING,
        )
