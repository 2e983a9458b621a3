"""Sprig's functions that choose or look at kinds, and its paths."""

import posixpath
from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.templates.sprig.arguments import text
from holdfast.templates.values import kind_of, true


def _default(fallback: Any, value: Any = None) -> Any:
    return value if true(value) else fallback


def _empty(value: Any) -> bool:
    return not true(value)


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if true(value)), None)


def _ternary(yes: Any, no: Any, condition: bool) -> Any:
    return yes if true(condition) else no


def _all(*values: Any) -> bool:
    return all(true(value) for value in values)


def _any(*values: Any) -> bool:
    return any(true(value) for value in values)


def _kind_is(kind: str, value: Any) -> bool:
    return kind_of(value) == text(kind)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def _base(path: str) -> str:
    return posixpath.basename(text(path).rstrip("/")) or ("/" if path else ".")


def _dir(path: str) -> str:
    return _clean(posixpath.dirname(text(path)))


def _ext(path: str) -> str:
    name = posixpath.basename(text(path))
    return name[name.rindex(".") :] if "." in name else ""


def _clean(path: str) -> str:
    cleaned = posixpath.normpath(text(path)) if path else "."
    return cleaned[1:] if cleaned.startswith("//") else cleaned


CHOICES: Final[Mapping[str, Callable[..., Any]]] = {
    "all": _all,
    "any": _any,
    "base": _base,
    "clean": _clean,
    "coalesce": _coalesce,
    "deepEqual": _same,
    "default": _default,
    "dir": _dir,
    "empty": _empty,
    "ext": _ext,
    "isAbs": posixpath.isabs,
    "kindIs": _kind_is,
    "kindOf": kind_of,
    "ternary": _ternary,
    "typeIs": _kind_is,
    "typeOf": kind_of,
}
