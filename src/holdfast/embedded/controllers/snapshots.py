"""The controllers of VolumeSnapshots and their contents.

A snapshot is a folder below the data directory, a copy of the volume's as it was at one moment (`freeze`); it goes with its
content under the deletion policy Delete.
"""

import asyncio
import contextlib
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from holdfast.core.objects import Object
from holdfast.core.times import format_time
from holdfast.embedded.controllers import freeze, snapshot_decision, snapshot_types
from holdfast.embedded.controllers.claim_decision import PROVISIONER, capacity
from holdfast.embedded.controllers.snapshot_decision import BOUND, CONTENT_BOUND, Do
from holdfast.embedded.read import items, mapping
from holdfast.kube.builtin import CRDS, VOLUMESNAPSHOTCLASSES, VOLUMESNAPSHOTCONTENTS, VOLUMESNAPSHOTS
from holdfast.kube.client import Client
from holdfast.kube.controller import Controller, Result
from holdfast.kube.errors import AlreadyExists, Conflict, NotFound
from holdfast.kube.events import EventRecorder
from holdfast.kube.informer import Informer
from holdfast.kube.objects import Key, key_of
from holdfast.kube.resource import Resource
from holdfast.schema.emit import crd

RETRY_SECONDS = 10.0


async def install(client: Client) -> None:
    """Install the definitions where there are none, wait until they are served, and make the default class."""
    for spec in snapshot_types.KINDS:
        document = crd(spec)
        document["metadata"].setdefault("annotations", {})["api-approved.kubernetes.io"] = "unapproved, written anew"
        with contextlib.suppress(AlreadyExists):
            await client.create(CRDS, document)
    for res in (VOLUMESNAPSHOTS, VOLUMESNAPSHOTCONTENTS, VOLUMESNAPSHOTCLASSES):
        await _served(client, res)
    with contextlib.suppress(AlreadyExists):
        await client.create(VOLUMESNAPSHOTCLASSES, default_class())


async def _served(client: Client, res: Resource) -> None:
    while True:
        try:
            await client.list(res, limit=1)
        except NotFound:
            await asyncio.sleep(0.02)
            continue
        return


def default_class() -> Object:
    """The class that snapshots get by default."""
    return {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotClass",
        "metadata": {"name": "standard", "annotations": {snapshot_decision.DEFAULT_CLASS: "true"}},
        "driver": PROVISIONER,
        "deletionPolicy": "Delete",
    }


class Snapshots:
    """What the snapshot controllers read."""

    def __init__(self, snapshots: Informer, contents: Informer, classes: Informer, claims: Informer, volumes: Informer) -> None:
        self.snapshots = snapshots
        self.contents = contents
        self.classes = classes
        self.claims = claims
        self.volumes = volumes

    def folder_of(self, snapshot: Object, home: Path) -> Path | None:
        """Where the files of a snapshot that is ready lie."""
        status = mapping(snapshot, "status")
        content = self.contents.get("", status.get("boundVolumeSnapshotContentName") or "")
        if content is None or not status.get("readyToUse"):
            return None
        handle = mapping(content, "status").get("snapshotHandle")
        return home / handle if handle else None


class SnapshotController:
    """Keeps VolumeSnapshots."""

    def __init__(self, client: Client, events: EventRecorder, caches: Snapshots) -> None:
        self._client, self._events, self._caches = client, events, caches
        self.controller = Controller("volumesnapshot", self.reconcile)
        self.controller.watches(caches.snapshots, lambda each: [key_of(each)])
        self.controller.watches(caches.contents, _snapshot_of)
        self.controller.watches(caches.claims, self._waiting)
        self.controller.watches(caches.classes, self._waiting)

    def _waiting(self, source: Object) -> list[Key]:
        namespace = source["metadata"].get("namespace")
        waiting = (each for each in self._caches.snapshots.all() if not mapping(each, "status").get("readyToUse"))
        return [key_of(each) for each in waiting if namespace in (None, each["metadata"]["namespace"])]

    async def reconcile(self, key: Key) -> Result:
        """Bring one VolumeSnapshot a step on."""
        snapshot = self._caches.snapshots.get(*key)
        if snapshot is None:
            return Result()
        claim = self._caches.claims.get(key[0], mapping(snapshot["spec"], "source").get("persistentVolumeClaimName") or "")
        volume = self._caches.volumes.get("", mapping(claim, "spec").get("volumeName") or "") if claim else None
        content = self._caches.contents.get("", snapshot_decision.content_name(snapshot))
        found = snapshot_decision.decide(snapshot, content, list(self._caches.classes.all()), claim, volume)
        match found.do:
            case Do.PROTECT:
                await self._finalizers(snapshot, [*items(snapshot["metadata"], "finalizers"), BOUND])
            case Do.RELEASE:
                await self._finalizers(snapshot, [each for each in snapshot["metadata"]["finalizers"] if each != BOUND])
            case Do.CLASSIFY:
                await self._patch(snapshot, {"spec": {"volumeSnapshotClassName": found.name}})
            case Do.CREATE if found.content is not None:
                with contextlib.suppress(AlreadyExists):
                    await self._client.create(VOLUMESNAPSHOTCONTENTS, found.content)
                self._events.emit(snapshot, "Normal", "CreatingSnapshot", f"Taking a snapshot of {claim_name(snapshot)}")
            case Do.DROP if found.content is not None:
                await self._drop(snapshot, found.content)
            case Do.SHOW:
                await self._show(snapshot, found.status)
            case Do.FAIL:
                self._events.emit(snapshot, "Warning", "SnapshotContentCreationFailed", found.message)
                await self._show(snapshot, {"readyToUse": False, "error": _error(snapshot, found.message)})
            case _:
                pass
        return Result()

    async def _drop(self, snapshot: Object, content: Object) -> None:
        """Delete the content where the policy says so; else only the tie is cut."""
        if content["spec"].get("deletionPolicy") == "Delete":
            with contextlib.suppress(NotFound, Conflict):
                meta = content["metadata"]
                await self._client.delete(VOLUMESNAPSHOTCONTENTS, meta["name"], uid=meta["uid"])
            return
        await self._finalizers(snapshot, [each for each in items(snapshot["metadata"], "finalizers") if each != BOUND])

    async def _show(self, snapshot: Object, wanted: Object) -> None:
        old, meta = mapping(snapshot, "status"), snapshot["metadata"]
        patch: Object = {key: value for key, value in wanted.items() if old.get(key) != value}
        if "error" in old and "error" not in wanted:
            patch["error"] = None
        if patch:
            body: Object = {"status": patch}
            await self._client.merge_patch(VOLUMESNAPSHOTS, meta["name"], meta["namespace"], body, subresource="status")

    async def _finalizers(self, snapshot: Object, wanted: list[str]) -> None:
        await self._patch(snapshot, {"metadata": {"finalizers": wanted}}, version=snapshot["metadata"]["resourceVersion"])

    async def _patch(self, snapshot: Object, body: Object, *, version: str = "") -> None:
        meta = snapshot["metadata"]
        with contextlib.suppress(NotFound):
            await self._client.merge_patch(VOLUMESNAPSHOTS, meta["name"], meta["namespace"], body, resource_version=version)


def claim_name(snapshot: Object) -> str:
    """The claim that a snapshot is of."""
    return str(mapping(snapshot["spec"], "source").get("persistentVolumeClaimName") or "")


def _snapshot_of(content: Object) -> list[Key]:
    reference = mapping(content["spec"], "volumeSnapshotRef")
    return [(reference["namespace"], reference["name"])] if reference.get("name") else []


def _error(obj: Object, message: str) -> Object:
    """An error with the time at which it was first seen."""
    old = mapping(obj, "status", "error")
    since = old.get("time") if old.get("message") == message else None
    return {"message": message, "time": since or format_time(datetime.now(UTC))}


class ContentController:
    """Keeps VolumeSnapshotContents of ours: takes the snapshots, and removes them."""

    def __init__(self, client: Client, events: EventRecorder, caches: Snapshots, volumes: Path, home: Path) -> None:
        self._client, self._events, self._caches = client, events, caches
        self._volumes, self._home = volumes, home
        self.controller = Controller("volumesnapshotcontent", self.reconcile)
        self.controller.watches(caches.contents, lambda each: [key_of(each)])
        self.controller.watches(caches.snapshots, lambda each: [("", snapshot_decision.content_name(each))])

    async def reconcile(self, key: Key) -> Result:
        """Bring one content a step on."""
        content = self._caches.contents.get(*key)
        if content is None or content["spec"].get("driver") != PROVISIONER:
            return Result()
        if content["metadata"].get("deletionTimestamp"):
            return await self._remove(content)
        if CONTENT_BOUND not in items(content["metadata"], "finalizers"):
            await self._patch(content, {"metadata": {"finalizers": [*items(content["metadata"], "finalizers"), CONTENT_BOUND]}})
            return Result()
        if mapping(content, "status").get("readyToUse"):
            return Result()
        try:
            status = await self._take(content)
        except OSError as error:
            message = f"the snapshot can't be taken: {error}"
            self._events.emit(content, "Warning", "SnapshotCreationFailed", message)
            await self._show(content, {"readyToUse": False, "error": _error(content, message)})
            return Result(after=RETRY_SECONDS)
        await self._show(content, status | {"error": None})
        return Result()

    async def _take(self, content: Object) -> Object:
        """The status of a content whose snapshot is there; it is taken if it is not. Raises OSError."""
        source = mapping(content["spec"], "source")
        handle = str(source.get("snapshotHandle") or f"snap-{content['metadata']['uid']}")
        folder = self._home / handle
        if folder.parent != self._home or handle.startswith("."):
            raise OSError(f"{handle!r} is no snapshot of this control plane")
        volume = self._caches.volumes.get("", source.get("volumeHandle") or "")
        if not folder.is_dir():
            if volume is None:
                raise OSError(f"there is no folder {folder}" if source.get("snapshotHandle") else "its volume is gone")
            await copy_of(self._volumes / volume["metadata"]["name"], folder)
        made = (await asyncio.to_thread(folder.stat)).st_ctime_ns
        size = capacity(volume) if volume is not None else await asyncio.to_thread(_size, folder)
        return {"snapshotHandle": handle, "creationTime": made, "readyToUse": True, "restoreSize": size}

    async def _remove(self, content: Object) -> Result:
        """Remove the files, then let go; while its VolumeSnapshot lives, the content waits."""
        meta = content["metadata"]
        if CONTENT_BOUND not in items(meta, "finalizers"):
            return Result()
        reference = mapping(content["spec"], "volumeSnapshotRef")
        snapshot = self._caches.snapshots.get(reference.get("namespace") or "", reference.get("name") or "")
        if snapshot is not None and not snapshot["metadata"].get("deletionTimestamp"):
            return Result()
        handle = mapping(content, "status").get("snapshotHandle") or f"snap-{meta['uid']}"
        folder = self._home / handle
        if content["spec"].get("deletionPolicy") == "Delete" and folder.parent == self._home:
            await asyncio.to_thread(_discard, folder)
        await self._patch(content, {"metadata": {"finalizers": [each for each in meta["finalizers"] if each != CONTENT_BOUND]}})
        return Result()

    async def _show(self, content: Object, status: dict[str, Any]) -> None:
        body: Object = {"status": status}
        name = content["metadata"]["name"]
        await self._client.merge_patch(VOLUMESNAPSHOTCONTENTS, name, None, body, subresource="status")

    async def _patch(self, content: Object, body: Object) -> None:
        with contextlib.suppress(NotFound):
            await self._client.merge_patch(VOLUMESNAPSHOTCONTENTS, content["metadata"]["name"], None, body)


async def copy_of(source: Path, target: Path) -> None:
    """Copy a volume's folder at one moment, by a process that finishes even when this one ends. Raises OSError."""
    argv = [sys.executable, "-m", freeze.__name__, str(source), str(target)]
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    _, words = await process.communicate()
    if process.returncode and not await asyncio.to_thread(target.is_dir):
        raise OSError(words.decode(errors="replace").strip()[-500:] or f"copying ended with {process.returncode}")


def _size(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file() and not entry.is_symlink())


def _discard(folder: Path) -> None:
    doomed = folder.with_name(f".{folder.name}.removed")
    with contextlib.suppress(FileNotFoundError):
        os.replace(folder, doomed)
    shutil.rmtree(doomed, ignore_errors=True)
