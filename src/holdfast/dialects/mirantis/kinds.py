"""The kinds that this dialect handles or looks at, and the names and annotations it gives, in one place."""

from typing import Final

from holdfast.core.objects import Kind, bounded_name

GROUP: Final = "kaas.mirantis.com"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

CLUSTER: Final = Kind(GROUP, "Cluster")
CLUSTER_BACKUP: Final = Kind(GROUP, "ClusterBackup")
CLUSTER_BACKUP_SCHEDULE: Final = Kind(GROUP, "ClusterBackupSchedule")
RCLONE_CREDENTIAL: Final = Kind(GROUP, "RCloneCredential")
KEY_ENCRYPTION_KEY: Final = Kind(GROUP, "KeyEncryptionKey")

JOB: Final = Kind("batch", "Job")
NODE: Final = Kind("", "Node")

SCHEDULE_LABEL: Final = "holdfast.dev/schedule"
"""On a ClusterBackup: the schedule that made it, as a bounded name."""

SANDBOX_LABEL: Final = "holdfast.dev/node"
"""On a Node: it is one of `holdfast up`, whose pods are sandboxed processes of this machine."""

KEEP_LAST: Final = "holdfast.dev/keep-last"
"""On a ClusterBackupSchedule: how many completed backups to keep; absent, all stay."""

KEEP_WITHIN: Final = "holdfast.dev/keep-within"
"""On a ClusterBackupSchedule: keep every backup younger than this period (`30d`), and drop older ones."""

FORGET_KEY: Final = "holdfast.dev/forget-key"
"""On a KeyEncryptionKey: its own name, to let it go although archives need it."""


def slot(cluster: str) -> str:
    """Name the one Job that may back up a cluster: its name is the lock by which two backups never run at once."""
    return bounded_name(f"cluster-backup-{cluster}")
