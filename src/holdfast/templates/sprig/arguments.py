"""Checking the arguments of functions: Sprig's are typed, and a wrong kind is an error that says what was given."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from holdfast.templates.errors import TemplateError
from holdfast.templates.values import is_list, kind_of

LONGEST = 1 << 20
"""Characters or elements that one function may make."""


def text(value: object) -> str:
    """Return a text. Raises TemplateError for anything else."""
    if not isinstance(value, str):
        raise TemplateError(f"wants a string, not {_named(value)}")
    return value


def items(value: object) -> Sequence[Any]:
    """Return a list; nothing counts as an empty one. Raises TemplateError for anything else."""
    if value is None:
        return []
    if not is_list(value):
        raise TemplateError(f"wants a list, not {_named(value)}")
    return cast(Sequence[Any], value)


def mapping(value: object) -> dict[str, Any]:
    """Return a mapping, itself. Raises TemplateError for anything else."""
    if not isinstance(value, dict):
        if isinstance(value, Mapping):
            return dict(cast(Mapping[str, Any], value))
        raise TemplateError(f"wants a dict, not {_named(value)}")
    return cast(dict[str, Any], value)


def whole(value: object) -> int:
    """Return a whole number: of a number, a text that holds one, a truth; everything else is 0, as Sprig casts."""
    if isinstance(value, bool | int | float):
        return int(value)
    try:
        return int(value, 0) if isinstance(value, str) else 0
    except ValueError:
        return int(fraction(value))


def fraction(value: object) -> float:
    """Return a number with a fraction, cast as `whole` casts."""
    try:
        return float(value) if isinstance(value, bool | int | float | str) else 0.0
    except ValueError:
        return 0.0


def bounded(size: int) -> int:
    """Return a size. Raises TemplateError if it is too large."""
    if size > LONGEST:
        raise TemplateError(f"would make {size} characters or elements (at most {LONGEST})")
    return size


def _named(value: object) -> str:
    return "nothing" if value is None else f"a {kind_of(value)}"
