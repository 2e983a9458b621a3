"""Documents in a bucket of Google's storage, through rclone: the same way in which the repositories there are reached."""

import subprocess
from collections.abc import Iterator
from typing import Final

from holdfast.core.calls import StorageTarget
from holdfast.movers.context import MoverError
from holdfast.movers.stores import environment
from holdfast.repo.errors import BadCredentials, BadLocation
from holdfast.repo.stores.rclone_process import environment as rclone_environment
from holdfast.repo.stores.rclone_process import find_rclone
from holdfast.repo.stores.remotes import find_remote

_PATIENCE: Final = 120.0
"""Seconds that one request may take; a wipe may take that long for each thousand objects."""

_MISSING: Final = (3, 4)
"""The codes by which rclone says that a folder or a file is not there."""


def open_remote(target: StorageTarget) -> "RemoteDocuments":
    """Open the place of a URL that rclone reaches. Raises MoverError for one that makes no sense or a Secret without keys."""
    env = environment(target)
    try:
        program, remote = find_rclone(env), find_remote(target.url, env)
    except BadLocation as error:
        raise MoverError("BadLocation", str(error), "check the BackupStorage") from error
    except BadCredentials as error:
        raise MoverError("BadCredentials", str(error), "check the storage's Secret") from error
    command = [program, *remote.flags, "--log-level", "ERROR"]
    return RemoteDocuments(command, remote.name, target.url, rclone_environment(env, remote.settings(program)))


class RemoteDocuments:
    """Documents below a folder of a remote."""

    def __init__(self, command: list[str], root: str, location: str, env: dict[str, str]) -> None:
        self._command, self._root, self._location, self._env = command, root.rstrip("/"), location.rstrip("/"), env

    def create(self) -> None:
        """Do nothing: folders come with their first object, and a bucket is made by its owner."""

    def read(self, name: str) -> bytes | None:
        """Read an object; None when there is none."""
        return self._run("read", name, "cat", self._at(name)) or None

    def write(self, name: str, data: bytes) -> None:
        """Put an object."""
        if self._run("write", name, "rcat", self._at(name), data=data) is None:
            raise MoverError("NoBucket", f"can't write {self._location}/{name}: there is no such bucket", "create the bucket")

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._run("delete", name, "deletefile", self._at(name))

    def names(self) -> Iterator[str]:
        """List every object below the place."""
        yield from self._list(self._root, "--recursive")

    def folder(self, name: str) -> list[str]:
        """List the objects directly in a folder."""
        return [f"{name}/{found}" for found in self._list(self._at(name))]

    def wipe(self) -> int:
        """Delete every object below the place."""
        bucket, _, path = self._root.partition(":")[2].partition("/")
        if not path:
            raise MoverError("RefusedToWipe", f"{bucket} is a whole bucket, not the folder of a Repository", "name a path")
        count = sum(1 for _ in self.names())
        self._run("delete", "", "delete", self._root, patience=_PATIENCE * (1 + count // 1000))
        return count

    def _list(self, path: str, *flags: str) -> list[str]:
        found = self._run("list", "", "lsf", "--files-only", *flags, path) or b""
        return found.decode().splitlines()

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _run(self, verb: str, name: str, *words: str, data: bytes = b"", patience: float = _PATIENCE) -> bytes | None:
        """Run rclone; returns what it prints, None when it says that there is no such thing."""
        what = f"can't {verb} {self._location}/{name}".rstrip("/")
        try:
            done = subprocess.run(
                [*self._command, *words], input=data, capture_output=True, env=self._env, timeout=patience, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise MoverError("StoreUnavailable", f"{what}: no answer within {patience:.0f} s", "check the network") from error
        if done.returncode in _MISSING:
            return None
        if done.returncode:
            said = (done.stderr.decode(errors="replace").strip().splitlines() or [f"rclone ends with {done.returncode}"])[-1]
            raise MoverError("StoreUnavailable", f"{what}: {said[:300]}", "check bucket, key and network of the BackupStorage")
        return done.stdout
