"""The claims that a Restore fills: given one by one, or as a pattern for several replicas."""

from typing import Final

import msgspec

from holdfast.core.objects import Object
from holdfast.core.plan import Child
from holdfast.core.ports import View
from holdfast.core.read import items, mapping, name_of, namespace_of, number, text
from holdfast.dialects.kubeblocks.kinds import CLAIM
from holdfast.dialects.kubeblocks.refusal import Refusal
from holdfast.dialects.kubeblocks.restore_sources import Source

_SNAPSHOTS: Final = "snapshot.storage.k8s.io"


class Claim(msgspec.Struct, frozen=True):
    """One claim: its object, and where the job mounts it (empty: nowhere)."""

    object: Object
    mount_path: str

    @property
    def name(self) -> str:
        """Its name."""
        return text(self.object, "metadata", "name")

    def child(self) -> Child:
        """Return it as a child that is made once, and stays when the Restore goes."""
        return Child(self.object, create_only=True)

    def volume(self) -> Object:
        """Return it as a volume of a pod."""
        return {"name": self.name, "persistentVolumeClaim": {"claimName": self.name}}

    def mount(self) -> Object:
        """Return its mount."""
        return {"name": self.name, "mountPath": self.mount_path}


def sets(restore: Object, source: Source) -> list[list[Claim]] | Refusal:
    """Return the claims of each job: those given one by one are in every set, those of the pattern in one each."""
    config = mapping(restore, "spec", "prepareDataConfig")
    fixed = _claims(restore, items(config, "volumeClaims"), "", source)
    if isinstance(fixed, Refusal):
        return fixed
    pattern = mapping(config, "volumeClaimsTemplate")
    if not pattern:
        return [fixed] if fixed else []
    first, found = number(pattern, "startingIndex") or 0, list[list[Claim]]()
    for index in range(number(pattern, "replicas") or 1):
        own = _claims(restore, items(pattern, "templates"), f"-{index + first}", source)
        if isinstance(own, Refusal):
            return own
        found.append([*fixed, *own])
    return found


def _claims(restore: Object, listed: list[Object], suffix: str, source: Source) -> list[Claim] | Refusal:
    found: list[Claim] = []
    for raw in listed:
        claim = _claim(restore, raw, suffix, source)
        if isinstance(claim, Refusal):
            return claim
        found.append(claim)
    return found


def _claim(restore: Object, raw: Object, suffix: str, source: Source) -> Claim | Refusal:
    meta, volume = mapping(raw, "metadata"), text(raw, "volumeSource")
    name = f"{text(meta, 'name')}{suffix}"
    spec = dict(mapping(raw, "volumeClaimSpec"))
    if source.method.get("snapshotVolumes"):
        snapshot = _snapshot(restore, name, volume, suffix, source)
        if isinstance(snapshot, Refusal):
            return snapshot
        spec["dataSource"] = {"apiGroup": _SNAPSHOTS, "kind": "VolumeSnapshot", "name": snapshot}
    path = text(raw, "mountPath") or _mounted(source, volume)
    if not path and mapping(source.section, "prepareData"):
        said = f"claim {name}: the backup's method mounts no volume {volume}: set mountPath"
        return Refusal("NoMountPath", said)
    kept = {key: meta[key] for key in ("labels", "annotations") if meta.get(key)}
    claim: Object = {
        "apiVersion": "v1",
        "kind": CLAIM.kind,
        "metadata": {"name": name, "namespace": namespace_of(restore), **kept},
        "spec": spec,
    }
    return Claim(claim, path)


def _mounted(source: Source, volume: str) -> str:
    mounts = items(source.method, "targetVolumes", "volumeMounts")
    return next((text(mount, "mountPath") for mount in mounts if volume and text(mount, "name") == volume), "")


def _snapshot(restore: Object, claim: str, volume: str, suffix: str, source: Source) -> str | Refusal:
    """Return the snapshot of a volume: with several pods that of the same number."""
    if not volume:
        return Refusal("NoVolumeSource", f"claim {claim}: a volume snapshot is restored by volumeSource: name the saved volume")
    if namespace_of(source.backup) != namespace_of(restore):
        said = f"Backup {namespace_of(source.backup)}/{name_of(source.backup)} holds volume snapshots"
        return Refusal("OtherNamespace", f"{said}, which are restored in their own namespace only: create the Restore there")
    found = [
        text(entry, "name")
        for action in items(source.backup, "status", "actions")
        for entry in items(action, "volumeSnapshots")
        if text(entry, "volumeName") == volume and text(entry, "targetName") == source.target.name
    ] or [
        text(entry, "name")
        for entry in items(source.backup, "status", "volumeSnapshots")
        if text(entry, "volumeName") == volume
    ]
    if not found:
        return Refusal("NoSnapshot", f"claim {claim}: the backup has no snapshot of volume {volume}")
    index = int(suffix[1:]) if suffix else 0
    return found[min(index, len(found) - 1)] if source.target.takes_all else found[0]


def why_unbound(claim: Claim, view: View) -> str:
    """Return why a claim is not there yet for its user; empty when it is bound, or waits for a pod only."""
    state = view.step(text(claim.object, "metadata", "namespace"), claim.name, kind=CLAIM)
    return "" if state.phase.value == "Succeeded" else f"claim {claim.name}: {state.message or 'is not bound yet'}"
