"""The writing side of a repository: blobs go in, packs and indexes come out, in the order that keeps it consistent.

Blobs may come from many threads; a packer seals them into packs. Packs are stored by a few upload threads behind a bound, and
an index object is written when enough blobs wait for one, so that an interrupted backup is not in vain. Memory: open packs (2
data, 1 tree) plus `uploads` finished ones and one per thread that waits to hand over, each of PACK_BYTES and one blob at most.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from holdfast.repo import native
from holdfast.repo.blob import BlobKind, Sealed
from holdfast.repo.errors import RepositoryError, SelfCheckFailed, Stopped
from holdfast.repo.index_native import NativeIndex
from holdfast.repo.locks import Lock
from holdfast.repo.packer import FullPack, Packer, PurePacker
from holdfast.repo.repository import Repository
from holdfast.repo.store import Buffer, path_of

T = TypeVar("T")

PACK_BYTES = 16 << 20
MOST_PACK_BLOBS = 40_000
"""Keeps the header of a pack of tiny blobs below two megabytes."""

INDEX_BLOBS = 40_000
INDEX_SECONDS = 300.0


class BlobWriter:
    """Stores blobs under a held lock. A context manager: leaving it by an exception abandons what is not stored.

    Leaving it by Stopped writes the index of what is.
    With `dry_run` blobs are counted and nothing is stored; no lock is needed then.
    """

    def __init__(
        self, repo: Repository, lock: Lock | None, *, uploads: int = 2, self_check: bool = True, dry_run: bool = False
    ) -> None:
        self._repo, self._lock = repo, lock
        self.packer: Packer = _packer(repo, check=self_check, dry=dry_run)
        self._mutex = threading.Lock()
        self._pool = ThreadPoolExecutor(uploads, thread_name_prefix="repository-upload")
        self._room = threading.BoundedSemaphore(uploads)
        self._running: set[Future[None]] = set()
        self._failure: BaseException | None = None
        self._unindexed: list[FullPack] = []
        self._indexed_at = time.monotonic()
        self._dry = dry_run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self.abandon(error)
        self._pool.shutdown(wait=True, cancel_futures=True)
        if isinstance(error, Stopped):  # what is stored by now spares the next run its upload
            with contextlib.suppress(RepositoryError):
                self._write_index(force=True)

    def abandon(self, error: BaseException) -> None:
        """Make every further `save` fail with `error`, so that threads that still work come to an end."""
        self._failure = self._failure or error
        self.packer.abandon()

    @property
    def blobs(self) -> dict[BlobKind, int]:
        """How many blobs were new, by kind."""
        return self.packer.counted().blobs

    @property
    def added_raw(self) -> int:
        """Bytes of new blobs before compression."""
        return self.packer.counted().raw

    @property
    def added_stored(self) -> int:
        """Bytes of new blobs as stored, with all overhead."""
        return self.packer.counted().stored

    def save(self, kind: BlobKind, plain: Buffer) -> bytes:
        """Store a blob unless it is known; returns its id. It is durable after `finish`, not before."""
        self.check()
        ident = self._fill(lambda: self.packer.save(kind, plain))
        self.hand_over()
        return ident

    def claim(self, ident: bytes) -> bool:
        """Whether the blob is neither stored nor on its way; the caller who gets True must `store` it."""
        return self.packer.claim(ident)

    def holds(self, ident: bytes) -> bool:
        """Whether the blob is stored or on its way."""
        return self.packer.holds(ident)

    def store(self, kind: BlobKind, ident: bytes, plain: Buffer) -> None:
        """Seal a claimed blob and put it into a pack."""
        self.check()
        self._fill(lambda: self.packer.store(kind, ident, plain))
        self.hand_over()

    def store_sealed(self, kind: BlobKind, sealed: Sealed) -> None:
        """Put a claimed blob that is sealed already, for instance by a copy, into a pack."""
        self.check()
        self._fill(lambda: self.packer.store_sealed(kind, sealed))
        self.hand_over()

    def _fill(self, action: Callable[[], T]) -> T:
        """Work of the packer. What it says once the writer has failed is an echo of that failure, which is raised instead."""
        try:
            return action()
        except SelfCheckFailed:
            self.check()
            raise

    def check(self) -> None:
        """Raise what made the writer fail."""
        if self._failure is not None:
            raise self._failure

    def hand_over(self) -> None:
        """Pass full packs on to be stored; waits while enough of them are."""
        for pack in self.packer.take():
            self._submit(pack)

    def finish(self) -> None:
        """Store all that is open, then the index: every saved blob is durable. More may follow, and another `finish`."""
        if self._dry:
            return
        self.check()
        for pack in self.packer.close():
            self._submit(pack)
        while True:
            with self._mutex:
                running = list(self._running)
            if not running:
                break
            for future in running:
                future.result()
        self.check()
        if missing := self.packer.claimed():
            raise SelfCheckFailed(f"{missing} blobs were claimed and never stored: no snapshot may name them")
        self._write_index(force=True)

    def _submit(self, pack: FullPack) -> None:
        self._room.acquire()
        with self._mutex:
            future = self._pool.submit(self._upload, pack)
            self._running.add(future)
        future.add_done_callback(self._uploaded)

    def _uploaded(self, future: "Future[None]") -> None:
        with self._mutex:
            self._running.discard(future)
        self._room.release()

    def _upload(self, pack: FullPack) -> None:
        if self._failure is not None:
            return
        try:
            self._put(pack)
            pack.settle()
            with self._mutex:
                self._unindexed.append(pack)
            self._write_index(force=False)
        except RepositoryError as error:
            self.abandon(error)
        except Exception as error:
            self.abandon(error)
            raise

    def _put(self, pack: FullPack) -> None:
        ident, data = pack.finish()
        self._ensure()
        self._repo.store.put(path_of("data", ident.hex()), data)

    def _ensure(self) -> None:
        if self._lock is not None:
            self._lock.ensure()

    def _write_index(self, *, force: bool) -> None:
        with self._mutex:
            waiting = sum(pack.blobs for pack in self._unindexed)
            due = waiting >= INDEX_BLOBS or time.monotonic() - self._indexed_at > INDEX_SECONDS
            if not waiting or not (force or due):
                return
            packs, self._unindexed = self._unindexed, []
            self._indexed_at = time.monotonic()
        self._ensure()
        self._repo.put_json("index", self.packer.encode_index(packs))


def _packer(repo: Repository, *, check: bool, dry: bool) -> Packer:
    index = repo.index
    if native.module() is not None and isinstance(index, NativeIndex):
        from holdfast.repo.packer_native import NativePacker

        return NativePacker(index, repo.key, pack_bytes=PACK_BYTES, most_blobs=MOST_PACK_BLOBS, check=check, dry=dry)
    return PurePacker(index, repo.key, pack_bytes=PACK_BYTES, most_blobs=MOST_PACK_BLOBS, check=check, dry=dry)
