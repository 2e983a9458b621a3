"""Sprig's functions on times. There is no `now`: a template that needs a time is given one."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from holdfast.templates.errors import TemplateError
from holdfast.templates.layout import format_time
from holdfast.templates.sprig.arguments import text, whole
from holdfast.templates.values import kind_of

_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def _time(value: object) -> datetime:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, int):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError as error:
            raise TemplateError(f"{value!r} is not a time as RFC 3339 writes it") from error
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    raise TemplateError(f"wants a time, not a {kind_of(value)}")


def _date(layout: str, value: object) -> str:
    return format_time(_time(value), text(layout))


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(text(name)) if name else UTC
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise TemplateError(f"time zone {name!r} is not known") from error


def _date_in_zone(layout: str, value: object, zone: str) -> str:
    return format_time(_time(value).astimezone(_zone(zone)), text(layout))


def _unix(value: object) -> str:
    return str(int(_time(value).timestamp()))


def _span(value: str) -> timedelta:
    sign = -1 if value.startswith("-") else 1
    body = value.lstrip("+-")
    if body != "0" and _PART.sub("", body):
        raise TemplateError(f"{value!r} is not a duration such as 1h30m")
    return timedelta(seconds=sign * sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(body)))


def _modify(span: str, value: object) -> datetime:
    return _time(value) + _span(text(span))


def _duration(value: object) -> str:
    seconds = whole(value)
    hours, rest = divmod(abs(seconds), 3600)
    minutes, left = divmod(rest, 60)
    text_ = f"{hours}h{minutes}m{left}s" if hours else f"{minutes}m{left}s" if minutes else f"{left}s"
    return f"-{text_}" if seconds < 0 else text_


TIMES: Final[Mapping[str, Callable[..., Any]]] = {
    "date": _date,
    "dateInZone": _date_in_zone,
    "dateModify": _modify,
    "duration": _duration,
    "unixEpoch": _unix,
}
