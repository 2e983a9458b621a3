"""What every place of archives needs: names that are no paths, and checksums of what is sent and what reads back."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from holdfast.core.report import ArchiveFile
from holdfast.movers.context import MoverError
from holdfast.movers.envelope import BLOCK

PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def checksum(path: Path) -> ArchiveFile:
    """Read a file and return its name, size and SHA-256."""
    with path.open("rb") as file:
        return checksum_of(path.name, iter(lambda: file.read(BLOCK), b""))


def plain_name(name: str) -> str:
    """Return a file's name if it is one and no path. Raises MoverError."""
    if not PLAIN_NAME.fullmatch(name):
        raise MoverError("BadName", f"{name!r} is not a plain file name", "use the name of a file in the backup folder")
    return name


def checksum_of(name: str, chunks: Iterable[bytes]) -> ArchiveFile:
    """Return name, size and SHA-256 of what is read in pieces."""
    found, size = hashlib.sha256(), 0
    for chunk in chunks:
        found.update(chunk)
        size += len(chunk)
    return ArchiveFile(name, size, found.hexdigest())


def same(sent: ArchiveFile, found: ArchiveFile, location: str) -> ArchiveFile:
    """Return what was read back. Raises MoverError when it is not what was sent."""
    if (sent.size, sent.sha256) != (found.size, found.sha256):
        raise MoverError("ReadBackFailed", f"{found.name} reads back from {location} changed", "check the storage")
    return found
