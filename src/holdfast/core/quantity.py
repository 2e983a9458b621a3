"""Amounts of bytes as people and Kubernetes write them: `1.234 MiB` in a status, `10Gi` in a claim."""

import re
from typing import Final

_SUFFIXES: Final = ("KiB", "MiB", "GiB", "TiB")
_BINARY: Final = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}
_DECIMAL: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}
_SMALL: Final = {"m": 10**3, "u": 10**6, "n": 10**9}
_QUANTITY: Final = re.compile(r"\+?(\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d{1,2})|([KMGTPE]i|[kMGTPE]|[mun])?)")


def format_bytes(count: int) -> str:
    """Write a size as KubeStash does: `N B` through 1024, then KiB to TiB with three decimals."""
    if count <= 1024:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, len(_SUFFIXES))
    return f"{count / (1 << 10 * power):.3f} {_SUFFIXES[power - 1]}"


def parse_quantity(text: str) -> float:
    """Read a Kubernetes quantity: `10Gi`, `1.5G`, `1e3`, `500m`. Raises ValueError."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a quantity such as 500m, 64Mi or 10Gi")
    number, exponent, suffix = match.groups()
    if exponent is not None:
        return float(f"{number}e{exponent}")
    if suffix in _SMALL:
        return float(number) / _SMALL[suffix]
    return float(number) * (_BINARY.get(suffix or "") or _DECIMAL[suffix or ""])
