"""Reading back what a restore wrote: every file is read again from its beginning and each blob's hash is compared.

Nothing of the way in which it was written is used, only the snapshot's own list of blobs.
"""

import hashlib
import os

from holdfast.repo.errors import Damaged
from holdfast.repo.index import BlobIndex
from holdfast.repo.reading import open_source


def verify_file(path: str, ids: list[bytes], index: BlobIndex) -> int:
    """Check a restored file; returns its size. Raises Damaged or OSError."""
    handle = open_source(path)
    try:
        size = 0
        for ident in ids:
            at = index.find(ident)
            length = at.plain_length if at else 0
            data = os.read(handle, length)
            if hashlib.sha256(data).digest() != ident:
                raise Damaged(f"verification failed: bytes {size} to {size + length} are not what the snapshot holds")
            size += length
        if os.read(handle, 1):
            raise Damaged(f"verification failed: the file goes on after byte {size}")
        return size
    finally:
        os.close(handle)
