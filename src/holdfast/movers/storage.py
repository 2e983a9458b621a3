"""Prepares a storage and its repositories, and wipes what shall go.

A storage is Ready only when it was written, read, listed and deleted in, so that a wrong key or a full disk shows before the
first backup and not during it.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import yaml

from holdfast.core.calls import RepositoryInit, StorageInit, Wipe
from holdfast.core.report import Report, RepositoryResult
from holdfast.core.times import format_time
from holdfast.movers.context import Context, MoverError, log
from holdfast.movers.documents import Documents, open_documents

METADATA = "metadata.yaml"
REPOSITORY = "repository.yaml"


def initialize_storage(call: StorageInit, context: Context) -> Report:
    """Probe the storage and write `metadata.yaml` unless it is there."""
    place = open_documents(call.store)
    place.create()
    context.check()
    _probe(place, call.store.url)
    if place.read(METADATA) is None:
        document = {**call.document, "creationTimestamp": format_time(datetime.now(UTC))}
        place.write(METADATA, _yaml(document))
        log(f"{call.store.url}: initialised")
    else:
        log(f"{call.store.url}: was initialised before")
    return Report(StorageInit.MOVER)


def initialize_repository(call: RepositoryInit, context: Context) -> Report:
    """Write `repository.yaml`, replacing one that says something else."""
    place = open_documents(call.store)
    context.check()
    data = _yaml(call.document)
    if place.read(REPOSITORY) != data:
        place.write(REPOSITORY, data)
        log(f"{call.store.url}: repository {call.name} recorded")
    return Report(RepositoryInit.MOVER, (RepositoryResult(call.name),))


def wipe(call: Wipe, context: Context) -> Report:
    """Delete everything below the URL."""
    place = open_documents(call.store)
    context.check()
    count = place.wipe()
    log(f"{call.store.url}: {count} objects deleted")
    return Report(Wipe.MOVER, (RepositoryResult(call.name, files=count),))


def _probe(place: Documents, url: str) -> None:
    name, data = f"holdfast-probe-{secrets.token_hex(8)}", secrets.token_bytes(64)
    place.write(name, data)
    try:
        if place.read(name) != data:
            raise MoverError("StoreUnreliable", f"{url}: what was written reads back differently", "use another storage")
        if name not in place.names():
            raise MoverError(
                "StoreUnreliable", f"{url}: what was written is not listed", "allow the key to list, or use another storage"
            )
    finally:
        place.delete(name)


def _yaml(document: Mapping[str, Any]) -> bytes:
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True).encode()
