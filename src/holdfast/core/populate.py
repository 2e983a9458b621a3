"""Filling new volumes: PersistentVolumeClaims whose `dataSourceRef` names a kind of a dialect.

Such a claim stays unbound until its volume is full. A second claim of the same shape, `populate-<uid>`, gets a volume from the
cluster's own provisioner; the Jobs that the dialect gives fill it; and only when they have succeeded is the volume's
`claimRef` moved to the user's claim, which the cluster then binds. What failed is begun again from nothing after a while, and
nothing half-filled is ever bound. A class with `WaitForFirstConsumer` is waited for as it wishes: until a pod wants the claim.

How a dialect uses it: give it a property `populators` with one `core.ports.Populating` for each kind that claims may name. Its
`fill` is asked with the claim, the object that it names and the name of the scratch claim to mount, and returns a Desired
whose runs fill it (no runs while the source is not ready). The engine makes a dialect of them (`populators`) and adds it to
the others. Every pass derives all of it anew, so that a restart goes on where it was.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.advance import look
from holdfast.core.kinds import CLAIM, JOB, POD, STORAGE_CLASS, VOLUME
from holdfast.core.labels import OWNER_UID, annotation, owner_uid
from holdfast.core.objects import Kind, Object, bounded_name, owner_reference, ref_of
from holdfast.core.observe_objects import storage_class_of
from holdfast.core.plan import Child, Desired, Doomed, Note, Phase, Problems, Run
from holdfast.core.ports import Dialect, Handler, Outcome, Populates, Populating, Refs, View
from holdfast.core.read import at, deleting, items, mapping, name_of, namespace_of, phase_of, text, uid_of

RETRY: Final = timedelta(minutes=5)
"""How long after a failed fill the next one begins."""

SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"

_KEPT: Final = ("accessModes", "resources", "storageClassName", "volumeMode", "volumeAttributesClassName")
"""What a scratch claim has of the user's: all that shapes the volume."""


class Populator:
    """The handler of claims. Those that name no kind of ours are none of its business."""

    kind = CLAIM
    finalizer = ""

    def __init__(self, sources: Sequence[Populating]) -> None:
        self._sources: Mapping[Kind, Populating] = {source.source: source for source in sources}

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say what must exist for this claim to get its volume."""
        wanted = mapping(obj, "spec", "dataSourceRef")
        populating = self._sources.get(Kind(text(wanted, "apiGroup"), text(wanted, "kind")))
        if populating is None or deleting(obj):
            return Desired()
        scratch = view.get(CLAIM, namespace_of(obj), scratch_name(obj))
        if phase_of(obj) == "Bound":
            return _cleaned(obj, scratch, view)
        if scratch is not None and owner_uid(scratch) != uid_of(obj):
            return _told("PopulateRefused", f"PersistentVolumeClaim {name_of(scratch)} exists and is not ours: remove it")
        volume = _volume(scratch, view)
        if volume is not None and _claimed(volume, obj):
            return Desired(children=(Child(_handed(volume, obj)),))
        if why := _waits(obj, wanted, view):
            return Desired(notes=(why,)) if why.reason else Desired()
        source = view.get(populating.source, namespace_of(obj), text(wanted, "name"))
        if source is None:
            return _told("SourceMissing", f"there is no {text(wanted, 'kind')} {text(wanted, 'name')} to fill this claim from")
        filled = populating.fill(obj, source, scratch_name(obj), view, now)
        if isinstance(filled, Problems):
            return _told("PopulateRefused", str(filled))
        return _filled(obj, filled, scratch, volume, view, now) if filled.runs else filled

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Leave the status to the cluster, whose it is."""
        return obj.get("status") or {}

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge nothing: a claim may come before its source."""
        return None


class Populators:
    """The populators of all dialects, as a dialect of their own."""

    name = "populators"

    def __init__(self, sources: Sequence[Populating]) -> None:
        self._sources = sources
        self.handlers: Sequence[Handler] = (Populator(sources),)
        self.watched: Sequence[Kind] = (CLAIM, VOLUME, POD, JOB, STORAGE_CLASS, *(source.source for source in sources))
        self.makes: Sequence[Kind] = (CLAIM, VOLUME)


def populators(dialects: Sequence[Dialect]) -> Sequence[Dialect]:
    """Return these dialects, and one more for what they populate, if any does."""
    found = [source for dialect in dialects if isinstance(dialect, Populates) for source in dialect.populators]
    return [*dialects, Populators(found)] if found else dialects


def scratch_name(claim: Object) -> str:
    """Return the name of the claim that is filled in the place of this one."""
    return bounded_name(f"populate-{uid_of(claim)}")


def _filled(
    claim: Object, filled: Desired, scratch: Object | None, volume: Object | None, view: View, now: datetime
) -> Desired:
    runs = [look(claim, plan, view, now) for plan in filled.runs]
    children = (Child(_scratch(claim), create_only=True), *filled.children)
    if all(run.phase is Phase.SUCCEEDED for run in runs) and volume is not None:
        done = Note("Populated", f"volume {name_of(volume)} is full and is given to this claim")
        return Desired(children=(Child(_handed(volume, claim)),), notes=(done,))
    failed = [run for run in runs if run.phase is Phase.FAILED]
    if failed:
        return _again(filled, failed, scratch, now)
    if scratch is None:
        began = Note(
            "Populating", f"claim {scratch_name(claim)} is filled first, and becomes this claim's volume when it is whole"
        )
        filled = msgspec.structs.replace(filled, notes=(*filled.notes, began))
    return msgspec.structs.replace(filled, children=children)


def _again(filled: Desired, failed: Sequence[Run], scratch: Object | None, now: datetime) -> Desired:
    """Leave a failure in sight for a while, then remove its Jobs and what they wrote, so that the next pass begins anew."""
    ended = [state.finished or now for run in failed for state in run.steps.values() if state.phase is Phase.FAILED]
    due = max(ended, default=now) + RETRY
    note = Note("PopulateFailed", f"{failed[0].reason}: {failed[0].message}", warning=True)
    if now < due:
        return Desired(notes=(note,), wake_at=due)
    going = [step.child for plan in filled.runs for step in plan.steps] + ([scratch] if scratch is not None else [])
    return Desired(notes=(note,), doomed=tuple(Doomed(ref_of(obj), "the fill failed and is tried again") for obj in going))


def _cleaned(claim: Object, scratch: Object | None, view: View) -> Desired:
    """Remove what filled a claim that has its volume now."""
    if scratch is None or owner_uid(scratch) != uid_of(claim):
        return Desired()
    jobs = view.list(JOB, label=(OWNER_UID, uid_of(claim)))
    return Desired(doomed=tuple(Doomed(ref_of(obj), "the claim has its volume") for obj in (*jobs, scratch)))


def _waits(claim: Object, wanted: Object, view: View) -> Note | None:
    """Return why the fill can't begin yet, without a reason where all is as it should be; None when it can."""
    other = text(wanted, "namespace")
    if other not in ("", namespace_of(claim)):
        return Note("PopulateRefused", f"dataSourceRef names namespace {other}: use a source of the claim's own", warning=True)
    storage_class = storage_class_of(claim, view)
    if storage_class is None:
        asked = at(claim, "spec", "storageClassName")
        why = {None: "no StorageClass is marked as the default", "": "storageClassName is empty, so nothing makes a volume"}
        return Note("NoStorageClass", why.get(asked, f"there is no StorageClass {asked}"), warning=True)
    if text(storage_class, "volumeBindingMode") != "WaitForFirstConsumer" or annotation(claim, SELECTED_NODE):
        return None
    wanting = any(name_of(claim) in _claims_of(pod) for pod in view.list(POD, namespace_of(claim)))
    return None if wanting else Note("", "")


def _claims_of(pod: Object) -> set[str]:
    if phase_of(pod) in ("Succeeded", "Failed"):
        return set()
    found: set[str] = set()
    for volume in items(pod, "spec", "volumes"):
        found.add(text(volume, "persistentVolumeClaim", "claimName"))
        if "ephemeral" in volume:
            found.add(f"{name_of(pod)}-{text(volume, 'name')}")
    return found


def _scratch(claim: Object) -> Object:
    meta: Object = {
        "name": scratch_name(claim),
        "namespace": namespace_of(claim),
        "labels": {OWNER_UID: uid_of(claim)},
        "ownerReferences": [owner_reference(claim)],
    }
    if node := annotation(claim, SELECTED_NODE):
        meta["annotations"] = {SELECTED_NODE: node}
    spec = {key: claim["spec"][key] for key in _KEPT if claim["spec"].get(key) is not None}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def _volume(scratch: Object | None, view: View) -> Object | None:
    name = text(scratch or {}, "spec", "volumeName")
    return view.get(VOLUME, "", name) if name else None


def _claimed(volume: Object, claim: Object) -> bool:
    return text(volume, "spec", "claimRef", "uid") == uid_of(claim)


def _handed(volume: Object, claim: Object) -> Object:
    """Return the volume's claimRef as it shall be, and nothing else of it."""
    reference = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": namespace_of(claim),
        "name": name_of(claim),
        "uid": uid_of(claim),
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name_of(volume)},
        "spec": {"claimRef": reference},
    }


def _told(reason: str, message: str) -> Desired:
    return Desired(notes=(Note(reason, message, warning=True),))
