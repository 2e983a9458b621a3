r"""Patterns and string formats of OpenAPI schemas, as Kubernetes reads them.

CRDs carry RE2 patterns; Python's `re` differs in what `$` and `\z` mean, so patterns are translated. Formats that
Kubernetes does not know are ignored, as it does.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import ipaddress
import re
import uuid
from collections.abc import Callable
from typing import Final

Predicate = Callable[[str], bool]

_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_GO_DURATION: Final = re.compile(r"[+-]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)")
_SPOKEN_DURATION: Final = re.compile(
    r"\d+\s*(ns|nano|us|µs|μs|micro|ms|milli|s|sec|m|min|h|hr|hour|d|day|w|wk|week|"
    r"nanosecond|microsecond|millisecond|second|minute)s?"
)
_HOST_NAME: Final = re.compile(r"(?=.{1,253}\.?\Z)([A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?\.?)+")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_URI: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:\S*|/\S*)")


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Translate an RE2 pattern to Python's dialect and compile it; raises `re.error` when it cannot be done."""
    out: list[str] = []
    in_class = False
    index = 0
    while index < len(pattern):
        char = pattern[index]
        if char == "\\":
            pair = pattern[index : index + 2]
            out.append(r"\Z" if pair == r"\z" else pair)
            index += 2
            continue
        if in_class:
            in_class = char != "]" or out[-1] in ("[", "[^")
        elif char == "[":
            in_class = True
            if pattern.startswith("[^", index):
                char, index = "[^", index + 1
        elif char == "$" and "(?m" not in pattern:
            char = r"\Z"
        out.append(char)
        index += 1
    return re.compile("".join(out))


def format_check(name: str) -> Predicate | None:
    """Return the test for a string format, or None when Kubernetes does not check it."""
    return _FORMATS.get(name)


def _is_date_time(text: str) -> bool:
    if not _DATE_TIME.fullmatch(text):
        return False
    return _accepts(datetime.datetime.fromisoformat, text.upper())


def _is_date(text: str) -> bool:
    return len(text) == 10 and _accepts(datetime.date.fromisoformat, text)


def _is_duration(text: str) -> bool:
    return bool(_GO_DURATION.fullmatch(text) or _SPOKEN_DURATION.fullmatch(text))


def _is_bytes(text: str) -> bool:
    return _accepts(lambda value: base64.b64decode(value, validate=True), text)


def _is_cidr(text: str) -> bool:
    return "/" in text and _accepts(lambda value: ipaddress.ip_network(value, strict=False), text)


def _accepts(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except (ValueError, binascii.Error):
        return False
    return True


_FORMATS: Final[dict[str, Predicate]] = {
    "date-time": _is_date_time,
    "datetime": _is_date_time,
    "date": _is_date,
    "duration": _is_duration,
    "byte": _is_bytes,
    "cidr": _is_cidr,
    "ipv4": lambda text: _accepts(ipaddress.IPv4Address, text),
    "ipv6": lambda text: _accepts(ipaddress.IPv6Address, text),
    "uuid": lambda text: _accepts(uuid.UUID, text),
    "hostname": lambda text: bool(_HOST_NAME.fullmatch(text)),
    "email": lambda text: bool(_EMAIL.fullmatch(text)),
    "uri": lambda text: bool(_URI.fullmatch(text)),
}
