"""Filling packs natively: see `packer` for the calls. Everything but the call itself runs outside the interpreter lock."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from holdfast.repo import native
from holdfast.repo.blob import BlobKind, Sealed
from holdfast.repo.crypto import Key, native_key
from holdfast.repo.errors import SelfCheckFailed
from holdfast.repo.index_native import NativeIndex
from holdfast.repo.packer import Counts, FullPack
from holdfast.repo.store import Buffer

T = TypeVar("T")


class NativePack:
    """A full pack of the native packer."""

    def __init__(self, pack: Any) -> None:
        self.native = pack

    @property
    def blobs(self) -> int:
        """How many blobs it holds."""
        return self.native.count()

    def finish(self) -> tuple[bytes, Buffer]:
        """Append the table of contents."""
        return _guard(self.native.finish), memoryview(self.native)

    def settle(self) -> None:
        """Let the index know; every view of the bytes must be gone."""
        self.native.settle()


class NativePacker:
    """Packs of `pack_bytes` to three quarters of it, with `most_blobs` at most; `dry` counts and keeps nothing."""

    def __init__(self, index: NativeIndex, key: Key, *, pack_bytes: int, most_blobs: int, check: bool, dry: bool) -> None:
        self._module: Any = native.module()
        self._index = index.native
        self.native = self._module.Writer(index.native, native_key(key), pack_bytes, most_blobs, check, dry)

    def save(self, kind: BlobKind, plain: Buffer) -> bytes:
        """Hash, claim, store."""
        return _guard(self.native.save, kind == "tree", plain)

    def claim(self, ident: bytes) -> bool:
        """Claim in the index."""
        return self._index.claim(ident)

    def holds(self, ident: bytes) -> bool:
        """Ask the index."""
        return self._index.holds(ident)

    def store(self, kind: BlobKind, ident: bytes, plain: Buffer) -> None:
        """Compress where that gains, seal, check, and add."""
        _guard(self.native.store, kind == "tree", ident, plain, 0)

    def store_sealed(self, kind: BlobKind, sealed: Sealed) -> None:
        """Add to one of the open packs."""
        _guard(self.native.put, kind == "tree", sealed.id, sealed.data, sealed.raw_length)

    def call(self, action: "Callable[..., T]", *words: Any) -> T:
        """Call something native that stores into this packer, with its errors in our words."""
        return _guard(action, self.native, *words)

    def take(self) -> Sequence[FullPack]:
        """The packs that are full."""
        return [NativePack(pack) for pack in _guard(self.native.take)]

    def close(self) -> Sequence[FullPack]:
        """All packs that are left."""
        return [NativePack(pack) for pack in _guard(self.native.close)]

    def claimed(self) -> int:
        """How many blobs are on their way."""
        return self._index.flying()

    def encode_index(self, packs: Sequence[FullPack]) -> bytes:
        """The JSON of an index object."""
        return self._module.encode_index([pack.native for pack in packs if isinstance(pack, NativePack)])

    def abandon(self) -> None:
        """Make every further call that stores fail."""
        self.native.abandon()

    def counted(self) -> Counts:
        """What went in so far."""
        counts = Counts()
        counts.blobs["data"], counts.blobs["tree"], counts.raw, counts.stored = self.native.counts()
        return counts


def _guard(action: "Callable[..., T]", *words: Any) -> T:
    try:
        return action(*words)
    except ValueError as error:
        raise SelfCheckFailed(f"a blob could not be sealed: {error}; check the memory of this machine") from error
