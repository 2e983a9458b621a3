"""Names, labels and annotations of the Antfly API, and ours beside them. Nothing else in the dialect spells one."""

import hashlib
from typing import Final

from holdfast.core.objects import Object, bounded_name

BACKUP: Final = "antfly.io/backup"
RESTORE: Final = "antfly.io/restore"
"""Labels by which people find the Jobs of an AntflyBackup or AntflyRestore."""

ENDPOINT: Final = "holdfast.dev/antfly-endpoint"
"""On an AntflyCluster: the URL of its public API, where its Service is not to be used (on a laptop, behind TLS)."""

KEEP_LAST: Final = "holdfast.dev/keep-last"
KEEP_FOR: Final = "holdfast.dev/keep-for"
"""On an AntflyBackup: how many stored backups stay, and for how long (`30d`). Without both nothing is ever deleted."""

_CRON_JOB_LIMIT: Final = 52
_SUFFIX: Final = "-cron"


def cron_job(backup: str) -> str:
    """Name the CronJob of an AntflyBackup: 52 characters at most, since its Jobs add 11."""
    return f"{bounded_name(backup, _CRON_JOB_LIMIT - len(_SUFFIX))}{_SUFFIX}"


def restore_job(restore: str) -> str:
    """Name the Job of an AntflyRestore."""
    return f"{bounded_name(restore, 55)}-restore"


def adoption_job(job: str) -> str:
    """Name the Job that looks for the backup of a Job whose pod was lost."""
    return f"{bounded_name(job, 57)}-adopt"


def retention_job(backup: str, newest: str) -> str:
    """Name the Job that deletes old backups after a new one."""
    return f"{bounded_name(backup, 40)}-retain-{hashlib.sha256(newest.encode()).hexdigest()[:10]}"


def retention_labels() -> Object:
    """Return the labels of the Jobs that delete old backups."""
    return _labels("retention")


def health_job(cluster: str, check: int) -> str:
    """Name the Job that asks a cluster how it is, for the nth time."""
    return f"{bounded_name(cluster, 48)}-health-{check}"


def label(name: str) -> str:
    """Return a name as the value of a label: 63 characters at most."""
    return bounded_name(name)


def backup_labels(backup: str) -> Object:
    """Return the labels of an AntflyBackup's CronJob, Jobs and pods."""
    return _labels("backup") | {BACKUP: label(backup)}


def restore_labels(restore: str) -> Object:
    """Return the labels of an AntflyRestore's Job and pod."""
    return _labels("restore") | {RESTORE: label(restore)}


def health_labels() -> Object:
    """Return the labels of the Jobs that ask a cluster how it is."""
    return _labels("health")


def _labels(component: str) -> Object:
    return {
        "app.kubernetes.io/name": f"antfly-{component}",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "holdfast",
    }
