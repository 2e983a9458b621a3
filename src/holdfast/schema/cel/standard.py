"""The functions and operators of the language itself. Source: the published language definition of CEL."""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from holdfast.schema.cel.errors import EvaluationError
from holdfast.schema.cel.table import Table
from holdfast.schema.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    A,
    B,
    Type,
    list_of,
    map_of,
    optional_of,
)
from holdfast.schema.cel.values import (
    NONE,
    Duration,
    Optional,
    Timestamp,
    UInt,
    equal,
    int64,
    kind_of,
    parse_duration,
    parse_timestamp,
    show_duration,
    show_timestamp,
    uint64,
)
from holdfast.schema.formats import compile_pattern

_ORDERED: Final = (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION)
_NUMBERS: Final = (INT, UINT, DOUBLE)


def install(table: Table) -> None:
    """Add all of it."""
    _compare(table)
    _arithmetic(table)
    _collections(table)
    _strings(table)
    _conversions(table)
    _times(table)
    _optionals(table)


def _compare(table: Table) -> None:
    for name, run in (("_<_", operator.lt), ("_<=_", operator.le), ("_>_", operator.gt), ("_>=_", operator.ge)):
        for kind in _ORDERED:
            table.add(name, (kind, kind), BOOL, run)
        for one in _NUMBERS:
            for two in _NUMBERS:
                if one != two:
                    table.add(name, (one, two), BOOL, run)
    table.add("!_", (BOOL,), BOOL, operator.not_)


def _checked(run: Callable[[int, int], int]) -> Callable[[int, int], int]:
    return lambda a, b: int64(run(a, b))


def _unsigned(run: Callable[[int, int], int]) -> Callable[[int, int], int]:
    return lambda a, b: uint64(run(int(a), int(b)))


def _quotient(a: int, b: int) -> int:
    if b == 0:
        raise EvaluationError("division by zero")
    found = abs(a) // abs(b)
    return found if (a < 0) == (b < 0) else -found


def _remainder(a: int, b: int) -> int:
    if b == 0:
        raise EvaluationError("modulus by zero")
    return int(math.fmod(a, b)) if max(abs(a), abs(b)) < 1 << 52 else a - b * _quotient(a, b)


def _divide(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)
    return a / b


def _arithmetic(table: Table) -> None:
    whole = (("_+_", operator.add), ("_-_", operator.sub), ("_*_", operator.mul), ("_/_", _quotient), ("_%_", _remainder))
    for name, run in whole:
        table.add(name, (INT, INT), INT, _checked(run))
        table.add(name, (UINT, UINT), UINT, _unsigned(run))
    real: tuple[tuple[str, Callable[[float, float], float]], ...] = (
        ("_+_", operator.add), ("_-_", operator.sub), ("_*_", operator.mul), ("_/_", _divide),
    )  # fmt: skip
    for name, function in real:
        table.add(name, (DOUBLE, DOUBLE), DOUBLE, function)
    table.add("-_", (INT,), INT, lambda a: int64(-a))
    table.add("-_", (DOUBLE,), DOUBLE, operator.neg)
    table.add("_+_", (STRING, STRING), STRING, operator.add)
    table.add("_+_", (BYTES, BYTES), BYTES, operator.add)
    table.add("_+_", (TIMESTAMP, DURATION), TIMESTAMP, lambda a, b: Timestamp(a.ns + b.ns))
    table.add("_+_", (DURATION, TIMESTAMP), TIMESTAMP, lambda a, b: Timestamp(a.ns + b.ns))
    table.add("_+_", (DURATION, DURATION), DURATION, lambda a, b: Duration(int64(a.ns + b.ns)))
    table.add("_-_", (TIMESTAMP, TIMESTAMP), DURATION, lambda a, b: Duration(int64(a.ns - b.ns)))
    table.add("_-_", (TIMESTAMP, DURATION), TIMESTAMP, lambda a, b: Timestamp(a.ns - b.ns))
    table.add("_-_", (DURATION, DURATION), DURATION, lambda a, b: Duration(int64(a.ns - b.ns)))


def _in_list(value: Any, held: list[Any]) -> bool:
    return any(equal(value, item) for item in held)


def _in_map(value: Any, held: dict[Any, Any]) -> bool:
    return not isinstance(value, list | dict) and value in held


def _item(held: list[Any], index: Any) -> Any:
    if isinstance(index, float) and not index.is_integer():
        raise EvaluationError(f"index {index} is no whole number")
    at = int(index)
    if not 0 <= at < len(held):
        raise EvaluationError(f"index out of bounds: {at}")
    return held[at]


def _value(held: dict[Any, Any], key: Any) -> Any:
    if key not in held:
        raise EvaluationError(f"no such key: {key}")
    return held[key]


def _maybe(pick: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Optional]:
    def run(held: Any, key: Any) -> Optional:
        if isinstance(held, Optional):
            if not held.present:
                return NONE
            held = held.value
        try:
            return Optional(True, pick(held, key))
        except EvaluationError:
            return NONE

    return run


def _collections(table: Table) -> None:
    items, pairs = list_of(A), map_of(A, B)
    table.add("_in_", (A, items), BOOL, _in_list)
    table.add("_in_", (A, pairs), BOOL, _in_map)
    for index in _NUMBERS:
        table.add("_[_]", (items, index), A, _item)
        table.add("_[?_]", (items, index), optional_of(A), _maybe(_item))
        table.add("_[?_]", (optional_of(items), index), optional_of(A), _maybe(_item))
    table.add("_[_]", (pairs, A), B, _value)
    table.add("_[?_]", (pairs, A), optional_of(B), _maybe(_value))
    table.add("_[?_]", (optional_of(pairs), A), optional_of(B), _maybe(_value))
    for kind in (STRING, BYTES, items, pairs):
        table.both("size", (kind,), INT, len)


@functools.lru_cache(512)
def pattern_of(text: str) -> re.Pattern[str]:
    """A regular expression in RE2's dialect. Raises EvaluationError."""
    try:
        return compile_pattern(text)
    except re.error as error:
        raise EvaluationError(f"{text!r} is not a usable regular expression: {error}") from error


def _strings(table: Table) -> None:
    table.both("matches", (STRING, STRING), BOOL, lambda text, pattern: pattern_of(pattern).search(text) is not None)
    table.add("startsWith", (STRING, STRING), BOOL, str.startswith, method=True)
    table.add("endsWith", (STRING, STRING), BOOL, str.endswith, method=True)
    table.add("contains", (STRING, STRING), BOOL, lambda text, part: part in text, method=True)


def _to_int(value: float) -> int:
    if not math.isfinite(value):
        raise EvaluationError(f"{value} is no integer")
    return int64(int(value))


def _parsed(parse: Callable[[str], Any], name: str, pattern: str) -> Callable[[str], Any]:
    def run(text: str) -> Any:
        if not re.fullmatch(pattern, text):
            raise EvaluationError(f"{text!r} is no {name}")
        return parse(text)

    return run


def _bool(text: str) -> bool:
    if text in ("true", "True", "TRUE", "t", "1"):
        return True
    if text in ("false", "False", "FALSE", "f", "0"):
        return False
    raise EvaluationError(f"{text!r} is neither true nor false")


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise EvaluationError("the bytes are not UTF-8") from error


def show_double(value: float) -> str:
    """A double as CEL writes it: without a point when it is whole."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)


def _conversions(table: Table) -> None:
    _same: Callable[[Any], Any] = lambda value: value  # noqa: E731
    decimal = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
    conversions: tuple[tuple[str, Type, Type, Callable[[Any], Any]], ...] = (
        ("int", INT, INT, _same),
        ("int", UINT, INT, lambda value: int64(int(value))),
        ("int", DOUBLE, INT, _to_int),
        ("int", STRING, INT, _parsed(lambda text: int64(int(text)), "integer", r"[+-]?\d+")),
        ("int", TIMESTAMP, INT, lambda value: value.ns // 10**9),
        ("uint", UINT, UINT, _same),
        ("uint", INT, UINT, uint64),
        ("uint", DOUBLE, UINT, lambda value: uint64(_to_int(value))),
        ("uint", STRING, UINT, _parsed(lambda text: uint64(int(text)), "unsigned integer", r"\d+")),
        ("double", DOUBLE, DOUBLE, _same),
        ("double", INT, DOUBLE, float),
        ("double", UINT, DOUBLE, float),
        ("double", STRING, DOUBLE, _parsed(float, "number", decimal)),
        ("string", STRING, STRING, _same),
        ("string", BOOL, STRING, lambda value: "true" if value else "false"),
        ("string", INT, STRING, str),
        ("string", UINT, STRING, lambda value: str(int(value))),
        ("string", DOUBLE, STRING, show_double),
        ("string", BYTES, STRING, _text),
        ("string", TIMESTAMP, STRING, show_timestamp),
        ("string", DURATION, STRING, show_duration),
        ("bytes", BYTES, BYTES, _same),
        ("bytes", STRING, BYTES, str.encode),
        ("bool", BOOL, BOOL, _same),
        ("bool", STRING, BOOL, _bool),
        ("timestamp", TIMESTAMP, TIMESTAMP, _same),
        ("timestamp", STRING, TIMESTAMP, parse_timestamp),
        ("timestamp", INT, TIMESTAMP, lambda value: Timestamp(value * 10**9)),
        ("duration", DURATION, DURATION, _same),
        ("duration", STRING, DURATION, parse_duration),
        ("duration", INT, DURATION, lambda value: Duration(int64(value * 10**9))),
        ("dyn", A, DYN, _same),
        ("type", A, TYPE, kind_of),
    )
    for name, given, result, run in conversions:
        table.add(name, (given,), result, run)


def _zone(name: str) -> timezone | ZoneInfo:
    match = re.fullmatch(r"([+-]?)(\d\d):(\d\d)", name)
    if match:
        offset = timedelta(hours=int(match.group(2)), minutes=int(match.group(3)))
        return timezone(-offset if match.group(1) == "-" else offset)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise EvaluationError(f"there is no time zone {name!r}") from error


def _times(table: Table) -> None:
    parts: tuple[tuple[str, Callable[[datetime], int]], ...] = (
        ("getFullYear", lambda at: at.year),
        ("getMonth", lambda at: at.month - 1),
        ("getDate", lambda at: at.day),
        ("getDayOfMonth", lambda at: at.day - 1),
        ("getDayOfWeek", lambda at: at.isoweekday() % 7),
        ("getDayOfYear", lambda at: at.timetuple().tm_yday - 1),
        ("getHours", lambda at: at.hour),
        ("getMinutes", lambda at: at.minute),
        ("getSeconds", lambda at: at.second),
        ("getMilliseconds", lambda at: at.microsecond // 1000),
    )
    for name, pick in parts:
        table.add(name, (TIMESTAMP,), INT, functools.partial(_part, pick), method=True)
        table.add(name, (TIMESTAMP, STRING), INT, functools.partial(_part, pick), method=True)
    spans = (("getHours", 3600 * 10**9), ("getMinutes", 60 * 10**9), ("getSeconds", 10**9), ("getMilliseconds", 10**6))
    for name, unit in spans:
        table.add(name, (DURATION,), INT, functools.partial(_span, unit), method=True)


def _part(pick: Callable[[datetime], int], value: Timestamp, zone: str = "") -> int:
    moment = value.moment()
    return pick(moment.astimezone(_zone(zone)) if zone else moment)


def _span(unit: int, value: Duration) -> int:
    return _quotient(value.ns, unit)


def _zero(value: Any) -> bool:
    return value is None or (not isinstance(value, Timestamp | Duration) and not value) or value in (Duration(0), UInt(0))


def _required(held: Optional) -> Any:
    if not held.present:
        raise EvaluationError("optional.none() has no value")
    return held.value


def _optionals(table: Table) -> None:
    held = optional_of(A)
    table.add("optional.of", (A,), held, lambda value: Optional(True, value))
    table.add("optional.none", (), optional_of(DYN), lambda: NONE)
    table.add("optional.ofNonZeroValue", (A,), held, lambda value: NONE if _zero(value) else Optional(True, value))
    table.add("hasValue", (held,), BOOL, lambda value: value.present, method=True)
    table.add("value", (held,), A, _required, method=True)
    table.add("orValue", (held, A), A, lambda value, other: value.value if value.present else other, method=True)
    table.add("or", (held, held), held, lambda value, other: value if value.present else other, method=True)
