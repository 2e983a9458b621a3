"""Streams that are compressed or sealed on their way, block by block.

Compression: the families zstd, gzip (pgzip writes the same format) and deflate in their levels, and lz4 where its library is
installed. Encryption: AES in CFB mode with a key from HKDF-SHA256(pass phrase, salt `encryption`), after a random block of 16
bytes. That mode finds no forgery: it keeps secrets, it does not prove who wrote them. Names and formats are those of
KubeBlocks' own program, so each reads what the other wrote.
"""

import os
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import zstandard

from holdfast.movers.datasafed import lz4
from holdfast.movers.datasafed.faults import DatasafedError

SUFFIX = ".enc"
"""What sealed files have behind their name in the repository."""

SEAL_BYTES = 16
"""How much longer a sealed file is than its content."""

_KEY_BYTES: Mapping[str, int] = {"AES-128-CFB": 16, "AES-192-CFB": 24, "AES-256-CFB": 32}
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_RAW_WINDOW = -zlib.MAX_WBITS

Codec = Callable[[Iterable[bytes]], Iterator[bytes]]

_ZSTD: Mapping[str, int] = {"zstd": 3, "zstd-fastest": 1, "zstd-better-compression": 7, "zstd-best-compression": 11}
_ZLIB: Mapping[str, tuple[int, int]] = {
    **{
        f"{family}{level}": (number, _GZIP_WINDOW)
        for family in ("gzip", "pgzip")
        for level, number in (("", 6), ("-best-speed", 1), ("-best-compression", 9))
    },
    "deflate-default": (6, _RAW_WINDOW),
    "deflate-best-speed": (1, _RAW_WINDOW),
    "deflate-best-compression": (9, _RAW_WINDOW),
}
_REFUSED = ("s2-default", "s2-better", "s2-parallel-4", "s2-parallel-8")
ALGORITHMS = tuple(sorted([*_ZSTD, *_ZLIB, "lz4"]))


def compressor(name: str) -> Codec:
    """Return what compresses a stream. Raises DatasafedError for a name that is unknown or can't be done here."""
    if name in _ZSTD:
        return lambda blocks: _zstd(blocks, _ZSTD[name])
    if name in _ZLIB:
        return lambda blocks: _zlib(blocks, *_ZLIB[name])
    if name == "lz4":
        return lz4.compress
    raise _unknown(name)


def decompressor(name: str) -> Codec:
    """Return what undoes `compressor`; the levels of a family are one format."""
    if name in _ZSTD:
        return _unzstd
    if name in _ZLIB:
        return lambda blocks: _unzlib(blocks, _ZLIB[name][1])
    if name == "lz4":
        return lz4.decompress
    raise _unknown(name)


def sealer(algorithm: str, pass_phrase: str) -> Codec:
    """Return what encrypts a stream. Raises DatasafedError for an unknown algorithm."""
    key = _key(algorithm, pass_phrase)

    def seal(blocks: Iterable[bytes]) -> Iterator[bytes]:
        start = os.urandom(SEAL_BYTES)
        context = _cfb(key, start).encryptor()
        yield start
        for block in blocks:
            yield context.update(block)
        yield context.finalize()

    return seal


def opener(algorithm: str, pass_phrase: str) -> Codec:
    """Return what decrypts a stream. The codec raises DatasafedError for one that is too short to be sealed."""
    key = _key(algorithm, pass_phrase)

    def open_(blocks: Iterable[bytes]) -> Iterator[bytes]:
        source, head = iter(blocks), b""
        while len(head) < SEAL_BYTES:
            block = next(source, None)
            if block is None:
                raise DatasafedError("the file is too short to be encrypted: it is cut, or it was never sealed")
            head += block
        context = _cfb(key, head[:SEAL_BYTES]).decryptor()
        yield context.update(head[SEAL_BYTES:])
        for block in source:
            yield context.update(block)
        yield context.finalize()

    return open_


def _key(algorithm: str, pass_phrase: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    if algorithm not in _KEY_BYTES:
        raise DatasafedError(f"encryption {algorithm!r} is unknown: use one of {', '.join(_KEY_BYTES)}")
    key = HKDF(algorithm=SHA256(), length=32, salt=b"encryption", info=b"").derive(pass_phrase.encode())
    return key[: _KEY_BYTES[algorithm]]


def _cfb(key: bytes, start: bytes):
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cryptography.hazmat.decrepit.ciphers.modes import CFB
    return Cipher(algorithms.AES(key), CFB(start))


def _zstd(blocks: Iterable[bytes], level: int) -> Iterator[bytes]:
    engine = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
    for block in blocks:
        yield engine.compress(block)
    yield engine.flush()


def _unzstd(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress; a file may be several frames one after another."""
    maker = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    engine, whole = maker.decompressobj(), True
    try:
        for block in blocks:
            rest = block
            while rest:
                yield engine.decompress(rest)
                whole, rest = engine.eof, engine.unused_data
                if whole:
                    engine = maker.decompressobj()
    except zstandard.ZstdError as error:
        raise DatasafedError(f"the file is not zstd, or damaged: {error}") from error
    if not whole:
        raise DatasafedError("the zstd file ends in the middle: it was cut")


def _zlib(blocks: Iterable[bytes], level: int, window: int) -> Iterator[bytes]:
    engine = zlib.compressobj(level, zlib.DEFLATED, window)
    for block in blocks:
        yield engine.compress(block)
    yield engine.flush()


def _unzlib(blocks: Iterable[bytes], window: int) -> Iterator[bytes]:
    """Decompress; a gzip file may be several one after another."""
    engine, whole = zlib.decompressobj(window), True
    try:
        for block in blocks:
            rest = block
            while rest:
                yield engine.decompress(rest)
                whole, rest = engine.eof, engine.unused_data
                if whole:
                    engine = zlib.decompressobj(window)
    except zlib.error as error:
        raise DatasafedError(f"the file is not in this format, or damaged: {error}") from error
    if not whole:
        raise DatasafedError("the compressed file ends in the middle: it was cut")


def _unknown(name: str) -> DatasafedError:
    known = ", ".join(ALGORITHMS)
    if name in _REFUSED:
        return DatasafedError(f"compression {name} is not supported: there is no library for s2 here; use one of {known}")
    return DatasafedError(f"compression {name!r} is unknown: use one of {known}")
