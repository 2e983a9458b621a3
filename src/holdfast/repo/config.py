"""The `config` object: version, identity, and the polynomial of the stock chunker.

It is sealed JSON, never compressed, even in version 2. We do not cut with the polynomial ourselves; it is drawn as the
format asks (random, irreducible over GF(2), degree 53), so that a stock program can continue a repository of ours.
"""

import secrets

import msgspec

from holdfast.repo.crypto import Key
from holdfast.repo.errors import Damaged, UnsupportedVersion

VERSION = 2
_DEGREE = 53


class Config(msgspec.Struct, frozen=True):
    """The decoded object. `id` is 64 hexadecimal digits, the polynomial hexadecimal."""

    version: int
    id: str
    chunker_polynomial: str


def generate() -> Config:
    """The config of a new repository."""
    return Config(VERSION, secrets.token_hex(32), f"{random_polynomial():x}")


def encode(config: Config, key: Key) -> bytes:
    """Seal a config."""
    return key.seal(msgspec.json.encode(config))


def decode(sealed: bytes, key: Key, location: str) -> Config:
    """Open a config. Raises UnsupportedVersion for anything but version 2, Damaged when it can't be read."""
    try:
        config = msgspec.json.decode(key.open(sealed), type=Config)
    except msgspec.DecodeError as error:
        raise Damaged(f"{location}: config is not readable: {error}") from error
    if config.version != VERSION:
        raise UnsupportedVersion(
            f"{location}: the repository has format version {config.version}, this program writes version {VERSION}: "
            "upgrade it with `restic migrate upgrade_repo_v2`"
        )
    return config


def random_polynomial() -> int:
    """A random irreducible polynomial over GF(2) of degree 53, bit i standing for x^i."""
    while True:
        candidate = secrets.randbits(_DEGREE) | 1 << _DEGREE | 1
        if is_irreducible(candidate):
            return candidate


def is_irreducible(polynomial: int) -> bool:
    """Rabin's test for a polynomial whose degree n is prime: x^(2^n) = x, and x^2 - x shares no factor with it."""
    degree = polynomial.bit_length() - 1
    power = 2
    for _ in range(degree):
        power = _mod(_square(power), polynomial)
    return power == 2 and _gcd(polynomial, 0b110) == 1


def _square(value: int) -> int:
    return int(bin(value)[2:], 4) if value else 0


def _mod(value: int, modulus: int) -> int:
    size = modulus.bit_length()
    while value.bit_length() >= size:
        value ^= modulus << (value.bit_length() - size)
    return value


def _gcd(a: int, b: int) -> int:
    while b:
        a, b = b, _mod(a, b)
    return a
