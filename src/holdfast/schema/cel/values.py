"""Values that JSON does not have, and what all values share: equality, order, conversion from JSON."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast

import msgspec

from holdfast.schema.cel.errors import EvaluationError
from holdfast.schema.cel.types import CONVERTED, Type

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
_DURATION: Final = re.compile(r"([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0)")
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_TIMESTAMP: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)")
INT_LOW: Final = -(1 << 63)
INT_HIGH: Final = (1 << 63) - 1


class UInt(int):
    """An unsigned integer; signed ones are plain ints."""


class Duration(msgspec.Struct, frozen=True, order=True):
    """A span of time in nanoseconds."""

    ns: int


class Timestamp(msgspec.Struct, frozen=True, order=True):
    """A moment, in nanoseconds since 1970 in UTC."""

    ns: int

    def moment(self) -> datetime:
        """As a datetime in UTC, cut to microseconds."""
        return _EPOCH + timedelta(microseconds=self.ns // 1000)


class Optional(msgspec.Struct, frozen=True):
    """A value that may be missing; `present` says whether it is there."""

    present: bool
    value: Any = None


NONE: Final = Optional(False)


def parse_duration(text: str) -> Duration:
    """Read `1h30m`. Raises EvaluationError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise EvaluationError(f"{text!r} is not a duration such as 1h30m")
    total = sum(int(Decimal(number) * _UNITS[unit]) for number, unit in _PART.findall(match.group(2)))
    return Duration(-total if match.group(1) == "-" else total)


def parse_timestamp(text: str) -> Timestamp:
    """Read an RFC 3339 time, or a date. Raises EvaluationError."""
    whole = f"{text}T00:00:00Z" if len(text) == 10 else text
    match = _TIMESTAMP.fullmatch(whole)
    if match is None:
        raise EvaluationError(f"{text!r} is not a time such as 2026-01-31T12:00:00Z")
    date, time, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{time}{zone.upper().replace('Z', '+00:00')}")
    except ValueError as error:
        raise EvaluationError(f"{text!r} is no time: {error}") from error
    delta = moment - _EPOCH
    return Timestamp((delta.days * 86400 + delta.seconds) * 10**9 + int((fraction or "").ljust(9, "0")))


def show_duration(value: Duration) -> str:
    """Seconds, as CEL writes them: `90s`, `0.5s`."""
    text = f"{Decimal(value.ns) / 10**9:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}s"


def show_timestamp(value: Timestamp) -> str:
    """RFC 3339 in UTC with the digits that are there."""
    seconds, rest = divmod(value.ns, 10**9)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09}".rstrip("0") + "Z" if rest else f"{text}Z"


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvaluationError(f"it is not base64: {error}") from error


def _spoken_duration(value: Any) -> Duration:
    text = str(value)
    try:
        return parse_duration(text)
    except EvaluationError:
        match = re.fullmatch(r"(\d+)\s*([a-zµμ]+?)s?", text)
        scale = _SPOKEN.get(match.group(2)[:2] if match else "") or (_SPOKEN.get(match.group(2)[:1]) if match else None)
        if match is None or scale is None:
            raise
        return Duration(int(match.group(1)) * scale)


_SPOKEN: Final = {
    "na": 1, "mi": 60 * 10**9, "se": 10**9, "s": 10**9, "m": 60 * 10**9,
    "h": 3600 * 10**9, "d": 86400 * 10**9, "w": 7 * 86400 * 10**9,
}  # fmt: skip

_CONVERTERS: Final[dict[str, Callable[[Any], Any]]] = {
    "bytes": _bytes,
    "timestamp": parse_timestamp,
    "duration": _spoken_duration,
    "double": float,
}


def converter(kind: Type) -> Callable[[Any], Any] | None:
    """What turns the JSON form of a field of this type into its value; None where they are the same."""
    if kind.kind not in CONVERTED:
        return None
    convert = _CONVERTERS[kind.kind]
    return lambda value: convert(value) if isinstance(value, str | int | float) else value


def kind_of(value: Any) -> str:
    """The name of a value's type."""
    return _KINDS.get(value.__class__) or str(getattr(value, "kind", "object"))


_KINDS: Final[dict[type, str]] = {
    bool: "bool", int: "int", UInt: "uint", float: "double", str: "string", bytes: "bytes", list: "list", dict: "map",
    type(None): "null", Timestamp: "timestamp", Duration: "duration", Optional: "optional",
}  # fmt: skip
_NUMBERS: Final = ("int", "uint", "double")


def equal(first: Any, second: Any) -> bool:
    """Equality across all values: numbers by value, true is never 1, lists in order."""
    one, two = kind_of(first), kind_of(second)
    if one != two:
        return one in _NUMBERS and two in _NUMBERS and first == second
    if one == "list":
        return len(first) == len(second) and all(map(equal, first, second))
    if one == "map":
        a, b = cast(dict[Any, Any], first), cast(dict[Any, Any], second)
        return a.keys() == b.keys() and all(equal(value, b[key]) for key, value in a.items())
    if one == "optional":
        return first.present == second.present and equal(first.value, second.value)
    return bool(first == second)


def equality(kind: Type) -> Callable[[Any, Any], bool]:
    """Equality of two values of this type: a list of type set or map has no order."""
    if kind.kind == "list" and kind.list_type in ("set", "map"):
        return _unordered
    return equal


def _unordered(first: list[Any], second: list[Any]) -> bool:
    rest = list(second)
    if len(first) != len(second):
        return False
    for item in first:
        at = next((index for index, other in enumerate(rest) if equal(item, other)), -1)
        if at < 0:
            return False
        del rest[at]
    return True


def merged(kind: Type) -> Callable[[list[Any], list[Any]], list[Any]]:
    """What `+` does to two lists of this type: joins them, or unites sets, or merges maps by key."""
    if kind.list_type == "set":
        return lambda a, b: [*a, *(item for item in b if not any(equal(item, other) for other in a))]
    if kind.list_type != "map":
        return lambda a, b: [*a, *b]

    def key(item: Any) -> tuple[Any, ...]:
        return tuple(item.get(name) for name in kind.keys)

    def merge(a: list[Any], b: list[Any]) -> list[Any]:
        held = {key(item): item for item in a}
        return list((held | {key(item): item for item in b}).values())

    return merge


def int64(value: int) -> int:
    """The value, unless it needs more than 64 bits. Raises EvaluationError."""
    if not INT_LOW <= value <= INT_HIGH:
        raise EvaluationError("integer overflow")
    return value


def uint64(value: int) -> UInt:
    """The value as an unsigned integer, unless it does not fit. Raises EvaluationError."""
    if not 0 <= value < 1 << 64:
        raise EvaluationError("unsigned integer overflow")
    return UInt(value)
