"""The functions that every template has: logic, comparison, indexing, printing. `and` and `or` are part of the evaluation."""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import quote_plus

from holdfast.templates.errors import TemplateError
from holdfast.templates.printf import printf
from holdfast.templates.values import Strings, equal, is_list, kind_of, less, text_of, true


def _eq(first: object, *others: object) -> bool:
    if not others:
        raise TemplateError("wants at least two arguments")
    return any(equal(first, other) for other in others)


def index(value: object, *keys: object) -> object:
    """Return `value[key]...`; nothing for a missing key of a mapping. Raises TemplateError for a position out of range."""
    for key in keys:
        if isinstance(value, Mapping):
            mapping = cast(Mapping[Any, Any], value)
            value = mapping.get(key, "" if isinstance(value, Strings) else None)
        elif is_list(value) or isinstance(value, str):
            items = cast(Sequence[object], value)
            if not isinstance(key, int) or isinstance(key, bool):
                raise TemplateError(f"a position must be a number, not a {kind_of(key)}")
            if not 0 <= key < len(items):
                raise TemplateError(f"position {key} is out of range: there are {len(items)}")
            value = ord(items[key]) if isinstance(items, str) else items[key]
        else:
            raise TemplateError("nothing is there to index" if value is None else f"a {kind_of(value)} can't be indexed")
    return value


def _slice(value: object, *bounds: int) -> object:
    if not (is_list(value) or isinstance(value, str)):
        raise TemplateError(f"a {kind_of(value)} can't be sliced")
    items = cast(Sequence[object], value)
    start, end = [*bounds, *(0, len(items))[len(bounds) :]][:2]
    if not 0 <= start <= end <= len(items):
        raise TemplateError(f"{start}:{end} is out of range: there are {len(items)}")
    return items[start:end]


def _len(value: object) -> int:
    if value is None or isinstance(value, int | float):
        raise TemplateError(f"a {kind_of(value)} has no length")
    return len(value.encode()) if isinstance(value, str) else len(cast(Sequence[object], value))


def _print(*values: object) -> str:
    """Blanks stand between two values of which neither is a text, as Go's Sprint does."""
    parts: list[str] = []
    for at, value in enumerate(values):
        if at and not isinstance(value, str) and not isinstance(values[at - 1], str):
            parts.append(" ")
        parts.append(text_of(value))
    return "".join(parts)


def _println(*values: object) -> str:
    return " ".join(text_of(value) for value in values) + "\n"


def _not(value: object) -> bool:
    return not true(value)


def _short(name: str) -> Callable[..., Any]:
    def never(*_: object) -> Any:
        raise TemplateError(f"{name} is part of the evaluation")

    return never


def _ne(one: object, other: object) -> bool:
    return not equal(one, other)


def _le(one: object, other: object) -> bool:
    return less(one, other) or equal(one, other)


def _gt(one: object, other: object) -> bool:
    return not _le(one, other)


def _ge(one: object, other: object) -> bool:
    return not less(one, other)


def _html(*values: object) -> str:
    return html.escape(_print(*values))


def _urlquery(*values: object) -> str:
    return quote_plus(_print(*values))


BUILTIN: Final[Mapping[str, Callable[..., Any]]] = {
    "and": _short("and"),
    "or": _short("or"),
    "not": _not,
    "eq": _eq,
    "ne": _ne,
    "lt": less,
    "le": _le,
    "gt": _gt,
    "ge": _ge,
    "index": index,
    "slice": _slice,
    "len": _len,
    "print": _print,
    "println": _println,
    "printf": printf,
    "html": _html,
    "urlquery": _urlquery,
}
