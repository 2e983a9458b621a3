"""Sealing: AES-256 in counter mode with a Poly1305-AES tag, and scrypt for passwords.

The sealed form is `nonce (16) || ciphertext || tag (16)`. The tag's one-time key is `r || AES(k, nonce)`, as in
Bernstein's paper; `r` is clamped by the Poly1305 implementation itself. Sealing and opening are the two hot primitives
of the data path; both spend their time outside the interpreter lock for large inputs. Keys never show in a repr.
"""

import hashlib
import hmac
import os
import threading

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

from holdfast.repo.errors import Damaged
from holdfast.repo.store import Buffer

NONCE_BYTES = 16
TAG_BYTES = 16
OVERHEAD = NONCE_BYTES + TAG_BYTES
"""How much longer a sealed text is than what is in it."""

SCRYPT_MAX_MEMORY = 1 << 30
"""Refuse key files that ask for more memory than this (bytes): they would kill the process, not open the repository."""


SCRYPT_MAX_WORK = 1 << 27
"""Refuse key files that ask for more than this (N times r times p): a hundred times the usual, some ten seconds."""


class _Contexts(threading.local):
    """What a thread keeps: making a cipher context costs more than sealing a small file with it."""

    stream: CipherContext | None = None
    block: CipherContext | None = None


class Key:
    """A pair of keys: `encrypt` (32 bytes, AES-256) and the tag's `k` and `r` (16 bytes each)."""

    __slots__ = ("_held", "encrypt", "k", "native", "r")

    def __init__(self, encrypt: bytes, k: bytes, r: bytes) -> None:
        if (len(encrypt), len(k), len(r)) != (32, 16, 16):
            raise Damaged("the key has parts of the wrong length: the key file is damaged")
        self.encrypt, self.k, self.r = encrypt, k, r
        self._held = _Contexts()
        self.native: object | None = None
        """The native module's form of the key, once it was asked for (`native.native_key`)."""

    @classmethod
    def generate(cls) -> "Key":
        """A new random key."""
        return cls(os.urandom(32), os.urandom(16), os.urandom(16))

    def __repr__(self) -> str:
        return "Key(...)"

    def _tag(self, nonce: bytes, cipher: Buffer) -> bytes:
        block = self._held.block
        if block is None:
            block = self._held.block = Cipher(algorithms.AES(self.k), modes.ECB()).encryptor()
        return Poly1305.generate_tag(self.r + block.update(nonce), cipher)

    def _crypt(self, nonce: bytes, data: Buffer) -> bytes:
        """Encrypt or decrypt: in counter mode the two are one."""
        stream = self._held.stream
        if stream is None:
            stream = self._held.stream = Cipher(algorithms.AES(self.encrypt), modes.CTR(nonce)).encryptor()
        else:
            stream.reset_nonce(nonce)
        return stream.update(data)

    def seal(self, plain: Buffer) -> bytes:
        """Encrypt and tag."""
        nonce = os.urandom(NONCE_BYTES)
        cipher = self._crypt(nonce, plain)
        return b"".join((nonce, cipher, self._tag(nonce, cipher)))

    def open(self, sealed: Buffer) -> bytes:
        """Check the tag in constant time, then decrypt. Raises Damaged; says nothing about what it found."""
        if len(sealed) < OVERHEAD:
            raise Damaged(f"sealed data of {len(sealed)} bytes is shorter than its own envelope: it was cut short")
        view = memoryview(sealed)
        nonce = bytes(view[:NONCE_BYTES])
        cipher = view[NONCE_BYTES:-TAG_BYTES]
        if not hmac.compare_digest(self._tag(nonce, cipher), view[-TAG_BYTES:]):
            raise Damaged("the seal does not fit the data: it was changed, or belongs to another repository")
        return self._crypt(nonce, cipher)


def derive(password: str, salt: bytes, n: int, r: int, p: int) -> Key:
    """The key that a password opens (scrypt): raises Damaged for parameters that no sane key file has."""
    needed = 128 * n * r + 128 * r * p
    if min(n, r, p) < 1 or n & (n - 1) or needed > SCRYPT_MAX_MEMORY or n * r * p > SCRYPT_MAX_WORK:
        raise Damaged(f"scrypt parameters N={n} r={r} p={p} are out of range: the key file is damaged")
    limit = needed + (1 << 20)
    raw = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=limit, dklen=64)
    return Key(raw[:32], raw[32:48], raw[48:])
