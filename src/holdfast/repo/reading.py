"""From a file to the list of its blobs.

Files below the chunker's minimum are read in one call and never touch it; reading and storing them are two steps, because
many threads may wait for a disk at once, but only one at a time gets anywhere with work for the interpreter. Larger ones
are cut in a reader thread and handed, chunk by chunk, to the sealing pool; the number of chunks on the way is bounded. Holes
are found with SEEK_DATA and cost neither reading nor hashing. What was opened is what is described: metadata comes from the
open file, so that a name swapped during the backup can't mix two files.
"""

import errno
import os
import stat as st
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import NamedTuple, Protocol

from holdfast.repo.chunker import MAX_BYTES, MIN_BYTES, ZERO_ID, ZEROS, is_zero
from holdfast.repo.chunking import Cutter
from holdfast.repo.tree import encode_file, read_xattrs
from holdfast.repo.window import BUFFER_BYTES, Buffers, Chunk, Window
from holdfast.repo.writer import BlobWriter

_READ_BYTES = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def open_source(path: str) -> int:
    """Open for reading without following a link, leaving the access time alone where we may."""
    try:
        return os.open(path, _FLAGS | os.O_NOATIME)
    except PermissionError:
        return os.open(path, _FLAGS)


class Readable(Protocol):
    """What a stream is read by: some bytes, at most as many as asked for, none at the end."""

    def read(self, size: int, /) -> bytes:
        """Waits until there is something."""
        ...


class Loaded(NamedTuple):
    """A small file in memory; `node` is set when it had grown and is stored already."""

    name: str
    path: str
    stat: os.stat_result
    xattrs: str
    data: bytes
    node: str


def open_regular(path: str) -> tuple[int, os.stat_result]:
    """Open a regular file and describe what was opened. Raises OSError, also for what is no regular file any more."""
    handle = open_source(path)
    try:
        stat = os.fstat(handle)
        if st.S_ISREG(stat.st_mode):
            return handle, stat
        raise OSError(errno.EINVAL, "is no regular file any more", path)
    except BaseException:
        os.close(handle)
        raise


class FileReader:
    """Reads files into the writer. Safe for threads; `advance(bytes)` is told what was read."""

    def __init__(
        self,
        writer: BlobWriter,
        chunker: Cutter,
        seal_pool: Executor,
        advance: Callable[[int], None],
        check: Callable[[], None],
        fault: Callable[[str, OSError], None],
        most_chunks: int,
    ) -> None:
        self._writer, self._chunker, self._pool = writer, chunker, seal_pool
        self._advance, self._check, self._fault = advance, check, fault
        self._room = threading.BoundedSemaphore(most_chunks)
        self._most = most_chunks
        self._buffers = Buffers(most_chunks)

    def archive(self, name: str, path: str) -> str:
        """Store a large file's content chunk by chunk on the sealing pool; returns its node. Raises OSError."""
        handle, stat = open_regular(path)
        try:
            return self._stream(name, path, handle, stat, self._submit)
        finally:
            os.close(handle)

    def stream(self, source: "Readable") -> tuple[str, int]:
        """Store all that a stream holds, chunk by chunk; returns the JSON list of its blob ids, and its length."""

        def fill(room: memoryview, _: int) -> int:
            data = source.read(min(len(room), _READ_BYTES))
            room[: len(data)] = data
            return len(data)

        return self._cut(fill, self._submit, lambda _: 0)

    def load(self, name: str, path: str) -> Loaded:
        """Read a small file, which may be done in many threads at once. Raises OSError."""
        handle, stat = open_regular(path)
        try:
            data = os.read(handle, stat.st_size + 1)
            if len(data) != stat.st_size:
                data = _read_on(handle, data)
            if len(data) < MIN_BYTES:
                return Loaded(name, path, stat, self._xattrs(path, handle), data, "")
            return Loaded(name, path, stat, "", b"", self._stream(name, path, handle, stat, self._store_now))
        finally:
            os.close(handle)

    def store(self, loaded: Loaded) -> str:
        """Store what was read of a small file; returns its node."""
        if loaded.node:
            return loaded.node
        data = loaded.data
        ids = f'["{self._writer.save("data", data).hex()}"]' if data else "[]"
        self._advance(len(data))
        return encode_file(loaded.name, loaded.stat, loaded.xattrs, len(data), ids)

    def _xattrs(self, path: str, handle: int) -> str:
        return read_xattrs(handle, lambda error: self._fault(path, error))

    def _stream(self, name: str, path: str, handle: int, stat: os.stat_result, submit: "_Submit") -> str:
        xattrs = self._xattrs(path, handle)
        ids, size = self._large(handle, stat, submit)
        return encode_file(name, stat, xattrs, size, ids)

    def _store_now(self, chunk: Chunk) -> "Future[bytes]":
        """In place of `_submit` where waiting for the pool could mean waiting for oneself."""
        future: Future[bytes] = Future()
        future.set_result(self._store(chunk))
        return future

    def _large(self, handle: int, stat: os.stat_result, submit: "_Submit") -> tuple[str, int]:
        sparse = stat.st_blocks * 512 < stat.st_size

        def fill(room: memoryview, position: int) -> int:
            return os.preadv(handle, [room], position)

        return self._cut(fill, submit, lambda position: _hole(handle, position, stat.st_size) if sparse else 0)

    def _cut(self, fill: Callable[[memoryview, int], int], submit: "_Submit", hole: Callable[[int], int]) -> tuple[str, int]:
        """Cut and store; `hole` tells how many chunks of nothing lie at a position."""
        ids: list[str] = []
        flying: deque[Future[bytes]] = deque()
        window = Window(fill, self._buffers)
        while True:
            self._check()
            if zeros := hole(window.position):
                self._drain(flying, ids, 0)
                ids += [self._zero_chunk()] * zeros
                window.skip(zeros * MIN_BYTES)
                self._advance(zeros * MIN_BYTES)
            size = self._next_size(window)
            if not size:
                break
            flying.append(submit(window.take(size)))
            self._advance(size)
            self._drain(flying, ids, self._most)
        window.close()
        self._drain(flying, ids, 0)
        return "[" + ",".join(ids) + "]", window.position

    def _next_size(self, window: Window) -> int:
        """The size of the next chunk, looking only as far ahead as its boundary needs."""
        wanted = BUFFER_BYTES
        while True:
            data = window.peek(wanted)
            cut = self._chunker.next_cut(data)
            if cut < len(data) or len(data) < wanted or wanted == MAX_BYTES:
                return cut
            wanted = min(wanted * 2, MAX_BYTES)

    def _drain(self, flying: "deque[Future[bytes]]", ids: list[str], most: int) -> None:
        while len(flying) > most:
            ids.append(f'"{flying.popleft().result().hex()}"')

    def _submit(self, chunk: Chunk) -> "Future[bytes]":
        self._room.acquire()
        try:
            future = self._pool.submit(self._store, chunk)
        except BaseException:
            self._room.release()
            raise
        future.add_done_callback(lambda _: self._room.release())
        return future

    def _store(self, chunk: Chunk) -> bytes:
        data = chunk.data
        if len(data) != MIN_BYTES or not is_zero(data):
            ident = self._writer.save("data", data)
        else:
            ident = ZERO_ID
            if self._writer.claim(ident):
                self._writer.store("data", ident, data)
        chunk.free()
        return ident

    def _zero_chunk(self) -> str:
        if self._writer.claim(ZERO_ID):
            self._writer.store("data", ZERO_ID, ZEROS)
        return f'"{ZERO_ID.hex()}"'


_Submit = Callable[[Chunk], "Future[bytes]"]


def _read_on(handle: int, data: bytes) -> bytes:
    """The rest of a file that is not as long as it was, up to the size from which it is cut into chunks."""
    while len(data) < MIN_BYTES:
        more = os.read(handle, MIN_BYTES - len(data))
        if not more:
            break
        data += more
    return data


def _hole(handle: int, start: int, size: int) -> int:
    """How many whole minimum chunks of nothing lie at `start`."""
    try:
        data = os.lseek(handle, start, os.SEEK_DATA)
    except OSError:
        data = size
    return max(data - start, 0) // MIN_BYTES
