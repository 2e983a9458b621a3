"""The log of one container run: a bounded file of `<time> <stream> <F|P|E> <line>` records, and its readers.

The node stamps each line as it arrives, which is what `kubectl logs --timestamps` and `--since` need. A file that grows
past its bound is renamed once (`.1`), so a chatty container costs at most twice the bound. A reader that follows sees
every byte once, also across the rename, and ends when the container has ended.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec

MAX_BYTES = 10 * 1024 * 1024
"""The size of a log file at which the next one is begun. The one before it is kept."""

MAX_LINE = 16 * 1024
"""A longer line is stored in parts, marked `P`. The end of a log that lacks a last newline is marked `E`."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader asks for. `tail` counts lines from the end; `since` leaves out what is older."""

    follow: bool = False
    tail: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None


class LogFile:
    """The writing side: one container run."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - lives as long as the container
        self._size = os.path.getsize(path)
        self._partial: dict[str, bytes] = {}
        self._changed = asyncio.Event()
        self.closed = False

    def write(self, stream: str, data: bytes) -> None:
        """Append what a container wrote to `stdout` or `stderr`."""
        pending = self._partial.pop(stream, b"") + data
        *lines, rest = pending.split(b"\n")
        stamp = _now()
        records = [record for line in lines for record in _records(stamp, stream, line)]
        while len(rest) >= MAX_LINE:
            records.append(_record(stamp, stream, b"P", rest[:MAX_LINE]))
            rest = rest[MAX_LINE:]
        if rest:
            self._partial[stream] = rest
        self._append(b"".join(records))

    def close(self) -> None:
        """End the log: what has no newline yet is written out, and followers end."""
        if self.closed:
            return
        stamp = _now()
        self._append(b"".join(_record(stamp, name, b"E", rest) for name, rest in self._partial.items()))
        self._partial.clear()
        self._file.close()
        self.closed = True
        self._wake()

    @property
    def changed(self) -> asyncio.Event:
        """An event that the next write or the end of the log sets. Take it before you look, or you miss one."""
        return self._changed

    def _append(self, data: bytes) -> None:
        if not data or self.closed:
            return
        if self._size and self._size + len(data) > self._max_bytes:
            self._file.close()
            os.replace(self.path, rotated(self.path))
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 - lives as long as the container
            self._size = 0
        try:
            self._file.write(data)
        except OSError:  # a full disk must not stop the container
            return
        self._size += len(data)
        self._wake()

    def _wake(self) -> None:
        waiting, self._changed = self._changed, asyncio.Event()
        waiting.set()


def rotated(path: Path) -> Path:
    """Return where the older half of a log lies."""
    return path.with_name(path.name + ".1")


async def read(path: Path, options: Options, live: LogFile | None = None) -> AsyncIterator[bytes]:
    """Yield the log in chunks as a client shall see it. With `follow`, go on until `live` is closed."""
    left = options.limit_bytes if options.limit_bytes is not None else -1
    async for chunk in _chunks(path, options, live):
        if left < 0:
            yield chunk
            continue
        yield chunk[:left]
        left -= min(left, len(chunk))
        if not left:
            return


async def _chunks(path: Path, options: Options, live: LogFile | None) -> AsyncIterator[bytes]:
    older = list(_stored(rotated(path)))
    try:
        file = _open(path)
    except FileNotFoundError:
        return
    try:
        records = _select([*older, *_complete(file)], options)
        for start in range(0, len(records), 512):
            yield b"".join(_shown(record, options) for record in records[start : start + 512])
        while options.follow and live is not None:
            changed, ended = live.changed, live.closed
            text = b"".join(_shown(record, options) for record in _complete(file))
            if text:
                yield text
            elif _turned(file, path):
                file.close()
                file = _open(path)
            elif ended:
                return
            else:
                await changed.wait()
    finally:
        file.close()


def _select(records: list[bytes], options: Options) -> list[bytes]:
    if options.since is not None:
        oldest = _stamp(options.since)
        records = [record for record in records if record[:30] >= oldest]
    if options.tail is not None:
        records = _last_lines(records, options.tail)
    return records


def _last_lines(records: list[bytes], count: int) -> list[bytes]:
    """Return the records of the last lines: parts of one long line count once."""
    start, lines = len(records), 0
    while start and lines <= count:
        start -= 1
        lines += _flag(records[start]) != b"P"
    return records[start + 1 :] if lines > count else records


def _shown(record: bytes, options: Options) -> bytes:
    stamp, _, flag, text = record.split(b" ", 3)
    line = text if flag == b"F" else text[:-1]
    return stamp + b" " + line if options.timestamps else line


def _flag(record: bytes) -> bytes:
    return record.split(b" ", 3)[2]


def _open(path: Path) -> IO[bytes]:
    return open(path, "rb")


def _stored(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            yield from file
    except FileNotFoundError:
        return


def _complete(file: IO[bytes]) -> Iterator[bytes]:
    yield from file


def _turned(file: IO[bytes], path: Path) -> bool:
    try:
        return os.fstat(file.fileno()).st_ino != os.stat(path).st_ino
    except FileNotFoundError:
        return False


def _records(stamp: bytes, stream: str, line: bytes) -> list[bytes]:
    parts = [line[start : start + MAX_LINE] for start in range(0, len(line), MAX_LINE)] or [b""]
    return [_record(stamp, stream, b"F" if number == len(parts) - 1 else b"P", part) for number, part in enumerate(parts)]


def _record(stamp: bytes, stream: str, flag: bytes, line: bytes) -> bytes:
    return b"%s %s %s %s\n" % (stamp, stream.encode(), flag, line)


def _now() -> bytes:
    return _stamp(datetime.now(UTC))


def _stamp(moment: datetime) -> bytes:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").encode() + b"000Z"


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a log as the container wrote them."""
    records = _last_lines(list(_stored(path)), count)
    text = b"".join(_shown(record, Options()) for record in records)
    return text.decode(errors="replace").splitlines()
