"""From wire objects to what the handlers work with: every default filled in, every reference with its namespace."""

import math
from datetime import timedelta
from typing import Final

import msgspec

from holdfast.core.objects import Object
from holdfast.core.read import flag, name_of, namespace_of, number, strings, text
from holdfast.core.times import parse_duration

BACKUP_TIMEOUT: Final = "1h"
RESTORE_TIMEOUT: Final = "2h"
GOOD_JOBS, FAILED_JOBS, RETRIES = 3, 1, 3


class Place(msgspec.Struct, frozen=True):
    """An object by namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """`production/my-cluster`, as messages name it."""
        return f"{self.namespace}/{self.name}"


class Storage(msgspec.Struct, frozen=True):
    """Where backups lie, and the Secret that an object names for it (empty: none)."""

    location: str
    secret: str = ""

    @property
    def for_tests(self) -> bool:
        """Whether it is a folder of the servers: the API means it for tests only."""
        return self.location.startswith("file://")


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """One AntflyBackup."""

    place: Place
    cluster: Place
    schedule: str
    storage: Storage
    tables: tuple[str, ...]
    suspended: bool
    timeout: timedelta
    keep_good: int
    keep_failed: int


class Restore(msgspec.Struct, frozen=True, kw_only=True):
    """One AntflyRestore."""

    place: Place
    cluster: Place
    backup_id: str
    storage: Storage
    tables: tuple[str, ...]
    mode: str
    timeout: timedelta
    retries: int


def place_of(obj: Object) -> Place:
    """Return where an object is."""
    return Place(namespace_of(obj), name_of(obj))


def cluster_of(obj: Object) -> Place:
    """Return the AntflyCluster that an object refers to."""
    return Place(text(obj, "spec", "clusterRef", "namespace") or namespace_of(obj), text(obj, "spec", "clusterRef", "name"))


def backup(obj: Object) -> Backup:
    """Read an AntflyBackup that passed validation."""
    good, failed = number(obj, "spec", "successfulJobsHistoryLimit"), number(obj, "spec", "failedJobsHistoryLimit")
    return Backup(
        place=place_of(obj),
        cluster=cluster_of(obj),
        schedule=text(obj, "spec", "schedule"),
        storage=_storage(obj, "destination"),
        tables=tuple(strings(obj, "spec", "tables")),
        suspended=flag(obj, "spec", "suspend"),
        timeout=_timeout(text(obj, "spec", "backupTimeout", default=BACKUP_TIMEOUT)),
        keep_good=GOOD_JOBS if good is None else good,
        keep_failed=FAILED_JOBS if failed is None else failed,
    )


def restore(obj: Object) -> Restore:
    """Read an AntflyRestore that passed validation."""
    retries = number(obj, "spec", "backoffLimit")
    return Restore(
        place=place_of(obj),
        cluster=cluster_of(obj),
        backup_id=text(obj, "spec", "source", "backupId"),
        storage=_storage(obj, "source"),
        tables=tuple(strings(obj, "spec", "tables")),
        mode=text(obj, "spec", "restoreMode", default="fail_if_exists"),
        timeout=_timeout(text(obj, "spec", "restoreTimeout", default=RESTORE_TIMEOUT)),
        retries=RETRIES if retries is None else retries,
    )


def _storage(obj: Object, field: str) -> Storage:
    return Storage(text(obj, "spec", field, "location"), text(obj, "spec", field, "credentialsSecret", "name"))


def _timeout(given: str) -> timedelta:
    """Return a duration in whole seconds, rounded up: Jobs know no finer ones."""
    return timedelta(seconds=math.ceil(parse_duration(given).total_seconds()))
