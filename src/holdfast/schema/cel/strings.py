"""The string functions that Kubernetes adds to the language, and format()."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from holdfast.schema.cel.errors import EvaluationError
from holdfast.schema.cel.standard import pattern_of, show_double
from holdfast.schema.cel.table import Table
from holdfast.schema.cel.types import DYN, INT, STRING, list_of
from holdfast.schema.cel.values import Duration, Timestamp, kind_of, show_duration, show_timestamp

_WHITE: Final = "\t\n\v\f\r \u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def install(table: Table) -> None:
    """Add all of it."""
    add = table.add
    add("charAt", (STRING, INT), STRING, _char_at, method=True)
    add("indexOf", (STRING, STRING), INT, str.find, method=True)
    add("indexOf", (STRING, STRING, INT), INT, lambda text, part, at: text.find(part, _within(text, at)), method=True)
    add("lastIndexOf", (STRING, STRING), INT, str.rfind, method=True)
    add("lastIndexOf", (STRING, STRING, INT), INT, _last_index, method=True)
    add("lowerAscii", (STRING,), STRING, lambda text: _ascii(text, str.lower), method=True)
    add("upperAscii", (STRING,), STRING, lambda text: _ascii(text, str.upper), method=True)
    add("replace", (STRING, STRING, STRING), STRING, str.replace, method=True)
    add("replace", (STRING, STRING, STRING, INT), STRING, str.replace, method=True)
    add("split", (STRING, STRING), list_of(STRING), lambda text, by: _split(text, by, -1), method=True)
    add("split", (STRING, STRING, INT), list_of(STRING), _split, method=True)
    add("substring", (STRING, INT), STRING, lambda text, start: text[_within(text, start) :], method=True)
    add("substring", (STRING, INT, INT), STRING, _substring, method=True)
    add("trim", (STRING,), STRING, lambda text: text.strip(_WHITE), method=True)
    add("join", (list_of(STRING),), STRING, "".join, method=True)
    add("join", (list_of(STRING), STRING), STRING, lambda items, by: by.join(items), method=True)
    add("strings.quote", (STRING,), STRING, _quote)
    add("find", (STRING, STRING), STRING, _find, method=True)
    add("findAll", (STRING, STRING), list_of(STRING), lambda text, by: _find_all(text, by, -1), method=True)
    add("findAll", (STRING, STRING, INT), list_of(STRING), _find_all, method=True)
    add("format", (STRING, list_of(DYN)), STRING, _format, method=True)


def _within(text: str, at: int) -> int:
    if not 0 <= at <= len(text):
        raise EvaluationError(f"index out of range: {at}")
    return at


def _char_at(text: str, at: int) -> str:
    return text[_within(text, at) : at + 1]


def _last_index(text: str, part: str, at: int) -> int:
    return text.rfind(part, 0, _within(text, at) + len(part))


def _substring(text: str, start: int, end: int) -> str:
    if _within(text, start) > _within(text, end):
        raise EvaluationError(f"invalid substring range: start {start} is behind end {end}")
    return text[start:end]


def _ascii(text: str, change: Callable[[str], str]) -> str:
    return "".join(change(char) if char.isascii() else char for char in text)


def _split(text: str, by: str, limit: int) -> list[str]:
    if limit == 0:
        return []
    if not by:
        return list(text) if limit < 0 or limit >= len(text) else [*text[: limit - 1], text[limit - 1 :]]
    return text.split(by, limit - 1 if limit > 0 else -1)


_QUOTED: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def _quote(text: str) -> str:
    return '"' + "".join(_QUOTED.get(char, char) for char in text) + '"'


def _find(text: str, pattern: str) -> str:
    found = pattern_of(pattern).search(text)
    return found.group() if found else ""


def _find_all(text: str, pattern: str, limit: int) -> list[str]:
    found = [match.group() for match in pattern_of(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


def _format(text: str, args: list[Any]) -> str:
    out: list[str] = []
    rest = iter(args)
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char != "%":
            out.append(char)
            continue
        end = at
        while end < len(text) and (text[end].isdigit() or text[end] == "."):
            end += 1
        clause, digits, at = text[end : end + 1], text[at:end], end + 1
        if clause == "%" and not digits:
            out.append("%")
            continue
        if clause not in _CLAUSES:
            raise EvaluationError(f"%{digits}{clause} is no formatting clause")
        try:
            value = next(rest)
        except StopIteration:
            raise EvaluationError("format() has fewer arguments than clauses") from None
        out.append(_clause(clause, digits, value))
    return "".join(out)


_CLAUSES: Final = tuple("sdfeobxX")


def _clause(clause: str, digits: str, value: Any) -> str:
    kind = kind_of(value)
    precision = int(digits[1:]) if digits.startswith(".") and digits[1:].isdigit() else 6
    if digits and (not digits.startswith(".") or clause not in "fe"):
        raise EvaluationError(f"%{digits}{clause} is no formatting clause")
    if clause == "s":
        return show(value)
    if clause in "fe" and kind in ("int", "uint", "double"):
        return f"{float(value):.{precision}{clause}}"
    if clause == "d" and kind == "double":
        return show_double(value)
    if clause in "dobxX" and kind in ("int", "uint", "bool") and (kind != "bool" or clause == "b"):
        return format(int(value), clause)
    if clause in "xX" and kind in ("string", "bytes"):
        octets = value.encode() if kind == "string" else value
        return octets.hex() if clause == "x" else octets.hex().upper()
    raise EvaluationError(f"%{clause} can't show a value of type {kind}")


def show(value: Any) -> str:
    """A value as %s shows it."""
    match kind_of(value):
        case "string":
            return value
        case "bool":
            return "true" if value else "false"
        case "null":
            return "null"
        case "double":
            return show_double(value)
        case "bytes":
            return bytes(value).decode("utf-8", "replace")
        case "list":
            return f"[{', '.join(map(show, value))}]"
        case "map":
            return "{" + ", ".join(f"{show(key)}: {show(value[key])}" for key in sorted(value, key=show)) + "}"
        case "timestamp":
            return show_timestamp(value) if isinstance(value, Timestamp) else str(value)
        case "duration":
            return show_duration(value) if isinstance(value, Duration) else str(value)
        case _:
            return str(value)
