"""Which packs a check reads: all, a part of n, a percentage, or a budget of bytes.

`n/m` (say `2/7`) takes the n-th of m groups; a pack's group comes from the first byte of its id, as with the stock program, so
that m checks in a row read everything once. `5%` and `500M` draw packs at random, at least one; a seed makes the draw
repeatable.
"""

import random
import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from holdfast.repo.errors import BadRequest

_GROUP = re.compile(r"(\d+)/(\d+)", re.ASCII)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%", re.ASCII)
_BYTES = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)", re.ASCII)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
MOST_GROUPS = 256


class Subset(msgspec.Struct, frozen=True):
    """What to read: for `group` the numbers n and m, for `percent` p and 0, for `bytes` the budget and 0."""

    kind: Literal["all", "group", "percent", "bytes"]
    value: float = 0
    of: int = 0

    def choose(self, packs: Mapping[bytes, int], seed: int | None = None) -> set[bytes]:
        """The packs to read, of all with their sizes in bytes."""
        if self.kind == "all":
            return set(packs)
        if self.kind == "group":
            return {pack for pack in packs if pack[0] % self.of == self.value - 1}
        drawn = sorted(packs)
        random.Random(seed).shuffle(drawn)
        if self.kind == "percent":
            return set(drawn[: max(int(len(drawn) * self.value / 100), 1)])
        chosen: set[bytes] = set()
        left = self.value
        for pack in drawn:
            if packs[pack] <= left or not chosen:
                chosen.add(pack)
                left -= packs[pack]
        return chosen


ALL = Subset("all")


def parse_subset(text: str) -> Subset:
    """Read `n/m`, `p%` or a number of bytes with an optional unit K, M, G or T (of 1024). Raises BadRequest."""
    if match := _GROUP.fullmatch(text):
        number, groups = int(match[1]), int(match[2])
        if 1 <= number <= groups <= MOST_GROUPS:
            return Subset("group", number, groups)
    elif match := _PERCENT.fullmatch(text):
        if 0 < float(match[1]) <= 100:
            return Subset("percent", float(match[1]))
    elif (match := _BYTES.fullmatch(text.upper())) and float(match[1]) > 0:
        return Subset("bytes", float(match[1]) * _UNITS[match[2]])
    raise BadRequest(
        f"{text!r} does not say what to read: write n/m with n from 1 to m and m up to {MOST_GROUPS}, "
        "a percentage above 0% and up to 100%, or a size such as 500M"
    )
