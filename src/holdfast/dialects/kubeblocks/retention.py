"""Retention periods: numbers with units, such as `1y2mo3w4d5h6m`; a year is 365 days, a month 30."""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {
    "y": timedelta(days=365),
    "mo": timedelta(days=30),
    "w": timedelta(days=7),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
}
_PART: Final = re.compile(r"([0-9]{1,9})(y|mo|w|d|h|m)")


def period(text: str) -> timedelta | None:
    """Read a period; None means for ever: nothing said, or zero. Units may come in any order, each once.

    Raises ValueError for anything else: a unit that comes twice can be meant as a sum or as a correction.
    """
    given = text.strip()
    parts = _PART.findall(given)
    if "".join(number + unit for number, unit in parts) != given:
        raise ValueError(f"{text!r} is not a period such as 30d, 12h or 1y6mo: units are y mo w d h m")
    units = [unit for _, unit in parts]
    if len(set(units)) < len(units):
        raise ValueError(f"{text!r} names a unit twice: add it up yourself")
    try:
        return sum((_UNITS[unit] * int(number) for number, unit in parts), timedelta()) or None
    except OverflowError:
        raise ValueError(f"{text!r} is longer than time itself") from None
