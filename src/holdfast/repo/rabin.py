"""Cutting as the stock program does, for repositories that it writes to as well.

The rule of the published format: a Rabin fingerprint (Rabin, 1981) of the last 64 bytes, modulo the irreducible polynomial of
degree 53 in the repository's config; a chunk ends where the fingerprint's lowest 20 bits are zero, but not before 512 KiB and
at 8 MiB at the latest. Equal content so becomes equal blobs whoever stored it. At most 7.5 MiB of a chunk are looked at.

Two tables of 256 numbers do the arithmetic. With x^k standing for a shift by k bits: `reduce[b]` is b*x^53 plus its
remainder, which clears the eight bits that a shift pushed over the top; `leave[b]` is the remainder of b*x^512, which takes
away the byte that leaves the window. The native module walks several stretches of the data at once to keep the processor busy;
the pure path does the same with numpy over many more, about thirty times slower.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from holdfast.repo import native
from holdfast.repo.chunker import MAX_BYTES, MIN_BYTES, WINDOW
from holdfast.repo.config import DEGREE, is_irreducible, remainder
from holdfast.repo.errors import Damaged

_SPLIT_MASK = np.uint32((1 << 20) - 1)
_TOP_SHIFT = np.uint64(DEGREE - 8)
_BYTE = np.uint64(8)
_STRETCH = 256
_STRETCHES = 1024

_U64 = NDArray[np.uint64]


class RabinChunker:
    """Cuts with the polynomial of one repository, in hexadecimal. Stateless: one instance serves all threads.

    Raises Damaged for a polynomial with which the rule does not work.
    """

    def __init__(self, polynomial: str) -> None:
        self._tables = _tables(_parse(polynomial))
        self._bytes = self._tables.tobytes()
        module = native.module()
        self._native = module.rabin_cut if module is not None else None

    def next_cut(self, data: memoryview) -> int:
        """Length of the first chunk of `data`, which must hold MAX_BYTES, or all that is left of the file."""
        if self._native is not None:
            return self._native(self._bytes, data)
        size = min(len(data), MAX_BYTES)
        if size <= MIN_BYTES:
            return size
        at = MIN_BYTES - 1
        while at < size:
            end = min(at + _STRETCH * _STRETCHES, size)
            found = self._search(np.frombuffer(data[at - WINDOW : end], np.uint8))
            if found:
                return at + found
            at = end
        return size

    def _search(self, data: NDArray[np.uint8]) -> int:
        """The first boundary after the 64 bytes in front of `data`, counted from there; 0 when there is none."""
        count = len(data) - WINDOW
        lanes = -(-count // _STRETCH)
        padded = np.zeros(WINDOW + lanes * _STRETCH, np.uint8)
        padded[: len(data)] = data
        reduce: _U64 = self._tables[0]
        leave: _U64 = self._tables[1]
        steps = np.ascontiguousarray((padded[WINDOW:] ^ leave[padded[:-WINDOW]]).reshape(lanes, _STRETCH).T)
        digest = self._start(padded, lanes)
        low = np.empty((_STRETCH, lanes), np.uint32)
        for number in range(_STRETCH):
            digest = _append(digest, steps[number], reduce)
            low[number] = digest
        hits = np.flatnonzero((low & _SPLIT_MASK).T.reshape(-1) == 0)
        return int(hits[0]) + 1 if len(hits) and hits[0] < count else 0

    def _start(self, padded: NDArray[np.uint8], lanes: int) -> _U64:
        """The fingerprints of the windows in front of all stretches."""
        windows = np.lib.stride_tricks.as_strided(padded, (lanes, WINDOW), (_STRETCH, 1), writeable=False)
        steps = np.ascontiguousarray(windows.T, np.uint64)
        digest = np.zeros(lanes, np.uint64)
        for number in range(WINDOW):
            digest = _append(digest, steps[number], self._tables[0])
        return digest


def _append(digest: _U64, step: _U64, reduce: _U64) -> _U64:
    return (digest << _BYTE) ^ reduce[digest >> _TOP_SHIFT] ^ step


def _parse(text: str) -> int:
    try:
        polynomial = int(text, 16)
    except ValueError:
        polynomial = 0
    if polynomial.bit_length() - 1 != DEGREE or not is_irreducible(polynomial):
        raise Damaged(f"the chunker polynomial of the repository's config is not irreducible and of degree {DEGREE}")
    return polynomial


@functools.lru_cache(maxsize=8)
def _tables(polynomial: int) -> _U64:
    """`reduce` and `leave`, two rows of 256."""
    reduce = [byte << DEGREE | remainder(byte << DEGREE, polynomial) for byte in range(256)]
    leave = [remainder(byte << 8 * WINDOW, polynomial) for byte in range(256)]
    tables = np.array([reduce, leave], np.uint64)
    tables.flags.writeable = False
    return tables
