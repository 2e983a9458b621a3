"""AntflyBackup: one CronJob, what is known of its runs, and why it does not work when it doesn't.

A missing cluster is a state that heals: the phase is Failed, and the schedule rests until the cluster is there. A run whose
pod was lost is looked after by a Job that only looks, so that a backup that the server finished counts.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from holdfast.core.conditions import Condition, condition, remove, upsert_all
from holdfast.core.cron import Cron
from holdfast.core.ledger import Schedule
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Desired, Doomed, Note, Plan, Problems, RunKind
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import conditions_of, deleting, generation_of, mapping, name_of, owned_by, text
from holdfast.core.times import format_time
from holdfast.dialects.antfly import clusters, cronjob, decode, names, records, retention, ticks, validate
from holdfast.dialects.antfly.decode import Backup
from holdfast.dialects.antfly.kinds import BACKUP, CLUSTER, CRON_JOB, JOB

SCHEDULE_READY: Final = "ScheduleReady"
LAST_SUCCEEDED: Final = "LastBackupSucceeded"
CREATED: Final = "CronJobCreated"
NOT_CREATED: Final = "CronJobFailed"

_ADOPTION: Final = timedelta(minutes=1)
"""The least time that a lost run is looked for."""

_OVERDUE: Final = timedelta(minutes=1)
"""How long a due time may pass before it is looked at without a start: the start itself is what usually wakes us."""


class AntflyBackupHandler:
    """Handles AntflyBackups."""

    kind = BACKUP
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge an AntflyBackup by itself: a cluster that is missing is a condition, not an error."""
        return validate.backup(obj, old)

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say which CronJob shall exist, what to look after, and which Jobs have told all they know."""
        if deleting(obj):
            return Desired()
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        wanted = decode.backup(obj)
        cluster = view.get(CLUSTER, wanted.cluster.namespace, wanted.cluster.name)
        judged = clusters.readiness(wanted.cluster, cluster)
        present = view.get(CRON_JOB, wanted.place.namespace, names.cron_job(wanted.place.name))
        ours = present is None or owned_by(present, obj)
        children = ()
        if ours and (judged.usable or present is not None):
            children = (cronjob.child(obj, wanted, cluster, suspended=wanted.suspended or not judged.usable),)
        jobs, newest = records.seen(obj, view), text(obj, "status", "lastSuccessfulBackup", "backupId")
        kept = retention.plans(obj, wanted, cluster, newest, view) if judged.usable else ()
        return Desired(
            children=children,
            doomed=(*_told(obj, wanted, jobs, view), *retention.outdated(obj, wanted, newest, view)),
            runs=(*_adoptions(obj, wanted, cluster, jobs, now), *kept),
            notes=_notes(obj, wanted, jobs, judged, view),
            wake_at=_wake(wanted, now) if judged.usable else None,
        )

    def schedules(self, obj: Object, view: View, now: datetime) -> Sequence[Schedule]:
        """Return the one schedule, for its Ledger."""
        wanted = decode.backup(obj)
        judged = clusters.readiness(wanted.cluster, view.get(CLUSTER, wanted.cluster.namespace, wanted.cluster.name))
        return [ticks.schedule(obj, wanted, judged, view)]

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status: phase, conditions, the last runs and the next one."""
        if outcome.problems is not None:
            return _invalid(obj, outcome.problems, view, now)
        wanted = decode.backup(obj)
        cluster = view.get(CLUSTER, wanted.cluster.namespace, wanted.cluster.name)
        judged = clusters.readiness(wanted.cluster, cluster)
        name, generation = names.cron_job(wanted.place.name), generation_of(obj)
        present = view.get(CRON_JOB, wanted.place.namespace, name)
        schedule = _schedule_ready(obj, wanted, judged, present, outcome.refused.get(name, ""))
        jobs = records.seen(obj, view)
        recent = records.current(obj, jobs, dict(outcome.runs), now)
        applied = retention.told(outcome.runs.get(retention.PLAN), generation)
        told = [schedule, judged.condition(generation), *_last(recent, generation), *applied]
        given = clusters.credentials(wanted.cluster, cluster, wanted.place.namespace, wanted.storage, generation)
        kept = conditions_of(obj) if given else remove(conditions_of(obj), clusters.CREDENTIALS)
        phase = "Failed" if schedule.status == "False" else "Suspended" if wanted.suspended else "Active"
        status: Object = {
            "phase": phase,
            "observedGeneration": generation,
            "conditions": upsert_all(kept, [*told, *given], now),
        }
        if present is not None and owned_by(present, obj):
            status["cronJobName"] = name
        if due := max(text(obj, "status", "lastScheduledTime"), records.last_due(jobs), _last_due(present)):
            status["lastScheduledTime"] = due
        if recent:
            status["recentBackups"] = recent
        if good := records.last_good(obj, recent):
            status["lastSuccessfulBackup"] = good
        if phase == "Active" and (upcoming := _next(wanted, now)) is not None:
            status["nextScheduledBackup"] = format_time(upcoming)
        return status


def _schedule_ready(obj: Object, wanted: Backup, judged: clusters.Readiness, present: Object | None, refused: str) -> Condition:
    name, generation = names.cron_job(wanted.place.name), generation_of(obj)
    if not judged.usable:
        return condition(SCHEDULE_READY, False, judged.reason, judged.message, generation=generation)
    if present is not None and not owned_by(present, obj):
        why = f"CronJob {name} belongs to somebody else: delete it, or give this AntflyBackup another name"
        return condition(SCHEDULE_READY, False, NOT_CREATED, why, generation=generation)
    if refused or present is None:
        why = refused or f"CronJob {name} is not there yet"
        return condition(SCHEDULE_READY, False, NOT_CREATED, why, generation=generation)
    tests = "; file:// is a folder of the servers and meant for tests only" if wanted.storage.for_tests else ""
    return condition(SCHEDULE_READY, True, CREATED, f"CronJob {name} starts the backups{tests}", generation=generation)


def _invalid(obj: Object, problems: Problems, view: View, now: datetime) -> Object:
    """Return the last good status with the verdict on the present spec."""
    name = text(obj, "status", "cronJobName")
    goes_on = bool(name) and view.get(CRON_JOB, decode.place_of(obj).namespace, name) is not None
    said = f"{problems}; the schedule as it was before goes on" if goes_on else str(problems)
    judged = condition(SCHEDULE_READY, False, problems.items[0].reason, said, generation=generation_of(obj))
    conditions = upsert_all(conditions_of(obj), [judged], now)
    return {
        **mapping(obj, "status"),
        "phase": "Failed",
        "observedGeneration": generation_of(obj),
        "conditions": conditions,
    }


def _last(recent: Sequence[Object], generation: int) -> Sequence[Condition]:
    """Return how the last backup that ended went."""
    ended = next((record for record in recent if record.get("status") != records.RUNNING), None)
    if ended is None:
        return ()
    ident = text(ended, "backupId")
    if ended.get("status") == records.COMPLETED:
        told = condition(LAST_SUCCEEDED, True, "BackupCompleted", f"backup {ident} is complete", generation=generation)
    else:
        why = f"backup {ident} failed: {text(ended, 'error')}"
        told = condition(LAST_SUCCEEDED, False, "BackupFailed", why, generation=generation)
    return (told,)


def _next(wanted: Backup, now: datetime) -> datetime | None:
    return None if wanted.suspended else Cron.parse(wanted.schedule, grammar=validate.GRAMMAR).next_after(now)


def _last_due(cron_job: Object | None) -> str:
    return text(cron_job, "status", "lastScheduleTime") if cron_job else ""


def _wake(wanted: Backup, now: datetime) -> datetime | None:
    upcoming = _next(wanted, now)
    return upcoming + _OVERDUE if upcoming else None


def _adoptions(
    obj: Object, wanted: Backup, cluster: Object | None, jobs: Sequence[records.Seen], now: datetime
) -> tuple[Plan, ...]:
    """Return a plan for each run whose pod was lost and whose end is not known yet."""
    known, plans = records.ended(obj), list[Plan]()
    for each in jobs:
        if not each.lost or each.backup_id in known:
            continue
        started = each.state.started or now
        left = max(started + wanted.timeout - (each.state.finished or started), _ADOPTION)
        step = cronjob.adoption(wanted, cluster, each.job, left)
        plans.append(Plan(name=records.adoption_plan(each.job), kind=RunKind.BACKUP, steps=(step,)))
    return tuple(plans)


def _told(obj: Object, wanted: Backup, jobs: Sequence[records.Seen], view: View) -> tuple[Doomed, ...]:
    """Return Jobs whose end is in the status and that nobody wants to keep: a limit of 0, and Jobs that only looked."""
    known, namespace = records.ended(obj), wanted.place.namespace
    limits = {records.COMPLETED: wanted.keep_good, records.FAILED: wanted.keep_failed}
    gone: list[Doomed] = []
    for each in jobs:
        record = known.get(each.backup_id)
        if record is None or not each.state.phase.terminal:
            continue
        if limits[text(record, "status")] == 0:
            gone.append(Doomed(Ref(JOB, namespace, name_of(each.job)), "its history limit is 0, and its end is recorded"))
        looked = names.adoption_job(name_of(each.job))
        if each.lost and view.get(JOB, namespace, looked) is not None:
            gone.append(Doomed(Ref(JOB, namespace, looked), "what it found is recorded"))
    return tuple(gone)


def _notes(
    obj: Object, wanted: Backup, jobs: Sequence[records.Seen], judged: clusters.Readiness, view: View
) -> tuple[Note, ...]:
    """Return the events of what is wrong now, and of each end that the status does not show yet."""
    known, notes = records.ended(obj), list[Note]()
    if not judged.usable:
        notes.append(Note(judged.reason, judged.message, warning=True))
    if wanted.storage.for_tests and mapping(obj, "status").get("observedGeneration") != generation_of(obj):
        why = f"{wanted.storage.location} is a folder of the Antfly servers, meant for tests: it is lost with their volumes"
        notes.append(Note("LocationForTests", why, warning=True))
    for each in jobs:
        looked = names.adoption_job(name_of(each.job))
        state = view.step(wanted.place.namespace, looked) if each.lost else each.state
        if each.backup_id in known or not state.phase.terminal:
            continue
        if state.message:
            notes.append(Note("BackupFailed", f"backup {each.backup_id}: {state.message}", warning=True))
        else:
            notes.append(Note("BackupCompleted", f"backup {each.backup_id} is complete"))
    return tuple(notes)
