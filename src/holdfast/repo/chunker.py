"""Content-defined chunking, keyed per repository.

A boundary lies after byte i when two tests agree on the bytes before it. The first is cheap and vectorised: a keyed linear
hash of 16 bytes (window doubling, 16-bit lanes) that one position in 8,192 passes. The second is a keyed BLAKE2b of the 64
bytes before i, which one candidate in 64 passes. Boundaries are therefore a pseudo-random function of content and
key: sizes of chunks tell nothing to who lacks the key. Runs of zeros are cut into pieces of exactly MIN_BYTES, so that
sparse files hold one blob many times, and the stock program restores them sparse. The first MIN_BYTES of a chunk hold no
boundary and are never looked at. `native/chunk.c` does the same.
"""

import hashlib
import struct

from holdfast.repo import native
from holdfast.repo.store import Buffer

MIN_BYTES = 512 * 1024
MAX_BYTES = 8 * 1024 * 1024
WINDOW = 64
"""Bytes before a boundary on which it depends."""

_PASS_SECOND = (1 << 64) // 64

ZEROS = bytes(MIN_BYTES)
ZERO_ID = hashlib.sha256(ZEROS).digest()
"""The id of a chunk of zeros: known, so that holes cost no hashing."""


def is_zero(data: Buffer) -> bool:
    """Whether a piece of MIN_BYTES holds nothing but zeros; mostly answered by its first bytes."""
    return bytes(data[:64]) == ZEROS[:64] and ZEROS.startswith(data)


class Chunker:
    """Cuts for one repository. Stateless after construction: one instance serves all threads."""

    def __init__(self, secret: bytes) -> None:
        stream = hashlib.blake2b(secret, person=b"holdfast-chunker").digest()
        self._key = stream[:32]
        factors = [int.from_bytes(stream[at : at + 2], "little") | 1 for at in (32, 34, 36, 38)]
        shift = int.from_bytes(stream[40:42], "little")
        self._numbers = struct.pack("=5H", *factors, shift)
        module = native.module()
        self._native = module.next_cut if module is not None else None
        if self._native is None:
            from holdfast.repo.chunker_pure import LinearHash

            self._linear = LinearHash(factors, shift)

    def next_cut(self, data: memoryview) -> int:
        """Length of the first chunk of `data`, which must hold MAX_BYTES, or all that is left of the file."""
        if self._native is not None:
            return self._native(data, self._key, self._numbers)
        size = min(len(data), MAX_BYTES)
        if size <= MIN_BYTES or is_zero(data[:MIN_BYTES]):
            return min(size, MIN_BYTES)
        for cut in self._linear.candidates(data, MIN_BYTES, size):
            if self._accepts(data[cut - WINDOW : cut]):
                return cut
        return size

    def _accepts(self, window: Buffer) -> bool:
        digest = hashlib.blake2b(window, digest_size=8, key=self._key).digest()
        return int.from_bytes(digest, "little") < _PASS_SECOND
