"""Times as Kubernetes writes them, and ages as kubectl shows them (`90s`, `5m`, `3d4h`)."""

import datetime as dt
import time
from functools import lru_cache


def now() -> dt.datetime:
    """The current time in UTC, whole seconds."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


@lru_cache(maxsize=1)
def _stamp_at(second: int) -> str:
    return stamp(dt.datetime.fromtimestamp(second, dt.UTC))


def stamp_now() -> str:
    """The current time as `stamp` writes it; spelled once a second, since every write needs it."""
    return _stamp_at(int(time.time()))


def stamp(at: dt.datetime) -> str:
    """RFC 3339 in UTC with whole seconds."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> dt.datetime | None:
    """An RFC 3339 time, or None when it is not one."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def since(text: str, at: dt.datetime) -> str:
    """The age of a time; `<unknown>` when there is none."""
    start = parse_time(text)
    return duration(at - start) if start else "<unknown>"


def _two(first: int, unit: str, second: int, lesser: str) -> str:
    return f"{first}{unit}{second}{lesser}" if second else f"{first}{unit}"


def duration(span: dt.timedelta) -> str:
    """A length of time with two or three digits of meaning, as kubectl rounds it."""
    seconds = int(span.total_seconds())
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 0:
        return "0s" if seconds >= -2 else "<invalid>"
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return _two(days // 365, "y", days % 365, "d") if days < 2920 else f"{days // 365}y"
