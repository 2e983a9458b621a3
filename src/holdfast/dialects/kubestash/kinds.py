"""The kinds that this dialect handles or looks at, and their API versions, in one place."""

from typing import Final

from holdfast.core.objects import Kind

CORE: Final = "core.kubestash.com"
STORAGE: Final = "storage.kubestash.com"
ADDONS: Final = "addons.kubestash.com"
VERSION: Final = "v1alpha1"

BACKUP_CONFIGURATION: Final = Kind(CORE, "BackupConfiguration")
BACKUP_SESSION: Final = Kind(CORE, "BackupSession")
RESTORE_SESSION: Final = Kind(CORE, "RestoreSession")
BACKUP_STORAGE: Final = Kind(STORAGE, "BackupStorage")
RETENTION_POLICY: Final = Kind(STORAGE, "RetentionPolicy")
REPOSITORY: Final = Kind(STORAGE, "Repository")
SNAPSHOT: Final = Kind(STORAGE, "Snapshot")
BLUEPRINT: Final = Kind(CORE, "BackupBlueprint")
VERIFIER: Final = Kind(CORE, "BackupVerifier")
VERIFICATION: Final = Kind(CORE, "BackupVerificationSession")
HOOK_TEMPLATE: Final = Kind(CORE, "HookTemplate")
FUNCTION: Final = Kind(ADDONS, "Function")
ADDON: Final = Kind(ADDONS, "Addon")

VOLUME_SNAPSHOT: Final = Kind("snapshot.storage.k8s.io", "VolumeSnapshot")
STORAGE_CLASS: Final = Kind("storage.k8s.io", "StorageClass")
JOB: Final = Kind("batch", "Job")
CRON_JOB: Final = Kind("batch", "CronJob")
STATEFUL_SET: Final = Kind("apps", "StatefulSet")
DEPLOYMENT: Final = Kind("apps", "Deployment")
DAEMON_SET: Final = Kind("apps", "DaemonSet")
VOLUME: Final = Kind("", "PersistentVolume")
CLAIM: Final = Kind("", "PersistentVolumeClaim")
POD: Final = Kind("", "Pod")
NAMESPACE: Final = Kind("", "Namespace")
SECRET: Final = Kind("", "Secret")
SERVICE_ACCOUNT: Final = Kind("", "ServiceAccount")
ROLE_BINDING: Final = Kind("rbac.authorization.k8s.io", "RoleBinding")

TARGETS: Final = (STATEFUL_SET, DEPLOYMENT, DAEMON_SET, CLAIM)
"""What a backup can take its data from."""


def api_version(kind: Kind) -> str:
    """Return the apiVersion of one of this dialect's own kinds."""
    return f"{kind.group}/{VERSION}"
