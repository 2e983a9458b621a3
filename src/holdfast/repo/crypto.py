"""Sealing: AES-256 in counter mode with a Poly1305-AES tag.

The sealed form is `nonce (16) || ciphertext || tag (16)`. The tag's one-time key is `r || AES(k, nonce)`, as in
Bernstein's paper; `r` is clamped by the Poly1305 implementation itself. The native module does it where it is, else
`crypto_pure`. Keys never show in a repr.
"""

import os
from typing import TYPE_CHECKING, Any

from holdfast.repo.errors import Damaged
from holdfast.repo.native import module
from holdfast.repo.store import Buffer

if TYPE_CHECKING:
    from holdfast.repo.crypto_pure import PureKey

NONCE_BYTES = 16
TAG_BYTES = 16
OVERHEAD = NONCE_BYTES + TAG_BYTES
"""How much longer a sealed text is than what is in it."""


class Key:
    """A pair of keys: `encrypt` (32 bytes, AES-256) and the tag's `k` and `r` (16 bytes each)."""

    __slots__ = ("_twin", "encrypt", "k", "native", "r")

    def __init__(self, encrypt: bytes, k: bytes, r: bytes) -> None:
        if (len(encrypt), len(k), len(r)) != (32, 16, 16):
            raise Damaged("the key has parts of the wrong length: the key file is damaged")
        self.encrypt, self.k, self.r = encrypt, k, r
        self._twin: PureKey | None = None
        self.native: object | None = None
        """The native module's form of the key, once it was asked for (`native_key`)."""

    @classmethod
    def generate(cls) -> "Key":
        """A new random key."""
        return cls(os.urandom(32), os.urandom(16), os.urandom(16))

    def __repr__(self) -> str:
        return "Key(...)"

    def seal(self, plain: Buffer) -> bytes:
        """Encrypt and tag."""
        native = native_key(self)
        return native.seal(plain) if native is not None else self._pure().seal(os.urandom(NONCE_BYTES), plain)

    def open(self, sealed: Buffer) -> bytes:
        """Check the tag in constant time, then decrypt. Raises Damaged; says nothing about what it found."""
        if len(sealed) < OVERHEAD:
            raise Damaged(f"sealed data of {len(sealed)} bytes is shorter than its own envelope: it was cut short")
        native = native_key(self)
        try:
            return native.open(sealed) if native is not None else self._pure().open(sealed)
        except ValueError as error:
            raise Damaged(str(error)) from error

    def _pure(self) -> "PureKey":
        """The same key where there is no native module. Its libraries are slow to import, so they come at need."""
        if self._twin is None:
            from holdfast.repo.crypto_pure import PureKey

            self._twin = PureKey(self.encrypt, self.k, self.r)
        return self._twin


def native_key(key: Key) -> Any:
    """The native twin of a key, made once, or None where the pure path has to do."""
    found = module()
    if found is not None and key.native is None:
        key.native = found.Key(key.encrypt, key.k, key.r)
    return key.native if found is not None else None
