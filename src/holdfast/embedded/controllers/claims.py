"""The claim controller: binds PersistentVolumeClaims, and makes and removes the directories behind ours.

A volume is a directory below the data directory, writable by all, since the pods that mount it have any user. It is
removed with its claim under the reclaim policy Delete: first the directory, then the object, so that a crash between
the two leaves an object to go on from and never a nameless directory.
"""

import asyncio
import logging
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from holdfast.core.objects import Object
from holdfast.embedded.controllers import claim_decision
from holdfast.embedded.controllers import pods as podlib
from holdfast.embedded.controllers.claim_decision import CLAIM_FINALIZER, PROVISIONED_BY, PROVISIONER, VOLUME_FINALIZER, Do
from holdfast.embedded.controllers.snapshots import Snapshots, copy_of
from holdfast.embedded.read import items, mapping
from holdfast.kube.builtin import PVCS, PVS
from holdfast.kube.client import Client
from holdfast.kube.controller import Controller, Result
from holdfast.kube.errors import AlreadyExists, NotFound
from holdfast.kube.events import EventRecorder
from holdfast.kube.informer import Informer
from holdfast.kube.objects import Key, key_of

log = logging.getLogger(__name__)


class Caches:
    """What the claim controllers read."""

    def __init__(self, claims: Informer, volumes: Informer, classes: Informer, pods: Informer) -> None:
        self.claims = claims
        self.volumes = volumes
        self.classes = classes
        self.pods = pods
        pods.add_index("claim", podlib.by_claim)


class ClaimController:
    """Keeps PersistentVolumeClaims."""

    def __init__(
        self, client: Client, events: EventRecorder, caches: Caches, directory: Path, snapshots: Snapshots, home: Path
    ) -> None:
        self._client = client
        self._events = events
        self._caches = caches
        self._directory = directory
        self._snapshots = snapshots
        self._home = home
        self.controller = Controller("claim", self.reconcile)
        self.controller.watches(snapshots.snapshots, self._wanting)
        self.controller.watches(caches.claims, lambda claim: [key_of(claim)])
        self.controller.watches(caches.volumes, self._interested)
        self.controller.watches(caches.classes, lambda _: [key_of(each) for each in caches.claims.all() if _pending(each)])
        self.controller.watches(
            caches.pods, lambda pod: [(pod["metadata"]["namespace"], name) for name in podlib.claims_of(pod)]
        )

    async def reconcile(self, key: Key) -> Result:
        """Bring one claim a step on."""
        claim = self._caches.claims.get(*key)
        if claim is None:
            return Result()
        users = [pod for pod in self._caches.pods.by_index("claim", "/".join(key)) if not podlib.finished(pod)]
        volumes = list(self._caches.volumes.all())
        found = claim_decision.decide(
            claim, volumes, list(self._caches.classes.all()), users=len(users), waiting=sum(not _going(pod) for pod in users)
        )
        match found.do:
            case Do.PROTECT:
                await self._finalizers(claim, [*items(claim["metadata"], "finalizers"), CLAIM_FINALIZER])
            case Do.RELEASE:
                await self._finalizers(claim, [each for each in claim["metadata"]["finalizers"] if each != CLAIM_FINALIZER])
            case Do.CLASSIFY if found.storage_class is not None:
                name = found.storage_class["metadata"]["name"]
                await self._patch(claim, {"spec": {"storageClassName": name}})
            case Do.BIND if found.volume is not None:
                await self._bind(claim, found.volume)
            case Do.PROVISION if found.storage_class is not None:
                await self._provision(claim, found.storage_class, found.source)
            case Do.EXPAND if found.volume is not None:
                await self._expand(claim, found.volume)
            case Do.LOST:
                await self._lose(claim, found.reason, found.message)
            case Do.WAIT:
                self._events.emit(claim, "Normal", found.reason, found.message)
                await self._phase(claim, {"phase": "Pending"})
            case _:
                pass
        return Result()

    def _wanting(self, snapshot: Object) -> list[Key]:
        """The claims that wait for a snapshot of their namespace."""
        namespace = snapshot["metadata"]["namespace"]
        return [key_of(each) for each in self._caches.claims.all() if _pending(each) and key_of(each)[0] == namespace]

    async def _origin(self, claim: Object, source: Object) -> tuple[Path | None, str]:
        """The folder that a new volume starts from, or why there is none."""
        namespace, name = claim["metadata"]["namespace"], str(source.get("name") or "")
        if source.get("kind") == "VolumeSnapshot":
            snapshot = self._snapshots.snapshots.get(namespace, name)
            folder = self._snapshots.folder_of(snapshot, self._home) if snapshot is not None else None
            return folder, "" if folder else f"VolumeSnapshot {name} is not ready to use"
        other = self._caches.claims.get(namespace, name)
        volume = mapping(other, "spec").get("volumeName") if other is not None else None
        folder = self._directory / volume if volume else None
        there = folder is not None and await asyncio.to_thread(folder.is_dir)
        return (folder, "") if there else (None, f"PersistentVolumeClaim {name} is not bound to a volume of {PROVISIONER}")

    async def _provision(self, claim: Object, storage_class: Object, source: Object | None) -> None:
        name = f"pvc-{claim['metadata']['uid']}"
        path = self._directory / name
        if source is not None and not await asyncio.to_thread(path.is_dir):
            origin, why = await self._origin(claim, source)
            if origin is None:
                self._events.emit(claim, "Warning", "ProvisioningFailed", why)
                await self._phase(claim, {"phase": "Pending"})
                return
            await copy_of(origin, path)
        if source is None:
            await asyncio.to_thread(_make, path)
        volume = claim_decision.volume_of(claim, storage_class, str(path))
        try:
            made = await self._client.create(PVS, volume)
        except AlreadyExists:
            made = await self._client.get(PVS, name)
        self._events.emit(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")
        await self._bind(claim, made)

    async def _bind(self, claim: Object, volume: Object) -> None:
        """Tie claim and volume together: the volume first, so that no second claim can take it."""
        name = volume["metadata"]["name"]
        reference = claim_decision.claim_reference(claim)
        if mapping(volume["spec"], "claimRef").get("uid") != reference["uid"]:
            version = volume["metadata"]["resourceVersion"]
            await self._client.merge_patch(PVS, name, None, {"spec": {"claimRef": reference}}, resource_version=version)
        if claim["spec"].get("volumeName") != name:
            annotations = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
            await self._patch(claim, {"metadata": {"annotations": annotations}, "spec": {"volumeName": name}})
        await self._client.merge_patch(PVS, name, None, {"status": {"phase": "Bound"}}, subresource="status")
        spec = volume["spec"]
        await self._phase(claim, {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": spec["capacity"]})

    async def _expand(self, claim: Object, volume: Object) -> None:
        """A directory has no size: growing means to say so."""
        size = {"storage": claim_decision.claim_request(claim)}
        await self._client.merge_patch(PVS, volume["metadata"]["name"], None, {"spec": {"capacity": size}})
        await self._phase(claim, {"capacity": size})

    async def _lose(self, claim: Object, reason: str, message: str) -> None:
        self._events.emit(claim, "Warning", reason, message)
        await self._phase(claim, {"phase": "Lost"})

    async def _finalizers(self, claim: Object, wanted: list[str]) -> None:
        meta = claim["metadata"]
        body: Object = {"metadata": {"finalizers": wanted}}
        await self._client.merge_patch(PVCS, meta["name"], meta["namespace"], body, resource_version=meta["resourceVersion"])

    async def _patch(self, claim: Object, body: Object) -> None:
        meta = claim["metadata"]
        await self._client.merge_patch(PVCS, meta["name"], meta["namespace"], body)

    async def _phase(self, claim: Object, wanted: Object) -> None:
        meta, old = claim["metadata"], mapping(claim, "status")
        if {**old, **wanted} != old:
            await self._client.merge_patch(PVCS, meta["name"], meta["namespace"], {"status": wanted}, subresource="status")

    def _interested(self, volume: Object) -> list[Key]:
        """Return the claims that a change of a volume may matter to."""
        reference = volume["spec"].get("claimRef")
        if reference:
            return [(reference["namespace"], reference["name"])]
        return [key_of(claim) for claim in self._caches.claims.all() if _pending(claim)]


class VolumeController:
    """Keeps PersistentVolumes: their phase, their protection, and the end of those we made."""

    def __init__(self, client: Client, events: EventRecorder, caches: Caches, directory: Path) -> None:
        self._client = client
        self._events = events
        self._caches = caches
        self._directory = directory
        self.controller = Controller("volume", self.reconcile)
        self.controller.watches(caches.volumes, lambda volume: [key_of(volume)])
        self.controller.watches(caches.claims, lambda claim: [("", name)] if (name := claim["spec"].get("volumeName")) else [])

    async def reconcile(self, key: Key) -> Result:
        """Bring one volume a step on."""
        volume = self._caches.volumes.get(*key)
        if volume is None:
            return Result()
        phase = claim_decision.volume_phase(volume, await self._claim(volume))
        meta, spec = volume["metadata"], volume["spec"]
        ours = mapping(meta, "annotations").get(PROVISIONED_BY) == PROVISIONER
        if meta.get("deletionTimestamp"):
            if phase != "Bound" and VOLUME_FINALIZER in items(meta, "finalizers"):
                await self._let_go(volume)
            return Result()
        if mapping(volume, "status").get("phase") != phase:
            await self._client.merge_patch(PVS, meta["name"], None, {"status": {"phase": phase}}, subresource="status")
        if phase == "Released" and ours and spec.get("persistentVolumeReclaimPolicy") == "Delete":
            await self._reclaim(volume)
        return Result()

    async def _claim(self, volume: Object) -> Object | None:
        """Return the claim of a volume; before it is believed gone, the API server is asked."""
        reference = volume["spec"].get("claimRef")
        if not reference:
            return None
        claim = self._caches.claims.get(reference["namespace"], reference["name"])
        if claim is not None and claim["metadata"]["uid"] == reference.get("uid"):
            return claim
        try:
            return await self._client.get(PVCS, reference["name"], reference["namespace"])
        except NotFound:
            return None

    async def _reclaim(self, volume: Object) -> None:
        path = Path(volume["spec"]["hostPath"]["path"])
        if path.parent != self._directory:
            message = f"{path} does not lie in {self._directory}; it is left alone"
            self._events.emit(volume, "Warning", "VolumeFailedDelete", message)
            return
        await asyncio.to_thread(_remove, path)
        try:
            await self._client.delete(PVS, volume["metadata"]["name"], uid=volume["metadata"]["uid"])
        except NotFound:
            return

    async def _let_go(self, volume: Object) -> None:
        meta = volume["metadata"]
        left = [each for each in meta["finalizers"] if each != VOLUME_FINALIZER]
        body: Object = {"metadata": {"finalizers": left}}
        await self._client.merge_patch(PVS, meta["name"], None, body, resource_version=meta["resourceVersion"])


def _pending(claim: Object) -> bool:
    return mapping(claim, "status").get("phase") != "Bound"


def _going(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _make(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)


def _remove(path: Path) -> None:
    """Remove a volume's directory under another name first, so that a half-removed one never looks like a volume."""
    doomed = path.with_name(f".{path.name}.{int(datetime.now(UTC).timestamp())}.removed")
    if path.exists():
        os.replace(path, doomed)
    for each in path.parent.glob(f".{path.name}.*.removed"):
        shutil.rmtree(each, ignore_errors=True)
        if each.exists():
            log.warning("could not remove all of %s", each)
