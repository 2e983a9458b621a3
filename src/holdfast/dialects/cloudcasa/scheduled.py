"""Snapshot and copy definitions: due times become jobs, each exactly once, and the newest jobs show in the status.

The id of a job follows from its definition and due time, so a pass that is repeated makes no twin. `last_tick` in the status
says up to when the schedule has been dealt with; it moves only after the job exists. While a definition is at rest nothing
runs, and when it goes on, what was due meanwhile is recorded as skipped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from holdfast.core.cron import VIXIE
from holdfast.core.ledger import Mark
from holdfast.core.ledger import Outcome as Fate
from holdfast.core.ledger import Schedule as DueTimes
from holdfast.core.objects import Object
from holdfast.core.plan import Amend, Child, Desired, Problems
from holdfast.core.ports import Outcome, View
from holdfast.core.read import flag, items, mapping, name_of, namespace_of, number, text
from holdfast.core.times import format_time, parse_time
from holdfast.dialects.cloudcasa import runs, ticks
from holdfast.dialects.cloudcasa.documents import etag
from holdfast.dialects.cloudcasa.handler import DocumentHandler, documents_of
from holdfast.dialects.cloudcasa.kinds import ACTIVE_STATES, BACKUPDEF, COPYDEF, KUBEJOB, RESTOREDEF, derived_id
from holdfast.dialects.cloudcasa.resources import COLLECTIONS
from holdfast.dialects.cloudcasa.validate import expression

_NEWEST: Final = 3

_OUTCOMES: Final[Mapping[str, Fate]] = {
    "PENDING": Fate.RUNNING,
    "RUNNING": Fate.RUNNING,
    "CATALOG": Fate.RUNNING,
    "COMPLETED": Fate.RAN,
    "PARTIAL": Fate.RAN,
    "SKIPPED": Fate.SKIPPED,
    "FAILED": Fate.FAILED,
    "CANCELLED": Fate.FAILED,
}
"""What the Ledger says of a due time, by the state of its job."""


class Schedule(msgspec.Struct, frozen=True):
    """How a definition's schedule stands: its policy's fields, a tag of them, and why it is at rest, if it is."""

    policy: Object
    tag: str
    rests: str = ""


class ScheduledHandler(DocumentHandler, ABC):
    """What the two kinds of definitions share."""

    label = ""

    def wanted(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Make the job of a due time, and look again at the next one."""
        if (amend := self.amend(obj, view)) is not None:
            return Desired(amend=amend)
        schedule = self.schedule(obj, view)
        due = _due(obj, schedule, now)
        children = tuple(Child(job, create_only=True) for job in self._jobs(obj, view, schedule, due, now))
        return Desired(children=children, wake_at=due.next)

    def amend(self, obj: Object, view: View) -> Amend | None:
        """Return what is to be filled into the definition itself."""
        return None

    def rests(self, obj: Object) -> str:
        """Return why the definition itself is at rest; empty when it is not."""
        return "" if text(obj, "spec", "trigger_type", default="SCHEDULED") == "SCHEDULED" else "runs when it is asked to"

    @abstractmethod
    def job(self, obj: Object, view: View, ident: str, now: int, tick: ticks.Tick) -> Object:
        """Return the job of a due time."""

    def mine(self, job: Object) -> bool:
        """Whether a job with the label is a run of this definition."""
        return True

    @abstractmethod
    def shown(self, jobs: list[Object]) -> Object:
        """Return the part of the status that tells of the jobs with the label, which come newest first."""

    def status(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status: the schedule, and the newest jobs."""
        status = {
            key: value for key, value in mapping(obj, "status").items() if key not in ("next_run_time", "message", "rests")
        }
        if outcome.problems is not None:
            return {**status, "message": str(outcome.problems), "rests": "it is not in order"}
        schedule = self.schedule(obj, view)
        due = _due(obj, schedule, now)
        if schedule.rests:
            status["rests"] = schedule.rests
        elif not outcome.refused:
            status["schedule"] = schedule.tag
            status["last_tick"] = _dealt_with(obj, schedule, due, now)
            if due.next:
                status["next_run_time"] = ticks.seconds(due.next)
        return {**status, **self.shown(self.jobs(obj, view))}

    def jobs(self, obj: Object, view: View) -> list[Object]:
        """Return the jobs with the label of a definition, newest first."""
        found = view.list(KUBEJOB, namespace_of(obj), label=(self.label, name_of(obj)))
        return sorted(found, key=_began, reverse=True)

    def schedules(self, obj: Object, view: View, now: datetime) -> Sequence[DueTimes]:
        """Say when the definition is due, and what became of its due times: for the Ledger."""
        own = self.schedule(obj, view)
        if not own.policy:
            return ()
        marks = tuple(
            Mark(
                due=ticks.moment(at), run=name_of(job), outcome=_OUTCOMES[state_of(job)], message=text(job, "status", "message")
            )
            for job in self.jobs(obj, view)
            if self.mine(job) and (at := number(job, "spec", "due")) is not None
        )
        since = parse_time(text(obj, "metadata", "creationTimestamp"))
        zone = text(own.policy, "timezone", default="UTC")
        return tuple(
            DueTimes(
                text=expression(mapping(entry, "schedule")),
                grammar=VIXIE,
                zone=zone,
                part=str(index),
                since=since,
                suspended=own.rests,
                marks=marks,
            )
            for index, entry in enumerate(items(own.policy, "schedules"))
        )

    def schedule(self, obj: Object, view: View) -> Schedule:
        """Return how the schedule stands now."""
        if rests := self.rests(obj):
            return Schedule({}, "", rests)
        policy = documents_of(obj, view).get("policies", text(obj, "spec", "policy"))
        if policy is None:
            return Schedule({}, "", "has no policy of its own")
        rests = "its policy is suspended" if flag(policy, "status", "suspended") else ""
        return Schedule(mapping(policy, "spec"), etag(COLLECTIONS["policies"], policy), rests)

    def _jobs(self, obj: Object, view: View, schedule: Schedule, due: ticks.Due, now: datetime) -> list[Object]:
        made: list[Object] = []
        resumed = text(obj, "status", "rests")
        run = None if resumed else due.run
        missed, last = due.missed, due.last_missed
        if resumed and due.run is not None:
            missed, last = due.missed + 1, due.run.at
        if missed and last is not None and due.run is not None:
            first = due.first_missed or last
            why = f"{missed} due times from {format_time(first)} to {format_time(last)} passed: {resumed or 'nothing ran then'}"
            ident = derived_id("missed", namespace_of(obj), name_of(obj), str(ticks.seconds(last)))
            job = self.job(obj, view, ident, ticks.seconds(now), due.run)
            made.append(runs.skipped(job, ticks.seconds(last), why))
        if run is None:
            return made
        at = ticks.seconds(run.at)
        ident = derived_id("tick", namespace_of(obj), name_of(obj), str(at))
        job = runs.due(self.job(obj, view, ident, ticks.seconds(now), run), at)
        active = [each for each in self.jobs(obj, view) if self.mine(each) and is_active(each) and name_of(each) != ident]
        made.append(runs.skipped(job, at, f"job {name_of(active[0])} was still running") if active else job)
        return made


class KubebackupHandler(ScheduledHandler):
    """Handles Kubebackups."""

    label = BACKUPDEF

    def rests(self, obj: Object) -> str:
        """Return why it takes no snapshots by itself; a copy definition that uses it has its own schedule."""
        return "is paused" if flag(obj, "spec", "pause") else super().rests(obj)

    def job(self, obj: Object, view: View, ident: str, now: int, tick: ticks.Tick) -> Object:
        """Return the snapshot job of a due time."""
        return runs.backup_job(obj, ident, now, documents_of(obj, view), retain_days=tick.retain_days, locked=tick.locked)

    def mine(self, job: Object) -> bool:
        """Whether a job takes only the snapshot: copies of it carry the label too."""
        return text(job, "spec", "type") == "KUBE_BACKUP"

    def status(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status, with the policy of the copy definition."""
        status = super().status(obj, view, outcome, now)
        copy = documents_of(obj, view).spec_of("kubeoffloads", text(obj, "spec", "copydef"))
        status.pop("copy_policy", None)
        return {**status, **({"copy_policy": text(copy, "policy")} if copy and text(copy, "policy") else {})}

    def shown(self, jobs: list[Object]) -> Object:
        """Return the newest three jobs, and when the newest of them began."""
        notes = [
            {"id": name_of(job), "state": state_of(job), "message": text(job, "status", "message")} for job in jobs[:_NEWEST]
        ]
        return {"jobs": notes, **_last_run(jobs)}


class KubeoffloadHandler(ScheduledHandler):
    """Handles Kubeoffloads."""

    label = COPYDEF

    def amend(self, obj: Object, view: View) -> Amend | None:
        """Fill in the cluster, which is that of the snapshot definition."""
        backup = documents_of(obj, view).spec_of("kubebackups", text(obj, "spec", "backupdef"))
        if backup is None or text(obj, "spec", "cluster"):
            return None
        return Amend({"spec": {"cluster": text(backup, "cluster")}})

    def job(self, obj: Object, view: View, ident: str, now: int, tick: ticks.Tick) -> Object:
        """Return the copy job of a due time."""
        return runs.copy_job(
            obj,
            ident,
            now,
            documents_of(obj, view),
            retain_days=tick.retain_days,
            run_backup=flag(obj, "spec", "run_backup"),
            locked=tick.locked,
        )

    def shown(self, jobs: list[Object]) -> Object:
        """Return the state of the newest job that was not skipped, else of the newest."""
        return newest_state(jobs)


class KuberestoreHandler(DocumentHandler):
    """Handles Kuberestores: they run when asked to."""

    def status(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the state of the newest job."""
        if outcome.problems is not None:
            return {**mapping(obj, "status"), "message": str(outcome.problems)}
        found = view.list(KUBEJOB, namespace_of(obj), label=(RESTOREDEF, name_of(obj)))
        shown = newest_state(sorted(found, key=_began, reverse=True))
        shown.pop("terminal", None)
        return shown


def newest_state(jobs: list[Object]) -> Object:
    """Return what a definition says of its jobs, which come newest first."""
    newest = next((job for job in jobs if state_of(job) != "SKIPPED"), jobs[0] if jobs else None)
    if newest is None:
        return {}
    state = state_of(newest)
    said = text(newest, "status", "message")
    return {
        "state": state,
        "terminal": state not in ACTIVE_STATES,
        "jobid": name_of(newest),
        **({"message": said} if said else {}),
        **_last_run(jobs),
    }


def state_of(job: Object) -> str:
    """Return the state of a job; one that nobody has looked at yet is PENDING."""
    return text(job, "status", "state", default="PENDING")


def is_active(job: Object) -> bool:
    """Whether a job goes on. One that only records why it is not done never did."""
    return state_of(job) in ACTIVE_STATES and not text(job, "spec", "skip")


def _last_run(jobs: list[Object]) -> Object:
    began = max((number(job, "status", "start_time") or 0 for job in jobs if state_of(job) != "SKIPPED"), default=0)
    return {"last_job_run_time": began} if began else {}


def _began(job: Object) -> tuple[str, str]:
    return text(job, "metadata", "creationTimestamp"), name_of(job)


def _since(obj: Object, schedule: Schedule, now: datetime) -> datetime:
    """Return from when on due times count: a schedule that was changed begins anew, without what it would have been."""
    known, last = text(obj, "status", "schedule"), number(obj, "status", "last_tick")
    if last is None:
        return parse_time(text(obj, "metadata", "creationTimestamp"))
    return now if known != schedule.tag else ticks.moment(last)


def _due(obj: Object, schedule: Schedule, now: datetime) -> ticks.Due:
    return ticks.Due() if schedule.rests or not schedule.policy else ticks.due(schedule.policy, _since(obj, schedule, now), now)


def _dealt_with(obj: Object, schedule: Schedule, due: ticks.Due, now: datetime) -> int:
    """Return up to when the schedule has been dealt with once this pass is done."""
    return ticks.seconds(due.run.at if due.run else _since(obj, schedule, now))
