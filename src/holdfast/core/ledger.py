"""The Ledger: for each due time of a schedule, what became of it, long after its runs and events are gone.

Every due time gets exactly one entry once it can be said: Ran, Late, Failed or Skipped with a reason; an entry never changes.
It is derived from the schedule, from the runs that can still be seen and from the record so far, in one write for each tick,
so that a crash between any two passes loses nothing. A due time without a run stays open while one may still come: until
the next due time or the schedule's own limit for late starts, since a CronJob catches up the latest tick it missed. What
came due while a schedule was suspended is written down when it goes on; until then `suspendedSince` says it. After an edit
of the schedule the ticks count from that moment on, and what still runs of the old ones is `pending`.
"""

import enum
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.cron import KUBERNETES, Cron, CronError, Grammar
from holdfast.core.kinds import LEDGER
from holdfast.core.labels import OWNER_UID, owner_uid
from holdfast.core.objects import Object, bounded_name, kind_of, owner_reference
from holdfast.core.read import items, mapping, name_of, namespace_of, number, strings, text, uid_of
from holdfast.core.times import format_time, optional_time, parse_time

API_VERSION: Final = f"{LEDGER.group}/v1alpha1"

PATIENCE: Final = timedelta(minutes=2)
"""How long after a due time its run may begin and still be in time; also what is granted beyond other limits."""

KEPT: Final = 50
"""How many entries stay; the counts go on."""

MOST_TICKS: Final = 5000
"""How many due times one pass looks at. After a long downtime the next pass goes on from there."""

_DELETED: Final = "no run of it is there: nothing started one, or somebody deleted it before it had ended"

_WATCHFUL: Final = timedelta(minutes=10)
"""A verdict that comes later than this after it could have been given shows that nobody was there to give it."""


class Outcome(enum.Enum):
    """What became of a run. RUNNING is not the last word."""

    RAN = "Ran"
    FAILED = "Failed"
    SKIPPED = "Skipped"
    RUNNING = "Running"


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What can be seen of the run of one due time. `reason` and `message` say why it failed or was skipped."""

    due: datetime
    run: str
    outcome: Outcome
    started: datetime | None = None
    finished: datetime | None = None
    reason: str = ""
    message: str = ""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule of an object: the expression `text` of a grammar in `zone` (an IANA name, empty for UTC).

    `part` tells it from others of the same object. Ticks count from `since`. `suspended` says why none counts now. `limit` is
    how late a run may start at all, if anybody set that. `marks` are the runs that can be seen, in any order; those that
    belong to no due time don't matter.
    """

    text: str
    since: datetime
    grammar: Grammar = KUBERNETES
    zone: str = ""
    part: str = ""
    suspended: str = ""
    limit: timedelta | None = None
    marks: Sequence[Mark] = ()


def ledger_name(owner: Object, part: str = "") -> str:
    """Return the name of the Ledger of a schedule: `backupconfiguration-app.nightly`."""
    return bounded_name(f"{owner['kind'].lower()}-{name_of(owner)}{f'.{part}' if part else ''}")


def keep(owner: Object, schedule: Schedule, old: Object | None, now: datetime) -> tuple[Object, datetime | None]:
    """Return the Ledger as it is to be, and when to look again although nothing changes. Pure; equal when nothing is new.

    Raises CronError for an expression that its grammar does not take.
    """
    cron = Cron.parse(schedule.text, grammar=schedule.grammar, zone=schedule.zone)
    known = old if old is not None and owner_uid(old) == uid_of(owner) else {}
    record = _Record(schedule, cron, mapping(known, "record"), now)
    if known and (before := _edited(known, schedule)) is not None and not record.leave(before):
        return _document(owner, schedule, mapping(known, "spec"), record.written()), now
    wake = record.advance()
    return _document(owner, schedule, _spec(owner, schedule), record.written()), wake


class _Record:
    """The record of one schedule on its way from one state to the next."""

    def __init__(self, schedule: Schedule, cron: Cron, before: Object, now: datetime) -> None:
        self._schedule, self._cron, self._now = schedule, cron, now
        self._since = optional_time(text(before, "since")) or schedule.since
        self._through = max(optional_time(text(before, "through")) or self._since, schedule.since)
        self._suspended = optional_time(text(before, "suspendedSince"))
        self._resumed = optional_time(text(before, "suspendedUntil"))
        self._why = text(before, "suspendedReason")
        self._counts = {word: number(before, word) or 0 for word in ("ran", "late", "failed", "skipped")}
        self._ticks: list[Object] = list(reversed(items(before, "ticks")))
        self._pending = {parse_time(word) for word in strings(before, "pending")}
        self._marks = {mark.due: mark for mark in schedule.marks}

    def leave(self, before: Cron) -> bool:
        """End the ticks of a schedule that was edited: what has no run has none any more, what runs is pending.

        False when there are more of them than one pass looks at.
        """
        after, self._cron = self._cron, before
        for seen, due in enumerate(before.between(self._through, self._now)):
            if seen == MOST_TICKS:
                return False
            self._end(due)
            self._through = due
        self._through, self._cron = max(self._through, self._now), after
        return True

    def _end(self, due: datetime) -> None:
        mark = self._marks.get(due)
        if self._covered(due):
            return
        if mark is None:
            edited = _skipped(due, "Edited", "the schedule was edited before a run of this time had begun")
            self._enter(_skipped(due, "Suspended", self._why) if self._within_suspension(due) else edited, due)
        elif mark.outcome is Outcome.RUNNING:
            self._pending.add(due)
        else:
            self._enter(_entry(mark), due)

    def advance(self) -> datetime | None:
        """Write down what can be said, and return when more can be."""
        if self._now < self._through:
            return self._through
        if self._schedule.suspended:
            self._suspended, self._resumed = self._suspended or self._now, None
            self._why = self._schedule.suspended
        elif self._suspended is not None and self._resumed is None:
            self._resumed = self._now
        self._close_pending()
        wake = self._settle()
        if self._resumed is not None and (self._cron.next_after(self._through) or self._now) > self._resumed:
            self._suspended, self._resumed, self._why = None, None, ""
        return None if self._schedule.suspended else wake

    def written(self) -> Object:
        """Return the record as it is stored, the newest entry first."""
        found: Object = {"since": format_time(self._since), "through": format_time(self._through), **self._counts}
        if self._suspended is not None:
            found |= {"suspendedSince": format_time(self._suspended), "suspendedReason": self._why}
        if self._resumed is not None:
            found["suspendedUntil"] = format_time(self._resumed)
        if self._pending:
            found["pending"] = [format_time(due) for due in sorted(self._pending)]
        newest = list(reversed(self._ticks))
        kept = newest[:KEPT] + [tick for tick in newest[KEPT:] if parse_time(text(tick, "due")) > self._through]
        return {**found, "ticks": kept} if kept else found

    def _close_pending(self) -> None:
        """Write down what became of runs of a schedule as it was before an edit."""
        for due in sorted(self._pending):
            mark = self._marks.get(due)
            if mark is not None and mark.outcome is Outcome.RUNNING:
                continue
            self._pending.remove(due)
            self._enter(_entry(mark) if mark is not None else _skipped(due, "NotStarted", _DELETED), due)

    def _settle(self) -> datetime | None:
        """Go through the due times that have no verdict; return when the first of those left open can get one."""
        whole, wake, seen = True, None, 0
        for due, following in self._due_times():
            seen += 1
            if seen > MOST_TICKS:
                return self._now
            covered = self._covered(due)
            verdict = None if covered else self._verdict(due, following)
            if isinstance(verdict, dict):
                self._enter(verdict, due)
            if covered or isinstance(verdict, dict):
                self._through = due if whole else self._through
                continue
            whole = whole and due > self._now
            if verdict is not None:
                wake = min(wake or verdict, verdict)
        return wake

    def _due_times(self) -> Iterator[tuple[datetime, datetime | None]]:
        """Yield each due time up to now, and the one after it; the next one to come is the last."""
        until = self._suspended if self._schedule.suspended and self._suspended is not None else self._now
        due = self._cron.next_after(self._through)
        while due is not None:
            following = self._cron.next_after(due)
            if due > until:
                if not self._schedule.suspended:
                    yield due, following
                return
            yield due, following
            due = following

    def _verdict(self, due: datetime, following: datetime | None) -> Object | datetime | None:
        """Return the entry of a due time, or when it may get one; None while its run goes on."""
        mark = self._marks.get(due)
        if mark is not None:
            return None if mark.outcome is Outcome.RUNNING else _entry(mark)
        ends = [at for at in (following, due + self._schedule.limit if self._schedule.limit is not None else None) if at]
        closes = min(ends) + PATIENCE if ends else None
        if closes is None or self._now < closes:
            return closes
        return _skipped(due, "Suspended", self._why) if self._within_suspension(due) else self._missing(due, closes)

    def _missing(self, due: datetime, closes: datetime) -> Object:
        """Return the entry of a due time of which no run can be seen any more, with the likeliest reason."""
        other = next((mark for mark in self._marks.values() if _goes_on(mark, due)), None)
        if other is not None:
            return _skipped(due, "Overlap", f"{other.run} was still going on")
        zone = self._cron.zone
        if due.astimezone(zone).utcoffset() != (due - timedelta(hours=1)).astimezone(zone).utcoffset():
            return _skipped(due, "DaylightSaving", "the clock was put forward over this time, and nothing was started")
        if self._now - closes > _WATCHFUL:
            return _skipped(due, "Downtime", "nothing was started, and no controller was there to see it")
        return _skipped(due, "NotStarted", _DELETED)

    def _within_suspension(self, due: datetime) -> bool:
        return self._suspended is not None and self._suspended <= due <= (self._resumed or self._now)

    def _covered(self, due: datetime) -> bool:
        for tick in reversed(self._ticks):
            first = parse_time(text(tick, "due"))
            if first <= due <= parse_time(text(tick, "until", default=text(tick, "due"))):
                return True
            if first < due:
                return False
        return False

    def _enter(self, entry: Object, due: datetime) -> None:
        """Add an entry in the order of due times; skipped ticks in a row with the same reason are one entry with a count."""
        self._counts[entry["outcome"].lower()] += 1
        at = len(self._ticks)
        while at and parse_time(text(self._ticks[at - 1], "due")) > due:
            at -= 1
        last = self._ticks[at - 1] if at else None
        if last is not None and _alike(last, entry) and self._adjacent(last, due):
            count = (number(last, "count") or 1) + 1
            kept = {key: value for key, value in last.items() if key not in ("run", "started", "finished")}
            self._ticks[at - 1] = {**kept, "until": format_time(due), "count": count}
            return
        self._ticks.insert(at, entry)

    def _adjacent(self, last: Object, due: datetime) -> bool:
        end = parse_time(text(last, "until", default=text(last, "due")))
        return self._cron.next_after(end) == due


def _entry(mark: Mark) -> Object:
    late = mark.started is not None and mark.started - mark.due > PATIENCE
    word = "Late" if late and mark.outcome is Outcome.RAN else mark.outcome.value
    found = {"due": format_time(mark.due), "outcome": word, "reason": mark.reason, "message": mark.message, "run": mark.run}
    if mark.started is not None:
        found["started"] = format_time(mark.started)
    if mark.finished is not None:
        found["finished"] = format_time(mark.finished)
    return {key: value for key, value in found.items() if value}


def _skipped(due: datetime, reason: str, message: str) -> Object:
    return {"due": format_time(due), "outcome": "Skipped", "reason": reason, "message": message}


def _alike(one: Object, other: Object) -> bool:
    return one.get("outcome") == "Skipped" and all(
        one.get(word) == other.get(word) for word in ("outcome", "reason", "message")
    )


def _goes_on(mark: Mark, moment: datetime) -> bool:
    """Whether a run of another due time was under way at a moment."""
    if mark.due >= moment or (mark.started or mark.due) > moment:
        return False
    return mark.finished > moment if mark.finished is not None else mark.outcome is Outcome.RUNNING


def _edited(old: Object, schedule: Schedule) -> Cron | None:
    """Return the schedule that a Ledger was kept for, if that is another one now."""
    before, zone = text(old, "spec", "schedule"), text(old, "spec", "timeZone")
    if (before, zone) == (schedule.text, schedule.zone):
        return None
    try:
        return Cron.parse(before, grammar=schedule.grammar, zone=zone)
    except CronError:
        return None


def _spec(owner: Object, schedule: Schedule) -> Object:
    about = kind_of(owner)
    found = {"kind": f"{about}", "name": name_of(owner), "schedule": schedule.text}
    return found | {key: value for key, value in (("part", schedule.part), ("timeZone", schedule.zone)) if value}


def _document(owner: Object, schedule: Schedule, spec: Object, record: Object) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": LEDGER.kind,
        "metadata": {
            "name": ledger_name(owner, schedule.part),
            "namespace": namespace_of(owner),
            "labels": {OWNER_UID: uid_of(owner)},
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": spec,
        "record": record,
    }
