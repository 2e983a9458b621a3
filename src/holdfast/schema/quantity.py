"""Kubernetes quantities, exactly: `500m`, `64Mi`, `1e3` as decimal numbers, and back in the canonical form.

The grammar and the canonical form are those of the API reference ("Quantity"): no fraction where a smaller suffix can avoid it,
the largest suffix that leaves a whole number, and binary suffixes only where the amount was written with one.
"""

import re
from decimal import Decimal
from typing import Final

_NUMBER: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?")
_BINARY: Final = {f"{suffix}i": Decimal(1024) ** (at + 1) for at, suffix in enumerate("KMGTPE")}
_SCALE: Final = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    **{suffix: Decimal(1000) ** (at + 1) for at, suffix in enumerate("kMGTPE")},
    **_BINARY,
}  # fmt: skip
_BINARY_SCALE: Final = {"": Decimal(1), **_BINARY}
_DECIMAL_SCALE: Final = {suffix: scale for suffix, scale in _SCALE.items() if suffix not in _BINARY}


def parse(text: str) -> Decimal:
    """Read a quantity. Raises ValueError when it is none."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no quantity")
    number, exponent, suffix = match.groups()
    return Decimal(number + (exponent or "")) * _SCALE[suffix or ""]


def is_binary(text: str) -> bool:
    """Whether an amount is written with a binary suffix."""
    return text.endswith("i")


def show(amount: Decimal, *, binary: bool = False) -> str:
    """Write a quantity in its canonical form."""
    scales = _BINARY_SCALE if binary and abs(amount) >= 1024 else _DECIMAL_SCALE
    if not amount:
        return "0"
    fitting = [(scale, suffix) for suffix, scale in scales.items() if amount % scale == 0]
    scale, suffix = max(fitting) if fitting else (Decimal("1e-9"), "n")
    return f"{int((amount / scale).to_integral_value())}{suffix}"
