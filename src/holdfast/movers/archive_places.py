"""Where archives lie: a directory (a node's own, or a mounted share), an NFS share, or a folder in a bucket behind rclone.

A file appears under its name only when it is whole, and counts as written only when its checksum was read back from the place.
rclone gets its remote from a configuration file in the pod's scratch space that is removed at once; a secret is in no
argument and no log.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import IO, Final, Protocol, cast

from holdfast.core.calls import ArchivePlace
from holdfast.core.report import ArchiveFile
from holdfast.movers.archive_files import PLAIN_NAME, checksum, checksum_of, plain_name, same
from holdfast.movers.archive_share import OnShare
from holdfast.movers.context import MoverError
from holdfast.movers.documents import folder_error
from holdfast.movers.envelope import BLOCK
from holdfast.repo.errors import BadLocation
from holdfast.repo.stores.rclone_process import find_rclone

PATIENCE: Final = 45 * 60.0
"""Seconds that the transfer of one file may take."""

_SECRETS: Final = ("session_token", "sse_customer_key", "sse_customer_key_base64")
"""Options of a person's own rclone configuration that are secrets too."""


class Place(Protocol):
    """A flat folder of files."""

    def put(self, source: Path, name: str) -> ArchiveFile:
        """Copy a file there, read it back, and return what was read. Raises MoverError."""
        ...

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file from there. Raises MoverError with reason NotThere when there is none."""
        ...

    def names(self) -> list[str]:
        """List the files."""
        ...

    def delete(self, name: str) -> None:
        """Remove a file; one that is gone is no error."""
        ...


def open_place(place: ArchivePlace) -> Place:
    """Open a place. Raises MoverError when its secret is not there."""
    if place.share is not None:
        return OnShare(place.share.server, place.share.path, place.folder, place.location)
    return Remote(place) if place.remote else Directory(Path(place.folder), place.location)


class Directory:
    """Files in a directory."""

    def __init__(self, root: Path, location: str) -> None:
        self._root, self._location = root, location

    def put(self, source: Path, name: str) -> ArchiveFile:
        """Write beside, sync, rename, and read back."""
        target = self._root / plain_name(name)
        temporary = target.with_name(f".{name}.{os.getpid()}")
        sent = checksum(source)
        with self._explained("write", name):
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                with source.open("rb") as reader, open(temporary, "wb", opener=_private) as writer:
                    shutil.copyfileobj(reader, writer, BLOCK)
                    writer.flush()
                    os.fsync(writer.fileno())
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
            _sync(self._root)
            return same(sent, checksum(target), self._location)

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file from the directory."""
        source = self._root / plain_name(name)
        if not source.is_file():
            raise MoverError("NotThere", f"{self._location} has no {name}", "list the backups that are there")
        with self._explained("read", name):
            shutil.copyfile(source, target)

    def names(self) -> list[str]:
        """List plain files."""
        if not self._root.exists():
            return []
        with self._explained("list", "the files"):
            return sorted(path.name for path in self._root.iterdir() if path.is_file() and PLAIN_NAME.fullmatch(path.name))

    def delete(self, name: str) -> None:
        """Unlink a file."""
        with self._explained("delete", name):
            (self._root / plain_name(name)).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explained(self, verb: str, name: str) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise folder_error(error, verb, f"{name} in {self._location}") from error


class Remote:
    """Files in a folder of an rclone remote."""

    def __init__(self, place: ArchivePlace) -> None:
        self._place = place
        self._path = f"{place.remote}:{place.folder}"
        with contextlib.suppress(OSError):
            self._secret = Path(place.secret_file).read_text().strip("\r\n")
            return
        raise MoverError("IncompleteSecret", "the secret of the RCloneCredential is not there", "give it again in remoteSecret")

    def put(self, source: Path, name: str) -> ArchiveFile:
        """Upload a file, and read it back whole."""
        self._run("copyto", "--s3-no-check-bucket", str(source), self._at(name), fault=f"write {name} to")
        return same(checksum(source), self._read_back(name), self._place.location)

    def fetch(self, name: str, target: Path) -> None:
        """Download a file."""
        if name not in self.names():
            raise MoverError("NotThere", f"{self._place.location} has no {name}", "list the backups that are there")
        self._run("copyto", self._at(name), str(target), fault=f"read {name} from")

    def names(self) -> list[str]:
        """List the files of the folder; none when it does not exist yet."""
        out = self._run("lsf", "--files-only", self._path, fault="list", missing_is_empty=True)
        return sorted(out.decode(errors="replace").splitlines())

    def delete(self, name: str) -> None:
        """Delete one object."""
        if plain_name(name) in self.names():
            self._run("deletefile", self._at(name), fault=f"delete {name} from")

    def _at(self, name: str) -> str:
        return f"{self._path}/{plain_name(name)}"

    def _read_back(self, name: str) -> ArchiveFile:
        with self._config() as config:
            command = [*self._command(config), "cat", self._at(name)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment()) as process:
                out, said = cast(IO[bytes], process.stdout), cast(IO[bytes], process.stderr)
                found = checksum_of(name, iter(lambda: out.read(BLOCK), b""))
                words = said.read()
        if process.returncode != 0:
            raise self._failed(f"read {name} back from", words)
        return found

    def _run(self, *words: str, fault: str, missing_is_empty: bool = False) -> bytes:
        with self._config() as config:
            command = [*self._command(config), *words]
            try:
                done = subprocess.run(command, capture_output=True, env=_environment(), timeout=PATIENCE, check=False)
            except subprocess.TimeoutExpired as error:
                raise MoverError("StoreTimeout", f"can't {fault} {self._place.location} within {PATIENCE:.0f} s") from error
        if done.returncode == 3 and missing_is_empty and b"directory not found" in done.stderr:
            return b""
        if done.returncode != 0:
            raise self._failed(fault, done.stderr)
        return done.stdout

    def _failed(self, fault: str, said: bytes) -> MoverError:
        text = said.decode(errors="replace").strip()
        for value in (self._secret, *(self._place.options.get(name, "") for name in _SECRETS)):
            text = text.replace(value, "***") if value else text
        last = (text.splitlines() or ["rclone says nothing"])[-1][:400]
        return MoverError(
            "StoreFailed", f"can't {fault} {self._place.location}: {last}", "check bucket, endpoint and credential"
        )

    def _command(self, config: Path) -> list[str]:
        try:
            program = find_rclone(os.environ)
        except BadLocation as error:
            raise MoverError("MissingProgram", str(error), "use an image with rclone") from error
        return [program, "--config", str(config), "--retries", "3", "--low-level-retries", "5", "--log-level", "ERROR"]

    @contextlib.contextmanager
    def _config(self) -> Generator[Path]:
        with tempfile.TemporaryDirectory(prefix="rclone-") as folder:
            path = Path(folder) / "rclone.conf"
            with open(path, "w", opener=_private) as file:
                file.write(render(self._place, self._secret))
            yield path


def render(place: ArchivePlace, secret: str) -> str:
    """Return the section of a remote as rclone reads it: the options in their order, then the secret.

    A line break in a value would begin a new option, so it is refused with MoverError.
    """
    pairs = {**place.options, place.secret_option: secret}
    for name, value in pairs.items():
        if "\n" in value or "\r" in value or "\n" in name:
            raise MoverError("BadOption", f"an option of remote {place.remote} has a line break", "remove it")
    return f"[{place.remote}]\n" + "".join(f"{name} = {value}\n" for name, value in pairs.items())


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "HOME": "/tmp", "TMPDIR": tempfile.gettempdir()}


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
