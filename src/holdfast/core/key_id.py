"""The fingerprint of a passphrase: tells keys apart in names and manifests, and is costly to invert by guessing."""

import hashlib
from typing import Final

_ROUNDS: Final = 200_000
_SALT: Final = b"holdfast key id"


def key_id(passphrase: bytes) -> str:
    """Return 16 hexadecimal digits: PBKDF2-HMAC-SHA256 of 200,000 rounds, cut to 64 bits."""
    return hashlib.pbkdf2_hmac("sha256", passphrase, _SALT, _ROUNDS, 8).hex()
