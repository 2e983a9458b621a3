"""Few reads for many blobs: what is wanted is grouped by pack, sorted by offset, and neighbours are fetched together.

A read never exceeds RANGE_BYTES unless a single blob does, so that whoever holds one read at a time knows its memory.
"""

from collections.abc import Iterable, Iterator
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


def plan_reads(wanted: Iterable[tuple[bytes, Location]], most: int = RANGE_BYTES) -> Iterator[PackRead]:
    """The reads that fetch the blobs of `wanted` (id and place of each), packs in the order of their first appearance."""
    packs: dict[bytes, list[tuple[bytes, Location]]] = {}
    for blob in wanted:
        packs.setdefault(blob[1].pack, []).append(blob)
    for pack, blobs in packs.items():
        blobs.sort(key=lambda blob: blob[1].offset)
        run: list[tuple[bytes, Location]] = []
        start = end = 0
        for blob in blobs:
            at = blob[1]
            if run and (at.offset - end > GAP_BYTES or at.offset + at.length - start > most):
                yield PackRead(pack, start, end - start, run)
                run = []
            if not run:
                start = at.offset
                end = 0
            run.append(blob)
            end = max(end, at.offset + at.length)
        yield PackRead(pack, start, end - start, run)
