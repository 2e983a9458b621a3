"""Sealing without the native module, by the `cryptography` wheel. `crypto.Key` says what the sealed form is."""

import hmac
import threading

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

from holdfast.repo.store import Buffer

_NONCE_BYTES = _TAG_BYTES = 16


class _Contexts(threading.local):
    """What a thread keeps: making a cipher context costs more than sealing a small file with it."""

    stream: CipherContext | None = None
    block: CipherContext | None = None


class PureKey:
    """A key with the ciphers of each thread; for `crypto.Key` only."""

    def __init__(self, encrypt: bytes, k: bytes, r: bytes) -> None:
        self._encrypt, self._k, self._r = encrypt, k, r
        self._held = _Contexts()

    def __repr__(self) -> str:
        return "PureKey(...)"

    def seal(self, nonce: bytes, plain: Buffer) -> bytes:
        """Encrypt and tag; the nonce is random, and used once."""
        cipher = self._crypt(nonce, plain)
        return b"".join((nonce, cipher, self._tag(nonce, cipher)))

    def open(self, sealed: Buffer) -> bytes:
        """Check the tag in constant time, then decrypt. Raises ValueError."""
        view = memoryview(sealed)
        nonce = bytes(view[:_NONCE_BYTES])
        cipher = view[_NONCE_BYTES:-_TAG_BYTES]
        if not hmac.compare_digest(self._tag(nonce, cipher), view[-_TAG_BYTES:]):
            raise ValueError("the seal does not fit the data: it was changed, or belongs to another repository")
        return self._crypt(nonce, cipher)

    def _tag(self, nonce: bytes, cipher: Buffer) -> bytes:
        block = self._held.block
        if block is None:
            block = self._held.block = Cipher(algorithms.AES(self._k), modes.ECB()).encryptor()
        return Poly1305.generate_tag(self._r + block.update(nonce), cipher)

    def _crypt(self, nonce: bytes, data: Buffer) -> bytes:
        """Encrypt or decrypt: in counter mode the two are one."""
        stream = self._held.stream
        if stream is None:
            stream = self._held.stream = Cipher(algorithms.AES(self._encrypt), modes.CTR(nonce)).encryptor()
        else:
            stream.reset_nonce(nonce)
        return stream.update(data)
