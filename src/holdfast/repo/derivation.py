"""From a password to a key: scrypt (RFC 7914), with the parameters that a key file gives.

Every command waits for it. The native module mixes two of its lanes at once, three times as fast as the library does.
"""

import hashlib

from holdfast.repo.crypto import Key
from holdfast.repo.errors import Damaged
from holdfast.repo.native import module

MAX_MEMORY = 1 << 30
"""Refuse key files that ask for more memory than this (bytes): they would kill the process, not open the repository."""

MAX_WORK = 1 << 27
"""Refuse key files that ask for more than this (N times r times p): a hundred times the usual, some ten seconds."""


def derive(password: str, salt: bytes, n: int, r: int, p: int) -> Key:
    """The key that a password opens (scrypt): raises Damaged for parameters that no sane key file has."""
    needed = 128 * n * r + 128 * r * p
    if min(n - 1, r, p) < 1 or n & (n - 1) or needed > MAX_MEMORY or n * r * p > MAX_WORK:
        raise Damaged(f"scrypt parameters N={n} r={r} p={p} are out of range: the key file is damaged")
    native = module()
    if native is not None:
        lanes = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1, 128 * r * p)
        raw = hashlib.pbkdf2_hmac("sha256", password.encode(), native.scrypt_mix(lanes, n, r), 1, 64)
    else:
        raw = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=needed + (1 << 20), dklen=64)
    return Key(raw[:32], raw[32:48], raw[48:])
