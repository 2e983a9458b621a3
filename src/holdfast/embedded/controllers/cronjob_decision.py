"""What to do about a CronJob: pure.

Of all due times that passed unserved only the last one is made up for, once, if its starting deadline has not passed.
That is the rule of Kubernetes; it covers a controller that was down, and a run that Forbid held back.
"""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from holdfast.core.cron import Cron, CronError
from holdfast.core.objects import Object
from holdfast.core.times import format_time, optional_time
from holdfast.embedded.controllers.job_decision import finished
from holdfast.embedded.read import items, mapping

_WINDOWS = [timedelta(minutes=10), timedelta(hours=2), timedelta(days=1), timedelta(days=32), timedelta(days=400)]


class Note(msgspec.Struct, frozen=True):
    """An event to record on the CronJob."""

    reason: str
    message: str
    warning: bool = True


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do: the due time to start a Job for, Jobs to delete, the status to show, and when to look again."""

    status: Object
    start: datetime | None = None
    delete: tuple[Object, ...] = ()
    notes: tuple[Note, ...] = ()
    after: float | None = None


def decide(cronjob: Object, jobs: Sequence[Object], now: datetime) -> Decision:
    """Judge a CronJob and the Jobs it owns at a moment."""
    status = _status(cronjob, jobs)
    outdated = _outdated(cronjob, jobs)
    if cronjob["spec"].get("suspend"):
        return Decision(status=status, delete=outdated)
    try:
        cron = Cron.parse(cronjob["spec"]["schedule"], zone=cronjob["spec"].get("timeZone") or "")
    except CronError as problem:
        note = Note("UnparseableSchedule", f"unparseable schedule {cronjob['spec']['schedule']!r}: {problem}")
        return Decision(status=status, delete=outdated, notes=(note,))
    found = _due(cronjob, jobs, cron, now)
    upcoming = cron.next_after(now)
    after = None if upcoming is None else max((upcoming - now).total_seconds(), 0.01)
    start, delete, notes = found
    if start is not None:
        status["lastScheduleTime"] = format_time(start)
        replaced = {job["metadata"]["uid"] for job in delete}
        if replaced:
            status["active"] = [each for each in status["active"] if each["uid"] not in replaced]
    return Decision(status=status, start=start, delete=(*outdated, *delete), notes=notes, after=after)


def job_name(cronjob: Object, due: datetime) -> str:
    """Return the name of the Job for a due time: the same for every try."""
    return f"{cronjob['metadata']['name'][:52]}-{int(due.timestamp()) // 60}"


def last_due(cron: Cron, after: datetime, until: datetime) -> datetime | None:
    """Return the last due time in (after, until], without counting through years of them."""
    for window in [*_WINDOWS, until - after]:
        start = max(after, until - window)
        newest = deque(cron.between(start, until), maxlen=1)
        if newest or start == after:
            return newest[0] if newest else None
    return None


def _due(
    cronjob: Object, jobs: Sequence[Object], cron: Cron, now: datetime
) -> tuple[datetime | None, tuple[Object, ...], tuple[Note, ...]]:
    """Return the due time to serve now, the Jobs it replaces, and what to tell."""
    spec, status = cronjob["spec"], mapping(cronjob, "status")
    created = optional_time(cronjob["metadata"].get("creationTimestamp")) or now
    earliest = optional_time(status.get("lastScheduleTime")) or created
    due = last_due(cron, earliest, now)
    if due is None:
        return None, (), ()
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None and now > due + timedelta(seconds=deadline):
        message = f"missed the start of {format_time(due)}: more than startingDeadlineSeconds={deadline} late"
        return None, (), (Note("MissSchedule", message),)
    name = job_name(cronjob, due)
    if any(job["metadata"]["name"] == name for job in jobs):
        return due, (), ()
    running = tuple(job for job in jobs if not finished(job))
    policy = spec.get("concurrencyPolicy") or "Allow"
    if running and policy == "Forbid":
        message = f"not starting the run of {format_time(due)}: a prior one is active and concurrencyPolicy is Forbid"
        return None, (), (Note("JobAlreadyActive", message, warning=False),)
    return due, running if policy == "Replace" else (), ()


def _status(cronjob: Object, jobs: Sequence[Object]) -> Object:
    status: Object = dict(mapping(cronjob, "status"))
    active = [reference(job) for job in sorted(jobs, key=_created) if not finished(job)]
    if active or status.get("active"):
        status["active"] = active
    ends = [end for job in jobs if (end := mapping(job, "status").get("completionTime"))]
    if ends:
        status["lastSuccessfulTime"] = max([*ends, str(status.get("lastSuccessfulTime") or "")])
    return status


def reference(job: Object) -> Object:
    """Return what `status.active` says of a Job."""
    meta = job["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": meta["name"],
        "namespace": meta["namespace"],
        "uid": meta["uid"],
    }


def _outdated(cronjob: Object, jobs: Sequence[Object]) -> tuple[Object, ...]:
    """Return finished Jobs beyond the history limits, the oldest first."""
    spec = cronjob["spec"]
    found: list[Object] = []
    for kind, field, default in (("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1)):
        given = spec.get(field)
        limit = default if given is None else int(given)
        ended = sorted((job for job in jobs if _ended_as(job, kind) and not _going(job)), key=_created)
        found += ended[: max(len(ended) - limit, 0)]
    return tuple(found)


def _ended_as(job: Object, kind: str) -> bool:
    conditions = items(job, "status", "conditions")
    return any(each.get("type") == kind and each.get("status") == "True" for each in conditions)


def _going(job: Object) -> bool:
    return bool(job["metadata"].get("deletionTimestamp"))


def _created(job: Object) -> datetime:
    return optional_time(job["metadata"].get("creationTimestamp")) or datetime.max.replace(tzinfo=UTC)
