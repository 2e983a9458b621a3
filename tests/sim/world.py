"""A small world in memory: objects, steps that end as a script says, and one pass of the engine's loop over them.

It stands in for the cluster where only decisions matter, so that thousands of histories run in a second. `Crash` cuts a
pass between two effects; what the effects did stays, what the process knew is gone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from holdfast.core.advance import Decision, advance
from holdfast.core.diff import merge_patch
from holdfast.core.effects import AddFinalizer, Apply, Create, Delete, Effect, PatchStatus, ReleaseFinalizer
from holdfast.core.kinds import JOB
from holdfast.core.labels import OWNER_UID
from holdfast.core.objects import Kind, Object, Ref, ref_of
from holdfast.core.observe import observe_job
from holdfast.core.observe_objects import observe_object
from holdfast.core.plan import Desired, OnError, Phase, Plan, Run, RunKind, Step, StepState, Until, When
from holdfast.core.times import format_time

START = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)
OWNER: Object = {"apiVersion": "test/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "demo", "uid": "u1"}}


class Crash(Exception):
    """The process is gone before the next effect."""


def job(name: str) -> Object:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "demo"}, "spec": {}}


def snapshot(name: str) -> Object:
    meta = {"name": name, "namespace": "demo"}
    source = {"source": {"persistentVolumeClaimName": "data"}}
    return {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": meta, "spec": source}


def claim(name: str) -> Object:
    meta = {"name": name, "namespace": "demo"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": {"storageClassName": "fast"}}


CHILDREN: Mapping[str, Callable[[str], Object]] = {"Job": job, "VolumeSnapshot": snapshot, "PersistentVolumeClaim": claim}
ENDS: Mapping[str, tuple[Object, Object]] = {
    "VolumeSnapshot": ({"readyToUse": True}, {"error": {"message": "rpc error: code = InvalidArgument desc = no"}}),
    "PersistentVolumeClaim": ({"phase": "Bound"}, {"phase": "Lost"}),
}
"""What the status of a child that is no Job says when it has ended well, and when not."""


def step(
    name: str,
    *needs: str,
    when: When = When.SUCCESS,
    on_error: OnError = OnError.FAIL,
    deadline: timedelta | None = None,
    begun: bool = False,
    kind: str = "Job",
) -> Step:
    child = CHILDREN[kind](name)
    return Step(name=name, child=child, needs=needs, when=when, on_error=on_error, deadline=deadline, begun=begun)


def plan(*steps: Step, deadline: datetime | None = None) -> Plan:
    return Plan(name="run", kind=RunKind.BACKUP, steps=steps, deadline=deadline)


class World:
    """Objects by reference, a clock that is turned by hand, and a log of what was created."""

    def __init__(self) -> None:
        self.now = START
        self.objects: dict[Ref, Object] = {}
        self.created: list[str] = []
        self.writes = 0
        self.full = ""
        self._uids = 0

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.objects.get(Ref(kind, namespace, name))

    def list(
        self, kind: Kind, namespace: str | None = None, *, label: tuple[str, str] | None = None, owner: str = ""
    ) -> Sequence[Object]:
        return [obj for ref, obj in self.objects.items() if ref.kind == kind and namespace in (None, ref.namespace)]

    def step(self, namespace: str, name: str, kind: Kind = JOB, until: Until | None = None) -> StepState:
        if kind == JOB:
            return observe_job(self.get(JOB, namespace, name), (), (), self.now)
        return observe_object(self, namespace, name, kind, until)

    def admit(self, plan: Plan, step: Step) -> str:
        return self.full

    def settled(self, wanted: Object, actual: Object) -> bool:
        return False

    def carry_out(self, owner: Object, effect: Effect) -> None:
        """Do what the engine's executor does, on the dictionary."""
        match effect:
            case Create(object=obj) | Apply(object=obj):
                self._put(owner, obj, replace=isinstance(effect, Apply))
            case Delete(ref=ref, uid=uid):
                assert self.objects[ref]["metadata"]["uid"] == uid
                del self.objects[ref]
            case PatchStatus(patch=patch):
                owner["status"] = _merged(owner.get("status", {}), patch)
            case AddFinalizer(finalizer=name):
                owner["metadata"]["finalizers"] = [*owner["metadata"].get("finalizers", ()), name]
            case ReleaseFinalizer(finalizer=name):
                owner["metadata"]["finalizers"].remove(name)
            case _:
                return
        self.writes += 1

    def _put(self, owner: Object, obj: Object, *, replace: bool) -> None:
        if ref_of(obj) in self.objects and not replace:
            return
        self._uids += 1
        labels = {**obj["metadata"].get("labels", {}), OWNER_UID: owner["metadata"]["uid"]}
        made = format_time(self.now)
        meta = {**obj["metadata"], "labels": labels, "uid": f"c{self._uids}", "creationTimestamp": made}
        status = {"startTime": made} if obj["kind"] == "Job" else {}
        self.objects[ref_of(obj)] = {**obj, "metadata": meta, "status": status}
        self.created.append(obj["metadata"]["name"])

    def end(self, name: str, *, well: bool) -> None:
        """Let the child of a step end."""
        obj = next(obj for ref, obj in self.objects.items() if ref.name == name)
        if obj["kind"] in ENDS:
            obj["status"] = ENDS[obj["kind"]][0 if well else 1]
            return
        condition = {"type": "Complete" if well else "Failed", "status": "True", "lastTransitionTime": format_time(self.now)}
        obj["status"]["conditions"] = [condition]

    def running(self) -> Iterator[str]:
        """Yield the children that have not ended."""
        for ref, obj in self.objects.items():
            if obj["kind"] in CHILDREN and not self.step(ref.namespace, ref.name, ref.kind).phase.terminal:
                yield ref.name


def _merged(old: Object, patch: Mapping[str, object]) -> Object:
    result = dict(old)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        else:
            result[key] = value
    return result


class FakeDialect:
    """Compiles an owner to one fixed plan, with `begun` from the owner's status, and projects the phases of its steps."""

    def __init__(self, steps: Sequence[Step], deadline: datetime | None = None) -> None:
        self._steps, self._deadline = steps, deadline

    def compile(self, owner: Object) -> Desired:
        status: Object = owner.get("status", {})
        if status.get("phase") in ("Succeeded", "Failed"):
            return Desired()
        begun: Mapping[str, str] = status.get("steps", {})
        steps = [msgspec.structs.replace(item, begun=item.name in begun) for item in self._steps]
        return Desired(runs=(plan(*steps, deadline=self._deadline),))

    def project(self, owner: Object, runs: Mapping[str, Run]) -> Object:
        if "run" not in runs:
            return owner.get("status", {})
        run = runs["run"]
        begun = {name: state.phase.value for name, state in run.steps.items() if state.exists}
        kept = {**owner.get("status", {}).get("steps", {}), **begun}
        return {"phase": run.phase.value, "steps": kept} | ({"reason": run.reason} if run.reason else {})


def look(world: World, owner: Object, dialect: FakeDialect) -> tuple[Decision, tuple[Effect, ...]]:
    """Make one decision without carrying it out."""
    decision = advance(owner, dialect.compile(owner), world, world.now)
    patch = merge_patch(owner.get("status", {}), dialect.project(owner, decision.runs))
    return decision, decision.effects(PatchStatus(patch) if patch else None)


def one_pass(world: World, owner: Object, dialect: FakeDialect, crash: Callable[[], bool] = lambda: False) -> Decision:
    """Decide and carry out. `crash` is asked before each effect."""
    decision, effects = look(world, owner, dialect)
    for effect in effects:
        if crash():
            raise Crash
        world.carry_out(owner, effect)
    return decision


def phase_of(owner: Object) -> Phase | None:
    text = owner.get("status", {}).get("phase")
    return Phase(text) if text else None
