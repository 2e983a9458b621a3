"""Where copies go: the repository of an objectstore as movers are told of it, and the choice among objectstores.

One repository of an objectstore holds the copies of all clusters, so that equal data is stored once. Its folder is fixed, so
that another installation finds it with nothing but the bucket's keys and the repository's password.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from holdfast.core.calls import PASSWORD_KEY, SECRETS, RepositoryTarget, StorageTarget
from holdfast.core.objects import Object
from holdfast.core.plan import SecretFiles
from holdfast.core.read import flag, mapping, name_of, number, text
from holdfast.dialects.cloudcasa.kinds import secret_name

FOLDER: Final = "cloudcasa"
"""Folder of the repository in the bucket."""

STORE: Final = "store"
"""Where a mover finds the Secret of the store."""

_GOVERNMENT: Final = "core.usgovcloudapi.net"


def target_of(objectstore: Object, options: Object | None = None, *, lock_days: int = 0) -> StorageTarget:
    """Return the place of an objectstore's repository; `options` are those of a copy. Speed limits are in KiB per second.

    With `lock_days`, a bucket that has an object lock keeps what is written for so long, and refuses to delete what it keeps.
    """
    spec = mapping(objectstore, "spec")
    settings = {"region": text(spec, "region")} if text(spec, "region") else {}
    if flag(spec, "skip_tls_certificate_validation"):
        settings["insecure_tls"] = "true"
    if lock_days and flag(objectstore, "status", "object_lock"):
        settings["lock_days"] = str(lock_days)
    limits = {"upload_speed_limit": "upload_rate", "download_speed_limit": "download_rate"}
    for field, name in limits.items():
        if rate := number(options or {}, field):
            settings[name] = str(rate * 1024)
    if connections := number(options or {}, "pvc_file_parallelism"):
        settings["connections"] = str(connections)
    if text(spec, "provider_type") == "azure":
        settings["account"] = text(spec, "s3provider", "storage_account_name")
        if text(spec, "s3provider", "cloud") == "Government":
            settings["endpoint_suffix"] = _GOVERNMENT
    return StorageTarget(url_of(spec), settings, f"{SECRETS}/{STORE}")


def url_of(spec: Object) -> str:
    """Return the URL of the repository of an objectstore with these fields."""
    bucket = text(spec, "bucket_name")
    if text(spec, "provider_type") == "azure":
        return f"azure:{bucket}:/{FOLDER}"
    endpoint = text(spec, "s3provider", "endpoint", default=f"https://s3.{text(spec, 'region')}.amazonaws.com")
    return f"s3:{endpoint.rstrip('/')}/{bucket}/{FOLDER}"


def lock_of(job: Object) -> int:
    """Return for how many days the bucket is to keep what a job writes; 0 unless its schedule is locked."""
    return (number(job, "spec", "retention", "retainDays") or 0) if flag(job, "spec", "locked") else 0


def repository_of(objectstore: Object, options: Object | None = None, *, lock_days: int = 0) -> RepositoryTarget:
    """Return the repository of an objectstore; see `target_of`."""
    return RepositoryTarget(
        name_of(objectstore), target_of(objectstore, options, lock_days=lock_days), f"{SECRETS}/{STORE}/{PASSWORD_KEY}"
    )


def secrets_of(objectstore: str, copy: str = "") -> tuple[SecretFiles, ...]:
    """Return the Secret that a mover needs for an objectstore's repository; in another namespace it is a copy of this name."""
    return (SecretFiles(STORE, copy or secret_name(objectstore)),)


def choose(preferences: Iterable[Object], objectstores: Iterable[Object]) -> Object | str:
    """Return the objectstore of the first preference that names one, or why there is none.

    Preferences come in their order: the copy's, the cluster's, the organisation's. Without any the system picks the store that
    was tried and works, the oldest first.
    """
    stores = sorted(objectstores, key=lambda store: (text(store, "metadata", "creationTimestamp"), name_of(store)))
    for wanted in preferences:
        if ident := text(wanted, "user_objectstore"):
            found = next((store for store in stores if name_of(store) == ident), None)
            return found or f"objectstore {ident} does not exist"
        if kind := text(wanted, "type"):
            region = text(wanted, "region")
            fitting = [store for store in stores if (_kind(store), text(store, "spec", "region")) == (kind, region)]
            return _best(fitting) or f"no objectstore of provider {kind} in region {region} exists"
    return _best(stores) or "no objectstore exists: add one with POST /objectstores"


def _kind(store: Object) -> str:
    return text(store, "spec", "provider_type")


def _best(stores: list[Object]) -> Object | None:
    """Return the first store that works, else the first one."""
    working = (store for store in stores if text(store, "status", "validate_state") == "VALID")
    return next(working, stores[0] if stores else None)
