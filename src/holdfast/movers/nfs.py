"""A client of NFS version 3 in user space, for machines whose kernel can't mount a share: libnfs, called through ctypes.

Every call of the library answers with a negative errno and a sentence, which become an OSError, so that callers handle a share
as they handle a folder. Paths are those inside the share and begin with a slash. The server is found through its portmapper.
"""

import contextlib
import ctypes
import os
import stat
from collections.abc import Callable, Generator
from typing import Any, Final

TIMEOUT: Final = 60.0
"""Seconds that the server has for one answer."""

CHUNK: Final = 1 << 20
"""Bytes that one request carries at most."""

_LIBRARIES: Final = ("libnfs.so.13", "libnfs.so.14")
"""Releases 4 and 5, whose functions have the same arguments; those of release 6 have not."""

_Handle = ctypes.c_void_p


class _Entry(ctypes.Structure):
    """The head of the library's `struct nfsdirent`."""


_Entry._fields_ = [
    ("next", ctypes.POINTER(_Entry)),
    ("name", ctypes.c_char_p),
    ("inode", ctypes.c_uint64),
    ("type", ctypes.c_uint32),
    ("mode", ctypes.c_uint32),
    ("size", ctypes.c_uint64),
]

_SIGNATURES: Final[dict[str, tuple[Any, ...]]] = {
    "nfs_init_context": (_Handle,),
    "nfs_destroy_context": (None, _Handle),
    "nfs_get_error": (ctypes.c_char_p, _Handle),
    "nfs_set_timeout": (None, _Handle, ctypes.c_int),
    "nfs_mount": (ctypes.c_int, _Handle, ctypes.c_char_p, ctypes.c_char_p),
    "nfs_mkdir2": (ctypes.c_int, _Handle, ctypes.c_char_p, ctypes.c_int),
    "nfs_creat": (ctypes.c_int, _Handle, ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(_Handle)),
    "nfs_open": (ctypes.c_int, _Handle, ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(_Handle)),
    "nfs_pwrite": (ctypes.c_int, _Handle, _Handle, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_char_p),
    "nfs_pread": (ctypes.c_int, _Handle, _Handle, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_char_p),
    "nfs_fsync": (ctypes.c_int, _Handle, _Handle),
    "nfs_close": (ctypes.c_int, _Handle, _Handle),
    "nfs_rename": (ctypes.c_int, _Handle, ctypes.c_char_p, ctypes.c_char_p),
    "nfs_unlink": (ctypes.c_int, _Handle, ctypes.c_char_p),
    "nfs_opendir": (ctypes.c_int, _Handle, ctypes.c_char_p, ctypes.POINTER(_Handle)),
    "nfs_readdir": (ctypes.POINTER(_Entry), _Handle, _Handle),
    "nfs_closedir": (None, _Handle, _Handle),
}


class LibraryMissing(Exception):
    """The library is not installed."""


class Share:
    """One share. Use `mounted`."""

    def __init__(self, server: str, path: str) -> None:
        self._library = _load()
        self._context = self._library.nfs_init_context()
        self._library.nfs_set_timeout(self._context, int(TIMEOUT * 1000))
        self._check(self._library.nfs_mount(self._context, os.fsencode(server), os.fsencode(path)))

    def close(self) -> None:
        """Leave the server."""
        self._library.nfs_destroy_context(self._context)

    def make_folder(self, path: str) -> None:
        """Make a folder for its owner only; one that exists is no error."""
        with contextlib.suppress(FileExistsError):
            self._check(self._library.nfs_mkdir2(self._context, os.fsencode(path), 0o700))

    @contextlib.contextmanager
    def writing(self, path: str) -> Generator[Callable[[bytes], None]]:
        """Create or empty a file, readable by its owner only, and yield what appends to it; at the end it is on disk."""
        handle, at = _Handle(), 0
        self._check(self._library.nfs_creat(self._context, os.fsencode(path), 0o600, ctypes.byref(handle)))

        def write(data: bytes) -> None:
            nonlocal at
            while data:
                written = self._check(self._library.nfs_pwrite(self._context, handle, at, min(len(data), CHUNK), data))
                at, data = at + written, data[written:]

        with self._closing(handle):
            yield write
            self._check(self._library.nfs_fsync(self._context, handle))

    def read(self, path: str) -> Generator[bytes]:
        """Yield the content of a file."""
        handle, at = _Handle(), 0
        self._check(self._library.nfs_open(self._context, os.fsencode(path), os.O_RDONLY, ctypes.byref(handle)))
        buffer = ctypes.create_string_buffer(CHUNK)
        with self._closing(handle):
            while count := self._check(self._library.nfs_pread(self._context, handle, at, CHUNK, buffer)):
                at += count
                yield buffer.raw[:count]

    def rename(self, old: str, new: str) -> None:
        """Rename a file; one that has the new name is replaced."""
        self._check(self._library.nfs_rename(self._context, os.fsencode(old), os.fsencode(new)))

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._check(self._library.nfs_unlink(self._context, os.fsencode(path)))

    def files(self, path: str) -> list[str]:
        """Return the names of the plain files in a folder."""
        handle, found = _Handle(), list[str]()
        self._check(self._library.nfs_opendir(self._context, os.fsencode(path), ctypes.byref(handle)))
        try:
            while entry := self._library.nfs_readdir(self._context, handle):
                if stat.S_ISREG(entry.contents.mode):
                    found.append(os.fsdecode(entry.contents.name))
        finally:
            self._library.nfs_closedir(self._context, handle)
        return sorted(found)

    @contextlib.contextmanager
    def _closing(self, handle: _Handle) -> Generator[None]:
        """Close a file; on the way out of an error its own error is not news."""
        try:
            yield
        except BaseException:
            self._library.nfs_close(self._context, handle)
            raise
        self._check(self._library.nfs_close(self._context, handle))

    def _check(self, code: int) -> int:
        if code < 0:
            said = self._library.nfs_get_error(self._context) or b""
            raise OSError(-code, said.decode(errors="replace") or os.strerror(-code))
        return code


@contextlib.contextmanager
def mounted(server: str, path: str) -> Generator[Share]:
    """Reach a share as the caller, with the rights that its numeric user has there. Raises OSError or LibraryMissing."""
    share = Share(server, path)
    try:
        yield share
    finally:
        share.close()


def _load() -> ctypes.CDLL:
    for name in _LIBRARIES:
        with contextlib.suppress(OSError):
            library = ctypes.CDLL(name)
            for function, (result, *arguments) in _SIGNATURES.items():
                found = getattr(library, function)
                found.restype, found.argtypes = result, arguments
            return library
    raise LibraryMissing(f"none of {', '.join(_LIBRARIES)} is installed")
