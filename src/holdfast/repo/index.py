"""Which blob lies where: index objects, and what the index in memory can be asked.

There are two indexes in memory with the same answers: `index_native` (54 to 58 bytes per blob) and `index_flat` (50, in numpy)
for where the native module is not to be had. Both add 32 to 40 bytes per pack.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, NamedTuple, Protocol

import msgspec

from holdfast.repo import native
from holdfast.repo.blob import BlobKind
from holdfast.repo.crypto import OVERHEAD
from holdfast.repo.documents import decode
from holdfast.repo.pack import PackEntry

TREE_BIT = 1 << 31
"""Set in the length of a tree where lengths are kept as 32-bit integers."""


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


_Unsigned = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
_Length = Annotated[int, msgspec.Meta(ge=0, lt=TREE_BIT)]


class _BlobJson(msgspec.Struct):
    id: str
    type: BlobKind
    offset: _Unsigned
    length: _Length
    uncompressed_length: _Unsigned = 0


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


_decoder = msgspec.json.Decoder(IndexJson)


def decode_index(data: bytes) -> IndexJson:
    """Read an index object. Raises Damaged."""
    return decode(_decoder, data, "the index")


class BlobIndex(Protocol):
    """All blobs that are in packs. One thread writes at a time, any may read."""

    def __len__(self) -> int: ...

    def __contains__(self, ident: bytes) -> bool: ...

    def find(self, ident: bytes) -> Location | None:
        """Where a blob lies, or None."""
        ...

    def find_many(self, ids: bytes) -> bytes:
        """Where many blobs lie, of which `ids` holds 32 bytes each.

        For each four 32-bit integers in the machine's order: the number of its pack, its offset, its length (0 where there is
        no such blob, TREE_BIT set for trees), and its raw length.
        """
        ...

    def pack(self, number: int) -> bytes:
        """The id of the pack of this number. Raises IndexError."""
        ...

    def add_pack(self, pack: bytes, entries: Sequence[PackEntry]) -> None:
        """Record the blobs of a pack that is stored."""
        ...

    def load(self, files: Iterable[bytes]) -> None:
        """Add index objects, given as JSON. Raises Damaged."""
        ...

    def packs(self) -> list[bytes]:
        """The ids of all packs that hold a blob."""
        ...

    def by_pack(self) -> Iterator[tuple[bytes, list[PackEntry]]]:
        """Every pack with its blobs in order of offset: for `check`, which wants them all."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        ...


def new_index() -> BlobIndex:
    """An empty index: native where that is to be had."""
    if native.module() is not None:
        from holdfast.repo.index_native import NativeIndex

        return NativeIndex()
    from holdfast.repo.index_flat import FlatIndex

    return FlatIndex()


def pack_id(data: bytearray) -> bytes:
    """The id of a pack: the SHA-256 of all of it."""
    return hashlib.sha256(data).digest()
