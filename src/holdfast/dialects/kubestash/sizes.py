"""Sizes as KubeStash's statuses hold them: text with three decimals, which sums have to be read back from."""

from collections.abc import Iterable
from typing import Final

from holdfast.core.quantity import format_bytes

_UNITS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def parse_bytes(value: str) -> int | None:
    """Read `12 B` or `1.234 MiB`, to the precision of the text; None for anything else."""
    count, _, unit = value.partition(" ")
    try:
        return round(float(count) * _UNITS[unit])
    except (KeyError, ValueError):
        return None


def total(values: Iterable[str]) -> str:
    """Sum sizes; empty when one of them is unknown."""
    parsed = [parse_bytes(value) for value in values]
    known = [count for count in parsed if count is not None]
    return format_bytes(sum(known)) if len(known) == len(parsed) else ""
