"""The schedule of one entry of a BackupSchedule for its Ledger, with what became of each Backup it made.

A Backup of a schedule is named after the second it was due. A continuous method has no due times.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from holdfast.core.ledger import Mark, Outcome, Schedule
from holdfast.core.objects import Object
from holdfast.core.read import name_of, number, phase_of, text
from holdfast.core.times import optional_time, parse_time
from holdfast.dialects.kubeblocks import triggers

_DUE: Final = re.compile(r"-(\d{14})(?:-[0-9a-f]{6})?$")
"""The due time in a name; one whose name was taken has six characters more."""
_OUTCOMES: Mapping[str, Outcome] = {"Completed": Outcome.RAN, "Failed": Outcome.FAILED}


def schedule(obj: Object, entry: Object, backups: Sequence[Object]) -> Schedule:
    """Return the schedule of an entry that is valid and not continuous; `backups` are those that it made."""
    late = number(obj, "spec", "startingDeadlineMinutes")
    return Schedule(
        text=text(entry, "cronExpression"),
        part=triggers.entry_name(entry),
        since=parse_time(text(obj, "metadata", "creationTimestamp")),
        suspended="" if triggers.enabled(entry, is_continuous=False) else "the entry is not enabled",
        limit=timedelta(minutes=late) if late is not None else None,
        marks=[mark for backup in backups if (mark := _mark(backup)) is not None],
    )


def _mark(backup: Object) -> Mark | None:
    found = _DUE.search(name_of(backup))
    if found is None:
        return None
    outcome = _OUTCOMES.get(phase_of(backup), Outcome.RUNNING)
    failed = outcome is Outcome.FAILED
    return Mark(
        due=datetime.strptime(found.group(1), triggers.STAMP).replace(tzinfo=UTC),
        run=name_of(backup),
        outcome=outcome,
        started=optional_time(text(backup, "metadata", "creationTimestamp")),
        finished=optional_time(text(backup, "status", "completionTimestamp")),
        reason="BackupFailed" if failed else "",
        message=text(backup, "status", "failureReason") if failed else "",
    )
