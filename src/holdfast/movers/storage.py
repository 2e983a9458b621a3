"""Prepares a storage and its repositories, and wipes what shall go.

A storage is Ready only when it was written, read, listed and deleted in, so that a wrong key or a full disk shows before the
first backup and not during it.
"""

import secrets
from datetime import UTC, datetime

import msgspec

from holdfast.core.calls import ENABLED, OBJECT_LOCK, RepositoryInit, RepositoryTarget, StorageInit, StorageWipe, Wipe
from holdfast.core.report import ItemResult, Report, RepositoryResult
from holdfast.core.times import format_time
from holdfast.movers import metadata
from holdfast.movers.context import Context, MoverError, log
from holdfast.movers.documents import Documents, open_documents
from holdfast.movers.failures import mover_error
from holdfast.movers.metadata import METADATA, REPOSITORY, safe_path
from holdfast.movers.stores import has_object_lock, open_or_init
from holdfast.repo.errors import RepositoryError


def initialize_storage(call: StorageInit, context: Context) -> Report:
    """Probe the storage and write `metadata.yaml` unless it is there; then make known to the cluster what lies there."""
    place = open_documents(call.store)
    place.create()
    context.check()
    _probe(place, call.store.url)
    if call.repository is not None:
        _make_repository(call.repository, context)
    about = _about(call)
    found = metadata.read_metadata(place)
    if found is None:
        place.write(METADATA, metadata.encode({**call.document, "creationTimestamp": format_time(datetime.now(UTC))}))
        log(f"{call.store.url}: initialised")
        return Report(StorageInit.MOVER, items=about)
    log(f"{call.store.url}: was initialised before")
    listed = metadata.entries(found)
    if call.adopt is None or not listed:
        return Report(StorageInit.MOVER, items=about)
    from holdfast.movers.rediscovery import rediscover

    return Report(StorageInit.MOVER, items=(*about, *rediscover(call.store, call.adopt, listed)))


def _about(call: StorageInit) -> tuple[ItemResult, ...]:
    """Return what is to be said of the store itself."""
    if not call.look_for_lock:
        return ()
    return (ItemResult(OBJECT_LOCK, ENABLED if has_object_lock(call.store) else "Disabled"),)


def _make_repository(target: RepositoryTarget, context: Context) -> None:
    try:
        open_or_init(target, context.stop).close()
    except RepositoryError as error:
        raise mover_error(error) from error


def initialize_repository(call: RepositoryInit, context: Context) -> Report:
    """Write `repository.yaml`, replacing one that says something else, and list it in the storage's `metadata.yaml`."""
    place = open_documents(call.store)
    context.check()
    data = metadata.encode(call.document)
    if place.read(REPOSITORY) != data:
        place.write(REPOSITORY, data)
        log(f"{call.store.url}: repository {call.name} recorded")
    if call.listed is not None:
        metadata.add(call.listed)
    return Report(RepositoryInit.MOVER, (RepositoryResult(call.name),))


def wipe(call: Wipe, context: Context) -> Report:
    """Delete everything below the URL."""
    place = open_documents(call.store)
    context.check()
    count = place.wipe()
    log(f"{call.store.url}: {count} objects deleted")
    if call.listed is not None:
        metadata.remove(call.listed)
    return Report(Wipe.MOVER, (RepositoryResult(call.name, files=count),))


def wipe_storage(call: StorageWipe, context: Context) -> Report:
    """Delete the repositories that lie in the storage, one by one, and its `metadata.yaml` last."""
    place = open_documents(call.store)
    count = 0
    for entry in metadata.entries(metadata.read_metadata(place) or {}):
        context.check()
        path = safe_path(entry.path)
        below = msgspec.structs.replace(call.store, url=f"{call.store.url.rstrip('/')}/{path}")
        count += open_documents(below).wipe()
        log(f"{below.url}: deleted")
    place.delete(METADATA)
    return Report(StorageWipe.MOVER, (RepositoryResult(call.name, files=count),))


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
