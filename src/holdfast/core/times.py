"""Times and durations as Kubernetes objects and KubeStash's periods write them.

Three notations meet here: RFC 3339 times in objects, Go durations (`1h30m`, `500ms`) in most specs, and KubeStash's
retention periods (`7d`, `3mo`, `1y2mo`). Nothing here reads a clock.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_PERIOD: Final = re.compile(r"([0-9]{1,9})(mo|[ywdhm])")
_PERIOD_UNITS: Final = {
    "y": timedelta(days=365),
    "mo": timedelta(days=30),
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
}


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time, with or without a fraction, as UTC. Raises ValueError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time such as 2026-11-20T13:43:24Z")
    fraction = match.group(1) or ""
    plain = text.replace(fraction, fraction[:7], 1) if fraction else text
    return datetime.fromisoformat(plain.upper()).astimezone(UTC)


def format_time(moment: datetime) -> str:
    """Write a time as objects hold it: UTC, whole seconds, `2026-11-20T13:43:24Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def optional_time(text: str | None) -> datetime | None:
    """Read a time that may be absent or empty."""
    return parse_time(text) if text else None


def parse_duration(text: str) -> timedelta:
    """Read a Go duration: `1h30m`, `1.5h`, `-10s`, `0`. Raises ValueError."""
    body = text.lstrip("+-")
    if len(text) - len(body) > 1 or not body:
        raise _bad_duration(text)
    sign = -1 if text.startswith("-") else 1
    if body == "0":
        return timedelta()
    seconds, position = 0.0, 0
    for match in _DURATION.finditer(body):
        if match.start() != position:
            raise _bad_duration(text)
        seconds += float(match.group(1)) * _UNITS[match.group(2)]
        position = match.end()
    if position != len(body):
        raise _bad_duration(text)
    try:
        return timedelta(seconds=sign * seconds)
    except OverflowError:
        raise _bad_duration(text) from None


def _bad_duration(text: str) -> ValueError:
    return ValueError(f"{text!r} is not a duration such as 30s, 5m or 1h30m")


def format_duration(value: timedelta) -> str:
    """Write a duration as Go does: `1m0s`, `2h0m0s`, `1.5s`, `250ms`, `0s`."""
    micros = value // timedelta(microseconds=1)
    sign, micros = ("-" if micros < 0 else ""), abs(micros)
    if micros == 0:
        return "0s"
    if micros < 1_000_000:
        small, unit = (micros / 1000, "ms") if micros >= 1000 else (float(micros), "µs")
        return f"{sign}{_plain(small)}{unit}"
    minutes, rest = divmod(micros, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    seconds = _plain(rest / 1_000_000) + "s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def _plain(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def parse_period(text: str) -> timedelta:
    """Read a retention period such as `7d`, `2w`, `3mo`, `1y6mo`, in any order of units. Raises ValueError.

    As KubeStash counts: a year is 365 days, a month 30; `m` is minutes; of a repeated unit the last one holds.
    """
    found: dict[str, int] = {}
    position = 0
    for match in _PERIOD.finditer(text):
        if match.start() != position:
            break
        found[match.group(2)] = int(match.group(1))
        position = match.end()
    if not found or position != len(text):
        raise ValueError(f"{text!r} is not a period such as 7d, 2w, 3mo or 1y6mo (units: y mo w d h m)")
    try:
        return sum((_PERIOD_UNITS[unit] * count for unit, count in found.items()), timedelta())
    except OverflowError:
        raise ValueError(f"{text!r} is longer than time itself") from None
