"""Cron expressions: parse one, and say when it is due next.

The five APIs, Kubernetes and Vixie cron accept different grammars, so the grammar is an argument. Two rules are the
same for all of them. Day of month and day of week are alternatives when both are restricted. A due time that falls
into the hole of a daylight-saving change is due once, at the end of the hole; one that the clock shows twice is due
once, unless the schedule is an interval (its minute or hour begins with `*`): an interval goes on through both hours.
"""

import calendar
import functools
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from holdfast.core.times import parse_duration

_HORIZON_YEARS: Final = 48
_MINUTE: Final = timedelta(minutes=1)


class CronError(ValueError):
    """A schedule that can't be accepted. The text names the field and the value."""


class Grammar(msgspec.Struct, frozen=True, kw_only=True):
    """What one API takes for a schedule.

    `stepped_star`: whether `*/2` leaves the day field unrestricted, as in Vixie cron; Kubernetes says no.
    """

    name: str
    macros: bool = True
    every: bool = False
    question_mark: bool = False
    sunday_seven: bool = False
    stepped_star: bool = False


KUBERNETES: Final = Grammar(name="Kubernetes", every=True, question_mark=True)
VIXIE: Final = Grammar(name="Vixie", sunday_seven=True, stepped_star=True)


class _Field(msgspec.Struct, frozen=True):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _WEEKDAYS),
)
_MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class Cron(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed schedule in one time zone. Sets are sorted tuples; `weekdays` counts from Sunday as 0."""

    text: str
    zone: tzinfo
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    interval: bool

    @classmethod
    def parse(cls, text: str, *, grammar: Grammar = KUBERNETES, zone: str = "") -> "Cron":
        """Read an expression. `zone` is an IANA name; empty means UTC. Raises CronError."""
        return _parsed(text, grammar, zone)

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first due time strictly after `moment` (aware), in UTC; None if there is none in 48 years."""
        local = moment.astimezone(self.zone)
        wall = local.replace(tzinfo=None, fold=0)
        for nominal in self._nominal(wall.replace(second=0, microsecond=0) + _MINUTE):
            if self.interval and (again := self._second_pass(local, nominal)) is not None:
                return again
            if (due := self._instant(nominal, moment)) is not None:
                return due
        return None

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the due times after `after`, up to and including `until`."""
        due = self.next_after(after)
        while due is not None and due <= until:
            yield due
            due = self.next_after(due)

    def _nominal(self, start: datetime) -> Iterator[datetime]:
        """Yield matching wall-clock times from `start` on, in order."""
        for day in self._dates(start.date()):
            for hour in self.hours:
                for minute in self.minutes:
                    wall = datetime(day.year, day.month, day.day, hour, minute)
                    if wall >= start:
                        yield wall

    def _dates(self, start: date) -> Iterator[date]:
        for year in range(start.year, min(start.year + _HORIZON_YEARS, 9998) + 1):
            for month in range(1, 13):
                if month not in self.months or (year, month) < (start.year, start.month):
                    continue
                for day in range(1, calendar.monthrange(year, month)[1] + 1):
                    found = date(year, month, day)
                    if found >= start and self._day_matches(found):
                        yield found

    def _day_matches(self, day: date) -> bool:
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return in_month or in_week if self.either_day else in_month and in_week

    def _instant(self, wall: datetime, after: datetime) -> datetime | None:
        """Return when the clock shows `wall`, if that is later than `after`."""
        first = wall.replace(tzinfo=self.zone, fold=0)
        early, late = first.utcoffset() or timedelta(), first.replace(fold=1).utcoffset() or timedelta()
        if early < late:  # the clock jumped over it
            if len(self.hours) == 24:
                return None
            end = self._change((first - (late - early)).astimezone(UTC), first.astimezone(UTC))
            return end if end > after else None
        folds = (0, 1) if self.interval else (0,)
        due = (first.replace(fold=fold).astimezone(UTC) for fold in folds)
        return next((moment for moment in due if moment > after), None)

    def _second_pass(self, local: datetime, nominal: datetime) -> datetime | None:
        """For a clock that shows an hour for the first of two times: return the first due time of the second showing.

        None while the first showing still holds `nominal`, and when the hour is not one of those.
        """
        early, late = local.utcoffset() or timedelta(), local.replace(fold=1).utcoffset() or timedelta()
        if local.fold or early <= late:
            return None
        turn = self._change(local.astimezone(UTC), local.astimezone(UTC) + (early - late))
        ends, begins = (turn + early).replace(tzinfo=None), (turn + late).replace(tzinfo=None)
        if nominal < ends:
            return None
        again = next(self._nominal(begins), ends)
        return again.replace(tzinfo=self.zone, fold=1).astimezone(UTC) if again < ends else None

    def _change(self, low: datetime, high: datetime) -> datetime:
        """Return the minute in (low, high] from which the zone has the offset it has at `high`."""
        offset = high.astimezone(self.zone).utcoffset()
        low, high = low.replace(second=0, microsecond=0), high.replace(second=0, microsecond=0)
        while high - low > _MINUTE:
            middle = low + (high - low) // _MINUTE // 2 * _MINUTE
            if middle.astimezone(self.zone).utcoffset() == offset:
                high = middle
            else:
                low = middle
        return high


@functools.lru_cache(maxsize=1024)
def _parsed(text: str, grammar: Grammar, zone: str) -> Cron:
    """Read an expression. Each pass over a schedule asks for the same one several times."""
    parts = _expand(text, grammar).split()
    if len(parts) != len(_FIELDS):
        raise CronError(f"schedule {text!r} has {len(parts)} fields instead of 5 (minute hour day-of-month month day-of-week)")
    values = [_values(part, field, grammar, text) for part, field in zip(parts, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = values
    free = any(_is_star(parts[index], grammar) for index in (2, 4))
    cron = Cron(
        text=text,
        zone=_zone(zone),
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=days,
        months=months,
        weekdays=weekdays,
        either_day=not free,
        interval=parts[0].startswith(("*", "?")) or parts[1].startswith(("*", "?")),
    )
    _refuse_impossible_days(cron)
    return cron


def _refuse_impossible_days(cron: Cron) -> None:
    longest = max(29 if month == 2 else calendar.monthrange(2023, month)[1] for month in cron.months)
    if not cron.either_day and min(cron.days) > longest:
        raise CronError(f"schedule {cron.text!r} is never due: no chosen month has a day {min(cron.days)}")


def _zone(name: str) -> tzinfo:
    if name in ("", "UTC", "Etc/UTC"):
        return UTC  # needs no time zone database, which a minimal image may lack
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise CronError(f"time zone {name!r} is unknown: use an IANA name such as Europe/Berlin") from error


def _expand(text: str, grammar: Grammar) -> str:
    if re.match(r"\s*(CRON_)?TZ=", text):
        raise CronError(f"schedule {text!r} names a time zone: write the five fields alone")
    word = text.strip()
    if not word.startswith("@"):
        return text
    if word.startswith("@every") and grammar.every:
        return _every(text, word.removeprefix("@every").strip())
    if word not in _MACROS or not grammar.macros:
        hint = f"known: {', '.join(_MACROS)}" if grammar.macros else "write five fields, such as 0 2 * * *"
        raise CronError(f"schedule {text!r} is not a known macro ({hint})")
    return _MACROS[word]


def _every(text: str, period: str) -> str:
    """Express a period as fields, which is possible when it divides an hour or a day."""
    try:
        minutes, odd = divmod(parse_duration(period), _MINUTE)
    except ValueError as error:
        raise CronError(f"schedule {text!r}: {error}") from error
    if not odd and minutes > 0:
        hours, rest = divmod(minutes, 60)
        if 60 % minutes == 0:
            return f"*/{minutes} * * * *" if minutes < 60 else "0 * * * *"
        if not rest and 24 % hours == 0:
            return f"0 */{hours} * * *" if hours < 24 else "0 0 * * *"
    raise CronError(f"schedule {text!r}: {period} does not divide an hour or a day evenly: write the five fields instead")


def _is_star(part: str, grammar: Grammar) -> bool:
    items = (item.partition("/") for item in part.split(","))
    return any(value in ("*", "?") and (grammar.stepped_star or step in ("", "1")) for value, _, step in items)


def _values(part: str, field: _Field, grammar: Grammar, text: str) -> frozenset[int]:
    """Return the numbers that one field means."""
    high = 7 if field.name == "day of week" and grammar.sunday_seven else field.high
    found: set[int] = set()
    for item in part.split(","):
        try:
            found.update(_span(item, field, high, grammar))
        except ValueError as error:
            raise CronError(f"schedule {text!r}: {field.name} {item!r} {error}") from None
    return frozenset(value % 7 for value in found) if field.name == "day of week" else frozenset(found)


def _span(item: str, field: _Field, high: int, grammar: Grammar) -> range:
    body, slash, step_text = item.partition("/")
    step = _number(step_text) if slash else 1
    if step < 1:
        raise ValueError("has a step below 1")
    if body == "*" or (body == "?" and grammar.question_mark):
        return range(field.low, field.high + 1, step)
    first_text, dash, last_text = body.partition("-")
    first = _named(first_text, field)
    last = _named(last_text, field) if dash else high if slash else first
    if not (field.low <= first <= high and field.low <= last <= high):
        raise ValueError(f"is outside of {field.low}-{high}")
    if first > last:
        raise ValueError("runs backwards")
    return range(first, last + 1, step)


def _named(text: str, field: _Field) -> int:
    lower = text.lower()
    return field.names.index(lower) + field.low if lower in field.names else _number(text)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise ValueError("is not a number, a name, a range or a step")
    return int(text)
