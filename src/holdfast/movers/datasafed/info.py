"""The info file of a script: what it says of its backup, as JSON in the field names of the Backup's status.

What the API would not take is left out and told: a size, a moment or an offset that is none, extras that are no maps.
"""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from holdfast.core.quantity import parse_quantity
from holdfast.core.times import format_time, parse_time
from holdfast.movers.context import log

Details = dict[str, Any]

KNOWN: Final = frozenset({"totalSize", "timeRange", "extras"})
"""What of the info file counts: the rest of a Backup's status is not the script's to say."""

_OFFSET: Final = re.compile(r"[+-](0[0-9]|1[0-3]):[0-5][0-9]")


class Info:
    """The info file at a path; an empty path means that there is none."""

    def __init__(self, path: str) -> None:
        self._path, self._seen, self._looked = path, b"", 0.0

    def changed(self, interval: float) -> Details | None:
        """Return what the file says now, if that is new; looks at most once per interval, in seconds."""
        if not self._path or time.monotonic() - self._looked < interval:
            return None
        self._looked, before = time.monotonic(), self._seen
        details = self.read()
        details.pop("problem", None)
        return details if self._seen != before and details else None

    def read(self) -> Details:
        """Return what the file says, in the form that the status has; `problem` names what is wrong with the rest."""
        try:
            self._seen = Path(self._path).read_bytes()
            found = msgspec.json.decode(self._seen, type=Details) if self._seen.strip() else {}
        except OSError:
            return {}
        except msgspec.DecodeError as error:
            log(f"{self._path} is not a JSON object (yet): {error}")
            return {"problem": f"{self._path} is not a JSON object: {error}"}
        details, problems = checked(found)
        if problems:
            log(f"{self._path}: {'; '.join(problems)}")
            details["problem"] = f"{self._path}: {'; '.join(problems)}"
        return details


def checked(said: Mapping[str, Any]) -> tuple[Details, list[str]]:
    """Return what a script said as the status takes it, moments in UTC, and what is wrong with what is left out."""
    found, problems = Details(), list[str]()
    size = said.get("totalSize")
    if _is_size(size):
        found["totalSize"] = size
    elif size not in (None, ""):
        problems.append(f"totalSize: {repr(size)[:60]} is no size: write a number of bytes, or one with Ki, Mi or Gi")
    if span := _span(said.get("timeRange"), problems):
        found["timeRange"] = span
    if extras := _extras(said.get("extras"), problems):
        found["extras"] = extras
    return found, problems


def _is_size(said: object) -> bool:
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        return False
    try:
        parse_quantity(str(said))
    except ValueError:
        return False
    return True


def _span(said: object, problems: list[str]) -> Details:
    if not isinstance(said, dict):
        if said is not None:
            problems.append("timeRange: write an object with start and end")
        return {}
    entries, found = cast(Details, said), Details()
    for key in ("start", "end"):
        given = entries.get(key)
        try:
            if given not in (None, ""):
                found[key] = format_time(parse_time(str(given)))
        except ValueError:
            problems.append(f"timeRange.{key}: {given!r} is no moment: write it as 2026-01-31T12:00:00Z")
    zone = entries.get("timeZone")
    if isinstance(zone, str) and _OFFSET.fullmatch(zone):
        found["timeZone"] = zone
    elif zone not in (None, ""):
        problems.append(f"timeRange.timeZone: {zone!r} is no offset: write it as +02:00")
    return found


def _extras(said: object, problems: list[str]) -> list[dict[str, str]]:
    entries = cast(list[object], said) if isinstance(said, list) else []
    maps = [cast(dict[str, object], entry) for entry in entries if isinstance(entry, dict)]
    if (said is not None and not isinstance(said, list)) or len(maps) != len(entries):
        problems.append("extras: write a list of maps of texts")
    return [{key: value if isinstance(value, str) else _json(value) for key, value in entry.items()} for entry in maps]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
