"""The Mirantis dialect: its handlers, and every kind that they look at."""

from collections.abc import Sequence

from holdfast.core.objects import Kind
from holdfast.core.ports import Handler
from holdfast.dialects.mirantis import kinds
from holdfast.dialects.mirantis.cluster_backup import ClusterBackupHandler
from holdfast.dialects.mirantis.cluster_backup_schedule import ClusterBackupScheduleHandler
from holdfast.dialects.mirantis.key_encryption_key import KeyEncryptionKeyHandler
from holdfast.dialects.mirantis.rclone_credential import RCloneCredentialHandler


class Mirantis:
    """Implements `core.ports.Dialect`. `zone` is the IANA name of the time zone in which schedules are due; empty for UTC."""

    name = "mirantis"

    def __init__(self, zone: str = "") -> None:
        self._zone = zone

    @property
    def handlers(self) -> Sequence[Handler]:
        """One handler for each reconciled kind."""
        return (
            ClusterBackupScheduleHandler(self._zone),
            ClusterBackupHandler(),
            RCloneCredentialHandler(),
            KeyEncryptionKeyHandler(),
        )

    @property
    def watched(self) -> Sequence[Kind]:
        """Every kind that a handler looks up, beside the handled ones."""
        return (kinds.CLUSTER, kinds.JOB, kinds.NODE)

    @property
    def makes(self) -> Sequence[Kind]:
        """Every kind that it creates, changes or deletes, beside Jobs and Secrets."""
        return (kinds.CLUSTER_BACKUP,)
