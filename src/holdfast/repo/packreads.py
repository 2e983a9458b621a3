"""Few reads for many blobs: what is wanted is grouped by pack, sorted by offset, and neighbours are fetched together.

A read never exceeds RANGE_BYTES unless a single blob does, so that whoever holds one read at a time knows its memory.
"""

from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple

from holdfast.repo.index import Location

RANGE_BYTES = 8 << 20
"""Most bytes of one read, unless a single blob is longer."""

GAP_BYTES = 64 << 10
"""A gap of at most this many bytes between two blobs is read along: cheaper than another request."""


class PackRead(NamedTuple):
    """One range of one pack, in bytes from its beginning, and the blobs to take from it in order of offset."""

    pack: bytes
    start: int
    length: int
    blobs: list[tuple[bytes, Location]]


class Cut(NamedTuple):
    """A read of blobs `first` to before `last` of a list, in bytes from the beginning of their pack."""

    first: int
    last: int
    start: int
    length: int


def cut_reads(blobs: Iterable[tuple[Hashable, int, int]], most: int = RANGE_BYTES) -> Iterator[Cut]:
    """Join neighbours: `blobs` are pack, offset and length of each, sorted by them. Blobs that overlap are read together."""
    pack: Hashable = None
    first = start = end = number = 0
    for number, (own, offset, length) in enumerate(blobs):
        if number > first and (own != pack or offset - end > GAP_BYTES or offset + length - start > most):
            yield Cut(first, number, start, end - start)
            first = number
        if number == first:
            pack, start, end = own, offset, 0
        end = max(end, offset + length)
    if end:
        yield Cut(first, number + 1, start, end - start)


def plan_reads(wanted: Iterable[tuple[bytes, Location]], most: int = RANGE_BYTES) -> Iterator[PackRead]:
    """The reads that fetch the blobs of `wanted` (id and place of each), packs in the order of their first appearance."""
    packs: dict[bytes, list[tuple[bytes, Location]]] = {}
    for blob in wanted:
        packs.setdefault(blob[1].pack, []).append(blob)
    for pack, blobs in packs.items():
        blobs.sort(key=lambda blob: blob[1].offset)
        for cut in cut_reads(((pack, at.offset, at.length) for _, at in blobs), most):
            yield PackRead(pack, cut.start, cut.length, blobs[cut.first : cut.last])
