"""Values as a template sees them: what is true, how they print, when they are equal. As Go's text/template and fmt do.

A value is plain data: text, number, truth, None, list, mapping, time. `Strings` is a mapping of texts of which a missing
key is the empty text, as parameters of a StorageProvider are.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, cast

from holdfast.templates.errors import TemplateError

NO_VALUE: Final = "<no value>"

_EXPONENT_FROM: Final = 6


class Strings(dict[str, str]):
    """A mapping of texts; what is not in it is empty."""

    def __missing__(self, key: str) -> str:
        """Return the empty text."""
        return ""


def is_list(value: object) -> bool:
    """Whether a value is a list."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def true(value: object) -> bool:
    """Whether a value counts as true: not nil, zero, false or empty."""
    if isinstance(value, datetime):
        return True
    return bool(value)


def kind_of(value: object) -> str:
    """Return Go's word for a value's kind, as messages and `kindOf` use it."""
    for kind, types in (
        ("invalid", type(None)),
        ("bool", bool),
        ("int", int),
        ("float64", float),
        ("string", str),
        ("struct", date),
        ("map", Mapping),
    ):
        if isinstance(value, types):
            return kind
    return "slice" if is_list(value) else type(value).__name__


def text_of(value: object) -> str:
    """Return a value as `%v` prints it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S %z %Z")
    if isinstance(value, Mapping):
        pairs = sorted(cast(Mapping[Any, Any], value).items(), key=lambda pair: str(pair[0]))
        return f"map[{' '.join(f'{text_of(key)}:{text_of(item)}' for key, item in pairs)}]"
    if is_list(value):
        return f"[{' '.join(text_of(item) for item in cast(Sequence[object], value))}]"
    return str(value)


def printed(value: object) -> str:
    """Return what an action writes for a value."""
    return NO_VALUE if value is None else text_of(value)


def float_text(value: float) -> str:
    """Return a float in Go's shortest form: with an exponent below -4 and from 6 on (a million prints as `1e+06`)."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    number = Decimal(repr(value)).normalize()
    minus = "-" if number.is_signed() else ""
    figures = "".join(map(str, number.as_tuple().digits))
    power = number.adjusted()
    if value == 0:
        return f"{minus}0"
    if power < -4 or power >= _EXPONENT_FROM:
        rest = f".{figures[1:]}" if len(figures) > 1 else ""
        return f"{minus}{figures[0]}{rest}e{'-' if power < 0 else '+'}{abs(power):02d}"
    return format(number, "f")


def equal(one: object, other: object) -> bool:
    """Whether two basic values are equal. Raises TemplateError for kinds that can't be compared, as `eq` does."""
    if one is None or other is None:
        return one is other
    if _class(one) != _class(other):
        raise TemplateError(f"{kind_of(one)} and {kind_of(other)} can't be compared")
    return one == other


def less(one: object, other: object) -> bool:
    """Whether one value comes before another. Raises TemplateError unless both are numbers or both are texts."""
    if _class(one) != _class(other) or _class(one) not in ("number", "string"):
        raise TemplateError(f"{kind_of(one)} and {kind_of(other)} have no order")
    return cast(Any, one) < other


def _class(value: object) -> str:
    kind = kind_of(value)
    return "number" if kind in ("int", "float64") else kind
