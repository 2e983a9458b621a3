"""Lengths of time as a calendar counts them: a month back from 31 March is not a fixed number of hours.

Written `1y5m7d2h` (years, months, days, hours), as retention rules of backup programs have them.
"""

import re
from datetime import datetime, timedelta
from typing import Final

import msgspec

_PARTS: Final = re.compile(r"(\d{1,6})([ymdh])")
_NAMES: Final = {"y": "years", "m": "months", "d": "days", "h": "hours"}


class Span(msgspec.Struct, frozen=True):
    """So many years, months, days and hours; none is negative."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    def __str__(self) -> str:
        return "".join(f"{getattr(self, name)}{unit}" for unit, name in _NAMES.items() if getattr(self, name)) or "0h"

    def before(self, moment: datetime) -> datetime:
        """The moment this long before another, by the calendar and the clock of the other's zone.

        A day that its month does not have runs over into the next one: a month before 31 March is 3 March (2 in leap years).
        What lies before year 1 becomes the beginning of year 1.
        """
        months = moment.year * 12 + moment.month - 1 - 12 * self.years - self.months
        try:
            first = moment.replace(year=months // 12, month=months % 12 + 1, day=1)
            day = first + timedelta(days=moment.day - 1 - self.days)
            return day - timedelta(hours=self.hours)
        except (ValueError, OverflowError):
            return datetime.min.replace(tzinfo=moment.tzinfo)


def parse_span(text: str) -> Span:
    """Read `1y5m7d2h`, in any order, each unit once. Raises ValueError."""
    parts = _PARTS.findall(text)
    units = [unit for _, unit in parts]
    if not parts or "".join(number + unit for number, unit in parts) != text or len(set(units)) != len(units):
        raise ValueError(f"{text!r} is not a span such as 1y5m7d2h: years, months, days, hours")
    return Span(**{_NAMES[unit]: int(number) for number, unit in parts})
