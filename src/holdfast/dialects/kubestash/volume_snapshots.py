"""Volume snapshots: the cluster's own storage keeps a moment of each claim, and a restore makes new claims from them.

A VolumeSnapshot is named after its claim and the BackupSession, and outlives the session: it goes when retention or somebody
drops its Snapshot. Which ones a Snapshot has was fixed when it was made.
"""

from datetime import timedelta
from typing import Final

from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Doomed, Phase, Problem, Step, StepState
from holdfast.core.ports import View
from holdfast.core.read import items, mapping, name_of, namespace_of, text
from holdfast.core.times import format_time, parse_time
from holdfast.dialects.kubestash import executor, names, task_access
from holdfast.dialects.kubestash.addons import Work
from holdfast.dialects.kubestash.backup_context import Context
from holdfast.dialects.kubestash.kinds import VOLUME_SNAPSHOT
from holdfast.dialects.kubestash.recorded import volume_snapshots_of

API_VERSION: Final = "snapshot.storage.k8s.io/v1"
_LIMIT: Final = timedelta(hours=1)
"""How long one snapshot may take to become ready."""


def claims(work: Work, component: str, context: Context, view: View) -> dict[str, str] | Problem:
    """Return the claims of a component, each with the name of its VolumeSnapshot."""
    if context.target is None:
        return Problem("spec.target", f"needed by task {work.task.name}: it takes snapshots of the volumes of a target")
    name = f"{executor.DUMP}{component.removeprefix(executor.VOLUME)}"
    part = executor.component(name, context.target, context.workload, work.task, view, read_only=True)
    if isinstance(part, Problem):
        return part
    if not part.claims:
        return Problem("targetVolumes", f"{context.target.ref} has no PersistentVolumeClaim: only claims have snapshots")
    born = parse_time(text(context.obj, "metadata", "creationTimestamp"))
    return {claim: names.volume_snapshot(claim, name_of(context.obj), born) for claim in part.claims}


def steps(work: Work, component: str, made: Object, context: Context) -> tuple[Step, ...]:
    """Return the VolumeSnapshots of one component."""
    wanted = work.parameters.get("volumeSnapshotClassName", "")
    return tuple(
        Step(
            name=f"{component}-{claim}",
            child={
                "apiVersion": API_VERSION,
                "kind": VOLUME_SNAPSHOT.kind,
                "metadata": {"name": name, "namespace": context.namespace, "labels": task_access.labels(context)},
                "spec": {
                    **({"volumeSnapshotClassName": wanted} if wanted else {}),
                    "source": {"persistentVolumeClaimName": claim},
                },
            },
            deadline=_LIMIT,
            outlives=True,
        )
        for claim, name in volume_snapshots_of(made).get(component, {}).items()
    )


def observed(snapshot: Object, component: str, namespace: str, view: View) -> tuple[StepState, list[Object]]:
    """Return how the VolumeSnapshots of a component are, as one state, and the figures of those that are ready."""
    states: list[StepState] = []
    stats: list[Object] = []
    for claim, name in volume_snapshots_of(snapshot).get(component, {}).items():
        state = view.step(namespace, name, VOLUME_SNAPSHOT)
        states.append(state)
        there = view.get(VOLUME_SNAPSHOT, namespace, name)
        if there is not None and state.phase is Phase.SUCCEEDED:
            taken = state.finished or parse_time(text(there, "metadata", "creationTimestamp"))
            stats.append({"pvcName": claim, "volumeSnapshotName": name, "volumeSnapshotTime": format_time(taken)})
    return _sum(states), stats


def gone(snapshot: Object, why: str, view: View) -> tuple[Doomed, ...]:
    """Return the VolumeSnapshots of a Snapshot that goes with its data."""
    namespace = text(snapshot, "spec", "appRef", "namespace", default=namespace_of(snapshot))
    listed = (name for entries in volume_snapshots_of(snapshot).values() for name in entries.values())
    refs = [Ref(VOLUME_SNAPSHOT, namespace, name) for name in listed]
    return tuple(Doomed(ref, why) for ref in refs if view.get(ref.kind, ref.namespace, ref.name) is not None)


def source_of(template: Object, component: Object) -> Object | Problem:
    """Return the `dataSource` of a claim to make: what its template says, else the one VolumeSnapshot that fits it."""
    given = mapping(template, "spec", "dataSource")
    if given:
        return given
    stats = items(component, "volumeSnapshotterStats")
    fitting = [item for item in stats if text(item, "pvcName") == name_of(template)] or stats
    if len(fitting) != 1:
        known = ", ".join(text(item, "pvcName") for item in stats) or "none"
        message = f"claim {name_of(template)} fits none of the snapshots of this component (of: {known})"
        return Problem("targetVolumes.volumeClaimTemplates", f"{message}: name one in its spec.dataSource")
    name = text(fitting[0], "volumeSnapshotName")
    return {"apiGroup": VOLUME_SNAPSHOT.group, "kind": VOLUME_SNAPSHOT.kind, "name": name}


def _sum(states: list[StepState]) -> StepState:
    bad = next((state for state in states if state.phase is Phase.FAILED), None)
    if bad is not None:
        return bad
    if states and all(state.phase is Phase.SUCCEEDED for state in states):
        return StepState(phase=Phase.SUCCEEDED, exists=True, started=states[0].started, finished=states[0].finished)
    going = next((state for state in states if state.message), StepState())
    exists = any(state.exists for state in states)
    return StepState(
        phase=Phase.RUNNING if exists else Phase.WAITING, exists=exists, reason=going.reason, message=going.message
    )
