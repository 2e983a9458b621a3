"""Giving memory back: what a large list took goes to the system again once the list is out.

The C library keeps freed pages between pages that are in use. glibc's malloc_trim returns them, in a few milliseconds; where
there is no such function, nothing happens.
"""

import asyncio
import ctypes
from typing import Final

LARGE: Final = 4 << 20
"""Bytes of an answer that is worth it."""
_SECONDS: Final = 1.0

_libc: Final = ctypes.CDLL(None)


class Heap:
    """Trims the heap a moment after it was asked to, once for all that ask meanwhile."""

    def __init__(self) -> None:
        self._waiting = False

    def trim_soon(self) -> None:
        """Ask for it; to be called on the loop."""
        if not self._waiting and hasattr(_libc, "malloc_trim"):
            self._waiting = True
            asyncio.get_running_loop().call_later(_SECONDS, self._trim)

    def _trim(self) -> None:
        self._waiting = False
        _libc.malloc_trim(0)
