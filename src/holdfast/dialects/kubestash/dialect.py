"""The KubeStash dialect: its handlers, and every kind that they look at."""

from collections.abc import Sequence

from holdfast.core.objects import Kind
from holdfast.core.ports import Handler, Populating
from holdfast.dialects.kubestash import kinds
from holdfast.dialects.kubestash.addon import AddonHandler
from holdfast.dialects.kubestash.backup_configuration import BackupConfigurationHandler
from holdfast.dialects.kubestash.backup_session import BackupSessionHandler
from holdfast.dialects.kubestash.backup_storage import BackupStorageHandler
from holdfast.dialects.kubestash.blueprint import BlueprintHandler
from holdfast.dialects.kubestash.functions import FunctionHandler
from holdfast.dialects.kubestash.hook_template import HookTemplateHandler
from holdfast.dialects.kubestash.populator import SnapshotPopulator
from holdfast.dialects.kubestash.repository import RepositoryHandler
from holdfast.dialects.kubestash.restore_session import RestoreSessionHandler
from holdfast.dialects.kubestash.retention_policy import RetentionPolicyHandler
from holdfast.dialects.kubestash.snapshot import SnapshotHandler
from holdfast.dialects.kubestash.verification import VerificationHandler
from holdfast.dialects.kubestash.verifier import VerifierHandler


class KubeStash:
    """Implements `core.ports.Dialect`."""

    name = "kubestash"

    @property
    def handlers(self) -> Sequence[Handler]:
        """One handler for each reconciled kind."""
        return (
            BackupStorageHandler(),
            AddonHandler(),
            HookTemplateHandler(),
            FunctionHandler(),
            RetentionPolicyHandler(),
            BackupConfigurationHandler(),
            RepositoryHandler(),
            BackupSessionHandler(),
            SnapshotHandler(),
            RestoreSessionHandler(),
            BlueprintHandler(),
            VerifierHandler(),
            VerificationHandler(),
        )

    @property
    def watched(self) -> Sequence[Kind]:
        """Every kind that a handler looks up or owns, beside the handled ones."""
        return (
            kinds.JOB,
            kinds.CRON_JOB,
            kinds.SERVICE_ACCOUNT,
            kinds.ROLE_BINDING,
            kinds.NAMESPACE,
            kinds.VOLUME_SNAPSHOT,
            kinds.STORAGE_CLASS,
            kinds.POD,
            *kinds.TARGETS,
        )

    @property
    def populators(self) -> Sequence[Populating]:
        """What fills claims that name one of our kinds in their dataSourceRef."""
        return (SnapshotPopulator(),)

    @property
    def makes(self) -> Sequence[Kind]:
        """Every kind that it creates, changes or deletes, beside Jobs and Secrets."""
        return (
            kinds.CRON_JOB,
            kinds.SERVICE_ACCOUNT,
            kinds.ROLE_BINDING,
            kinds.CLAIM,
            kinds.REPOSITORY,
            kinds.BACKUP_SESSION,
            kinds.SNAPSHOT,
            kinds.VOLUME_SNAPSHOT,
            kinds.BACKUP_CONFIGURATION,
            kinds.RESTORE_SESSION,
            kinds.VERIFICATION,
        )
