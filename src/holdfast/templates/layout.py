"""Times in Go's layouts, which show the reference time Mon Jan 2 15:04:05 MST 2006 in the wanted form."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

_ELEMENTS: Final = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|__2|_2|002|01|02|03|04|05|06|15|PM|pm"
    r"|Z07:00:00|Z070000|Z07:00|Z0700|Z07|-07:00:00|-070000|-07:00|-0700|-07|[.,]0+(?!\d)|[.,]9+(?!\d)|1|2|3|4|5"
)


def format_time(at: datetime, layout: str) -> str:
    """Return a time (with a zone) in a Go layout; what is no element of a layout stays as it is."""
    return _ELEMENTS.sub(lambda match: _element(at, match.group()), layout)


def _element(at: datetime, element: str) -> str:
    if element[0] in ".,":
        return _fraction(at, element)
    if element[0] in "Z-":
        return _offset(at, element)
    return _SIMPLE[element](at)


def _fraction(at: datetime, element: str) -> str:
    digits = f"{at.microsecond:06d}000"[: len(element) - 1].ljust(len(element) - 1, "0")
    if element[1] == "0":
        return element[0] + digits
    digits = digits.rstrip("0")
    return element[0] + digits if digits else ""


def _offset(at: datetime, element: str) -> str:
    offset = at.utcoffset() or timedelta()
    if element[0] == "Z" and not offset:
        return "Z"
    seconds = int(abs(offset).total_seconds())
    parts = [f"{seconds // 3600:02d}", f"{seconds // 60 % 60:02d}", f"{seconds % 60:02d}"]
    wanted = (len(element.replace(":", "")) - 1) // 2
    return ("-" if offset < timedelta() else "+") + (":" if ":" in element else "").join(parts[:wanted])


def _zone(at: datetime) -> str:
    name = at.tzname() or ""
    return _offset(at, "-0700" if at.minute else "-07") if name.startswith(("UTC+", "UTC-")) else name


def _twelve(at: datetime) -> int:
    return at.hour % 12 or 12


_SIMPLE: Final[dict[str, Callable[[datetime], str]]] = {
    "January": lambda at: _MONTHS[at.month - 1],
    "Jan": lambda at: _MONTHS[at.month - 1][:3],
    "Monday": lambda at: _DAYS[at.weekday()],
    "Mon": lambda at: _DAYS[at.weekday()][:3],
    "MST": _zone,
    "2006": lambda at: f"{at.year:04d}",
    "06": lambda at: f"{at.year % 100:02d}",
    "01": lambda at: f"{at.month:02d}",
    "1": lambda at: str(at.month),
    "02": lambda at: f"{at.day:02d}",
    "_2": lambda at: f"{at.day:2d}",
    "2": lambda at: str(at.day),
    "002": lambda at: f"{at.timetuple().tm_yday:03d}",
    "__2": lambda at: f"{at.timetuple().tm_yday:3d}",
    "15": lambda at: f"{at.hour:02d}",
    "03": lambda at: f"{_twelve(at):02d}",
    "3": lambda at: str(_twelve(at)),
    "04": lambda at: f"{at.minute:02d}",
    "4": lambda at: str(at.minute),
    "05": lambda at: f"{at.second:02d}",
    "5": lambda at: str(at.second),
    "PM": lambda at: "PM" if at.hour >= 12 else "AM",
    "pm": lambda at: "pm" if at.hour >= 12 else "am",
}
