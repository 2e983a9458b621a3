"""The schedule of an AntflyBackup for its Ledger, with what became of each run that can still be seen.

A Job of the CronJob is named after the minute it was due. Its end counts when the status has it: a run whose pod was lost is
looked after first.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from holdfast.core.ledger import Mark, Outcome, Schedule
from holdfast.core.objects import Object
from holdfast.core.ports import View
from holdfast.core.read import name_of, text
from holdfast.core.times import optional_time, parse_time
from holdfast.dialects.antfly import clusters, cronjob, records, validate
from holdfast.dialects.antfly.decode import Backup

_DUE: Final = re.compile(r"-(\d{8})$")


def schedule(obj: Object, wanted: Backup, judged: clusters.Readiness, view: View) -> Schedule:
    """Return the schedule of an AntflyBackup that is valid."""
    waiting = "" if judged.usable else f"its cluster is not ready: {judged.message}"
    ended = records.ended(obj)
    return Schedule(
        text=wanted.schedule,
        grammar=validate.GRAMMAR,
        since=parse_time(text(obj, "metadata", "creationTimestamp")),
        suspended="spec.suspend is set" if wanted.suspended else waiting,
        limit=timedelta(seconds=cronjob.STARTING_DEADLINE),
        marks=[mark for each in records.seen(obj, view) if (mark := _mark(each, ended.get(each.backup_id))) is not None],
    )


def _mark(run: records.Seen, ended: Object | None) -> Mark | None:
    match = _DUE.search(name_of(run.job))
    if match is None:
        return None
    failed = ended is not None and text(ended, "status") == records.FAILED
    return Mark(
        due=datetime.fromtimestamp(int(match.group(1)) * 60, UTC),
        run=name_of(run.job),
        outcome=Outcome.RUNNING if ended is None else Outcome.FAILED if failed else Outcome.RAN,
        started=run.state.started or optional_time(text(run.job, "metadata", "creationTimestamp")),
        finished=optional_time(text(ended or {}, "completionTime")),
        reason=(run.state.reason or "BackupFailed") if failed else "",
        message=text(ended or {}, "error") if failed else "",
    )
