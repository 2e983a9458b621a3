"""One blob between its plain form and its sealed form: hash, compress, seal, and back.

These are the hot primitives of the data path. Each works outside the interpreter lock for large inputs and keeps its
codec per thread. The self-check opens every sealed blob again and compares the hash before anything leaves the process:
it costs about a third of a backup's CPU and catches bad memory, and faults of ours, while the source still exists.
"""

import hashlib
import threading
from typing import Literal

import msgspec
import zstandard

from holdfast.repo.crypto import OVERHEAD, Key
from holdfast.repo.errors import Damaged, SelfCheckFailed
from holdfast.repo.store import Buffer

BlobKind = Literal["data", "tree"]

LEVEL = 1
"""zstd level: measured 1% larger than the stock program's default, at two thirds of level 3's time."""

MAX_BLOB_BYTES = 256 << 20
"""No reader of ours allocates more than this for one blob, whatever a damaged index claims."""

_codecs = threading.local()


class Sealed(msgspec.Struct, frozen=True):
    """A sealed blob: `raw_length` is the length before compression, 0 when it is stored uncompressed."""

    id: bytes
    data: Buffer
    raw_length: int

    @property
    def plain_length(self) -> int:
        """The length of the blob's content."""
        return self.raw_length or len(self.data) - OVERHEAD


def blob_id(plain: Buffer) -> bytes:
    """The id of a blob: the SHA-256 of its plain bytes."""
    return hashlib.sha256(plain).digest()


def compress(plain: Buffer) -> bytes:
    """One zstd frame with its content size."""
    codec: zstandard.ZstdCompressor | None = getattr(_codecs, "compressor", None)
    if codec is None:
        codec = _codecs.compressor = zstandard.ZstdCompressor(level=LEVEL)
    return codec.compress(plain)


def decompress(data: Buffer, raw_length: int) -> bytes:
    """The content of a frame, of at most `raw_length` bytes. Raises Damaged."""
    if raw_length > MAX_BLOB_BYTES:
        raise Damaged(f"a blob claims to hold {raw_length} bytes: its index entry is damaged")
    try:
        claimed = zstandard.frame_content_size(data)
    except zstandard.ZstdError as error:
        raise Damaged(f"compressed data can't be read: {error}") from error
    if claimed > raw_length:
        raise Damaged(f"compressed data claims to hold {claimed} bytes where {raw_length} at most were promised")
    codec: zstandard.ZstdDecompressor | None = getattr(_codecs, "decompressor", None)
    if codec is None:
        codec = _codecs.decompressor = zstandard.ZstdDecompressor()
    try:
        return codec.decompress(data, max_output_size=raw_length)
    except zstandard.ZstdError as error:
        raise Damaged(f"compressed data can't be read: {error}") from error


def seal_blob(key: Key, plain: Buffer, ident: bytes, *, check: bool = True) -> Sealed:
    """Compress where that gains, seal, and prove that the result opens to what went in."""
    small = compress(plain)
    raw_length = len(plain)
    gains = len(small) < raw_length
    sealed = Sealed(ident, key.seal(small if gains else plain), raw_length if gains else 0)
    if check:
        _self_check(key, sealed)
    return sealed


def _self_check(key: Key, sealed: Sealed) -> None:
    try:
        opened = open_blob(key, sealed.data, sealed.raw_length)
    except Damaged as error:
        raise SelfCheckFailed(
            f"blob {sealed.id.hex()[:12]} did not open again: {error}; check the memory of this machine"
        ) from error
    if blob_id(opened) != sealed.id:
        raise SelfCheckFailed(f"blob {sealed.id.hex()[:12]} opened to other bytes; check the memory of this machine")


def open_blob(key: Key, data: Buffer, raw_length: int) -> bytes:
    """The plain bytes of a sealed blob. The caller compares the hash with the id it asked for."""
    plain = key.open(data)
    return decompress(plain, raw_length) if raw_length else plain
