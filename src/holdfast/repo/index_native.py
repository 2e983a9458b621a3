"""The index in memory, native: rows of 48 bytes found through a hash table, 54 to 58 bytes per blob.

It is also the set of blobs that a running backup has on their way: the native writer claims them here.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from holdfast.repo import native
from holdfast.repo.errors import Damaged
from holdfast.repo.index import Location
from holdfast.repo.pack import PackEntry


class NativeIndex:
    """See `index.BlobIndex` for the calls. `native` is the object of the native module."""

    def __init__(self) -> None:
        module = native.module()
        if module is None:
            raise RuntimeError(f"there is no native index: {native.status()}")
        self.native = module.Index()

    def __len__(self) -> int:
        return self.native.stored()

    def __contains__(self, ident: bytes) -> bool:
        return self.native.contains(ident)

    def find(self, ident: bytes) -> Location | None:
        """Where a blob lies, or None."""
        found = self.native.find(ident)
        return _location(*found) if found else None

    def find_many(self, ids: bytes) -> bytes:
        """See BlobIndex."""
        return self.native.find_many(ids)

    def pack(self, number: int) -> bytes:
        """The id of the pack of this number."""
        return self.native.pack(number)

    def add_pack(self, pack: bytes, entries: Sequence[PackEntry]) -> None:
        """Record the blobs of a pack that is stored."""
        for entry in entries:
            self.native.add(pack, entry.id, entry.offset, entry.length, entry.raw_length, entry.kind == "tree")

    def load(self, files: Iterable[bytes]) -> None:
        """Add index objects, given as JSON. Raises Damaged."""
        try:
            for file in files:
                self.native.load(file)
        except ValueError as error:
            raise Damaged(str(error)) from error

    def packs(self) -> list[bytes]:
        """The ids of all packs that hold a blob."""
        return self.native.packs()

    def by_pack(self) -> Iterator[tuple[bytes, list[PackEntry]]]:
        """Every pack with its blobs in order of offset."""
        rows: Iterator[_Row] = map(self.native.row, array("I", self.native.order()))
        for pack, found in groupby(rows, key=_pack_of):
            yield pack, [_entry(*row) for row in found]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.native.nbytes()


_Place = tuple[bool, bytes, int, int, int]
_Row = tuple[bytes, _Place]


def _location(tree: bool, pack: bytes, offset: int, length: int, raw_length: int) -> Location:
    return Location("tree" if tree else "data", pack, offset, length, raw_length)


def _pack_of(row: _Row) -> bytes:
    return row[1][1]


def _entry(ident: bytes, place: _Place) -> PackEntry:
    tree, _, offset, length, raw_length = place
    return PackEntry("tree" if tree else "data", ident, offset, length, raw_length)
