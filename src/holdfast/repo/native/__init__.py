"""The native part of the data path: work that runs outside the interpreter lock.

`holdfast.repo._native` is built from the C files of this folder (`scripts/build_native.py`). Without it, or with
`HOLDFAST_PURE=1` in the environment, the pure path does the same work with the same bytes, slower. Callers ask `module()`, and
take their pure branch when it gives None. The module brings no compression and no cipher of its own: it calls the zstd that the
`zstandard` wheel holds and the libcrypto that Python itself uses, and is unavailable where one of their functions is missing.
"""

import functools
import importlib
import importlib.util
import os
import zlib
from pathlib import Path
from types import ModuleType

PURE_VARIABLE = "HOLDFAST_PURE"
"""Set to anything but `0`, it forbids the native module."""

_HERE = Path(__file__).parent

_CRYPTO = "libcrypto.so.3"


@functools.cache
def _load() -> tuple[ModuleType | None, str]:
    if os.environ.get(PURE_VARIABLE, "0") not in ("", "0"):
        return None, f"pure Python, since {PURE_VARIABLE} is set"
    try:
        found = importlib.import_module("holdfast.repo._native")
        if found.sources() != fingerprint():
            raise ImportError("it was built from other sources; run `make setup`")
        version = found.bind(_zstd(), _CRYPTO)
    except ImportError as error:
        return None, f"pure Python, since the native module can't be loaded: {error}"
    return found, f"native, with zstd {version // 10_000}.{version // 100 % 100}.{version % 100}"


def fingerprint() -> int:
    """A checksum over the C files of this folder; the module holds the one of the files that it was built from."""
    paths = sorted((*_HERE.glob("*.c"), *_HERE.glob("*.h")))
    return functools.reduce(lambda total, path: zlib.crc32(path.read_bytes(), total), paths, 0)


def _zstd() -> str:
    """The file of the wheel that exports the functions of zstd. Raises ImportError."""
    spec = importlib.util.find_spec("zstandard")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    for path in sorted(folder.glob("_cffi*.so")):
        return str(path)
    raise ImportError(f"there is no file _cffi*.so of the package zstandard in {folder}")


def module() -> ModuleType | None:
    """The native module, or None where the pure path has to do."""
    return _load()[0]


def forget() -> None:
    """Decide anew at the next call which path to take: for a program that changed its environment."""
    _load.cache_clear()


def status() -> str:
    """Which path is in use, and why, for people."""
    return _load()[1]
