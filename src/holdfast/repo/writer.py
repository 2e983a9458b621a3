"""The writing side of a repository: blobs go in, packs and indexes come out, in the order that keeps it consistent.

Blobs may come from many threads. Each is stored once: known ones are recognised by the index, ones on their way by a set.
Data blobs are spread at random over two open packs whose target sizes are random too, so that the sizes that a store's owner
sees say little about the sizes of chunks. Packs are stored by a few upload threads behind a bound, and an index object is
written when enough packs wait for one, so that an interrupted backup is not in vain. Memory: open packs (2 data, 1 tree) plus
`uploads + 1` finished ones, each of PACK_BYTES and one blob at most.
"""

import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from holdfast.repo.blob import BlobKind, Sealed, blob_id, seal_blob
from holdfast.repo.errors import RepositoryError, SelfCheckFailed
from holdfast.repo.index import encode_index, pack_id
from holdfast.repo.locks import Lock
from holdfast.repo.pack import OpenPack, PackEntry
from holdfast.repo.repository import Repository
from holdfast.repo.store import Buffer, path_of

PACK_BYTES = 16 << 20
MOST_PACK_BLOBS = 40_000
"""Keeps the header of a pack of tiny blobs below two megabytes."""

INDEX_BLOBS = 40_000
INDEX_SECONDS = 300.0
_DATA_PACKS = 2


class BlobWriter:
    """Stores blobs under a held lock. A context manager: leaving it by an exception abandons what is not stored."""

    def __init__(self, repo: Repository, lock: Lock, *, uploads: int = 2, self_check: bool = True) -> None:
        self._repo, self._lock, self._self_check = repo, lock, self_check
        self._index = repo.index
        self._mutex = threading.Lock()
        self._flying: set[bytes] = set()
        self._open: dict[BlobKind, list[OpenPack]] = {"data": [], "tree": []}
        self._random = random.SystemRandom()
        self._pool = ThreadPoolExecutor(uploads, thread_name_prefix="repository-upload")
        self._room = threading.BoundedSemaphore(uploads + 1)
        self._running: set[Future[None]] = set()
        self._failure: BaseException | None = None
        self._unindexed: list[tuple[bytes, list[PackEntry]]] = []
        self._indexed_at = time.monotonic()
        self.blobs: dict[BlobKind, int] = {"data": 0, "tree": 0}
        self.added_raw = 0
        self.added_stored = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self.abandon(error)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def abandon(self, error: BaseException) -> None:
        """Make every further `save` fail with `error`, so that threads that still work come to an end."""
        self._failure = self._failure or error

    def save(self, kind: BlobKind, plain: Buffer) -> bytes:
        """Store a blob unless it is known; returns its id. It is durable after `finish`, not before."""
        ident = blob_id(plain)
        if self.claim(ident):
            self.store(kind, ident, plain)
        return ident

    def claim(self, ident: bytes) -> bool:
        """Whether the blob is neither stored nor on its way; the caller who gets True must `store` it."""
        with self._mutex:
            if ident in self._flying or ident in self._index:
                return False
            self._flying.add(ident)
            return True

    def holds(self, ident: bytes) -> bool:
        """Whether the blob is stored or on its way."""
        with self._mutex:
            return ident in self._flying or ident in self._index

    def store(self, kind: BlobKind, ident: bytes, plain: Buffer) -> None:
        """Seal a claimed blob and put it into a pack."""
        if self._failure is not None:
            raise self._failure
        self.store_sealed(kind, seal_blob(self._repo.key, plain, ident, check=self._self_check))

    def store_sealed(self, kind: BlobKind, sealed: Sealed) -> None:
        """Put a claimed blob that is sealed already, for instance by a copy, into a pack."""
        if self._failure is not None:
            raise self._failure
        with self._mutex:
            self.blobs[kind] += 1
            self.added_raw += sealed.plain_length
            self.added_stored += len(sealed.data)
            pack = self._choose(kind)
            pack.add(sealed)
            if not pack.full and len(pack.entries) < MOST_PACK_BLOBS:
                return
            self._open[kind].remove(pack)
        self._submit(pack)

    def finish(self) -> None:
        """Store all that is open, then the index: every saved blob is durable. More may follow, and another `finish`."""
        with self._mutex:
            rest = [pack for packs in self._open.values() for pack in packs]
            self._open = {"data": [], "tree": []}
        for pack in rest:
            self._submit(pack)
        while True:
            with self._mutex:
                running = list(self._running)
            if not running:
                break
            for future in running:
                future.result()
        if self._failure is not None:
            raise self._failure
        if self._flying:
            raise SelfCheckFailed(f"{len(self._flying)} blobs were claimed and never stored: no snapshot may name them")
        self._write_index(force=True)

    def _choose(self, kind: BlobKind) -> OpenPack:
        packs = self._open[kind]
        if len(packs) < (_DATA_PACKS if kind == "data" else 1):
            target = self._random.randint(PACK_BYTES * 3 // 4, PACK_BYTES)
            packs.append(OpenPack(kind, target))
        return packs[0] if len(packs) == 1 else self._random.choice(packs)

    def _submit(self, pack: OpenPack) -> None:
        self._room.acquire()
        with self._mutex:
            future = self._pool.submit(self._upload, pack)
            self._running.add(future)
        future.add_done_callback(self._uploaded)

    def _uploaded(self, future: "Future[None]") -> None:
        with self._mutex:
            self._running.discard(future)
        self._room.release()

    def _upload(self, pack: OpenPack) -> None:
        if self._failure is not None:
            return
        try:
            data = pack.finish(self._repo.key)
            ident = pack_id(data)
            self._lock.ensure()
            self._repo.store.put(path_of("data", ident.hex()), data)
            with self._mutex:
                self.added_stored += len(data) - sum(entry.length for entry in pack.entries)
                self._index.add_pack(ident, pack.entries)
                self._flying.difference_update(entry.id for entry in pack.entries)
                self._unindexed.append((ident, pack.entries))
            self._write_index(force=False)
        except RepositoryError as error:
            self.abandon(error)
        except Exception as error:
            self.abandon(error)
            raise

    def _write_index(self, *, force: bool) -> None:
        with self._mutex:
            waiting = sum(len(entries) for _, entries in self._unindexed)
            due = waiting >= INDEX_BLOBS or time.monotonic() - self._indexed_at > INDEX_SECONDS
            if not waiting or not (force or due):
                return
            packs, self._unindexed = self._unindexed, []
            self._indexed_at = time.monotonic()
        self._lock.ensure()
        self._repo.put_json("index", encode_index(packs))
