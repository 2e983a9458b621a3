"""Manifests as one compressed tar file, stored where the `datasafed` of the environment stores, and sealed as all else there.

Writing streams: nothing but the object at hand is in memory, and nothing touches a disk in clear. Reading holds the whole file
in memory, of at most `LARGEST` bytes unpacked, since manifests are looked at twice and in an order of their own.
"""

import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from holdfast.core.report import RepositoryResult
from holdfast.core.times import format_time
from holdfast.movers.context import MoverError
from holdfast.movers.datasafed.codecs import compressor, decompressor
from holdfast.movers.datasafed.faults import DatasafedError, NotThere
from holdfast.movers.datasafed.sealed import open_place
from holdfast.movers.datasafed.settings import read_settings
from holdfast.repo.stream_files import StreamedFile

LARGEST: Final = 512 << 20
"""Bytes of manifests in one archive: some hundred thousand objects. More is refused when it is written, not when it is read."""

_HINT: Final = "check that the repository can be reached, and that its pass phrase is the one of the backup"
_CODEC: Final = "zstd"


def write_archive(path: str, files: Iterable[StreamedFile]) -> RepositoryResult:
    """Store manifests under a path. Raises MoverError when the place can't be written, or for more than it may hold."""
    started, packer = datetime.now(UTC), _Packer()
    try:
        place = open_place(read_settings(os.environ))
        place.write(path, compressor(_CODEC)(packer.blocks(files)))
        stored = place.find(path)
    except DatasafedError as error:
        raise MoverError("ManifestsNotStored", str(error), _HINT) from error
    if stored is None:
        raise MoverError("ManifestsNotStored", f"{path} was written, and is not there", _HINT)
    ended = datetime.now(UTC)
    return RepositoryResult(
        path,
        files=packer.files,
        bytes=packer.size,
        stored=stored.size,
        started=format_time(started),
        finished=format_time(ended),
        seconds=round((ended - started).total_seconds(), 3),
    )


class Archive:
    """The manifests of an archive, as a source of a restore. Raises MoverError when there is none or it is damaged."""

    def __init__(self, path: str) -> None:
        try:
            blocks = decompressor(_CODEC)(open_place(read_settings(os.environ)).read(path))
            self._whole = tarfile.open(fileobj=io.BytesIO(_bounded(path, blocks)))  # noqa: SIM115 - all of it is memory
            self._members = {member.name: member for member in self._whole if member.isreg()}
        except NotThere as error:
            raise MoverError(
                "NoManifests", f"the backup holds no Kubernetes objects: {error}", "restore without them"
            ) from error
        except (DatasafedError, tarfile.TarError) as error:
            raise MoverError("ManifestsUnreadable", f"{path}: {error}", _HINT) from error

    def paths(self) -> Iterator[str]:
        """List the files."""
        yield from self._members

    def read(self, path: str) -> bytes:
        """Read one."""
        found = self._whole.extractfile(self._members[path])
        return found.read() if found else b""


class _Packer:
    """Turns manifests into the blocks of a tar file, and counts them."""

    def __init__(self) -> None:
        self.files, self.size = 0, 0

    def blocks(self, files: Iterable[StreamedFile]) -> Iterator[bytes]:
        """Yield a header, content and padding for each file, and the end."""
        for file in files:
            entry = tarfile.TarInfo(file.path)
            entry.size, entry.mode, entry.mtime = len(file.content), 0o600, file.mtime_ns // 1_000_000_000
            block = entry.tobuf(tarfile.PAX_FORMAT) + file.content + bytes(-len(file.content) % tarfile.BLOCKSIZE)
            self.files, self.size = self.files + 1, self.size + len(block)
            if self.size > LARGEST:
                hint = "name fewer resource types, or narrow the selector"
                raise MoverError("TooManyManifests", f"the objects have more than {LARGEST >> 20} MiB", hint)
            yield block
        yield bytes(2 * tarfile.BLOCKSIZE)


def _bounded(path: str, blocks: Iterable[bytes]) -> bytes:
    found = bytearray()
    for block in blocks:
        found += block
        if len(found) > LARGEST + 2 * tarfile.BLOCKSIZE:
            raise MoverError(
                "TooManyManifests", f"{path} has more than {LARGEST >> 20} MiB unpacked", "it was not written here"
            )
    return bytes(found)
