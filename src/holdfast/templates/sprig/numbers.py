"""Sprig's functions on numbers: whole ones of 64 bits, cast from whatever is given; those ending in `f` keep fractions."""

import math
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import reduce
from typing import Any, Final

from holdfast.templates.errors import TemplateError
from holdfast.templates.sprig.arguments import fraction, whole


def _wrapped(value: int) -> int:
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _add(*values: object) -> int:
    return _wrapped(sum(whole(value) for value in values))


def _add1(value: object) -> int:
    return _wrapped(whole(value) + 1)


def _sub(one: object, other: object) -> int:
    return _wrapped(whole(one) - whole(other))


def _mul(first: object, *others: object) -> int:
    return reduce(lambda product, value: _wrapped(product * whole(value)), others, whole(first))


def _div(one: object, other: object) -> int:
    if not whole(other):
        raise TemplateError("division by zero")
    quotient = abs(whole(one)) // abs(whole(other))
    return quotient if (whole(one) < 0) == (whole(other) < 0) else -quotient


def _mod(one: object, other: object) -> int:
    return whole(one) - _div(one, other) * whole(other)


def _max(*values: object) -> int:
    return max((whole(value) for value in values), default=0)


def _min(*values: object) -> int:
    return min((whole(value) for value in values), default=0)


def _floor(value: object) -> float:
    return float(math.floor(fraction(value)))


def _ceil(value: object) -> float:
    return float(math.ceil(fraction(value)))


def _round(value: object, places: int, *_: object) -> float:
    return float(Decimal(repr(fraction(value))).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP))


def _addf(*values: object) -> float:
    return sum(fraction(value) for value in values)


def _mulf(first: object, *others: object) -> float:
    return math.prod((fraction(value) for value in others), start=fraction(first))


def _to_decimal(value: object) -> int:
    try:
        return int(str(value), 8)
    except ValueError:
        return 0


NUMBERS: Final[Mapping[str, Callable[..., Any]]] = {
    "add": _add,
    "add1": _add1,
    "addf": _addf,
    "atoi": whole,
    "biggest": _max,
    "ceil": _ceil,
    "div": _div,
    "float64": fraction,
    "floor": _floor,
    "int": whole,
    "int64": whole,
    "max": _max,
    "min": _min,
    "mod": _mod,
    "mul": _mul,
    "mulf": _mulf,
    "round": _round,
    "sub": _sub,
    "toDecimal": _to_decimal,
}
