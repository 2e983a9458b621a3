"""Kubernetes quantities (`500m`, `1.5Gi`) as numbers, and back for capacity."""

from fractions import Fraction

SUFFIXES = {
    **{"n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1)},
    **{name: Fraction(1000**power) for power, name in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{name: Fraction(1024**power) for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}


def parse(text: str | int | float) -> Fraction:
    """Return the value of a quantity. Raises ValueError that names the text."""
    word = str(text).strip()
    number = word.rstrip("numkMGTPEi")
    suffix = word[len(number) :]
    if suffix.startswith("E") and suffix not in SUFFIXES:
        number, suffix = word, ""
    try:
        return Fraction(number) * SUFFIXES[suffix]
    except (KeyError, ValueError, ZeroDivisionError):
        raise ValueError(f"{word!r} is not a quantity such as 500m, 2 or 1.5Gi") from None


def whole(text: str | int | float) -> int:
    """Return the value rounded up: bytes, or whole CPUs."""
    value = parse(text)
    return -(-value.numerator // value.denominator)
