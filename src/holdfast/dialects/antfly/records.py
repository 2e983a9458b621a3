"""What became of each backup: from the Jobs that are there, and from what the status remembers of those that are gone.

Kubernetes keeps only a few Jobs, so a record in the status is the memory. One that has ended never changes again; one that
runs while its Job has vanished has failed, since nobody waits for it any more.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from holdfast.core.calls import AntflyBackup
from holdfast.core.labels import MOVER, annotation, owner_uid
from holdfast.core.objects import Object
from holdfast.core.plan import Phase, Run, StepState
from holdfast.core.ports import View
from holdfast.core.read import items, mapping, name_of, namespace_of, text, uid_of
from holdfast.core.run_id import run_id
from holdfast.core.times import format_time
from holdfast.dialects.antfly import names
from holdfast.dialects.antfly.kinds import JOB

KEPT: Final = 10
RUNNING, COMPLETED, FAILED = "Running", "Completed", "Failed"
_LOST: Final = "Terminated"
_TOO_LATE: Final = "DeadlineExceeded"
_DUE: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"


class Seen(msgspec.Struct, frozen=True):
    """One Job of an AntflyBackup, its backup's id and its state."""

    job: Object
    backup_id: str
    state: StepState

    @property
    def lost(self) -> bool:
        """Whether its pod went away without a word on what the server did."""
        failed = self.state.phase is Phase.FAILED and self.state.reason != _TOO_LATE
        return failed and (self.state.report is None or self.state.reason == _LOST)


def seen(obj: Object, view: View) -> list[Seen]:
    """Return the Jobs of an AntflyBackup, those that people made from its CronJob included."""
    namespace, backup = namespace_of(obj), name_of(obj)
    found: list[Seen] = []
    for job in view.list(JOB, namespace, label=(names.BACKUP, names.label(backup))):
        if job["metadata"]["labels"].get(MOVER) != AntflyBackup.MOVER or owner_uid(job):
            continue
        ident = run_id(f"{namespace}/{backup}", names.cron_job(backup), name_of(job), uid_of(job))
        found.append(Seen(job, ident, view.step(namespace, name_of(job))))
    return found


def adoption_plan(job: Object) -> str:
    """Name the plan that looks after a Job whose pod was lost."""
    return f"adopt-{name_of(job)}"


def ended(obj: Object) -> dict[str, Object]:
    """Return the records of the status that will not change any more, by backup id."""
    return {text(record, "backupId"): record for record in remembered(obj) if record.get("status") != RUNNING}


def last_due(jobs: Sequence[Seen]) -> str:
    """Return the latest time at which one of these Jobs was due, as the CronJob controller wrote it on them; else blank."""
    return max((annotation(each.job, _DUE) for each in jobs), default="")


def remembered(obj: Object) -> list[Object]:
    """Return the records of the status."""
    return items(obj, "status", "recentBackups")


def current(obj: Object, jobs: Sequence[Seen], adoptions: dict[str, Run], now: datetime) -> list[Object]:
    """Return the records as they are now, newest first, `KEPT` at most. `adoptions`: runs by plan."""
    final, before = ended(obj), {text(record, "backupId"): record for record in remembered(obj)}
    records = {
        each.backup_id: final.get(each.backup_id) or _record(each, adoptions.get(adoption_plan(each.job))) for each in jobs
    }
    for ident, record in before.items():
        if ident not in records:
            records[ident] = final.get(ident) or _vanished(record, now)
    newest = sorted(records.values(), key=lambda record: (text(record, "startTime"), text(record, "backupId")), reverse=True)
    return newest[:KEPT]


def last_good(obj: Object, records: Sequence[Object]) -> Object:
    """Return the newest good backup, also when its record was pushed out; empty when there never was one."""
    known = mapping(obj, "status", "lastSuccessfulBackup")
    good = [record for record in (*records, *([known] if known else [])) if record.get("status") == COMPLETED]
    if not good:
        return {}
    return max(good, key=lambda record: (text(record, "completionTime"), text(record, "startTime")))


def _record(run: Seen, adoption: Run | None) -> Object:
    state = run.state
    record: Object = {
        "backupId": run.backup_id,
        "startTime": format_time(state.started) if state.started else text(run.job, "metadata", "creationTimestamp"),
        "status": RUNNING,
    }
    if not state.phase.terminal:
        return record
    if run.lost:
        found = adoption.steps.get("adopt") if adoption else None
        if found is None or not found.phase.terminal:
            return record
        state = found if found.phase is Phase.SUCCEEDED else _both(state, found)
    if state.finished:
        record["completionTime"] = format_time(state.finished)
    good = [item.name for item in state.report.items if item.status == COMPLETED] if state.report else []
    if good:
        record["tables"] = good
    if state.phase is Phase.SUCCEEDED:
        return {**record, "status": COMPLETED}
    return {**record, "status": FAILED, "error": state.message or state.reason}


def _both(lost: StepState, found: StepState) -> StepState:
    """Return the end of a run whose pod was lost and whose backup is not good either."""
    return msgspec.structs.replace(found, message=f"{lost.message}; afterwards: {found.message}")


def _vanished(record: Object, now: datetime) -> Object:
    why = "its Job was deleted before the backup had ended"
    return {**record, "status": FAILED, "completionTime": format_time(now), "error": why}
