"""Carrying blobs from one repository to another, without a disk between them.

Trees are walked in batches from the root, so that their reads can be grouped by pack as well; a tree is sealed for the target
from the bytes that were read to walk it. Data blobs that the target lacks are gathered and fetched in ranges of packs. Every
blob is opened and compared with its id on the way. Whether the target has a blob is asked of its index only: a tree that is
there says nothing about what is below it, since a copy may have been killed between the two.

Memory: for each worker a range of 4 MiB and the same again sealed; the places of BATCH_BLOBS blobs; the ids of the trees
that were seen (about 120 bytes for each folder of all snapshots); and the packs that the target's writer holds.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import msgspec

from holdfast.repo.blob import MAX_BLOB_BYTES, BlobKind
from holdfast.repo.crypto import OVERHEAD
from holdfast.repo.documents import decode, parse_id
from holdfast.repo.errors import Damaged, ObjectNotFound
from holdfast.repo.gate import Gate
from holdfast.repo.index import Location
from holdfast.repo.packreads import PackRead, plan_reads
from holdfast.repo.repository import Repository
from holdfast.repo.reseal import reseal
from holdfast.repo.writer import BlobWriter

BATCH_BLOBS = 32_768
"""Data blobs that are gathered before their packs are read."""

_BATCH_TREES = 1024
_BATCH_TREE_BYTES = 16 << 20
_TREE_READ_BYTES = 1 << 20
_DATA_READ_BYTES = 4 << 20
"""Less than a restore reads at once: a copy holds each range twice."""

_SMALL_BLOB = 64 << 10
"""Blobs below this size on average go through the gate: they are work for the interpreter."""


class _Entry(msgspec.Struct, frozen=True):
    """What the walk needs of an entry of a folder."""

    content: list[str] | None = None
    subtree: str | None = None


class _Tree(msgspec.Struct, frozen=True):
    nodes: list[_Entry] | None


_decoder = msgspec.json.Decoder(_Tree)


class Moved(msgspec.Struct):
    """What was carried so far: blobs and their stored bytes as read from the source; `trees` were walked."""

    blobs: int = 0
    bytes: int = 0
    trees: int = 0
    wanted_blobs: int = 0
    wanted_bytes: int = 0


class Transfer:
    """Carries the trees of snapshots through `writer`, or only counts them when it is None. A context manager: leaving it ends
    its threads. `pause` is called between reads, from the calling thread: it may raise to end the transfer.
    """

    def __init__(
        self,
        source: Repository,
        target: Repository,
        writer: BlobWriter | None,
        *,
        workers: int,
        self_check: bool,
        pause: Callable[[], None],
    ) -> None:
        self._source, self._target, self._writer = source, target, writer
        self._self_check, self._pause = self_check, pause
        count = workers or max(4, os.cpu_count() or 4)
        self._most = 2 * count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="repository-copy")
        self._gate = Gate(count)
        self._counting = threading.Lock()
        self._seen: set[bytes] = set()
        self._wanted: dict[bytes, Location] = {}
        self.moved = Moved()

    def __enter__(self) -> "Transfer":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def tree(self, root: bytes) -> None:
        """Carry everything that a root tree reaches. It is durable after the writer's `finish`, not before.

        Raises Damaged when the source lacks a blob or holds other bytes than its id says; other trees can still be carried.
        """
        try:
            self._walk(root)
            self._carry_wanted()
        except BaseException:
            self._seen.clear()
            self._wanted.clear()
            raise

    def _walk(self, root: bytes) -> None:
        stack = [] if root in self._seen else [root]
        self._seen.add(root)
        while stack:
            batch, stack = self._cut(stack)
            with contextlib.closing(self._run(plan_reads(batch, _TREE_READ_BYTES), self._fetch_trees)) as found:
                for plain in (plain for trees in found for plain in trees):
                    self._follow(plain, stack)

    def _cut(self, stack: list[bytes]) -> tuple[list[tuple[bytes, Location]], list[bytes]]:
        """Take trees from the end of the stack, as many as one batch may hold."""
        batch: list[tuple[bytes, Location]] = []
        size = 0
        while stack and len(batch) < _BATCH_TREES and size < _BATCH_TREE_BYTES:
            ident = stack.pop()
            at = self._locate(ident)
            size += at.plain_length
            batch.append((ident, at))
        batch.reverse()
        return batch, stack

    def _locate(self, ident: bytes) -> Location:
        at = self._source.index.find(ident)
        if at is None:
            raise Damaged(f"{self._source.store.location}: blob {ident.hex()[:12]} is in no index; check the repository")
        if at.length > MAX_BLOB_BYTES + OVERHEAD or at.raw_length > MAX_BLOB_BYTES:
            claim = f"blob {ident.hex()[:12]} claims {max(at.length, at.raw_length)} bytes"
            raise Damaged(f"{self._source.store.location}: {claim}: its index entry is damaged; check the repository")
        return at

    def _follow(self, plain: bytes, stack: list[bytes]) -> None:
        """Note what a tree names: trees that were not seen, and data blobs that the target lacks."""
        self.moved.trees += 1
        for node in decode(_decoder, plain, f"{self._source.store.location}: a tree").nodes or ():
            if node.subtree:
                child = parse_id(node.subtree)
                if child not in self._seen:
                    self._seen.add(child)
                    stack.append(child)
            for text in node.content or ():
                self._want(parse_id(text))

    def _want(self, ident: bytes) -> None:
        if ident in self._wanted or self._has(ident):
            return
        at = self._wanted[ident] = self._locate(ident)
        self._count_wanted(at)
        if len(self._wanted) >= BATCH_BLOBS:
            self._carry_wanted()

    def _has(self, ident: bytes) -> bool:
        return self._writer.holds(ident) if self._writer else ident in self._target.index

    def _count_wanted(self, at: Location) -> None:
        self.moved.wanted_blobs += 1
        self.moved.wanted_bytes += at.length

    def _carry_wanted(self) -> None:
        if self._writer is not None:
            with contextlib.closing(self._run(plan_reads(self._wanted.items(), _DATA_READ_BYTES), self._fetch_data)) as done:
                for _ in done:
                    pass
        self._wanted.clear()

    def _run(self, reads: Iterable[PackRead], fetch: Callable[[PackRead], list[bytes]]) -> Generator[list[bytes]]:
        """Do reads in threads, a bounded number at a time; yields their results in order. What fails ends the others."""
        flying: deque[Future[list[bytes]]] = deque()
        try:
            for read in reads:
                flying.append(self._pool.submit(fetch, read))
                while len(flying) >= self._most:
                    yield self._result(flying.popleft())
            while flying:
                yield self._result(flying.popleft())
        finally:
            for future in flying:
                future.cancel()
            wait(flying)

    def _result(self, future: "Future[list[bytes]]") -> list[bytes]:
        while not wait([future], timeout=0.5).done:
            self._pause()
        self._pause()
        return future.result()

    def _fetch_trees(self, read: PackRead) -> list[bytes]:
        data = self._read(read)
        lacking = [blob for blob in read.blobs if not self._has(blob[0])]
        with self._counting:
            for _, at in lacking:
                self._count_wanted(at)
        self._carry("tree", read, data, lacking)
        return [self._source.open_blob(ident, at, data[at.offset - read.start :][: at.length]) for ident, at in read.blobs]

    def _fetch_data(self, read: PackRead) -> list[bytes]:
        self._carry("data", read, self._read(read), read.blobs)
        return []

    def _read(self, read: PackRead) -> memoryview:
        pack = read.pack.hex()
        try:
            return memoryview(self._source.read_pack(read.pack, read.start, read.length))
        except ObjectNotFound as error:
            raise Damaged(f"{self._source.store.location}: pack {pack[:12]} is missing; check the repository") from error

    def _carry(self, kind: BlobKind, read: PackRead, data: memoryview, blobs: list[tuple[bytes, Location]]) -> None:
        """Seal the blobs of a read for the target, and hand each to the writer unless somebody was faster."""
        writer = self._writer
        if writer is None or not blobs:
            return
        keys = self._source.key, self._target.key
        small = read.length < len(read.blobs) * _SMALL_BLOB
        with self._gate if small else contextlib.nullcontext():
            try:
                made = list(reseal(*keys, data, read.start, blobs, check=self._self_check))
            except Damaged as error:
                raise Damaged(f"{self._source.store.location}: {error}") from error
            for sealed, (ident, at) in zip(made, blobs, strict=True):
                if writer.claim(ident):
                    writer.store_sealed(kind, sealed)
                    with self._counting:
                        self.moved.blobs += 1
                        self.moved.bytes += at.length
