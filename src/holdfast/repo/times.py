"""Times as the format writes them: RFC 3339 with up to nine decimals, trailing zeros cut.

Tree ids depend on these bytes, so there is one writer of them. File times are nanoseconds since 1970 and may be negative;
years outside 1 to 9999 can't be written and are pulled to the nearest end, as the format's other writers do.
"""

import re
import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND = -62135596800
_LAST_SECOND = 253402300799
_PARTS = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")
_MOST_CACHED = 65536

_seconds: dict[int, str] = {}


def format_ns(ns: int) -> str:
    """Write nanoseconds since 1970 in UTC."""
    second, fraction = divmod(ns, 1_000_000_000)
    text = _seconds.get(second)
    if text is None:
        text = _format_second(second)
    if not fraction:
        return text + "Z"
    return f"{text}.{fraction:09d}".rstrip("0") + "Z"


def _format_second(second: int) -> str:
    kept = min(max(second, _FIRST_SECOND), _LAST_SECOND)
    year, month, day, hour, minute, sec = (_EPOCH + timedelta(seconds=kept)).timetuple()[:6]
    text = f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{sec:02d}"
    if len(_seconds) >= _MOST_CACHED:
        _seconds.clear()
    _seconds[second] = text
    return text


def parse_ns(text: str) -> int:
    """Read a time in any zone to nanoseconds since 1970. Raises ValueError."""
    match = _PARTS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    if zone != "Z":
        offset = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
        seconds -= offset if zone[0] == "+" else -offset
    return seconds * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


def format_time(moment: datetime) -> str:
    """Write a moment in UTC, to the microsecond."""
    delta = moment - _EPOCH
    return format_ns((delta.days * 86400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1000)


def parse_time(text: str) -> datetime:
    """Read a time as a moment in UTC, cut to the microsecond."""
    return _EPOCH + timedelta(microseconds=parse_ns(text) // 1000)


def now_ns() -> int:
    """The present, in nanoseconds since 1970."""
    return time.time_ns()
