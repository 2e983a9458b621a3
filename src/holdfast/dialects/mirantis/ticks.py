"""The schedule of a ClusterBackupSchedule for its Ledger, with what became of each ClusterBackup it made.

A ClusterBackup that a schedule makes is named after the minute it was due; a name that was cut is found by the due time before
its creation, since the latest due time is the one that is acted on.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from holdfast.core.cron import Cron
from holdfast.core.ledger import Mark, Outcome, Schedule
from holdfast.core.objects import Object
from holdfast.core.ports import View
from holdfast.core.read import name_of, phase_of, text
from holdfast.core.times import optional_time, parse_time
from holdfast.dialects.mirantis import expiry, schedules

_STAMP: Final = re.compile(r"-(\d{12})$")
_OUTCOMES: Mapping[str, Outcome] = {"Completed": Outcome.RAN, "Failed": Outcome.FAILED}


def schedule(obj: Object, view: View, zone: str) -> Schedule:
    """Return the schedule of a ClusterBackupSchedule that is valid; `zone` is the controller's."""
    written = text(obj, "spec", "schedule")
    cron = schedules.parse(written, zone)
    marks = [_mark(backup, cron) for backup in expiry.children(obj, view)]
    return Schedule(
        text=schedules.unquoted(written),
        grammar=schedules.GRAMMAR,
        zone=zone,
        since=parse_time(text(obj, "metadata", "creationTimestamp")),
        marks=[mark for mark in marks if mark is not None],
    )


def _mark(backup: Object, cron: Cron) -> Mark | None:
    created = parse_time(text(backup, "metadata", "creationTimestamp"))
    stamp = _STAMP.search(name_of(backup))
    if stamp is not None:
        due: datetime | None = datetime.strptime(stamp.group(1), "%Y%m%d%H%M").replace(tzinfo=UTC)
    else:
        due = max(cron.between(created - timedelta(hours=25), created), default=None)
    if due is None:
        return None
    outcome = _OUTCOMES.get(phase_of(backup), Outcome.RUNNING)
    failed = outcome is Outcome.FAILED
    return Mark(
        due=due,
        run=name_of(backup),
        outcome=outcome,
        started=optional_time(text(backup, "status", "startedAt")) or created,
        finished=optional_time(text(backup, "status", "completedAt")),
        reason="BackupFailed" if failed else "",
        message=text(backup, "status", "message") if failed else "",
    )
