"""From a password to a key: scrypt, with the parameters that a key file gives.

Every command waits for it, so its lanes run side by side where the native module is: they are independent of each other (RFC
7914, section 6). Each needs its own memory, which bounds how many.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

from holdfast.repo.crypto import Key
from holdfast.repo.errors import Damaged
from holdfast.repo.native import module

MAX_MEMORY = 1 << 30
"""Refuse key files that ask for more memory than this (bytes): they would kill the process, not open the repository."""

MAX_WORK = 1 << 27
"""Refuse key files that ask for more than this (N times r times p): a hundred times the usual, some ten seconds."""

_LANES_MEMORY = 64 << 20
"""Lanes run side by side while they need no more than this together (bytes)."""


def derive(password: str, salt: bytes, n: int, r: int, p: int) -> Key:
    """The key that a password opens (scrypt): raises Damaged for parameters that no sane key file has."""
    needed = 128 * n * r + 128 * r * p
    if min(n - 1, r, p) < 1 or n & (n - 1) or needed > MAX_MEMORY or n * r * p > MAX_WORK:
        raise Damaged(f"scrypt parameters N={n} r={r} p={p} are out of range: the key file is damaged")
    native = module()
    if native is not None:
        raw = _by_lanes(native, password.encode(), salt, n, r, p)
    else:
        raw = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=needed + (1 << 20), dklen=64)
    return Key(raw[:32], raw[32:48], raw[48:])


def _by_lanes(native: ModuleType, password: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    """What `hashlib.scrypt` returns, faster."""
    size = 128 * r
    mixed = hashlib.pbkdf2_hmac("sha256", password, salt, 1, size * p)
    lanes = [mixed[at : at + size] for at in range(0, len(mixed), size)]
    side_by_side = min(p, os.cpu_count() or 1, _LANES_MEMORY // (size * n))

    def mix(lane: bytes) -> bytes:
        return native.scrypt_mix(lane, n, r)

    if side_by_side < 2:
        done = [mix(lane) for lane in lanes]
    else:
        with ThreadPoolExecutor(side_by_side) as pool:
            done = list(pool.map(mix, lanes))
    return hashlib.pbkdf2_hmac("sha256", password, b"".join(done), 1, 64)
