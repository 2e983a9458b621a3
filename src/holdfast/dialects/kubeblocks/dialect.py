"""The KubeBlocks dialect: its handlers, and every kind that they look at."""

from collections.abc import Callable, Sequence
from typing import Final

from holdfast.core.objects import Kind
from holdfast.core.ports import Handler, Populating
from holdfast.dialects.kubeblocks import kinds
from holdfast.dialects.kubeblocks.action_set import ActionSetHandler
from holdfast.dialects.kubeblocks.backup import BackupHandler
from holdfast.dialects.kubeblocks.backup_policy import BackupPolicyHandler
from holdfast.dialects.kubeblocks.backup_repo import BackupRepoHandler
from holdfast.dialects.kubeblocks.backup_schedule import BackupScheduleHandler
from holdfast.dialects.kubeblocks.restore import RestoreHandler
from holdfast.dialects.kubeblocks.restore_populate import RestorePopulating
from holdfast.dialects.kubeblocks.storage_provider import StorageProviderHandler

HOME: Final = "default"
"""The controller's namespace where nobody says another, as documented for `CM_NAMESPACE`."""


class KubeBlocks:
    """Implements `core.ports.Dialect`. `home` is the controller's namespace: Jobs of repositories run there.

    `seal` seals the passwords of databases that are kept with Backups; without it none is kept.
    """

    name = "kubeblocks"

    def __init__(self, home: str = HOME, *, seal: Callable[[str], str] | None = None) -> None:
        self._home, self._seal = home, seal

    @property
    def handlers(self) -> Sequence[Handler]:
        """One handler for each reconciled kind."""
        return (
            StorageProviderHandler(),
            BackupRepoHandler(self._home),
            ActionSetHandler(),
            BackupPolicyHandler(),
            BackupScheduleHandler(),
            BackupHandler(self._home, self._seal),
            RestoreHandler(self._home),
        )

    @property
    def populators(self) -> Sequence[Populating]:
        """What fills claims whose data source is an object of ours."""
        return (RestorePopulating(self._home),)

    @property
    def watched(self) -> Sequence[Kind]:
        """Every kind that a handler looks up or owns, beside the handled ones."""
        return (
            kinds.POD,
            kinds.VOLUME_SNAPSHOT,
            kinds.SNAPSHOT_CLASS,
            kinds.JOB,
            kinds.CRON_JOB,
            kinds.STATEFUL_SET,
            kinds.CLAIM,
            kinds.STORAGE_CLASS,
            kinds.CSI_DRIVER,
            kinds.SERVICE_ACCOUNT,
            kinds.ROLE_BINDING,
            kinds.NAMESPACE,
        )

    @property
    def makes(self) -> Sequence[Kind]:
        """Every kind that it creates, changes or deletes, beside Jobs and Secrets."""
        return (
            kinds.BACKUP,
            kinds.CLAIM,
            kinds.CRON_JOB,
            kinds.ROLE_BINDING,
            kinds.SERVICE_ACCOUNT,
            kinds.STATEFUL_SET,
            kinds.STORAGE_CLASS,
            kinds.VOLUME_SNAPSHOT,
        )
