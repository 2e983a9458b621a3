"""When a policy is due, and what becomes of each due time. Pure.

Entries that are due at the same moment make one run, which is kept for the longest time among them. After downtime the newest
due time is run late; those before it are recorded as skipped, together, so that a month's absence makes one job and not
hundreds. A definition at rest runs nothing, and what was due meanwhile is recorded as skipped when it goes on.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.cron import Cron
from holdfast.core.objects import Object
from holdfast.core.read import flag, items, number
from holdfast.dialects.cloudcasa.validate import crons

_COUNTED: Final = 1000
"""Due times that are counted one by one; beyond, a message says `more than`."""


class Tick(msgspec.Struct, frozen=True):
    """One due time: how long its recovery point is kept, and whether it is locked."""

    at: datetime
    retain_days: int
    locked: bool


class Due(msgspec.Struct, frozen=True):
    """What is to be done now. `missed` due times before `run` are recorded; `next` is the time of the next one."""

    run: Tick | None = None
    missed: int = 0
    first_missed: datetime | None = None
    last_missed: datetime | None = None
    next: datetime | None = None


def due(policy: Object, after: datetime, now: datetime) -> Due:
    """Return what a policy's fields say about the time after `after`, up to `now`. Raises CronError."""
    entries = list(zip(items(policy, "schedules"), crons(policy), strict=True))
    times = _times([cron for _, cron in entries], after, now)
    following = min((at for _, cron in entries if (at := cron.next_after(now)) is not None), default=None)
    if not times:
        return Due(next=following)
    newest = times[-1]
    fired = [entry for entry, cron in entries if cron.next_after(newest - timedelta(seconds=1)) == newest]
    days = max((number(entry, "retainDays") or 0 for entry in fired), default=0)
    tick = Tick(newest, days, any(flag(entry, "locked") for entry in fired))
    earlier = times[:-1]
    return Due(tick, len(earlier), earlier[0] if earlier else None, earlier[-1] if earlier else None, following)


def _times(crons: list[Cron], after: datetime, now: datetime) -> list[datetime]:
    """Return the distinct due times after one moment and up to another, the newest `_COUNTED` at least."""
    found: set[datetime] = set()
    for cron in crons:
        start = after
        for count, at in enumerate(cron.between(start, now)):
            found.add(at)
            if count > _COUNTED:
                found.update(_newest(cron, now))
                break
    return sorted(found)


def _newest(cron: Cron, now: datetime) -> list[datetime]:
    """Return the newest due times up to now, looked for from ever further back."""
    back = timedelta(hours=1)
    while True:
        recent = list(cron.between(now - back, now))
        if recent or back > timedelta(days=3660):
            return recent[-1:]
        back *= 4


def seconds(moment: datetime) -> int:
    """Return a moment in Unix seconds."""
    return int(moment.timestamp())


def moment(seconds_: int) -> datetime:
    """Return Unix seconds as a moment."""
    return datetime.fromtimestamp(seconds_, UTC)
