"""What to do about a PersistentVolumeClaim or a PersistentVolume: pure.

A claim without a class gets the default one. A volume that fits is bound; else the class's provisioner makes one, and
ours is a directory. What can't be provisioned stays Pending with a reason that says what to change.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from holdfast.core.objects import Object
from holdfast.core.quantity import parse_quantity
from holdfast.embedded.read import items, mapping

PROVISIONER = "holdfast.dev/local"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
SOURCES = (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))
"""Group and kind of what our own provisioner can start a volume from; populators bring others."""


class Do(enum.Enum):
    """The next thing to do with a claim."""

    NOTHING = "nothing"
    PROTECT = "protect"
    RELEASE = "release"
    CLASSIFY = "classify"
    BIND = "bind"
    PROVISION = "provision"
    EXPAND = "expand"
    LOST = "lost"
    WAIT = "wait"


class Decision(msgspec.Struct, frozen=True):
    """One step. `volume` is the one to bind, `storage_class` what to write into the claim or to provision from.

    `source` is what a new volume starts with: the dataSource of the claim.
    """

    do: Do
    source: Object | None = None
    volume: Object | None = None
    storage_class: Object | None = None
    reason: str = ""
    message: str = ""


def decide(claim: Object, volumes: Sequence[Object], classes: Sequence[Object], *, users: int, waiting: int) -> Decision:
    """Judge a claim. `users` counts the pods that mount it and are not over, `waiting` those that can't run without it."""
    meta = claim["metadata"]
    protected = CLAIM_FINALIZER in items(meta, "finalizers")
    if meta.get("deletionTimestamp"):
        return Decision(Do.RELEASE if protected and not users else Do.NOTHING)
    if not protected:
        return Decision(Do.PROTECT)
    if mapping(claim, "status").get("phase") == "Bound":
        return _bound(claim, volumes)
    chosen = _chosen(claim, volumes)
    if chosen is not None:
        return Decision(Do.BIND, volume=chosen)
    name = claim["spec"].get("storageClassName")
    if name is None:
        default = default_class(classes)
        if default is not None:
            return Decision(Do.CLASSIFY, storage_class=default)
        return _wait("FailedBinding", "no storage class is set and there is no default one")
    fitting = next((each for each in sorted(volumes, key=capacity) if fits(claim, each)), None)
    if fitting is not None and not _populated(claim):
        return Decision(Do.BIND, volume=fitting)
    return _provision(claim, name, classes, waiting)


def fits(claim: Object, volume: Object) -> bool:
    """Whether an unbound volume can serve a claim."""
    spec, wanted = volume["spec"], claim["spec"]
    if spec.get("claimRef") or volume["metadata"].get("deletionTimestamp"):
        return False
    labels = mapping(volume["metadata"], "labels")
    selected = mapping(wanted, "selector", "matchLabels")
    return (
        (spec.get("storageClassName") or "") == (wanted.get("storageClassName") or "")
        and set(items(wanted, "accessModes")) <= set(items(spec, "accessModes"))
        and capacity(volume) >= request(claim)
        and (spec.get("volumeMode") or "Filesystem") == (wanted.get("volumeMode") or "Filesystem")
        and all(labels.get(key) == value for key, value in selected.items())
    )


def default_class(classes: Sequence[Object]) -> Object | None:
    """Return the default storage class; of several the newest."""
    marked = [each for each in classes if mapping(each["metadata"], "annotations").get(DEFAULT_CLASS) == "true"]
    return max(marked, key=lambda each: each["metadata"].get("creationTimestamp") or "", default=None)


def volume_of(claim: Object, storage_class: Object, path: str) -> Object:
    """Build the volume for a claim: a directory of this machine, bound from the start."""
    meta = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{meta['uid']}",
            "annotations": {PROVISIONED_BY: PROVISIONER},
            "finalizers": [VOLUME_FINALIZER],
        },
        "spec": {
            "accessModes": claim["spec"].get("accessModes") or ["ReadWriteOnce"],
            "capacity": {"storage": str(claim_request(claim))},
            "claimRef": claim_reference(claim),
            "hostPath": {"path": path, "type": "Directory"},
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "storageClassName": storage_class["metadata"]["name"],
            "volumeMode": "Filesystem",
        },
    }


def claim_reference(claim: Object) -> Object:
    """Return what a volume's claimRef says."""
    meta = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
    }


def claim_request(claim: Object) -> str:
    """Return the size a claim asks for, as it is written."""
    return str(mapping(claim["spec"], "resources", "requests").get("storage") or "1Gi")


def request(claim: Object) -> int:
    """Return the size a claim asks for in bytes."""
    return int(parse_quantity(claim_request(claim)))


def capacity(volume: Object) -> int:
    """Return the size of a volume in bytes."""
    return int(parse_quantity(str(mapping(volume["spec"], "capacity").get("storage") or "0")))


def volume_phase(volume: Object, claim: Object | None) -> str:
    """Return the phase of a volume, given the claim that its claimRef names."""
    reference: Mapping[str, Any] | None = volume["spec"].get("claimRef")
    if not reference:
        return "Available"
    if claim is not None and reference.get("uid") in (None, claim["metadata"]["uid"]):
        return "Bound" if claim["spec"].get("volumeName") == volume["metadata"]["name"] else "Available"
    return "Released" if reference.get("uid") else "Available"


def _bound(claim: Object, volumes: Sequence[Object]) -> Decision:
    volume = next((each for each in volumes if each["metadata"]["name"] == claim["spec"].get("volumeName")), None)
    if volume is None:
        return Decision(Do.LOST, reason="ClaimLost", message=f"its volume {claim['spec'].get('volumeName')} is gone")
    if request(claim) > capacity(volume):
        return Decision(Do.EXPAND, volume=volume)
    return Decision(Do.NOTHING)


def _chosen(claim: Object, volumes: Sequence[Object]) -> Object | None:
    """Return the volume that names this claim, or that the claim names."""
    meta, named = claim["metadata"], claim["spec"].get("volumeName")
    for volume in volumes:
        reference: Mapping[str, Any] = mapping(volume["spec"], "claimRef")
        mine = (reference.get("namespace"), reference.get("name")) == (meta["namespace"], meta["name"])
        if mine and reference.get("uid") in (None, "", meta["uid"]):
            return volume
        if named == volume["metadata"]["name"] and not reference:
            return volume
    return None


def _provision(claim: Object, name: str, classes: Sequence[Object], waiting: int) -> Decision:
    storage_class = next((each for each in classes if each["metadata"]["name"] == name), None)
    if not name:
        return _wait("FailedBinding", "no persistent volumes available for this claim and no storage class is set")
    if storage_class is None:
        there = ", ".join(sorted(each["metadata"]["name"] for each in classes)) or "none"
        return _wait("ProvisioningFailed", f'storageclass "{name}" not found (there is {there})')
    if storage_class.get("provisioner") != PROVISIONER:
        made_by = storage_class.get("provisioner")
        return _wait("ExternalProvisioning", f'waiting for a volume to be created by the external provisioner "{made_by}"')
    if storage_class.get("volumeBindingMode") == "WaitForFirstConsumer" and not waiting:
        return _wait("WaitForFirstConsumer", "waiting for first consumer to be created before binding")
    if claim["spec"].get("volumeMode") == "Block":
        return _wait("ProvisioningFailed", f"{PROVISIONER} makes directories; volumeMode Block is not possible")
    source = _source(claim)
    if source is not None and _populated(claim):
        kind = f"{source.get('kind')} {source.get('name')}"
        return _wait("ExternalProvisioning", f"waiting for a populator to fill this claim from {kind}")
    return Decision(Do.PROVISION, storage_class=storage_class, source=source)


def _source(claim: Object) -> Object | None:
    return claim["spec"].get("dataSourceRef") or claim["spec"].get("dataSource") or None


def _populated(claim: Object) -> bool:
    """Whether a populator gives this claim its volume: an empty one that happens to fit is not what was asked for."""
    source = _source(claim)
    return source is not None and (source.get("apiGroup") or "", source.get("kind")) not in SOURCES


def _wait(reason: str, message: str) -> Decision:
    return Decision(Do.WAIT, reason=reason, message=message)
