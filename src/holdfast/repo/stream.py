"""Backing up what is no file: a stream, or the output of a command.

The stream becomes one regular file of the snapshot, owned by this process, with the time of the backup. A command's output
counts only when the command ends with status 0: a dump that broke off must never make a snapshot that looks good.
"""

import os
import stat as st
import subprocess
import time as clock
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Unpack

from holdfast.repo.errors import SourceError, Stopped
from holdfast.repo.folders import Counts
from holdfast.repo.reading import FileReader, Readable
from holdfast.repo.repository import Repository
from holdfast.repo.result import BackupResult, Faults, Meter
from holdfast.repo.run import Common, Run
from holdfast.repo.tree import MadeStat, encode_dir, encode_file, encode_tree
from holdfast.repo.writer import BlobWriter

_SECONDS_TO_END = 10.0
"""How long a command may take to end after its output did, or after it was told to."""


def backup_stream(
    repo: Repository,
    name: str,
    readable: Readable,
    **common: Unpack[Common],
) -> BackupResult:
    """Store all that `readable.read(size)` gives as the file `name` of a new snapshot.

    `name` may have folders in front (`/db/dump.sql`). Every read blocks until there is something; a read that raises ends the
    backup without a snapshot. For the rest see `run.Common`. Raises SourceError for a name that can't be one, Stopped,
    LockLost, RepositoryLocked, what the read raises, or the StoreError of a store that failed.
    """
    return _Stream(repo, _parts(name), common).run(readable, lambda: None)


def backup_command(
    repo: Repository,
    name: str,
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    **common: Unpack[Common],
) -> BackupResult:
    """Run `command` (no shell) and store its standard output as the file `name` of a new snapshot.

    Its standard error is ours, its input is empty; `env` replaces the environment. Raises SourceError when it can't be started,
    or ends with another status than 0: there is no snapshot then. Errors never repeat its arguments, which may hold secrets.
    The rest is as in `backup_stream`.
    """
    parts = _parts(name)
    if not command:
        raise SourceError("there is nothing to back up: no command was given")
    made = _Stream(repo, parts, common)
    process = _start(command, env)
    try:
        assert process.stdout is not None
        return made.run(process.stdout, lambda: _end(process, command[0]))
    finally:
        _kill(process)


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part]
    if not parts or any(part in (".", "..") or "\0" in part for part in parts):
        raise SourceError(f"{name!r} can't be the name of a file in a snapshot: give one like `dump.sql`")
    return parts


class _Stream:
    def __init__(self, repo: Repository, parts: list[str], common: Common) -> None:
        self._parts = parts
        self._faults, self._meter = Faults(), Meter(common.get("progress"), lambda: (0, 0, False))
        self._run = Run(repo, ["/" + "/".join(parts)], self._meter, self._faults, common)

    def run(self, readable: Readable, ended: Callable[[], None]) -> BackupResult:
        """Store the stream; `ended` is called at its end and raises when it is not whole."""
        with self._run.begin() as writer:
            content, size = self._store(readable, writer)
            ended()
            self._meter.add(1, 0)
            counts = Counts(files_new=1) if self._run.known is None else Counts(files_changed=1)
            return self._run.end(self._trees(writer, content, size, counts), counts)

    def _store(self, readable: Readable, writer: BlobWriter) -> tuple[str, int]:
        workers = self._run.workers
        with ThreadPoolExecutor(workers, thread_name_prefix="backup-seal") as pool:
            reader = FileReader(
                writer, self._run.chunker, pool, self._advance, self._check, self._faults.add, most_chunks=2 * workers
            )
            return reader.stream(readable)

    def _trees(self, writer: BlobWriter, content: str, size: int, counts: Counts) -> str:
        """The tree of the file's folder and of those above; returns the root's id."""
        now = clock.time_ns()
        node = encode_file(self._parts[-1], MadeStat(st.S_IFREG | 0o644, now), "", size, content)
        tree = writer.save("tree", encode_tree([node])).hex()
        for folder in reversed(self._parts[:-1]):
            node = encode_dir(folder, MadeStat(st.S_IFDIR | 0o755, now), "", tree)
            tree = writer.save("tree", encode_tree([node])).hex()
            counts.dirs_new += 1
        return tree

    def _advance(self, size: int) -> None:
        self._meter.add(0, size)
        self._meter.tick()

    def _check(self) -> None:
        if self._run.stop.is_set():
            raise Stopped("the backup was asked to stop; what is stored so far is used by the next one")


def _start(command: Sequence[str], env: Mapping[str, str] | None) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=env, start_new_session=True)
    except OSError as error:
        raise SourceError(f"the command {command[0]!r} can't be started: {error.strerror}") from error


def _end(process: "subprocess.Popen[bytes]", program: str) -> None:
    try:
        status = process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        raise SourceError(
            f"the command {program!r} closed its output and did not end within {_SECONDS_TO_END:.0f} s: no snapshot was made"
        ) from None
    if status:
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise SourceError(f"the command {program!r} {how}: its output is not whole, and no snapshot was made of it")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Leave nothing of the command behind, whatever happened."""
    if process.stdout is not None:
        process.stdout.close()
    if process.poll() is None:
        os.killpg(process.pid, 9)
        process.wait()
