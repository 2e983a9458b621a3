"""The index in memory, in pure Python and numpy.

A few segments of flat arrays, sorted by id, with a table of bucket starts in front: 48 bytes per blob and at most 2 for the
table, so 50 bytes per blob plus 32 per pack. New blobs gather in a dict and are folded into a segment before it grows; small
segments are merged, so that a look-up visits a handful at most. Readers take no lock.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from holdfast.repo.blob import BlobKind
from holdfast.repo.errors import Damaged
from holdfast.repo.index import TREE_BIT, Location, decode_index
from holdfast.repo.pack import PackEntry

FOLD_AFTER = 20_000
"""New blobs held in the dict before they are folded into a segment."""

_U32 = NDArray[np.uint32]


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


class FlatIndex:
    """See `index.BlobIndex` for the calls."""

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
                kind: BlobKind = "tree" if length & TREE_BIT else "data"
                return Location(kind, self._packs[pack], offset, length & ~TREE_BIT, raw_length)
        return None

    def find_many(self, ids: bytes) -> bytes:
        """See BlobIndex."""
        rows: list[tuple[int, int, int, int]] = []
        for at in range(0, len(ids), 32):
            found = self.find(ids[at : at + 32])
            if found is None:
                rows.append((0, 0, 0, 0))
            else:
                length = found.length | (TREE_BIT if found.kind == "tree" else 0)
                rows.append((self._pack_numbers[found.pack], found.offset, length, found.raw_length))
        return np.array(rows, np.uint32).tobytes()

    def pack(self, number: int) -> bytes:
        """The id of the pack of this number."""
        return self._packs[number]

    def add_pack(self, pack: bytes, entries: Sequence[PackEntry]) -> None:
        """Record the blobs of a pack that is stored."""
        self._number(pack)
        for entry in entries:
            self._new[entry.id] = Location(entry.kind, pack, entry.offset, entry.length, entry.raw_length)
        if len(self._new) >= FOLD_AFTER:
            self.fold()

    def load(self, files: Iterable[bytes]) -> None:
        """Add index objects, all into one segment."""
        ids: list[bytes] = []
        columns: list[_U32] = []
        for file in map(decode_index, files):
            hexes: list[str] = []
            rows: list[tuple[int, int, int, int]] = []
            for pack in file.packs:
                number = self._number(_id(pack.id))
                for blob in pack.blobs:
                    hexes.append(blob.id)
                    length = blob.length | (TREE_BIT if blob.type == "tree" else 0)
                    rows.append((number, blob.offset, length, blob.uncompressed_length))
            if rows:
                ids.append(b"".join(map(_id, hexes)))
                columns.append(np.array(rows, np.uint32).T)
        if ids:
            self._append(_Segment(b"".join(ids), np.concatenate(columns, axis=1)))

    def fold(self) -> None:
        """Move new blobs into a segment. The segment is visible before the dict is emptied."""
        if not self._new:
            return
        new = self._new
        rows = [
            (self._number(at.pack), at.offset, at.length | (TREE_BIT if at.kind == "tree" else 0), at.raw_length)
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
                kind: BlobKind = "tree" if length & TREE_BIT else "data"
                ident = segment.ids[row * 32 : row * 32 + 32]
                held.setdefault(pack, []).append(PackEntry(kind, ident, offset, length & ~TREE_BIT, raw_length))
        for pack, entries in held.items():
            yield self._packs[pack], sorted(entries, key=lambda entry: entry.offset)

    @property
    def nbytes(self) -> int:
        """Bytes held by the segments."""
        return sum(segment.nbytes for segment in self._segments)


def _id(text: str) -> bytes:
    if len(text) != 64:
        raise Damaged(f"the index is not readable: {text!r} is no id")
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise Damaged(f"the index is not readable: {text!r} is no id") from error
