"""How the password of a database is kept in an annotation of its Backup: sealed with `DP_ENCRYPTION_KEY`.

The form is the one that KubeBlocks opens when it makes a cluster again from such a Backup: AES-256 in GCM mode under the key
that HKDF-SHA256 (salt `encryption`) derives from the variable; that key is the additional data as well; nonce and ciphertext in
base64.
"""

import base64
import os
from collections.abc import Callable, Mapping
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VARIABLE: Final = "DP_ENCRYPTION_KEY"
_SALT: Final = b"encryption"
_NONCE: Final = 12


def sealer(environment: Mapping[str, str]) -> Callable[[str], str] | None:
    """Return what seals a password; None without the variable: then no password is kept."""
    given = environment.get(VARIABLE, "")
    if not given:
        return None
    key = HKDF(algorithm=SHA256(), length=32, salt=_SALT, info=b"").derive(given.encode())

    def seal(password: str) -> str:
        nonce = os.urandom(_NONCE)
        return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, password.encode(), key)).decode()

    return seal
