"""The documented envelope of an encrypted archive: a data key for each, wrapped by a key that people keep.

Both layers are what `openssl enc -aes-256-cbc -pbkdf2 -pass file:KEY` writes and reads: the eight bytes `Salted__`, eight bytes
of salt, then AES-256-CBC with PKCS#7 padding under a key and an initial vector from PBKDF2-HMAC-SHA256 of 10,000 rounds.
OpenSSL takes only the first line of a file as a passphrase, so a data key is one printable line and a key of several is
refused. CBC notices no change by itself; that is what the manifest beside an archive is for (see `manifest`).
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from typing import IO, Final

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from holdfast.movers.context import MoverError

MAGIC: Final = b"Salted__"
ROUNDS: Final = 10_000
BLOCK: Final = 1 << 20
SHORTEST_KEY: Final = 32
"""Characters that the text of a key must have."""


def new_data_key() -> bytes:
    """Draw a data key: 256 random bits as one printable line, without its end."""
    return secrets.token_hex(32).encode()


def read_key(text: bytes, name: str) -> bytes:
    """Return the passphrase that OpenSSL would take from a key's text.

    Raises MoverError when it is shorter than 32 characters or has more than one line.
    """
    line = text.removesuffix(b"\n").removesuffix(b"\r")
    if b"\n" in line or b"\r" in line or b"\0" in line:
        raise MoverError("BadKey", f"key {name} has more than one line, of which OpenSSL would take the first", "use one line")
    length = len(line.decode(errors="replace"))
    if length < SHORTEST_KEY:
        raise MoverError(
            "BadKey", f"key {name} has {length} characters; at least {SHORTEST_KEY} are needed", "use a longer key"
        )
    return line


def _cipher(passphrase: bytes, salt: bytes) -> "Cipher[modes.CBC]":
    derived = hashlib.pbkdf2_hmac("sha256", passphrase, salt, ROUNDS, 48)
    return Cipher(algorithms.AES256(derived[:32]), modes.CBC(derived[32:]))


def encrypted(chunks: Iterable[bytes], passphrase: bytes) -> Iterator[bytes]:
    """Encrypt a stream."""
    salt = secrets.token_bytes(8)
    encryptor, padder = _cipher(passphrase, salt).encryptor(), padding.PKCS7(128).padder()
    yield MAGIC + salt
    for chunk in chunks:
        yield encryptor.update(padder.update(chunk))
    yield encryptor.update(padder.finalize()) + encryptor.finalize()


def decrypted(source: IO[bytes], passphrase: bytes, what: str) -> Iterator[bytes]:
    """Decrypt a stream that `encrypted` or openssl wrote.

    Raises MoverError when it is no such stream or the passphrase is not its own. The last bytes come only when the padding is
    right; without a manifest nothing else tells a wrong passphrase.
    """
    head = source.read(16)
    if len(head) != 16 or not head.startswith(MAGIC):
        raise MoverError("NotEncrypted", f"{what} does not begin as openssl writes it", "name the right file")
    decryptor, unpadder = _cipher(passphrase, head[8:]).decryptor(), padding.PKCS7(128).unpadder()
    try:
        while chunk := source.read(BLOCK):
            yield unpadder.update(decryptor.update(chunk))
        yield unpadder.update(decryptor.finalize()) + unpadder.finalize()
    except ValueError as error:
        raise MoverError("WrongKey", f"{what} can't be decrypted: the key is another one, or the file is damaged") from error
