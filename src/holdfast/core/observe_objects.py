"""What the cluster shows of a step whose child is no Job: a VolumeSnapshot, a PersistentVolumeClaim, any other object.

No program of ours works in such a step and none leaves a report: the cluster's own controllers carry it out, and say how far
they are in the object's status. They retry most of what goes wrong, so an error is shown as what the step waits for until
the step's deadline, unless retrying can't help. What counts as the end: for a snapshot that it is ready to use; for a claim
that it is bound, or that it waits for a pod by its class's wish (`WaitForFirstConsumer`); for others what the step's `Until`
says, and without one that the object exists.
"""

import re
from typing import Final

from holdfast.core.kinds import CLAIM, STORAGE_CLASS, VOLUME_SNAPSHOT
from holdfast.core.objects import Kind, Object
from holdfast.core.plan import Phase, StepState, Until
from holdfast.core.ports import Refs
from holdfast.core.read import at, conditions_of, text
from holdfast.core.times import optional_time

DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"

_HOPELESS: Final = re.compile(
    r"code = (?:InvalidArgument|Unimplemented|OutOfRange)\b|does not support (?:volume )?snapshot|only supported for CSI",
    re.IGNORECASE,
)
"""Errors of a snapshot that come back however often it is tried: the gRPC codes by which a CSI driver says so."""


def observe_object(refs: Refs, namespace: str, name: str, kind: Kind, until: Until | None = None) -> StepState:
    """Return the state of a step whose child is this object. Reads it, and for a claim also its StorageClass."""
    obj = refs.get(kind, namespace, name)
    if obj is None:
        return StepState()
    if until is not None:
        return observe_until(obj, until)
    if kind == VOLUME_SNAPSHOT:
        return observe_snapshot(obj)
    if kind == CLAIM:
        return observe_claim(obj, storage_class_of(obj, refs))
    return _state(obj, Phase.SUCCEEDED)


def observe_snapshot(snapshot: Object) -> StepState:
    """Return the state of a VolumeSnapshot; `finished` is the moment that it shows.

    Readiness comes before an error: the controller leaves an error of an earlier try in the status.
    """
    name = snapshot["metadata"]["name"]
    if at(snapshot, "status", "readyToUse") is True:
        return _state(snapshot, Phase.SUCCEEDED, finished=text(snapshot, "status", "creationTime"))
    said = " ".join(text(snapshot, "status", "error", "message").split())
    if not said:
        return _state(snapshot, Phase.RUNNING)
    message = f"VolumeSnapshot {name}: {said}"
    if _HOPELESS.search(said):
        return _state(snapshot, Phase.FAILED, "SnapshotFailed", message)
    return _state(snapshot, Phase.RUNNING, "SnapshotError", message)


def observe_claim(claim: Object, storage_class: Object | None) -> StepState:
    """Return the state of a PersistentVolumeClaim, given its StorageClass or, when it names none yet, the default one."""
    name, phase = claim["metadata"]["name"], text(claim, "status", "phase")
    if phase == "Bound":
        return _state(claim, Phase.SUCCEEDED)
    if phase == "Lost":
        lost = f"PersistentVolumeClaim {name} has lost its volume {text(claim, 'spec', 'volumeName')}"
        return _state(claim, Phase.FAILED, "ClaimLost", lost)
    if claim["metadata"].get("deletionTimestamp"):
        return _state(claim, Phase.RUNNING, "Deleting", f"PersistentVolumeClaim {name} is being deleted")
    if storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer":
        return _state(claim, Phase.SUCCEEDED)
    wanted = at(claim, "spec", "storageClassName")
    if storage_class is None and wanted:
        return _state(
            claim, Phase.RUNNING, "NoStorageClass", f"PersistentVolumeClaim {name}: there is no StorageClass {wanted}"
        )
    if storage_class is None and wanted is None:
        missing = f"PersistentVolumeClaim {name} names no StorageClass, and none is marked as the default"
        return _state(claim, Phase.RUNNING, "NoStorageClass", missing)
    return _state(claim, Phase.RUNNING, "NotBound", f"PersistentVolumeClaim {name} is not bound to a volume yet")


def observe_until(obj: Object, until: Until) -> StepState:
    """Return the state of an object by the words of its status that a step names."""
    if until.condition:
        nothing: Object = {}
        found = next((item for item in conditions_of(obj) if item.get("type") == until.condition), nothing)
        word, said = text(found, "status"), text(found, "message")
        reason = text(found, "reason") or until.condition
    else:
        word, said = text(obj, *until.path), text(obj, *until.message)
        reason = word
    message = f"{obj['kind']} {obj['metadata']['name']} is {word or 'not judged yet'}{f': {said}' if said else ''}"
    if word in until.good:
        return _state(obj, Phase.SUCCEEDED)
    if word in until.bad:
        return _state(obj, Phase.FAILED, reason, message)
    return _state(obj, Phase.RUNNING, "", message)


def _state(obj: Object, phase: Phase, reason: str = "", message: str = "", finished: str = "") -> StepState:
    return StepState(
        phase=phase,
        exists=True,
        reason=reason,
        message=message,
        started=optional_time(obj["metadata"].get("creationTimestamp")),
        finished=optional_time(finished),
    )


def storage_class_of(claim: Object, refs: Refs) -> Object | None:
    """Return the StorageClass of a claim: the one it names, or the default one when it names none; None without any."""
    name = at(claim, "spec", "storageClassName")
    if name is not None:
        return refs.get(STORAGE_CLASS, "", name) if name else None
    marked = [each for each in refs.list(STORAGE_CLASS) if at(each, "metadata", "annotations", DEFAULT_CLASS) == "true"]
    return max(marked, key=lambda each: text(each, "metadata", "creationTimestamp"), default=None)
