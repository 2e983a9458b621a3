"""Archives on an NFS share that this machine can't mount: the same promises as a folder, kept through `movers.nfs`."""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from holdfast.core.report import ArchiveFile
from holdfast.movers import nfs
from holdfast.movers.archive_files import checksum, checksum_of, plain_name, same
from holdfast.movers.context import MoverError
from holdfast.movers.documents import folder_error
from holdfast.movers.envelope import BLOCK


class OnShare:
    """Files in one folder of a share. Each call mounts the share anew, so that a long backup in between costs no connection."""

    def __init__(self, server: str, path: str, folder: str, location: str) -> None:
        self._server, self._path, self._location = server, path, location
        self._folder = f"/{folder.strip('/')}" if folder.strip("/") else ""

    def put(self, source: Path, name: str) -> ArchiveFile:
        """Write beside, sync, rename, and read back."""
        target = self._at(name)
        temporary = f"{self._folder}/.{name}.{os.getpid()}"
        sent = checksum(source)
        with self._share("write", name) as share:
            self._make_folder(share)
            try:
                with source.open("rb") as reader, share.writing(temporary) as write:
                    while block := reader.read(BLOCK):
                        write(block)
                share.rename(temporary, target)
            except BaseException:
                with contextlib.suppress(OSError):
                    share.remove(temporary)
                raise
            return same(sent, checksum_of(name, share.read(target)), self._location)

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file from the share."""
        if name not in self.names():
            raise MoverError("NotThere", f"{self._location} has no {name}", "list the backups that are there")
        with self._share("read", name) as share, target.open("wb") as writer:
            for block in share.read(self._at(name)):
                writer.write(block)

    def names(self) -> list[str]:
        """List plain files; none while the folder does not exist."""
        with self._share("list", "the files") as share, contextlib.suppress(FileNotFoundError):
            return [name for name in share.files(self._folder or "/") if not name.startswith(".")]
        return []

    def delete(self, name: str) -> None:
        """Remove a file; one that is gone is no error."""
        with self._share("delete", name) as share, contextlib.suppress(FileNotFoundError):
            share.remove(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._folder}/{plain_name(name)}"

    def _make_folder(self, share: nfs.Share) -> None:
        parts = self._folder.split("/")[1:]
        for end in range(len(parts)):
            share.make_folder("/" + "/".join(parts[: end + 1]))

    @contextlib.contextmanager
    def _share(self, verb: str, name: str) -> Generator[nfs.Share]:
        try:
            with nfs.mounted(self._server, self._path) as share:
                yield share
        except nfs.LibraryMissing as error:
            raise MoverError(
                "MissingProgram",
                f"can't reach {self._location}: {error}",
                "install the package libnfs13, or use a node that can mount the share",
            ) from error
        except OSError as error:
            raise folder_error(error, verb, f"{name} in {self._location}") from error
