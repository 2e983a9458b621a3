"""Files in a remote of any kind that rclone knows: S3 and its relatives, Azure, FTP, SFTP.

One rclone process per operation; settings and secrets travel in its environment. rclone takes the end of its input for the end
of the file, so a `keeper` (see `keeper`) stands between: when we die in the middle of a push it ends rclone before the pipe
closes, and nothing appears. On servers that show half an upload (those with folders) a file is sent under a hidden name and
then renamed. What was sent is looked for at the end, with its size. Buckets are made by their owner, not by a backup.
"""

import contextlib
import secrets
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import IO, cast

import msgspec

from holdfast.movers.datasafed.faults import DatasafedError, NotThere
from holdfast.movers.datasafed.keeper import Kept
from holdfast.movers.datasafed.places import BLOCK, Item
from holdfast.movers.datasafed.settings import OBSCURE
from holdfast.repo.errors import BadLocation
from holdfast.repo.stores.rclone_process import environment, find_rclone

NAME = "storage"
WHOLE = frozenset({"s3", "azureblob", "google cloud storage", "b2", "swift", "oracleobjectstorage", "memory"})
"""Kinds of remotes that show an upload whole or not at all."""

DRAFT = ".datasafed-"
"""How the hidden names of drafts begin."""

PART = "32M"
"""The part of an S3 upload whose size is not known; 10,000 of them are the limit of such a file: 312 GiB."""

_MISSING = ("directory not found", "object not found", "no such file", "not found (404)", "couldn't find file")
_FLAGS = ("--retries", "3", "--low-level-retries", "5", "--contimeout", "20s", "--timeout", "5m", "--log-level", "ERROR")


class _Entry(msgspec.Struct, rename="pascal"):
    """One object of `rclone lsjson`."""

    path: str
    size: int
    mod_time: str
    is_dir: bool = False


class RemotePlace:
    """A place below `root` of the remote that `options` describe."""

    def __init__(self, options: Mapping[str, str], root: str, env: Mapping[str, str]) -> None:
        try:
            self._program = find_rclone(env)
        except BadLocation as error:
            raise DatasafedError(str(error)) from error
        self._kind, self._root = options["type"], root.strip("/") if options["type"] != "local" else root.rstrip("/")
        self._env = environment(env, self._settings(options))
        self._secrets = [value for key, value in options.items() if _is_secret(key) and len(value) > 3]

    def _settings(self, options: Mapping[str, str]) -> dict[str, str]:
        found = {"RCLONE_CONFIG": "/notfound"}
        for key, value in options.items():
            name = key.removesuffix(OBSCURE)
            given = self._obscured(value) if key.endswith(OBSCURE) else value
            found[f"RCLONE_CONFIG_{NAME.upper()}_{name.upper()}"] = given
        if self._kind == "s3":
            found[f"RCLONE_CONFIG_{NAME.upper()}_NO_CHECK_BUCKET"] = "true"
            found.setdefault("RCLONE_S3_USE_MULTIPART_ETAG", "false")
            found.setdefault("RCLONE_S3_CHUNK_SIZE", PART)
            found.setdefault("RCLONE_S3_UPLOAD_CONCURRENCY", "2")
        return found

    def _obscured(self, clear: str) -> str:
        done = subprocess.run([self._program, "obscure", "-"], input=clear.encode(), capture_output=True, check=False)
        if done.returncode:
            raise DatasafedError("rclone can't take a password of the config file: check the keys that end in .need_obscure")
        return done.stdout.decode().strip()

    def write(self, path: str, blocks: Iterable[bytes], size: int | None = None) -> None:
        """Upload a stream, guarded by a keeper."""
        folder, _, name = path.rpartition("/")
        draft = path
        if self._kind not in WHOLE:
            draft = f"{folder}/{DRAFT}{secrets.token_hex(6)}".lstrip("/")
        known = ("--size", str(size)) if size is not None and size > 0 else ()
        try:
            sent = self._upload([*self._words("rcat"), *known, self._at(draft)], blocks, f"write {name}")
            found = self.find(draft)
            if found is None or found.size != sent:
                there = f"{found.size} bytes of it are there" if found else "it is not there"
                raise DatasafedError(f"can't write {path}: {sent} bytes were sent, but {there}")
            if draft != path:
                self._run("moveto", self._at(draft), self._at(path), fault=f"write {name}")
        except BaseException:
            if draft != path:
                with contextlib.suppress(DatasafedError):
                    self._run("deletefile", self._at(draft), fault="remove a draft")
            raise

    def _upload(self, command: Sequence[str], blocks: Iterable[bytes], fault: str) -> int:
        sent = 0
        with Kept(command, self._env) as rclone:
            try:
                for block in blocks:
                    rclone.write(block)
                    sent += len(block)
            except BrokenPipeError:
                pass
            code, words = rclone.finish()
        if code:
            raise self._failed(fault, words)
        return sent

    def read(self, path: str) -> Iterator[bytes]:
        """Download a file."""
        if self.find(path) is None:
            raise NotThere(f"can't read {path}: it does not exist in the repository")
        command = [*self._words("cat"), self._at(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self._env) as rclone:
            out, said = cast(IO[bytes], rclone.stdout), cast(IO[bytes], rclone.stderr)
            try:
                while block := out.read(BLOCK):
                    yield block
            except BaseException:
                rclone.kill()
                raise
            words = said.read()
        if rclone.returncode:
            raise self._failed(f"read {path}", words)

    def find(self, path: str) -> Item | None:
        """Look at one object."""
        try:
            out = self._run("lsjson", "--stat", "--files-only", "--no-mimetype", self._at(path), fault=f"look at {path}")
        except NotThere:
            return None
        found = msgspec.json.decode(out, type=_Entry | None)
        return None if found is None or found.is_dir else _item(found, path)

    def list(self, path: str, *, recursive: bool = False) -> Iterator[Item]:
        """List a folder. One that holds nothing does not exist in an object store, and is empty there."""
        deep = ("--recursive",) if recursive else ()
        try:
            out = self._run("lsjson", "--no-mimetype", *deep, self._at(path), fault=f"list {path or '/'}")
        except NotThere:
            if self._kind in WHOLE:
                return
            raise
        for entry in msgspec.json.decode(out, type=list[_Entry]):
            if not entry.path.rpartition("/")[2].startswith(DRAFT):
                yield _item(entry, f"{path}/{entry.path}" if path else entry.path)

    def delete(self, path: str) -> None:
        """Delete one object."""
        with contextlib.suppress(NotThere):
            self._run("deletefile", self._at(path), fault=f"delete {path}")

    def delete_tree(self, path: str) -> None:
        """Delete everything below a folder; of a whole remote only what it holds."""
        verb = "purge" if path else "delete"
        with contextlib.suppress(NotThere):
            self._run(verb, self._at(path), fault=f"delete {path or '/'}")

    def make_folder(self, path: str) -> None:
        """Make a folder where there are folders."""
        self._run("mkdir", self._at(path), fault=f"make {path}")

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder."""
        if next(self.list(path), None) is not None:
            raise DatasafedError(f"can't remove {path or '/'}: it is not empty")
        with contextlib.suppress(NotThere):
            self._run("rmdir", self._at(path), fault=f"remove {path}")

    def _at(self, path: str) -> str:
        return f"{NAME}:{self._root}/{path}" if self._root and path else f"{NAME}:{self._root}{path}"

    def _words(self, verb: str) -> Sequence[str]:
        return [self._program, verb, *_FLAGS]

    def _run(self, verb: str, *words: str, fault: str) -> bytes:
        done = subprocess.run([*self._words(verb), *words], capture_output=True, env=self._env, check=False)
        if done.returncode:
            raise self._failed(fault, done.stderr)
        return done.stdout

    def _failed(self, fault: str, said: bytes) -> DatasafedError:
        text = said.decode(errors="replace").strip()
        for secret in self._secrets:
            text = text.replace(secret, "***")
        last = (text.splitlines() or ["rclone says nothing"])[-1][:400]
        if any(sign in last.lower() for sign in _MISSING):
            return NotThere(f"can't {fault}: it does not exist in the repository")
        return DatasafedError(f"can't {fault}: {last}")


def _item(entry: _Entry, path: str) -> Item:
    return Item(path, 0 if entry.is_dir else max(entry.size, 0), _seconds(entry.mod_time), entry.is_dir)


def _seconds(text: str) -> float:
    """Read rclone's time, which may have nine digits after the point."""
    return datetime.fromisoformat(text).timestamp()


def _is_secret(key: str) -> bool:
    return any(part in key.lower() for part in ("secret", "key", "pass", "token", "sas"))
