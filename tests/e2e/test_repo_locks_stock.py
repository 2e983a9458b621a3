"""Locks between stock restic and us: each sees the other's, in processes that run at the same time."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from holdfast.repo.backup import backup
from holdfast.repo.errors import RepositoryLocked
from holdfast.repo.prune import prune
from holdfast.repo.repository import Repository
from holdfast.repo.stock import Access
from holdfast.repo.stores import open_store
from holdfast.repo.unlock import list_locks, unlock
from tests import tools
from tests.repo_trees import PASSWORD

HELD_BACKUP = """
import sys
from holdfast.repo.backup import backup
from holdfast.repo.repository import Repository
from holdfast.repo.stores import open_store
from holdfast.repo.stores.faults import FaultyStore

def fault(operation, path):
    if operation == "put" and path.startswith("index/"):
        print("in the middle", flush=True)
        sys.stdin.readline()

with Repository.open(FaultyStore(open_store(sys.argv[1], {}), fault), sys.argv[2]) as repo:
    backup(repo, [sys.argv[3]])
"""


class Place:
    """A repository with one snapshot, for both programs."""

    def __init__(self, folder: Path) -> None:
        self.url = str(folder / "repository")
        self.data = folder / "data"
        self.data.mkdir()
        (self.data / "file").write_bytes(os.urandom(200_000))
        self.env = {**os.environ, "RESTIC_PASSWORD": PASSWORD, "RESTIC_CACHE_DIR": str(folder / "cache")}
        backup(Repository.init(open_store(self.url, {}), PASSWORD), [str(self.data)])

    def open(self) -> Repository:
        return Repository.open(open_store(self.url, {}), PASSWORD)

    def stock(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [tools.restic(), "-r", self.url, *words]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)

    @contextlib.contextmanager
    def running_stock(self, *words: str) -> "Generator[subprocess.Popen[bytes]]":
        """The stock program under way, from the moment on at which it has its lock."""
        command = [tools.restic(), "-r", self.url, *words]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, env=self.env, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, bufsize=0) as child:
            try:
                self.wait_for_lock()
                yield child
            finally:
                child.kill()

    @contextlib.contextmanager
    def our_backup(self) -> "Generator[subprocess.Popen[bytes]]":
        """A backup of ours in another process, stopped between its packs and its index."""
        (self.data / "file").write_bytes(os.urandom(200_000))
        command = [sys.executable, "-c", HELD_BACKUP, self.url, PASSWORD, str(self.data)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"in the middle\n"
            try:
                yield child
            finally:
                child.kill()

    @property
    def locks(self) -> list[str]:
        return sorted(path.name for path in Path(self.url, "locks").iterdir() if len(path.name) == 64)

    def wait_for_lock(self) -> None:
        deadline = time.monotonic() + 20
        while not self.locks:
            assert time.monotonic() < deadline
            time.sleep(0.005)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_stock_neither_prunes_beside_our_backup_nor_unlocks_it(place: Place) -> None:
    with place.our_backup() as child:
        held = place.locks
        refused, unlocked = place.stock("prune"), place.stock("unlock")

        assert refused.returncode == 11
        assert f"locked by PID {child.pid}" in refused.stderr
        assert (unlocked.returncode, place.locks) == (0, held)
        assert place.stock("backup", str(place.data)).returncode == 0
        assert place.locks == held
        assert child.stdin is not None
        child.stdin.write(b"go on\n")
        assert child.wait(20) == 0
    assert place.locks == []
    assert place.stock("check", "--read-data").returncode == 0
    assert len(place.open().snapshots()) == 3


def test_we_neither_prune_beside_a_stock_backup_nor_unlock_it(place: Place) -> None:
    access = Access(place.url, {}, PASSWORD)
    with place.running_stock("backup", "--stdin", "--stdin-filename", "typed") as child:
        held = place.locks
        with pytest.raises(RepositoryLocked, match=rf"a shared lock by .*pid {child.pid}"):
            prune(place.open(), access, program=tools.restic())
        assert [kept.lock.pid for kept in unlock(place.open()).kept] == [child.pid]
        assert backup(place.open(), [str(place.data)]).error_count == 0
        assert place.locks == held
        assert child.stdin is not None
        child.stdin.write(b"the end")
        child.stdin.close()
        assert child.wait(20) == 0
    assert prune(place.open(), access, program=tools.restic()).verified


def test_a_stock_program_that_wants_all_for_itself_keeps_us_out(place: Place) -> None:
    with place.running_stock("check") as child:
        child.send_signal(signal.SIGSTOP)
        with pytest.raises(RepositoryLocked, match=rf"an exclusive lock by .*pid {child.pid}"):
            backup(place.open(), [str(place.data)])
        child.send_signal(signal.SIGCONT)
        with place.open().lock(wait_seconds=20):
            assert child.poll() is not None or len(place.locks) == 1
    assert len(place.open().snapshots()) == 1


def test_each_removes_what_a_killed_other_left(place: Place) -> None:
    with place.our_backup() as child:
        child.kill()
        child.wait()
        assert len(place.locks) == 1
        assert place.stock("unlock").returncode == 0
        assert place.locks == []

    with place.running_stock("backup", "--stdin") as other:
        other.kill()
        other.wait()
        (left,) = list_locks(place.open())
        assert left.stale == f"its process {other.pid} has ended"
        with place.open().lock(exclusive=True):
            assert left.id not in place.locks
