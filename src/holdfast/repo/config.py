"""The `config` object: version, identity, and the polynomial of the stock chunker.

It is sealed JSON, never compressed, even in version 2. The polynomial is drawn as the format asks (random, irreducible over
GF(2), degree 53), or taken from another repository, so that both cut alike. `holdfast_chunking` is ours, others ignore it.
"""

import os
from typing import Literal

import msgspec

from holdfast.repo import documents
from holdfast.repo.crypto import Key
from holdfast.repo.errors import Damaged, UnsupportedVersion

VERSION = 2
DEGREE = 53


Chunking = Literal["auto", "keyed", "stock"]
"""How to cut: by who wrote the snapshots, by the repository's key, or as the stock program does; see `chunking`."""


class Config(msgspec.Struct, frozen=True, omit_defaults=True):
    """The decoded object. `id` is 64 hexadecimal digits, the polynomial hexadecimal.

    `holdfast_chunking` is how backups cut unless they say otherwise (`keyed` or `stock`); empty, the snapshots decide.
    """

    version: int
    id: str
    chunker_polynomial: str
    holdfast_chunking: str = ""


def generate(like: Config | None = None, chunking: Chunking = "auto") -> Config:
    """The config of a new repository; `like` gives it the polynomial of another one."""
    polynomial = like.chunker_polynomial if like else f"{random_polynomial():x}"
    return Config(VERSION, os.urandom(32).hex(), polynomial, "" if chunking == "auto" else chunking)


def encode(config: Config, key: Key) -> bytes:
    """Seal a config."""
    return key.seal(msgspec.json.encode(config))


_decoder = msgspec.json.Decoder(Config)


def decode(sealed: bytes, key: Key, location: str) -> Config:
    """Open a config. Raises UnsupportedVersion for anything but version 2, Damaged when it can't be read."""
    try:
        config = documents.decode(_decoder, key.open(sealed), "the document")
    except Damaged as error:
        raise Damaged(
            f"{location}: config is damaged, or of another repository than the keys: {error}; restore it from a copy of the "
            "repository"
        ) from error
    if config.version != VERSION:
        raise UnsupportedVersion(
            f"{location}: the repository has format version {config.version}, this program writes version {VERSION}: "
            "upgrade it with `restic migrate upgrade_repo_v2`"
        )
    return config


def random_polynomial() -> int:
    """A random irreducible polynomial over GF(2) of degree 53, bit i standing for x^i."""
    while True:
        candidate = int.from_bytes(os.urandom(8)) % (1 << DEGREE) | 1 << DEGREE | 1
        if is_irreducible(candidate):
            return candidate


def is_irreducible(polynomial: int) -> bool:
    """Rabin's test for a polynomial whose degree n is prime: x^(2^n) = x, and x^2 - x shares no factor with it."""
    degree = polynomial.bit_length() - 1
    power = 2
    for _ in range(degree):
        power = remainder(_square(power), polynomial)
    return power == 2 and _gcd(polynomial, 0b110) == 1


def _square(value: int) -> int:
    return int(bin(value)[2:], 4) if value else 0


def remainder(value: int, modulus: int) -> int:
    """What is left of one polynomial over GF(2) divided by another; bit i stands for x^i."""
    size = modulus.bit_length()
    while value.bit_length() >= size:
        value ^= modulus << (value.bit_length() - size)
    return value


def _gcd(a: int, b: int) -> int:
    while b:
        a, b = b, remainder(a, b)
    return a
