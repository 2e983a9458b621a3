"""Times as the format writes them: RFC 3339 with up to nine decimals, trailing zeros cut.

Tree ids depend on these bytes, so there is one writer of them. The times of files are written in the zone of this process, as
the stock program does it, so that both make equal trees: `TZ` names a zone file, without it `/etc/localtime` rules. Where a
zone was not whole minutes from UTC (local mean times, mostly before 1900) the format could not say so: such a time is written
in UTC and stays exact. File times are nanoseconds since 1970 and may be negative; years outside of 0 to 9999 can't be written
and become the nearest of these. All other times are written in UTC.
"""

import functools
import os
import re
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CYCLE_YEARS, _CYCLE_SECONDS = 400, 146_097 * 86_400
"""After 400 years the calendar repeats, weekdays too."""
_FAR_AHEAD = 253402300800
"""The first second of the year 10000."""
_PARTS = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_MOST_CACHED = 65536
_ZONE_FILES = Path("/usr/share/zoneinfo")

_seconds: dict[int, tuple[str, str]] = {}


def format_ns(ns: int) -> str:
    """Write nanoseconds since 1970 in the zone of this process."""
    second, fraction = divmod(ns, 1_000_000_000)
    found = _seconds.get(second)
    if found is None:
        if len(_seconds) >= _MOST_CACHED:
            _seconds.clear()
        found = _seconds[second] = _format_second(second, _offset(second))
    return _join(*found, fraction)


def _join(text: str, zone: str, fraction: int) -> str:
    return text + (f".{fraction:09d}".rstrip("0") if fraction else "") + zone


@functools.cache
def utc_only() -> bool:
    """Whether `TZ` names no zone file. Rules in the variable itself (`CET-1CEST`) are UTC to the stock program, so to us."""
    name = os.environ.get("TZ")
    return name is not None and not (_ZONE_FILES / name.removeprefix(":")).is_file()


def _offset(second: int) -> int:
    """Seconds that local time is ahead of UTC, 0 where it is not whole minutes."""
    if utc_only():
        return 0
    near = second if second < _FAR_AHEAD else second % _CYCLE_SECONDS + 4 * _CYCLE_SECONDS
    try:
        offset = time.localtime(near).tm_gmtoff
    except (OverflowError, OSError):
        return 0
    return 0 if offset % 60 else offset


def _format_second(second: int, offset: int) -> tuple[str, str]:
    """The text of a second without its fraction, and its zone."""
    cycles, rest = divmod(second + offset, _CYCLE_SECONDS)
    moment = _EPOCH + timedelta(seconds=rest)
    year = min(max(moment.year + cycles * _CYCLE_YEARS, 0), 9999)
    if year == 9999 and (moment.month, moment.day) == (2, 29):
        moment += timedelta(days=1)
    return f"{year:04d}-{moment:%m-%dT%H:%M:%S}", _format_offset(offset)


def _format_offset(offset: int) -> str:
    if not offset:
        return "Z"
    hours, minutes = divmod(abs(offset) // 60, 60)
    return f"{'+' if offset > 0 else '-'}{hours:02d}:{minutes:02d}"


def parse_ns(text: str) -> int:
    """Read a time in any zone to nanoseconds since 1970. Raises ValueError."""
    match = _PARTS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    cycles, inside = divmod(int(year) - 2000, _CYCLE_YEARS)
    moment = datetime(2000 + inside, int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    seconds = (moment - _EPOCH) // timedelta(seconds=1) + cycles * _CYCLE_SECONDS
    if zone != "Z":
        offset = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
        seconds -= offset if zone[0] == "+" else -offset
    return seconds * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


def format_time(moment: datetime) -> str:
    """Write a moment in UTC, to the microsecond."""
    delta = moment - _EPOCH
    return _join(*_format_second(delta.days * 86400 + delta.seconds, 0), delta.microseconds * 1000)


def parse_time(text: str) -> datetime:
    """Read a time as a moment in UTC, cut to the microsecond. Raises ValueError, also outside of the years 1 to 9999."""
    try:
        return _EPOCH + timedelta(microseconds=parse_ns(text) // 1000)
    except OverflowError as error:
        raise ValueError(f"{text!r} is outside of the years 1 to 9999") from error


def zone_of(text: str) -> timezone:
    """The zone of a time that `parse_ns` can read; UTC for any other."""
    match = _PARTS.fullmatch(text)
    if match is None or match[8] == "Z":
        return UTC
    offset = timedelta(hours=int(match[8][1:3]), minutes=int(match[8][4:6]))
    return timezone(-offset if match[8][0] == "-" else offset)
