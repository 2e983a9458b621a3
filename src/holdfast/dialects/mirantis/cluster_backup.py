"""ClusterBackup: one backup of a cluster's control plane, made as soon as no other one of that cluster runs.

The one Job of a cluster has a fixed name, so the API server itself keeps a second run out. Who finds it taken waits for an
hour at most and then says why it never began. The parameters in force are written into the status when it begins, so that
what a Cluster says later changes no history.
"""

from datetime import datetime, timedelta
from typing import Final

from holdfast.core.calls import ControlPlaneBackup
from holdfast.core.labels import owner_uid
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Desired, Doomed, Note, Phase, Plan, Problem, Problems, Run, RunKind, Step
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import deleting, mapping, name_of, namespace_of, phase_of, text, uid_of
from holdfast.core.report import ArchiveResult
from holdfast.core.times import format_time, parse_time
from holdfast.dialects.mirantis import archive_jobs, attempts, control_plane, ownership, parameters
from holdfast.dialects.mirantis.kinds import CLUSTER, CLUSTER_BACKUP, JOB, slot

LONGEST: Final = timedelta(hours=1)
"""How long one backup may take."""

PATIENCE: Final = timedelta(hours=1)
"""How long a backup waits for its turn."""

PLAN: Final = "backup"
NO_CLUSTER: Final = "ClusterNotFound"
NO_NODE: Final = "NoControlPlaneNode"
_PASSING: Final = (archive_jobs.PENDING, NO_NODE)
"""Reasons that end by themselves: a secret that is about to be moved, a control plane whose nodes are restarting."""


class ClusterBackupHandler:
    """Handles ClusterBackups."""

    kind = CLUSTER_BACKUP
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge a ClusterBackup on its own and with the Cluster that it names."""
        if old is not None and mapping(old, "spec") != mapping(obj, "spec"):
            return Problems((Problem("spec", "can't be changed: create another ClusterBackup"),))
        return judge(obj, refs)

    def compile(self, obj: Object, view: View, now: datetime) -> Desired:
        """Tie it to its Cluster, free the cluster's slot of a Job that has ended, and run."""
        if deleting(obj) or phase_of(obj) in attempts.ENDED:
            return Desired()
        cluster = view.get(CLUSTER, namespace_of(obj), _target(obj))
        amend = ownership.adopt(obj, cluster) if cluster else None
        if ending := _ending(obj, view, now):
            return Desired(amend=amend, notes=(Note("BackupFailed", ending, warning=True),))
        if cluster is None:
            return Desired(wake_at=_patience_ends(obj))
        if not begun(obj) and _ahead(obj, view):
            return Desired(amend=amend, doomed=_old_job(obj, view), wake_at=_patience_ends(obj))
        plan = _plan(obj, cluster, view, now)
        if isinstance(plan, Problem):
            return Desired(amend=amend, wake_at=_patience_ends(obj))
        wake = None if begun(obj) else _patience_ends(obj)
        return Desired(amend=amend, doomed=_old_job(obj, view), runs=(plan,), notes=_notes(obj, view), wake_at=wake)

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status."""
        before = mapping(obj, "status")
        if deleting(obj) or phase_of(obj) in attempts.ENDED:
            return before
        status: Object
        if ending := _ending(obj, view, now):
            status = _ended(before, "Failed", ending, now)
        elif (run := outcome.runs.get(PLAN)) is None or (not run.steps[PLAN].exists and not run.phase.terminal):
            why = _waits(obj, view, now) or (run.message if run else "") or "waits to begin"
            status = {**before, "phase": "Pending", "message": why}
        else:
            status = _running(obj, run, view, now)
        return {**status, "attempts": attempts.told({}, [{**obj, "status": status}], 1)}


def judge(obj: Object, refs: Refs) -> Problems | None:
    """Judge the own parameters, the Cluster and what its `backup` section says when that is in force."""
    found = parameters.problems(parameters.own(obj), "spec.parameters")
    cluster = refs.get(CLUSTER, namespace_of(obj), _target(obj))
    if cluster is None:
        place = f"{namespace_of(obj)}/{_target(obj)}"
        found.append(Problem("spec.targetCluster", f"Cluster {place} not found: name one of this namespace", NO_CLUSTER))
    else:
        found += control_plane.problems(cluster)
        if not parameters.own(obj):
            found += parameters.effective_problems(obj, cluster)
    return Problems(tuple(found)) if found else None


def begun(obj: Object) -> bool:
    """Whether the status shows the run as started."""
    return phase_of(obj) == "InProgress"


def _target(obj: Object) -> str:
    return text(obj, "spec", "targetCluster")


def _patience_ends(obj: Object) -> datetime:
    return parse_time(text(obj, "metadata", "creationTimestamp")) + PATIENCE


def _hours(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):g} h"


def _ahead(obj: Object, view: View) -> str:
    """Return whom this backup must wait for: one that runs, or one that waits longer."""
    for other in view.list(CLUSTER_BACKUP, namespace_of(obj)):
        if uid_of(other) == uid_of(obj) or _target(other) != _target(obj) or deleting(other):
            continue
        if begun(other):
            return f"ClusterBackup {name_of(other)} of cluster {_target(obj)} runs: only one runs at a time"
        if phase_of(other) not in attempts.ENDED and _order(other) < _order(obj):
            return f"ClusterBackup {name_of(other)} of cluster {_target(obj)} comes first: only one runs at a time"
    return ""


def _ending(obj: Object, view: View, now: datetime) -> str:
    """Return why it fails without a Job that says so: it never can begin, has waited too long, or its Cluster is gone."""
    cluster = view.get(CLUSTER, namespace_of(obj), _target(obj))
    if begun(obj) or _has_job(obj, view):
        return "" if cluster else f"spec.targetCluster: Cluster {namespace_of(obj)}/{_target(obj)} is gone"
    problems = judge(obj, view)
    if problems is not None and any(problem.reason != NO_CLUSTER for problem in problems.items):
        return str(problems)
    if cluster is not None and not _ahead(obj, view):
        plan = _plan(obj, cluster, view, now)
        if isinstance(plan, Problem) and plan.reason not in _PASSING:
            return str(plan)
    if now < _patience_ends(obj):
        return ""
    why = _waits(obj, view, now) or text(obj, "status", "message", default="waits to begin")
    return f"did not begin within {_hours(PATIENCE)}: {why}"


def _waits(obj: Object, view: View, now: datetime) -> str:
    """Return for what it waits: its Cluster, where no admission has refused it, its turn, or a node; empty if for nothing."""
    cluster = view.get(CLUSTER, namespace_of(obj), _target(obj))
    if cluster is None:
        return f"Cluster {namespace_of(obj)}/{_target(obj)} not found: it is waited for"
    if ahead := _ahead(obj, view):
        return ahead
    plan = _plan(obj, cluster, view, now)
    return plan.message if isinstance(plan, Problem) else ""


def _has_job(obj: Object, view: View) -> bool:
    job = view.get(JOB, namespace_of(obj), slot(_target(obj)))
    return job is not None and owner_uid(job) == uid_of(obj)


def _order(obj: Object) -> tuple[str, str]:
    return text(obj, "metadata", "creationTimestamp"), name_of(obj)


def _old_job(obj: Object, view: View) -> tuple[Doomed, ...]:
    """Return the ended Job of an earlier backup that holds the cluster's slot: its result is in that backup's status."""
    name = slot(_target(obj))
    job = view.get(JOB, namespace_of(obj), name)
    if job is None or owner_uid(job) == uid_of(obj) or not archive_jobs.ended(job):
        return ()
    owners = [other for other in view.list(CLUSTER_BACKUP, namespace_of(obj)) if uid_of(other) == owner_uid(job)]
    if any(phase_of(owner) not in attempts.ENDED for owner in owners):
        return ()
    return (Doomed(Ref(JOB, namespace_of(obj), name), f"its backup has ended, and {name_of(obj)} is next"),)


def _plan(obj: Object, cluster: Object, view: View, now: datetime) -> Plan | Problem:
    chosen = control_plane.settings(cluster)
    block = mapping(obj, "status", "parameters") if begun(obj) else parameters.effective(obj, cluster)
    node = text(obj, "status", "node") or control_plane.healthy_node(chosen, view)
    if not node:
        hint = "label a control-plane node, or name another label with the Cluster's annotation backup.holdfast.dev/nodes"
        return Problem("spec.targetCluster", f"no Ready node has the label {chosen['nodes']}: {hint}", NO_NODE)
    target = archive_jobs.destination(obj, _target(obj), block, chosen, node, view)
    if isinstance(target, Problem):
        return target
    wrapped = archive_jobs.key(obj, block, view)
    if isinstance(wrapped, Problem):
        return wrapped
    stamp = f"{now:%Y%m%dT%H%M%SZ}-{uid_of(obj)[:4]}"
    wanted = ControlPlaneBackup(
        _target(obj),
        f"{_target(obj)}-{stamp}",
        node,
        chosen.source(),
        target.place,
        wrapped.key if wrapped else None,
    )
    job = archive_jobs.job(obj, slot(_target(obj)), _target(obj), node, target, chosen.volumes())
    call = archive_jobs.call(wanted, target, wrapped)
    step = Step(name=PLAN, child=job, mover=call, deadline=LONGEST, begun=begun(obj))
    return Plan(name=PLAN, kind=RunKind.BACKUP, steps=(step,))


def _notes(obj: Object, view: View) -> tuple[Note, ...]:
    """Return the event of an end that the status does not show yet."""
    if not begun(obj) or not _has_job(obj, view):
        return ()
    state = view.step(namespace_of(obj), slot(_target(obj)))
    if not state.phase.terminal:
        return ()
    if state.phase is Phase.SUCCEEDED:
        return (Note("BackupCompleted", f"the control plane of cluster {_target(obj)} is backed up"),)
    return (Note("BackupFailed", state.message or state.reason, warning=True),)


def _running(obj: Object, run: Run, view: View, now: datetime) -> Object:
    """Return the status of a run that has a Job."""
    before, state = mapping(obj, "status"), run.steps[PLAN]
    cluster = view.get(CLUSTER, namespace_of(obj), _target(obj))
    status: Object = {**before, "startedAt": text(before, "startedAt") or format_time(state.started or now)}
    if not begun(obj):
        job = view.get(JOB, namespace_of(obj), slot(_target(obj)))
        status["node"] = text(job or {}, "spec", "template", "spec", "nodeName")
        status["parameters"] = parameters.effective(obj, cluster)
        wrapped = archive_jobs.key(obj, status["parameters"], view)
        status["encrypted"] = wrapped is not None
        if isinstance(wrapped, archive_jobs.Key):
            status["key"] = {"name": wrapped.key.name, "secret": wrapped.key.secret}
    if not run.phase.terminal:
        return {**status, "phase": "InProgress", "message": state.message or "makes the archive"}
    archive = state.report.archive if state.report else None
    if run.phase is not Phase.SUCCEEDED or archive is None:
        return _ended(status, "Failed", run.message or "the Job left no archive in its report", now)
    return _ended({**status, **_found(archive, mapping(status, "key"))}, "Completed", "", now)


def _found(archive: ArchiveResult, key: Object) -> Object:
    found: Object = {
        "location": archive.location,
        "files": [{"name": file.name, "size": file.size, "sha256": file.sha256} for file in archive.files],
        "snapshot": {
            "store": archive.store,
            "revision": archive.revision,
            "keys": archive.keys,
            "hash": archive.hash,
        },
    }
    return {**found, "key": {**key, "id": archive.key_id}} if archive.key_id else found


def _ended(status: Object, phase: str, message: str, now: datetime) -> Object:
    found = {key: value for key, value in status.items() if key != "message"}
    return {**found, "phase": phase, "completedAt": format_time(now), **({"message": message} if message else {})}
