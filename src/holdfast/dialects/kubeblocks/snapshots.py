"""Volume snapshots: of every volume that a method names, of any number of claims."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from holdfast.core.objects import Object, bounded_name
from holdfast.core.plan import Step
from holdfast.core.ports import View
from holdfast.core.read import items, mapping, name_of, strings, text
from holdfast.dialects.kubeblocks import targets
from holdfast.dialects.kubeblocks.kinds import CLAIM, SNAPSHOT_CLASS, STORAGE_CLASS
from holdfast.dialects.kubeblocks.refusal import Refusal
from holdfast.dialects.kubeblocks.targets import Target

PATIENCE: Final = timedelta(hours=2)
"""How long a snapshot may take to become ready: some drivers upload it first."""


class Taken(msgspec.Struct, frozen=True):
    """A snapshot to take of one volume."""

    volume: str
    step: Step


def name_for(backup: Object, target: Target, index: int, volume: str) -> str:
    """Name the snapshot of a volume: `<backup>[-<target>]-<pod>-<volume>`."""
    parts = [name_of(backup), *([target.name] if target.name else []), str(index), volume]
    return bounded_name("-".join(parts), 253)


def steps(
    backup: Object, method: Object, target: Target, pod: Object, index: int, labels: Object, needs: Sequence[str], view: View
) -> list[Taken] | Refusal:
    """Return the snapshots of one pod's volumes. Refused: a volume that is no claim."""
    namespace = text(backup, "metadata", "namespace")
    wanted = strings(method, "targetVolumes", "volumes")
    if not wanted:
        return Refusal("NoVolumes", f"method {text(method, 'name')} takes snapshots but names no targetVolumes.volumes")
    volumes = {text(volume, "name"): volume for volume in items(pod, "spec", "volumes")}
    found: list[Taken] = []
    for volume in wanted:
        claim = text(mapping(volumes.get(volume, {}), "persistentVolumeClaim"), "claimName")
        if not claim:
            where = f"pod {targets.place_of(pod)}"
            return Refusal("NoClaim", f"volume {volume} of {where} is no PersistentVolumeClaim: it can't be snapshotted")
        spec: Object = {"source": {"persistentVolumeClaimName": claim}}
        if chosen := _class_of(claim, namespace, view):
            spec["volumeSnapshotClassName"] = chosen
        child = {
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "metadata": {"name": name_for(backup, target, index, volume), "namespace": namespace, "labels": labels},
            "spec": spec,
        }
        step = Step(name=f"{volume}", child=child, needs=tuple(needs), deadline=PATIENCE, outlives=True)
        found.append(Taken(volume, step))
    return found


def _class_of(claim: str, namespace: str, view: View) -> str:
    """Return the first snapshot class of the claim's driver; empty leaves the choice to the cluster's default."""
    name = text(view.get(CLAIM, namespace, claim) or {}, "spec", "storageClassName")
    driver = text(view.get(STORAGE_CLASS, "", name) or {}, "provisioner") if name else ""
    fitting = sorted(name_of(each) for each in view.list(SNAPSHOT_CLASS) if driver and each.get("driver") == driver)
    return fitting[0] if fitting else ""


def status_of(snapshot: Object, volume: str, target: Target | None = None) -> Object:
    """Return a snapshot as a Backup's status tells it."""
    status = mapping(snapshot, "status")
    found = {
        "name": name_of(snapshot),
        "contentName": text(status, "boundVolumeSnapshotContentName"),
        "volumeName": volume,
        "size": text(status, "restoreSize"),
        "targetName": target.name if target else "",
    }
    return {key: value for key, value in found.items() if value}
