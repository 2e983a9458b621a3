"""Which blob lies where: index objects, and the index in memory.

In memory the index is a few segments of flat arrays, sorted by id, with a table of bucket starts in front: 48 bytes per blob
and at most 2 for the table, so 50 bytes per blob plus 32 per pack. New blobs gather in a dict and are folded into a segment
before it grows; small segments are merged, so that a look-up visits a handful at most. Readers take no lock.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.repo.blob import BlobKind
from holdfast.repo.crypto import OVERHEAD
from holdfast.repo.errors import Damaged
from holdfast.repo.pack import PackEntry

FOLD_AFTER = 20_000
"""New blobs held in the dict before they are folded into a segment."""

_TREE_BIT = 1 << 31
_U32 = NDArray[np.uint32]


class Location(NamedTuple):
    """Where a sealed blob lies: `raw_length` is 0 when it is not compressed."""

    kind: BlobKind
    pack: bytes
    offset: int
    length: int
    raw_length: int

    @property
    def plain_length(self) -> int:
        """The length of the blob's content."""
        return self.raw_length or self.length - OVERHEAD


class _BlobJson(msgspec.Struct):
    id: str
    type: BlobKind
    offset: int
    length: int
    uncompressed_length: int = 0


class _PackJson(msgspec.Struct):
    id: str
    blobs: list[_BlobJson]


class IndexJson(msgspec.Struct):
    """The JSON of an index object."""

    packs: list[_PackJson] = []
    supersedes: list[str] = []


def encode_index(packs: Iterable[tuple[bytes, Sequence[PackEntry]]]) -> bytes:
    """The JSON of an index object for these packs."""
    parts: list[str] = []
    for pack, entries in packs:
        blobs = ",".join(
            f'{{"id":"{e.id.hex()}","type":"{e.kind}","offset":{e.offset},"length":{e.length}'
            + (f',"uncompressed_length":{e.raw_length}}}' if e.raw_length else "}")
            for e in entries
        )
        parts.append(f'{{"id":"{pack.hex()}","blobs":[{blobs}]}}')
    return f'{{"packs":[{",".join(parts)}]}}'.encode()


def decode_index(data: bytes) -> IndexJson:
    """Read an index object. Raises Damaged."""
    try:
        return msgspec.json.decode(data, type=IndexJson)
    except msgspec.DecodeError as error:
        raise Damaged(f"the index is not readable: {error}") from error


class _Segment:
    """Columns sorted by the first eight bytes of the id; `starts[b]` is the first row of bucket b."""

    __slots__ = ("columns", "ids", "shift", "starts")

    def __init__(self, ids: bytes, columns: _U32) -> None:
        count = len(ids) // 32
        prefixes = np.frombuffer(ids, ">u8").reshape(count, 4)[:, 0].astype(np.uint64)
        order = np.argsort(prefixes, kind="stable")
        self.ids = np.frombuffer(ids, np.uint8).reshape(count, 32)[order].tobytes()
        self.columns = np.ascontiguousarray(columns[:, order])
        bits = max(count // 4, 1).bit_length()
        self.shift = 64 - bits
        buckets = (prefixes[order] >> np.uint64(self.shift)).astype(np.int64)
        self.starts = np.searchsorted(buckets, np.arange((1 << bits) + 1)).astype(np.uint32).data

    def __len__(self) -> int:
        return len(self.ids) // 32

    def find(self, ident: bytes) -> int:
        bucket = int.from_bytes(ident[:8], "big") >> self.shift
        at, end = self.starts[bucket] * 32, self.starts[bucket + 1] * 32
        while True:
            at = self.ids.find(ident, at, end)
            if at < 0:
                return -1
            if at % 32 == 0:
                return at // 32
            at += 1

    @property
    def nbytes(self) -> int:
        return len(self.ids) + self.columns.nbytes + self.starts.nbytes


class BlobIndex:
    """All blobs that are in packs. One thread writes at a time, any may read."""

    def __init__(self) -> None:
        self._packs: list[bytes] = []
        self._pack_numbers: dict[bytes, int] = {}
        self._segments: list[_Segment] = []
        self._new: dict[bytes, Location] = {}

    def __len__(self) -> int:
        return len(self._new) + sum(len(segment) for segment in self._segments)

    def __contains__(self, ident: bytes) -> bool:
        return ident in self._new or any(segment.find(ident) >= 0 for segment in self._segments)

    def find(self, ident: bytes) -> Location | None:
        """Where a blob lies, or None."""
        found = self._new.get(ident)
        if found is not None:
            return found
        for segment in self._segments:
            row = segment.find(ident)
            if row >= 0:
                pack, offset, length, raw_length = (int(value) for value in segment.columns[:, row])
                kind: BlobKind = "tree" if length & _TREE_BIT else "data"
                return Location(kind, self._packs[pack], offset, length & ~_TREE_BIT, raw_length)
        return None

    def add_pack(self, pack: bytes, entries: Sequence[PackEntry]) -> None:
        """Record the blobs of a pack that is stored."""
        self._number(pack)
        for entry in entries:
            self._new[entry.id] = Location(entry.kind, pack, entry.offset, entry.length, entry.raw_length)
        if len(self._new) >= FOLD_AFTER:
            self.fold()

    def load(self, files: Iterable[IndexJson]) -> None:
        """Add index objects, all into one segment."""
        ids: list[bytes] = []
        columns: list[_U32] = []
        for file in files:
            hexes: list[str] = []
            rows: list[tuple[int, int, int, int]] = []
            for pack in file.packs:
                number = self._number(bytes.fromhex(pack.id))
                for blob in pack.blobs:
                    hexes.append(blob.id)
                    length = blob.length | (_TREE_BIT if blob.type == "tree" else 0)
                    rows.append((number, blob.offset, length, blob.uncompressed_length))
            if rows:
                ids.append(bytes.fromhex("".join(hexes)))
                columns.append(np.array(rows, np.uint32).T)
        if ids:
            self._append(_Segment(b"".join(ids), np.concatenate(columns, axis=1)))

    def fold(self) -> None:
        """Move new blobs into a segment. The segment is visible before the dict is emptied."""
        if not self._new:
            return
        new = self._new
        rows = [
            (self._number(at.pack), at.offset, at.length | (_TREE_BIT if at.kind == "tree" else 0), at.raw_length)
            for at in new.values()
        ]
        self._append(_Segment(b"".join(new), np.array(rows, np.uint32).T))
        self._new = {}

    def _append(self, segment: _Segment) -> None:
        segments = [*self._segments, segment]
        while len(segments) > 1 and len(segments[-2]) <= 2 * len(segments[-1]):
            last, before = segments.pop(), segments.pop()
            segments.append(_Segment(before.ids + last.ids, np.concatenate((before.columns, last.columns), axis=1)))
        self._segments = segments

    def _number(self, pack: bytes) -> int:
        number = self._pack_numbers.get(pack)
        if number is None:
            number = self._pack_numbers[pack] = len(self._packs)
            self._packs.append(pack)
        return number

    def packs(self) -> list[bytes]:
        """The ids of all packs that hold a blob."""
        return list(self._packs)

    def by_pack(self) -> Iterator[tuple[bytes, list[PackEntry]]]:
        """Every pack with its blobs in order of offset: for `check`, which wants them all."""
        self.fold()
        held: dict[int, list[PackEntry]] = {}
        for segment in self._segments:
            for row, (pack, offset, length, raw_length) in enumerate(segment.columns.T.tolist()):
                kind: BlobKind = "tree" if length & _TREE_BIT else "data"
                ident = segment.ids[row * 32 : row * 32 + 32]
                held.setdefault(pack, []).append(PackEntry(kind, ident, offset, length & ~_TREE_BIT, raw_length))
        for pack, entries in held.items():
            yield self._packs[pack], sorted(entries, key=lambda entry: entry.offset)

    @property
    def nbytes(self) -> int:
        """Bytes held by the segments."""
        return sum(segment.nbytes for segment in self._segments)


def pack_id(data: bytearray) -> bytes:
    """The id of a pack: the SHA-256 of all of it."""
    return hashlib.sha256(data).digest()
