"""A run of all kinds of steps: a hook, a snapshot, a claim made of it, a copy, the hook that thaws. For tests that kill.

`Freezing` keeps in its status which steps it has seen, as every dialect does. Who carries out the steps is the test's matter.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from holdfast.core.kinds import CLAIM, JOB, VOLUME_SNAPSHOT
from holdfast.core.objects import Kind, Object
from holdfast.core.plan import Desired, MoverCall, Phase, Plan, Problems, RunKind, Step, When
from holdfast.core.ports import Handler, Outcome, Refs, View
from tests.conformance.engine_world import THING

ORDER = ("freeze", "snap", "clone", "copy", "thaw")
NEEDS: Mapping[str, tuple[str, ...]] = {"snap": ("freeze",), "clone": ("snap",), "copy": ("clone",), "thaw": ("snap",)}
DONE = ("Succeeded", "Failed")


class Freezing:
    """The handler of Things: one run for each. `calls` says which mover does each Job, `pods` how its pod looks beside that."""

    kind = THING
    finalizer = ""

    def __init__(self, calls: Mapping[str, MoverCall], pods: Mapping[str, Object] | None = None) -> None:
        self._calls, self._pods = calls, pods or {}

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        status = obj.get("status", {})
        if status.get("phase") in DONE:
            return Desired()
        begun = status.get("steps", {})
        steps = [self._step(obj, name, begun=name in begun) for name in ORDER]
        return Desired(runs=(Plan(name="run", kind=RunKind.BACKUP, steps=tuple(steps)),))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        status: Object = obj.get("status", {})
        if "run" not in outcome.runs:
            return status
        run = outcome.runs["run"]
        seen = {name: state.phase.value for name, state in run.steps.items() if state.exists}
        phase = run.phase.value if run.phase is not Phase.WAITING else "Running"
        kept = {**status.get("steps", {}), **seen}
        return {"phase": phase, "steps": kept} | ({"message": run.message} if run.phase is Phase.FAILED else {})

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        return None

    def _step(self, obj: Object, name: str, *, begun: bool) -> Step:
        return Step(
            name=name,
            child=self._child(obj["metadata"], name),
            mover=self._calls.get(name),
            needs=NEEDS.get(name, ()),
            when=When.ALWAYS if name == "thaw" else When.SUCCESS,
            begun=begun,
        )

    def _child(self, owner: Object, name: str) -> Object:
        meta = {"name": child_name(owner["name"], name), "namespace": owner["namespace"]}
        if name == "snap":
            source = {"persistentVolumeClaimName": "data"}
            return {
                "apiVersion": "snapshot.storage.k8s.io/v1",
                "kind": "VolumeSnapshot",
                "metadata": meta,
                "spec": {"source": source, "volumeSnapshotClassName": "standard"},
            }
        if name == "clone":
            source = {
                "apiGroup": "snapshot.storage.k8s.io",
                "kind": "VolumeSnapshot",
                "name": child_name(owner["name"], "snap"),
            }
            spec = {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "standard",
                "resources": {"requests": {"storage": "1Gi"}},
                "dataSource": source,
            }
            return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}
        pod: Object = {"containers": [{"name": "main"}], **self._pods.get(name, {})}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": {"spec": pod}}}


class FreezingDialect:
    """The dialect of `Freezing`."""

    name = "freezing"
    watched: Sequence[Kind] = (JOB, VOLUME_SNAPSHOT, CLAIM)
    makes: Sequence[Kind] = (VOLUME_SNAPSHOT, CLAIM)

    def __init__(self, handler: Freezing) -> None:
        self.handlers: Sequence[Handler] = (handler,)


def child_name(owner: str, step: str) -> str:
    """Name the child of a step."""
    return f"{step}-{owner}"
