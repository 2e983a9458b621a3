"""Reading ahead of the chunker without copying or allocating per chunk.

A file is read into a buffer as far as a boundary needs; the chunk is handed on as a view of that buffer, and what was read
beyond it moves to the next one. Buffers go back to a small stock when their chunk is stored: fresh memory for every chunk would
cost more in page faults than hashing costs. Chunks longer than a buffer get one of their own.
"""

import threading
from collections.abc import Callable

from holdfast.repo.chunker import MAX_BYTES

BUFFER_BYTES = 2 << 20


class Buffers:
    """The stock; at most `most` wait in it. Safe for threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._mutex = threading.Lock()
        self._stock: list[bytearray] = []

    def take(self, size: int) -> bytearray:
        """A buffer of at least `size` bytes, at most MAX_BYTES, with anything in it."""
        if size > BUFFER_BYTES:
            return bytearray(MAX_BYTES)
        with self._mutex:
            return self._stock.pop() if self._stock else bytearray(BUFFER_BYTES)

    def give(self, buffer: bytearray) -> None:
        """Take a buffer back that nobody looks into any more."""
        with self._mutex:
            if len(buffer) == BUFFER_BYTES and len(self._stock) < self._most:
                self._stock.append(buffer)


class Chunk:
    """Some bytes of a buffer; `free` gives it back, after which `data` is gone."""

    __slots__ = ("_buffer", "_buffers", "data")

    def __init__(self, buffers: Buffers, buffer: bytearray, size: int) -> None:
        self._buffers, self._buffer = buffers, buffer
        self.data = memoryview(buffer)[:size]

    def free(self) -> None:
        """Give the buffer back."""
        self.data.release()
        self._buffers.give(self._buffer)


class Window:
    """A stream seen through a window that slides forward: `fill(room, position)` reads some bytes, none at the end."""

    def __init__(self, fill: Callable[[memoryview, int], int], buffers: Buffers) -> None:
        self._fill, self._buffers = fill, buffers
        self._buffer = buffers.take(0)
        self._held = 0
        self.position = 0

    def peek(self, wanted: int) -> memoryview:
        """Up to `wanted` bytes (at most MAX_BYTES) from the position; fewer only at the end of the file."""
        if wanted > len(self._buffer):
            self._move(0, wanted)
        view = memoryview(self._buffer)
        while self._held < wanted:
            got = self._fill(view[self._held : wanted], self.position + self._held)
            if not got:
                break
            self._held += got
        return view[: min(wanted, self._held)]

    def take(self, size: int) -> Chunk:
        """The first `size` bytes of what was seen; the window moves behind them."""
        chunk = Chunk(self._buffers, self._buffer, size)
        self._move(size, self._held - size)
        self.position += size
        return chunk

    def skip(self, count: int) -> None:
        """Move the position forward without looking."""
        self.position += count
        self._held = 0

    def close(self) -> None:
        """Give the buffer back."""
        self._buffers.give(self._buffer)

    def _move(self, start: int, size: int) -> None:
        """Go on in another buffer with what is held from `start` on."""
        buffer = self._buffers.take(max(size, self._held - start))
        rest = self._held - start
        memoryview(buffer)[:rest] = memoryview(self._buffer)[start : self._held]
        if not start:
            self._buffers.give(self._buffer)
        self._buffer, self._held = buffer, rest
