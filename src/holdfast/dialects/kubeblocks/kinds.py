"""The kinds that this dialect handles or looks at, and their API versions, in one place."""

from typing import Final

from holdfast.core.objects import Kind

GROUP: Final = "dataprotection.kubeblocks.io"
STORAGE: Final = "storage.kubeblocks.io"
VERSION: Final = "v1alpha1"

ACTION_SET: Final = Kind(GROUP, "ActionSet")
BACKUP: Final = Kind(GROUP, "Backup")
BACKUP_POLICY: Final = Kind(GROUP, "BackupPolicy")
BACKUP_REPO: Final = Kind(GROUP, "BackupRepo")
BACKUP_SCHEDULE: Final = Kind(GROUP, "BackupSchedule")
RESTORE: Final = Kind(GROUP, "Restore")
STORAGE_PROVIDER: Final = Kind(STORAGE, "StorageProvider")

JOB: Final = Kind("batch", "Job")
CRON_JOB: Final = Kind("batch", "CronJob")
STATEFUL_SET: Final = Kind("apps", "StatefulSet")
CLAIM: Final = Kind("", "PersistentVolumeClaim")
POD: Final = Kind("", "Pod")
NAMESPACE: Final = Kind("", "Namespace")
SECRET: Final = Kind("", "Secret")
SERVICE_ACCOUNT: Final = Kind("", "ServiceAccount")
ROLE_BINDING: Final = Kind("rbac.authorization.k8s.io", "RoleBinding")
STORAGE_CLASS: Final = Kind("storage.k8s.io", "StorageClass")
VOLUME_SNAPSHOT: Final = Kind("snapshot.storage.k8s.io", "VolumeSnapshot")
SNAPSHOT_CLASS: Final = Kind("snapshot.storage.k8s.io", "VolumeSnapshotClass")
CSI_DRIVER: Final = Kind("storage.k8s.io", "CSIDriver")


def api_version(kind: Kind) -> str:
    """Return the apiVersion of one of this dialect's own kinds."""
    return f"{kind.group}/{VERSION}"
