"""What a file system has room for."""

import errno
import os

_UNTOLD = 1 << 31
_LITTLE_BYTES, _FEW_ENTRIES = 1 << 20, 16


def most_entries(path: str) -> int:
    """How many files, folders and links the file system of a path can hold; 2^31 where it does not say."""
    return _stat(path).f_files or _UNTOLD


def is_full(path: str, error: OSError) -> bool:
    """Whether an error says that nothing more can be written to the file system of a path.

    The same number says that one extended attribute is too large for its file, so the file system is asked too.
    """
    if error.errno == errno.EDQUOT:
        return True
    if error.errno != errno.ENOSPC:
        return False
    found = _stat(path)
    return found.f_bavail * found.f_frsize < _LITTLE_BYTES or (bool(found.f_files) and found.f_favail < _FEW_ENTRIES)


def _stat(path: str) -> os.statvfs_result:
    """Of the path, or of the folder above it that exists."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return os.statvfs(path)
