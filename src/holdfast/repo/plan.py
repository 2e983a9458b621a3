"""Where the blobs of a batch of files lie, and where they go, as tables.

All files of a batch are planned at once with arrays: their blobs are looked up, sorted by place in the packs, and neighbours
are joined to reads. A blob that several files hold is read once. The tables are what both ways of writing (`files`,
`native_files`) work from; the layouts of `PIECES`, `PLACES`, `SPANS` and `PARTS` are those of the structs in `native/files.c`.
"""

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.repo.blob import MAX_BLOB_BYTES
from holdfast.repo.chunker import ZERO_ID
from holdfast.repo.crypto import OVERHEAD
from holdfast.repo.errors import Damaged
from holdfast.repo.gathered import FileTarget, Gathered, Table
from holdfast.repo.index import TREE_BIT, BlobIndex, Location
from holdfast.repo.packreads import Cut, cut_reads

PIECES = np.dtype([(name, "u4") for name in ("offset", "length", "raw_length", "place", "places", "pack")] + [("id", "V32")])
"""A blob in a pack, and the first of its places and their number."""

PLACES = np.dtype([("file", "u4"), ("whole", "u4"), ("offset", "i8")])
"""Where in which file a blob goes, and whether it is all of that file."""

PARTS = np.dtype([("length", "u8"), ("id", "V32")])
"""A blob as it must be found in a file."""

SPANS = np.dtype([("file", "u4"), ("part", "u4"), ("parts", "u4")])
"""The parts of one file: the first and their number."""

Rows = NDArray[np.uint32]
"""Numbers of files of a batch."""

_FOUND = np.dtype([(name, "u4") for name in ("pack", "offset", "length", "raw_length")])
_ZERO = np.frombuffer(ZERO_ID, "V32")[0]


class Read(msgspec.Struct, frozen=True, gc=False):
    """A part of a pack that is read at once, and which pieces are in it."""

    pack: bytes
    start: int
    length: int
    first: int
    last: int
    largest: int
    """The length of the longest blob in it, sealed or plain."""


class Plan:
    """The tables of one batch. `fail` is told of files whose blobs are not all known."""

    def __init__(self, index: BlobIndex, files: Gathered, fail: Callable[[FileTarget, Damaged], None], *, sparse: bool) -> None:
        self.files = files
        counts, ids = files.ids(fail)
        found = _look_up(index, ids)
        plain = np.where(found["raw_length"] > 0, found["raw_length"], found["length"].astype(np.int64) - OVERHEAD)
        owner = np.repeat(np.arange(len(files), dtype=np.uint32), counts)
        stops = np.cumsum(counts)
        starts = stops - counts
        total = np.concatenate(([0], np.cumsum(plain)))
        self.sizes: NDArray[np.int64] = total[stops] - total[starts]
        """The size of each file in bytes, by its blobs."""
        self.parts = _table(PARTS, len(ids), length=plain, id=ids)
        self.spans = _table(SPANS, len(files), file=np.arange(len(files)), part=starts, parts=counts)
        self._refuse(ids, found, plain, owner, fail)
        failed = files.failed()
        holes = (ids == _ZERO) if sparse else np.zeros(len(ids), np.bool_)
        self.hole_bytes = int(plain[holes & ~failed[owner]].sum())
        whole = counts == 1
        whole[owner[holes]] = False
        self.whole: NDArray[np.bool_] = whole
        """Which files are one blob, so that one write fills them."""
        self._sort(ids, found, owner, total[:-1] - total[starts][owner], np.flatnonzero(~holes & ~failed[owner]))
        self.reads = [
            Read(index.pack(pack), cut.start, cut.length, cut.first, cut.last, self._largest(cut)) for pack, cut in self._cut()
        ]

    def _refuse(
        self, ids: Table, found: Table, plain: NDArray[np.int64], owner: Rows, fail: Callable[[FileTarget, Damaged], None]
    ) -> None:
        big = (plain > MAX_BLOB_BYTES) | (found["length"] > MAX_BLOB_BYTES + OVERHEAD) | (plain < 0)
        refused: list[int] = np.flatnonzero(big).tolist()
        for at in refused:
            name = ids[at : at + 1].tobytes().hex()[:12]
            if found["length"][at]:
                why = f"blob {name} claims to hold {plain[at]} bytes: its index entry is damaged"
            else:
                why = f"blob {name} is in no index; run `holdfast repo check`"
            fail(self.files[int(owner[at])], Damaged(why))
        wrong: list[int] = np.flatnonzero(self.files.sizes() != self.sizes).tolist()
        for row in wrong:
            file = self.files[row]
            if not file.failed:
                fail(file, Damaged(f"its blobs hold {self.sizes[row]} bytes, its entry says {file.node.size}"))

    def _sort(self, ids: Table, found: Table, owner: Rows, offsets: NDArray[np.int64], wanted: NDArray[np.int64]) -> None:
        """Fill `pieces` and `places`, by pack and offset; equal blobs lie next to each other and become one piece."""
        order = wanted[np.lexsort((found["offset"][wanted], found["pack"][wanted]))]
        where, names = found[order], ids[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (where[1:] != where[:-1]) | (names[1:] != names[:-1])
        heads = np.flatnonzero(first)
        self.pieces = _table(
            PIECES,
            len(heads),
            place=heads,
            places=np.diff(np.append(heads, len(order))),
            id=names[heads],
            **{name: where[name][heads] for name in ("offset", "length", "raw_length", "pack")},
        )
        rows = owner[order]
        self.places = _table(PLACES, len(order), file=rows, whole=self.whole[rows], offset=offsets[order])

    def _cut(self) -> list[tuple[int, Cut]]:
        packs: list[int] = self.pieces["pack"].tolist()
        cuts = cut_reads(zip(packs, self.pieces["offset"].tolist(), self.pieces["length"].tolist(), strict=True))
        return [(packs[cut.first], cut) for cut in cuts]

    def _largest(self, cut: Cut) -> int:
        pieces = self.pieces[cut.first : cut.last]
        return max(int(pieces["length"].max()), int(pieces["raw_length"].max()))

    def location(self, piece: int, pack: bytes) -> tuple[bytes, Location]:
        """The id of a piece, and where it lies."""
        row = self.pieces[piece]
        return row["id"].tobytes(), Location("data", pack, int(row["offset"]), int(row["length"]), int(row["raw_length"]))

    def places_of(self, read: Read) -> Table:
        """The places of the pieces of a read."""
        begin, last = int(self.pieces["place"][read.first]), self.pieces[read.last - 1]
        return self.places[begin : int(last["place"]) + int(last["places"])]

    def whole_of(self, read: Read) -> Rows:
        """The files that a read fills whole."""
        places = self.places_of(read)
        return places["file"][places["whole"] == 1]


def _table(kind: np.dtype[np.void], size: int, **columns: object) -> Table:
    table = np.zeros(size, kind)
    for name, values in columns.items():
        table[name] = values
    return table


def _look_up(index: BlobIndex, ids: Table) -> Table:
    """Where blobs lie. What is a tree, or nowhere, has length 0."""
    found = np.frombuffer(bytearray(index.find_many(ids.tobytes())), _FOUND)
    found["length"][found["length"] >= TREE_BIT] = 0
    return found
