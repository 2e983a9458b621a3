"""Every name and label that KubeBlocks documents, and how ours are cut.

A user, a script or a dashboard may look for these; nothing else in the dialect spells a name.
"""

import hashlib
import re
from typing import Final

from holdfast.core.objects import Object, bounded_name
from holdfast.core.read import name_of, text, uid_of

_DP: Final = "dataprotection.kubeblocks.io"

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "kubeblocks-dataprotection"
FINALIZER: Final = f"{_DP}/finalizer"

BACKUP_NAME: Final = f"{_DP}/backup-name"
BACKUP_TYPE: Final = f"{_DP}/backup-type"
BACKUP_POLICY: Final = f"{_DP}/backup-policy"
BACKUP_METHOD: Final = f"{_DP}/backup-method"
BACKUP_SCHEDULE: Final = f"{_DP}/backup-schedule"
BACKUP_REPO: Final = f"{_DP}/backup-repo-name"
CLUSTER_UID: Final = f"{_DP}/cluster-uid"
AUTO_BACKUP: Final = f"{_DP}/autobackup"
RESTORE: Final = f"{_DP}/restore"
ENTRY: Final = "holdfast.dev/schedule-entry"
"""On a Backup: which entry of its schedule made it."""
ARCHIVE_INTERVAL: Final = "holdfast.dev/archive-interval"
"""On a continuous Backup: how often its schedule wants the log stored, such as `60s`."""
INSTANCE: Final = "app.kubernetes.io/instance"
COMPONENT: Final = "apps.kubeblocks.io/component-name"
ROLE: Final = "kubeblocks.io/role"

WAIT_REPO: Final = f"{_DP}/wait-repo-preparation"
"""On a Backup or Restore: it waits until the claim or the tool's Secret of its repository is in its namespace."""
TOOL_CONFIG: Final = f"{_DP}/is-tool-config"
"""On a Secret: it configures the storage tool."""
DEFAULT_REPO: Final = f"{_DP}/is-default-repo"
"""On a BackupRepo: annotation that makes it the default one."""
REPO_DIGEST: Final = f"{_DP}/backup-repo-digest"
"""On a BackupRepo: digest of what was checked."""
TARGET_POD: Final = f"{_DP}/target-pod-name"
TARGET_GONE: Final = "holdfast.dev/target-pod-gone"
"""On a Backup: since when a pod of its target is gone that a StatefulSet is to bring back, in RFC 3339."""
CONNECTION_PASSWORD: Final = f"{_DP}/connection-password"
SKIP: Final = f"{_DP}/skip-reconciliation"
"""On a Backup: annotation `true` that leaves it alone."""

REDISCOVERED: Final = "holdfast.dev/rediscovered"
"""On a Backup: it was found in its repository and made again."""

RECORD_FILE: Final = "kubeblocks-backup.json"
"""The file beside a backup's data that holds its Backup object, so that it can be found again."""

DISCOVERY: Final = "kubeblocks-dataprotection-discovery"
"""The service account of Jobs that make the objects of found backups, and the ClusterRole that it has."""

WORKER: Final = "kubeblocks-dataprotection-worker"
"""The service account of jobs whose target names none."""

WORKER_ROLE: Final = "kubeblocks-dataprotection-worker-role"
"""The ClusterRole of the worker account, in namespaces with schedules."""

VALID: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
"""What can be part of the name of an object."""


def mark(obj: Object) -> str:
    """Return six characters that are the object's own, as the end of names of what is made for it."""
    return hashlib.sha256(uid_of(obj).encode()).hexdigest()[:6]


def csi_secret(repo: Object) -> str:
    """Name the Secret for the CSI driver of a BackupRepo."""
    return bounded_name(f"secret-{name_of(repo)}-{mark(repo)}")


def storage_class(repo: Object) -> str:
    """Name the StorageClass of a BackupRepo."""
    return bounded_name(f"sc-{name_of(repo)}-{mark(repo)}")


def claim(repo: Object) -> str:
    """Name the claim of a BackupRepo, the same in every namespace."""
    return bounded_name(f"pvc-{name_of(repo)}-{mark(repo)}")


def tool_config(repo: Object) -> str:
    """Name the Secret for the storage tool of a BackupRepo, the same in every namespace."""
    return bounded_name(f"tool-config-{name_of(repo)}-{mark(repo)}")


def kopia_password(repo: Object) -> str:
    """Name the Secret with the password of a BackupRepo's deduplicated backups. In a new cluster it can be made by hand."""
    return bounded_name(f"kopia-password-{name_of(repo)}")


def pre_check(repo: Object) -> str:
    """Name the Job that checks a BackupRepo, and the claim that it and the search for backups try."""
    return bounded_name(f"pre-check-{uid8(repo)}-{name_of(repo)}")


def discovery(repo: Object) -> str:
    """Name the Job that looks for backups in a BackupRepo, and its rights."""
    return bounded_name(f"discover-{uid8(repo)}-{name_of(repo)}")


def repo_labels(repo: Object) -> Object:
    """Return the labels of what is made for a BackupRepo."""
    return {BACKUP_REPO: bounded_name(name_of(repo)), MANAGED_BY: MANAGER}


def uid8(obj: Object) -> str:
    """Return the first eight characters of the uid, as many names begin."""
    return uid_of(obj)[:8]


def job(name: str) -> str:
    """Cut a name to 63 characters; a dash is not left at its end."""
    return name if len(name) <= 63 else bounded_name(name)


def is_true(obj: Object, annotation: str) -> bool:
    """Whether an annotation says `true`."""
    return text(obj, "metadata", "annotations", annotation) == "true"
