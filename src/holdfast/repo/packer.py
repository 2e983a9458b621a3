"""Filling packs with blobs: what the writer needs for it, and the pure form of it.

Data blobs are spread at random over two open packs whose target sizes are random too, so that the sizes that a store's owner
sees say little about the sizes of chunks. Each blob is stored once: known ones are recognised by the index, ones on their way
by a set. The native form is in `packer_native`.
"""

import random
import threading
from collections.abc import Sequence
from typing import Protocol

from holdfast.repo.blob import BlobKind, Sealed, blob_id, compress, seal_blob
from holdfast.repo.crypto import OVERHEAD, Key
from holdfast.repo.index import BlobIndex, encode_index, pack_id
from holdfast.repo.pack import OpenPack
from holdfast.repo.store import Buffer

_DATA_PACKS = 2


class FullPack(Protocol):
    """A pack that nothing is added to any more."""

    @property
    def blobs(self) -> int:
        """How many blobs it holds."""
        ...

    def finish(self) -> tuple[bytes, Buffer]:
        """Append the table of contents; returns its id and its bytes. To be called once."""
        ...

    def settle(self) -> None:
        """It is stored: let the index know, and give its memory back."""
        ...


class Counts:
    """What went in so far, by kind; sizes in bytes, `stored` with all overhead but that of packs under way."""

    def __init__(self) -> None:
        self.blobs: dict[BlobKind, int] = {"data": 0, "tree": 0}
        self.raw = 0
        self.stored = 0


class Packer(Protocol):
    """Safe for threads, but for `close`. Calls raise SelfCheckFailed when a blob did not open to what went in."""

    def save(self, kind: BlobKind, plain: Buffer) -> bytes:
        """Seal a blob into a pack unless it is known; returns its id."""
        ...

    def claim(self, ident: bytes) -> bool:
        """Whether the blob is neither stored nor on its way; the caller who gets True must store it."""
        ...

    def holds(self, ident: bytes) -> bool:
        """Whether the blob is stored or on its way."""
        ...

    def store(self, kind: BlobKind, ident: bytes, plain: Buffer) -> None:
        """Seal a claimed blob into a pack."""
        ...

    def store_sealed(self, kind: BlobKind, sealed: Sealed) -> None:
        """Put a claimed blob that is sealed already into a pack."""
        ...

    def take(self) -> Sequence[FullPack]:
        """The packs that are full; each is given out once."""
        ...

    def close(self) -> Sequence[FullPack]:
        """All packs that are left, full or not."""
        ...

    def claimed(self) -> int:
        """How many blobs are claimed and not in a settled pack."""
        ...

    def encode_index(self, packs: Sequence[FullPack]) -> bytes:
        """The JSON of an index object for settled packs."""
        ...

    def abandon(self) -> None:
        """Make every further call that stores fail."""
        ...

    def counted(self) -> Counts:
        """What went in so far."""
        ...


class PurePack:
    """A full pack of the pure packer."""

    def __init__(self, packer: "PurePacker", pack: OpenPack) -> None:
        self._packer, self.pack, self.id = packer, pack, b""

    @property
    def blobs(self) -> int:
        """How many blobs it holds."""
        return len(self.pack.entries)

    def finish(self) -> tuple[bytes, Buffer]:
        """Append the table of contents."""
        data = self.pack.finish(self._packer.key)
        self.id = pack_id(data)
        return self.id, data

    def settle(self) -> None:
        """Let the index know."""
        self._packer.settle(self)


class PurePacker:
    """Packs of `pack_bytes` to three quarters of it, with `most_blobs` at most; `dry` counts and keeps nothing."""

    def __init__(self, index: BlobIndex, key: Key, *, pack_bytes: int, most_blobs: int, check: bool, dry: bool) -> None:
        self.key = key
        self._index, self._check, self._dry = index, check, dry
        self._pack_bytes, self._most_blobs = pack_bytes, most_blobs
        self._mutex = threading.Lock()
        self._flying: set[bytes] = set()
        self._open: dict[BlobKind, list[OpenPack]] = {"data": [], "tree": []}
        self._full: list[FullPack] = []
        self._random = random.SystemRandom()
        self._counts = Counts()

    def save(self, kind: BlobKind, plain: Buffer) -> bytes:
        """Hash, claim, store."""
        ident = blob_id(plain)
        if self.claim(ident):
            self.store(kind, ident, plain)
        return ident

    def claim(self, ident: bytes) -> bool:
        """Ask index and set, and enter the set."""
        with self._mutex:
            if ident in self._flying or ident in self._index:
                return False
            self._flying.add(ident)
            return True

    def holds(self, ident: bytes) -> bool:
        """Ask index and set."""
        with self._mutex:
            return ident in self._flying or ident in self._index

    def store(self, kind: BlobKind, ident: bytes, plain: Buffer) -> None:
        """Compress where that gains, seal, check, and add."""
        if self._dry:
            self._count(kind, len(plain), min(len(compress(plain)), len(plain)) + OVERHEAD)
        else:
            self.store_sealed(kind, seal_blob(self.key, plain, ident, check=self._check))

    def store_sealed(self, kind: BlobKind, sealed: Sealed) -> None:
        """Add to one of the open packs."""
        self._count(kind, sealed.plain_length, len(sealed.data))
        with self._mutex:
            pack = self._choose(kind)
            pack.add(sealed)
            if pack.full or len(pack.entries) >= self._most_blobs:
                self._open[kind].remove(pack)
                self._full.append(PurePack(self, pack))

    def _count(self, kind: BlobKind, raw: int, stored: int) -> None:
        with self._mutex:
            self._counts.blobs[kind] += 1
            self._counts.raw += raw
            self._counts.stored += stored

    def _choose(self, kind: BlobKind) -> OpenPack:
        packs = self._open[kind]
        if len(packs) < (_DATA_PACKS if kind == "data" else 1):
            packs.append(OpenPack(kind, self._random.randint(self._pack_bytes * 3 // 4, self._pack_bytes)))
        return packs[0] if len(packs) == 1 else self._random.choice(packs)

    def take(self) -> Sequence[FullPack]:
        """The packs that are full."""
        if not self._full:
            return ()
        with self._mutex:
            full, self._full = self._full, []
        return full

    def close(self) -> Sequence[FullPack]:
        """All packs that are left."""
        with self._mutex:
            full = [*self._full, *(PurePack(self, pack) for packs in self._open.values() for pack in packs if pack.entries)]
            self._full, self._open = [], {"data": [], "tree": []}
        return full

    def settle(self, pack: PurePack) -> None:
        """Enter a stored pack into the index."""
        with self._mutex:
            self._counts.stored += pack.pack.size - sum(entry.length for entry in pack.pack.entries)
            self._index.add_pack(pack.id, pack.pack.entries)
            self._flying.difference_update(entry.id for entry in pack.pack.entries)
            pack.pack.forget()

    def claimed(self) -> int:
        """How many blobs are on their way."""
        return len(self._flying)

    def encode_index(self, packs: Sequence[FullPack]) -> bytes:
        """The JSON of an index object."""
        return encode_index([(pack.id, pack.pack.entries) for pack in packs if isinstance(pack, PurePack)])

    def abandon(self) -> None:
        """The writer raises its failure before it calls again: nothing to do."""

    def counted(self) -> Counts:
        """What went in so far."""
        return self._counts
