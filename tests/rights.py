"""Taking from a test what root may do with files of others, so that permissions hold as they do for a user."""

import contextlib
import ctypes
import os
import struct
from collections.abc import Generator
from pathlib import Path

_VERSION_3 = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2

_libc = ctypes.CDLL(None, use_errno=True)


def _capabilities() -> bytearray:
    data = (ctypes.c_char * 24)()
    if _libc.capget(struct.pack("<Ii", _VERSION_3, 0), data) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    return bytearray(data.raw)


def _set(data: bytes) -> None:
    if _libc.capset(struct.pack("<Ii", _VERSION_3, 0), bytes(data)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


@contextlib.contextmanager
def without_override() -> Generator[None]:
    """Inside, this thread and those it starts get EACCES from files that only others may read."""
    before = _capabilities()
    less = bytearray(before)
    (effective,) = struct.unpack_from("<I", less)
    struct.pack_into("<I", less, 0, effective & ~(_DAC_OVERRIDE | _DAC_READ_SEARCH))
    _set(less)
    try:
        yield
    finally:
        _set(before)


def foreign(*paths: Path) -> None:
    """Make files or folders such that only another user may read them."""
    for path in paths:
        os.chown(path, 1234, 1234)
        os.chmod(path, 0)
