"""Makes the objects of a storage again in a cluster that does not know them: its Repositories and their Snapshots.

`repository.yaml` and `snapshots/*.yaml` are those objects as they were. They come back in the namespaces in which they lived,
tied to the present BackupStorage. What exists already is left alone, so this can be repeated: after a crash between an object
and its status, the next run completes it. An object is never moved, and a namespace is never made.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.core.calls import StorageTarget
from holdfast.core.objects import Object, bounded_name, owner_reference
from holdfast.core.read import mapping, name_of, namespace_of, phase_of, text
from holdfast.core.report import ItemResult
from holdfast.kube.client import Client
from holdfast.kube.config import ConfigError, in_cluster
from holdfast.kube.errors import AlreadyExists, ApiError
from holdfast.kube.resource import Resource
from holdfast.movers.context import MoverError, log
from holdfast.movers.documents import open_documents
from holdfast.movers.metadata import REPOSITORY, Entry, decode, safe_path

GROUP, VERSION = "storage.kubestash.com", "v1alpha1"
REPOSITORIES = Resource(GROUP, VERSION, "Repository", "repositories")
SNAPSHOTS = Resource(GROUP, VERSION, "Snapshot", "snapshots")
FOLDER = "snapshots"
STORAGE_LABEL = "holdfast.dev/storage"
REDISCOVERED = "holdfast.dev/rediscovered"
"""Annotation: this object came back from its storage, and its status with it."""


def rediscover(store: StorageTarget, storage: tuple[str, str], listed: Sequence[Entry]) -> tuple[ItemResult, ...]:
    """Make the repositories of `storage` (namespace and name) again; one that fails does not keep the others from coming.

    Raises MoverError when there is no service account to speak to the API with.
    """
    try:
        return asyncio.run(_all(store, storage, listed))
    except ConfigError as error:
        raise MoverError("NotInCluster", str(error), "this Job needs its service account token mounted") from error


async def _all(store: StorageTarget, storage: tuple[str, str], listed: Sequence[Entry]) -> tuple[ItemResult, ...]:
    found: list[ItemResult] = []
    async with Client(in_cluster(), field_manager="holdfast-rediscovery") as client:
        for entry in listed:
            name = f"{entry.namespace}/{entry.name}"
            try:
                count = await _repository(client, store, storage, entry)
            except ApiError as error:
                found.append(ItemResult(name, "Failed", error.message))
            except MoverError as error:
                found.append(ItemResult(name, "Failed", error.failure.message))
            else:
                log(f"Repository {name}: {count} Snapshots are known again")
                found.append(ItemResult(name, "Synced"))
    return tuple(found)


async def _repository(client: Client, store: StorageTarget, storage: tuple[str, str], entry: Entry) -> int:
    """Make one Repository and its Snapshots; returns how many Snapshots lie there."""
    place = open_documents(msgspec.structs.replace(store, url=f"{store.url.rstrip('/')}/{safe_path(entry.path)}"))
    data = place.read(REPOSITORY)
    if data is None:
        raise MoverError("NoRepository", f"{entry.path} has no {REPOSITORY}")
    wanted = _as_new(decode(data, f"{entry.path}/{REPOSITORY}"), REPOSITORIES)
    namespace, name = storage
    wanted["spec"]["storageRef"] = {"namespace": namespace, "name": name}
    wanted["metadata"]["labels"][STORAGE_LABEL] = bounded_name(f"{namespace}.{name}")
    there = await _make(client, REPOSITORIES, wanted)
    where = f"Repository {namespace_of(there)}/{name_of(there)}"
    if text(there, "spec", "path").strip("/") != text(wanted, "spec", "path").strip("/"):
        raise MoverError("Taken", f"{where} exists with another path")
    if mapping(there, "spec", "storageRef") != wanted["spec"]["storageRef"]:
        raise MoverError("Taken", f"{where} exists in another BackupStorage")
    documents = sorted(path for path in place.folder(FOLDER) if path.endswith(".yaml"))
    for path in documents:
        document = place.read(path)
        if document is not None:
            await _snapshot(client, decode(document, path), there)
    return len(documents)


async def _snapshot(client: Client, document: Object, repository: Object) -> None:
    status = mapping(document, "status")
    wanted = _as_new(document, SNAPSHOTS)
    wanted["metadata"]["namespace"] = namespace_of(repository)
    wanted["metadata"]["ownerReferences"] = [owner_reference(repository)]
    there = await _make(client, SNAPSHOTS, wanted)
    if not phase_of(there) and status:
        await client.merge_patch(SNAPSHOTS, name_of(there), namespace_of(there), {"status": status}, subresource="status")


async def _make(client: Client, resource: Resource, wanted: Object) -> Object:
    try:
        return await client.create(resource, wanted)
    except AlreadyExists:
        return await client.get(resource, name_of(wanted), namespace_of(wanted))


def _as_new(document: Object, resource: Resource) -> Object:
    """Return a recorded object as one to create: its name, namespace, labels, annotations and spec, and the mark."""
    name, namespace = name_of(document), namespace_of(document)
    if not name or not namespace or text(document, "kind") != resource.kind:
        raise MoverError("BadMetadata", f"a document is no {resource.kind} with a name and a namespace")
    marks = {**mapping(document, "metadata", "annotations"), REDISCOVERED: "true"}
    meta: dict[str, Any] = {"name": name, "namespace": namespace, "annotations": marks}
    meta["labels"] = dict(mapping(document, "metadata", "labels"))
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": meta,
        "spec": dict(mapping(document, "spec")),
    }
