"""Packs: many sealed blobs in one object, with a sealed table of contents at the end.

`blob || ... || sealed header || length of the header (4 bytes, little-endian)`. The header has one entry per blob: a type
byte, the sealed length, for compressed blobs the plain length, and the id. A pack holds blobs of one kind only.
"""

import struct

import msgspec

from holdfast.repo.blob import BlobKind, Sealed
from holdfast.repo.crypto import OVERHEAD, Key
from holdfast.repo.errors import Damaged

_PLAIN = struct.Struct("<BI32s")
_COMPRESSED = struct.Struct("<BII32s")
_LENGTH = struct.Struct("<I")
LENGTH_BYTES = _LENGTH.size
_TYPES: dict[BlobKind, int] = {"data": 0, "tree": 1}
_KINDS: dict[int, BlobKind] = {0: "data", 1: "tree"}
_COMPRESSED_BIT = 2

MAX_HEADER_BYTES = 64 << 20
"""A longer header than this is damage, not content."""


class PackEntry(msgspec.Struct, frozen=True):
    """Where a blob lies in its pack; `raw_length` is 0 when it is not compressed."""

    kind: BlobKind
    id: bytes
    offset: int
    length: int
    raw_length: int


class OpenPack:
    """A pack that is being filled, in memory. Not safe for threads: the writer holds its lock around it."""

    def __init__(self, kind: BlobKind, target: int) -> None:
        self.kind: BlobKind = kind
        self.target = target
        self.entries: list[PackEntry] = []
        self._buffer = bytearray()

    def add(self, sealed: Sealed) -> None:
        """Append a blob."""
        self.entries.append(PackEntry(self.kind, sealed.id, len(self._buffer), len(sealed.data), sealed.raw_length))
        self._buffer += sealed.data

    @property
    def full(self) -> bool:
        """Whether the target size is reached."""
        return len(self._buffer) >= self.target

    @property
    def size(self) -> int:
        """Bytes so far, with the header once it is finished."""
        return len(self._buffer)

    def forget(self) -> None:
        """Give the bytes back; the entries stay."""
        self._buffer = bytearray()

    def finish(self, key: Key) -> bytearray:
        """Append the header; returns the whole pack."""
        header = key.seal(encode_header(self.entries))
        self._buffer += header
        self._buffer += _LENGTH.pack(len(header))
        return self._buffer


def encode_header(entries: list[PackEntry]) -> bytes:
    """The table of contents, unsealed."""
    parts: list[bytes] = []
    for entry in entries:
        kind = _TYPES[entry.kind]
        if entry.raw_length:
            parts.append(_COMPRESSED.pack(kind | _COMPRESSED_BIT, entry.length, entry.raw_length, entry.id))
        else:
            parts.append(_PLAIN.pack(kind, entry.length, entry.id))
    return b"".join(parts)


def decode_header(header: bytes) -> list[PackEntry]:
    """Read an unsealed table of contents. Raises Damaged."""
    entries: list[PackEntry] = []
    at = offset = 0
    while at < len(header):
        kind = header[at]
        form = _COMPRESSED if kind & _COMPRESSED_BIT else _PLAIN
        if kind > 3 or at + form.size > len(header):
            raise Damaged(f"the table of contents is not readable at byte {at}")
        if kind & _COMPRESSED_BIT:
            _, length, raw_length, ident = _COMPRESSED.unpack_from(header, at)
        else:
            (_, length, ident), raw_length = _PLAIN.unpack_from(header, at), 0
        entries.append(PackEntry(_KINDS[kind & 1], ident, offset, length, raw_length))
        at += form.size
        offset += length
    return entries


def header_start(end: memoryview, size: int) -> int:
    """Where the sealed header of a pack of `size` bytes begins, by its last four bytes. Raises Damaged."""
    if size < LENGTH_BYTES + OVERHEAD:
        raise Damaged(f"it has only {size} bytes")
    (length,) = _LENGTH.unpack(end)
    if not OVERHEAD <= length <= min(size - LENGTH_BYTES, MAX_HEADER_BYTES):
        raise Damaged(f"its header claims {length} bytes")
    return size - LENGTH_BYTES - length


def read_header(sealed: memoryview, start: int, key: Key) -> list[PackEntry]:
    """The entries of a sealed header that begins at `start` of its pack. Raises Damaged."""
    entries = decode_header(key.open(sealed))
    used = sum(entry.length for entry in entries)
    if used != start:
        raise Damaged(f"its header describes {used} bytes of blobs, there are {start}")
    return entries
