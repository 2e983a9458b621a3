"""Retention of a schedule's backups by count and age. Off unless the schedule is annotated; the API has no field for it.

Only completed backups of the schedule itself are judged, by `core.retention`, so the newest good one always stays. The files go
first, then the key that opened them forgets the archive, and the ClusterBackup goes last; a deletion that failed is tried again
an hour later.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.calls import ArchiveDelete
from holdfast.core.conditions import Condition, condition
from holdfast.core.labels import annotation, owner_uid
from holdfast.core.objects import Object, Ref, bounded_name
from holdfast.core.plan import Doomed, Phase, Plan, Problem, Run, RunKind, Step, StepState
from holdfast.core.ports import View
from holdfast.core.read import deleting, items, mapping, name_of, namespace_of, phase_of, text, uid_of
from holdfast.core.retention import Health, Keep, RecoveryPoint, retain
from holdfast.core.times import format_time, parse_period, parse_time
from holdfast.dialects.mirantis import archive_jobs, control_plane
from holdfast.dialects.mirantis.kinds import (
    CLUSTER,
    CLUSTER_BACKUP,
    CLUSTER_BACKUP_SCHEDULE,
    JOB,
    KEEP_LAST,
    KEEP_WITHIN,
    KEY_ENCRYPTION_KEY,
    SCHEDULE_LABEL,
)

AGAIN: Final = timedelta(hours=1)
STEP: Final = "delete"
APPLIED: Final = "RetentionApplied"


def children(obj: Object, view: View) -> list[Object]:
    """Return the ClusterBackups that a schedule made."""
    found = view.list(CLUSTER_BACKUP, namespace_of(obj), label=(SCHEDULE_LABEL, bounded_name(name_of(obj))))
    target = text(obj, "spec", "targetCluster")
    return [backup for backup in found if text(backup, "spec", "targetCluster") == target]


def files_gone(backup: Object, view: View) -> bool:
    """Whether retention of a schedule has deleted the files of a ClusterBackup, which is about to go too."""
    namespace = namespace_of(backup)
    job = view.get(JOB, namespace, _job_name(backup))
    if job is None or owner_uid(job) not in {uid_of(each) for each in view.list(CLUSTER_BACKUP_SCHEDULE, namespace)}:
        return False
    return view.step(namespace, _job_name(backup)).phase is Phase.SUCCEEDED


def _needed(backup: Object, view: View) -> bool:
    """Whether a key still counts this backup among those that need it: it must forget the archive before the object goes."""
    key = view.get(KEY_ENCRYPTION_KEY, namespace_of(backup), text(backup, "status", "key", "name"))
    return key is not None and any(text(each, "uid") == uid_of(backup) for each in items(key, "status", "archives"))


def _job_name(backup: Object) -> str:
    return bounded_name(f"delete-{name_of(backup)}")


def problems(obj: Object) -> list[Problem]:
    """Judge the annotations."""
    found: list[Problem] = []
    count, period = annotation(obj, KEEP_LAST), annotation(obj, KEEP_WITHIN)
    if count and not (count.isascii() and count.isdigit() and 0 < int(count) < 100_000):
        found.append(Problem(f"metadata.annotations.{KEEP_LAST}", f"{count!r} is not a number of backups from 1 on"))
    if period:
        try:
            parse_period(period)
        except ValueError as error:
            found.append(Problem(f"metadata.annotations.{KEEP_WITHIN}", str(error)))
    return found


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """What retention lets go: the next deletion of files, objects whose files are gone, and what is in its way."""

    plans: tuple[Plan, ...] = ()
    doomed: tuple[Doomed, ...] = ()
    wake_at: datetime | None = None
    troubles: tuple[str, ...] = ()


def told(obj: Object, view: View, runs: Mapping[str, Run], now: datetime) -> Condition | None:
    """Return how retention goes; None when it is off."""
    found = drop(obj, view, now)
    if found is None:
        return None
    waits = [run.steps[STEP] for plan in found.plans if (run := runs.get(plan.name)) and not run.phase.terminal]
    said = [f"a deletion waits: {state.message}" for state in waits if state.reason and state.message]
    if troubles := (*said, *found.troubles):
        return condition(APPLIED, False, "DeletionWaits" if said else "DeletionFailed", "; ".join(troubles[:5]))
    return condition(APPLIED, True, "RetentionApplied", "deletes files" if found.plans else "nothing is left to delete")


def drop(obj: Object, view: View, now: datetime) -> Drop | None:
    """Return what retention lets go now: a Job that deletes files, and then the objects; None when retention is off.

    One Job at a time deletes: the next one begins when it has ended.
    """
    count, period = annotation(obj, KEEP_LAST), annotation(obj, KEEP_WITHIN)
    if not count and not period:
        return None
    keep = Keep(last=int(count) if count else None, max_age=parse_period(period) if period else None)
    by_uid = {uid_of(each): each for each in children(obj, view) if phase_of(each) == "Completed" and not deleting(each)}
    verdicts = retain([_point(each) for each in by_uid.values()], keep, now)
    plans: list[Plan] = []
    doomed: list[Doomed] = []
    troubles: list[str] = []
    times = [at for each in by_uid.values() if period and (at := _end(each) + parse_period(period)) > now]
    for verdict in reversed(verdicts.dropped):
        backup = by_uid[verdict.point.id]
        ref = Ref(JOB, namespace_of(obj), _job_name(backup))
        job = view.get(JOB, ref.namespace, ref.name)
        ours = job is not None and owner_uid(job) == uid_of(obj)
        state = view.step(ref.namespace, ref.name) if ours else StepState()
        if state.phase is Phase.SUCCEEDED and _needed(backup, view):
            continue
        if state.phase is Phase.SUCCEEDED:
            doomed += [
                Doomed(Ref(CLUSTER_BACKUP, ref.namespace, name_of(backup)), "; ".join(verdict.reasons)),
                Doomed(ref, "done"),
            ]
        elif state.phase.terminal:
            since = state.finished or now
            again = format_time(since + AGAIN)
            troubles.append(f"the files of {name_of(backup)} are not deleted: {state.message}; tried again at {again}")
            doomed += [Doomed(ref, "it failed an hour ago: tries again")] if now >= since + AGAIN else []
            times.append(max(since + AGAIN, now + timedelta(seconds=1)))
        elif isinstance(plan := _plan(obj, backup, ref.name, view), Plan):
            plans.insert(0 if ours else len(plans), plan)
        else:
            troubles.append(f"the files of {name_of(backup)} are not deleted: {plan}")
    return Drop(
        plans=tuple(plans[:1]), doomed=tuple(doomed), wake_at=min(times, default=None), troubles=tuple(dict.fromkeys(troubles))
    )


def _plan(obj: Object, backup: Object, name: str, view: View) -> Plan | Problem:
    """Return the deletion of one backup's files, or why its place can't be reached: nothing is dropped blindly."""
    target = text(backup, "spec", "targetCluster")
    cluster = view.get(CLUSTER, namespace_of(obj), target)
    if cluster is None:
        return Problem("spec.targetCluster", f"Cluster {namespace_of(obj)}/{target} not found")
    node, block = text(backup, "status", "node"), mapping(backup, "status", "parameters")
    place = archive_jobs.destination(backup, target, block, control_plane.settings(cluster), node, view)
    if isinstance(place, Problem):
        return place
    files = tuple(text(file, "name") for file in items(backup, "status", "files"))
    call = archive_jobs.call(ArchiveDelete(place.place, files), place)
    job = archive_jobs.job(obj, name, target, node, place)
    step = Step(name=STEP, child=job, mover=call, deadline=timedelta(minutes=30))
    return Plan(name=f"drop-{name_of(backup)}", kind=RunKind.RETENTION, steps=(step,))


def _end(backup: Object) -> datetime:
    return parse_time(text(backup, "status", "completedAt"))


def _point(backup: Object) -> RecoveryPoint:
    return RecoveryPoint(id=uid_of(backup), time=_end(backup), health=Health.GOOD)
