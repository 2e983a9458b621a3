"""The data: made from a seed, changed by a seed, so that every program of a round reads the same bytes.

Each set is a folder `data` that is made afresh for each round and changed in place once: programs see the first state twice,
then the second.
"""

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20
_WORDS = [
    "accepted", "archive", "backup", "bytes", "cluster", "commit", "connection", "error", "finished", "from", "handler", "in",
    "index", "info", "job", "node", "of", "pod", "ready", "request", "retry", "schedule", "snapshot", "started", "to", "warn",
]  # fmt: skip


class DataSet(NamedTuple):
    """`make(folder)` creates the first state, `change(folder)` turns it into the second; `note` is for the report."""

    name: str
    note: str
    make: Callable[[Path], None]
    change: Callable[[Path], None]


def _log(rng: random.Random, size: int) -> bytes:
    lines: list[bytes] = []
    length = 0
    while length < size:
        words = " ".join(rng.choices(_WORDS, k=rng.randint(4, 14)))
        moment = f"2026-11-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:07Z"
        line = f"{moment} {rng.getrandbits(40):010x} {words}\n"
        lines.append(line.encode())
        length += len(line)
    return b"".join(lines)[:size]


def _pages(rng: random.Random, size: int) -> bytes:
    """Pages of 8 KiB, filled to some part with rows of small numbers and text, the rest zeros."""
    pages: list[bytes] = []
    for number in range(size // 8192):
        rows = b"".join(b"%08d|%06d|row filler text |" % (number, rng.randint(0, 999_999)) for _ in range(rng.randint(60, 220)))
        pages.append(number.to_bytes(8, "little") + rows + bytes(8184 - len(rows)))
    return b"".join(pages)


def large(mebibytes: int) -> DataSet:
    """40 files: half random bytes, a quarter log text, a quarter pages of a database."""
    each = max(mebibytes // 40, 1)

    def make(folder: Path) -> None:
        folder.mkdir(parents=True)
        rng = random.Random(1)
        text, pages = _log(rng, 8 * MIB), _pages(rng, 8 * MIB)
        for number in range(40):
            with open(folder / f"file{number:02}", "wb") as file:
                for part in range(each):
                    if number % 4 < 2:
                        file.write(rng.randbytes(MIB))
                        continue
                    at = rng.randrange(7 * MIB)
                    piece = (text if number % 4 == 2 else pages)[at : at + MIB]
                    file.write(b"%020d" % (number * 100_000 + part) + piece[20:])

    def change(folder: Path) -> None:
        rng = random.Random(2)
        paths = sorted(folder.iterdir())
        for _ in range(max(mebibytes * 4 // 50, 1)):
            path = rng.choice(paths)
            with open(path, "r+b") as file:
                file.seek(rng.randrange(max(path.stat().st_size - MIB // 4, 1)))
                file.write(rng.randbytes(MIB // 4))
        moved = paths[0].read_bytes()
        paths[0].write_bytes(moved[: len(moved) // 2] + b"inserted here" + moved[len(moved) // 2 :])

    return DataSet("large", f"40 files, {each * 40} MiB: half random, a quarter logs, a quarter database pages", make, change)


def small(count: int, name: str = "small", low: int = 1 << 10, high: int = 16 << 10, per_folder: int = 45) -> DataSet:
    """Files of `low` to `high` bytes, half text and half random, in folders of `per_folder`."""

    def make(folder: Path) -> None:
        rng = random.Random(3)
        text, noise = _log(rng, 8 * MIB), rng.randbytes(8 * MIB)
        for number in range(count):
            where = folder / f"{number // (per_folder * 50):04}" / f"{number // per_folder:06}"
            if number % per_folder == 0:
                where.mkdir(parents=True)
            size = rng.randint(low, high)
            at = rng.randrange(8 * MIB - size)
            source = text if number % 2 else noise
            with open(f"{where}/file{number:07}", "wb", buffering=0) as file:
                file.write(b"%010d" % number + source[at : at + size - 10])

    def change(folder: Path) -> None:
        rng = random.Random(4)
        for number in rng.sample(range(count), max(count // 50, 1)):
            path = folder / f"{number // (per_folder * 50):04}" / f"{number // per_folder:06}" / f"file{number:07}"
            path.write_bytes(path.read_bytes()[: low // 2] + rng.randbytes(low))

    return DataSet(name, f"{count:,} files of {low}-{high} bytes", make, change)


class Postgres:
    """A PostgreSQL server of Debian's with a pgbench database; the data directory is a data set, its dump a stream."""

    def __init__(self, home: Path, scale: int) -> None:
        self._bin = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nonexistent"))
        if not (self._bin / "initdb").exists():
            raise SystemExit("PostgreSQL is missing: `make bench-repo` installs it")
        self._home, self._pristine, self._scale = home, home / "pristine", scale
        self._user = [] if os.getuid() else ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]

    @property
    def data_set(self) -> DataSet:
        """The stopped data directory; the change is 4,000 transactions for each 1,500 MiB."""
        return DataSet("postgres", f"PostgreSQL data directory, pgbench scale {self._scale}", self._make, self._change)

    @property
    def dump(self) -> list[str]:
        """The command that writes the whole database as SQL; the server must run."""
        return [str(self._bin / "pg_dump"), "-h", str(self._home), "-U", "postgres", "postgres"]

    def _as_server(self, *words: str) -> None:
        env = {**os.environ, "LC_ALL": "C"}
        subprocess.run(
            [*self._user, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env, cwd="/"
        )

    @contextlib.contextmanager
    def running(self, folder: Path) -> Iterator[None]:
        """The server on `folder`, listening on a socket only."""
        options = f"-c listen_addresses= -c unix_socket_directories={self._home} -c max_wal_size=512MB -c fsync=off"
        log = str(self._home / "log")
        self._as_server(str(self._bin / "pg_ctl"), "-D", str(folder), "-o", options, "-l", log, "-w", "start")
        try:
            yield
        finally:
            self._as_server(str(self._bin / "pg_ctl"), "-D", str(folder), "-m", "fast", "-w", "stop")

    def _bench(self, *words: str) -> None:
        self._as_server(str(self._bin / "pgbench"), "-h", str(self._home), "-U", "postgres", *words, "postgres")

    def _make(self, folder: Path) -> None:
        if not self._pristine.exists():
            self._home.mkdir(parents=True, exist_ok=True)
            if self._user:
                shutil.chown(self._home, "postgres", "postgres")
            self._as_server(str(self._bin / "initdb"), "-D", str(self._pristine), "-U", "postgres", "-A", "trust", "-N")
            with self.running(self._pristine):
                self._bench("-i", "-q", "-s", str(self._scale))
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(self._pristine), str(folder)], check=True)

    def _change(self, folder: Path) -> None:
        with self.running(folder):
            self._bench("-n", "-c", "2", "-t", str(20 * self._scale), "--random-seed=5")
