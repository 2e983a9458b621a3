import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from holdfast.repo import locks
from holdfast.repo.backup import backup
from holdfast.repo.errors import AccessDenied, LockLost, RepositoryLocked, StoreUnavailable
from holdfast.repo.locks import LockJson, is_stale
from holdfast.repo.repository import Repository
from holdfast.repo.stores.faults import FaultyStore
from holdfast.repo.stores.local import LocalStore
from holdfast.repo.times import format_time
from holdfast.repo.unlock import list_locks, unlock


def lock_files(store: LocalStore) -> list[Path]:
    return sorted((store.root / "locks").iterdir())


def foreign(repo: Repository, **fields: object) -> None:
    made = LockJson(**{"time": format_time(datetime.now(UTC)), "hostname": "elsewhere", "pid": 1, **fields})  # type: ignore[arg-type]
    repo.put_json("locks", msgspec.json.encode(made))


def dead_pid() -> int:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_a_lock_exists_while_it_is_held_and_not_longer(repo: Repository, store: LocalStore) -> None:
    with repo.lock():
        assert len(lock_files(store)) == 1

    assert lock_files(store) == []


def test_where_no_lock_can_be_written_readers_are_told_how_to_go_without(repo: Repository) -> None:
    def refuse(operation: str, path: str) -> None:
        if operation == "put":
            raise AccessDenied(f"{path}: read-only file system")

    repo.store = FaultyStore(repo.store, refuse)
    with pytest.raises(AccessDenied, match=r"read-only file system.*only reads.*--no-lock"), repo.lock():
        pass
    with pytest.raises(AccessDenied) as refused, repo.lock(exclusive=True):
        pass
    assert "--no-lock" not in str(refused.value)


def test_an_error_gives_the_lock_back(repo: Repository, store: LocalStore) -> None:
    with pytest.raises(RuntimeError), repo.lock():
        raise RuntimeError

    assert lock_files(store) == []


def test_shared_locks_go_together_and_exclude_the_exclusive(repo: Repository) -> None:
    with (
        repo.lock(),
        repo.lock(),
        pytest.raises(RepositoryLocked, match=f"on {socket.gethostname()}"),
        repo.lock(exclusive=True),
    ):
        pass


def test_an_exclusive_lock_excludes_all(repo: Repository, store: LocalStore) -> None:
    with repo.lock(exclusive=True):
        with pytest.raises(RepositoryLocked, match="an exclusive lock"), repo.lock():
            pass
        assert len(lock_files(store)) == 1


def test_of_rivals_that_want_all_at_most_one_wins(repo: Repository) -> None:
    start, inside, most = threading.Barrier(4), list[int](), list[int]()

    def rival() -> None:
        start.wait()
        try:
            with repo.lock(exclusive=True):
                inside.append(1)
                most.append(len(inside))
                inside.pop()
        except RepositoryLocked:
            pass

    threads = [threading.Thread(target=rival) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(most) <= {1}


def test_a_lock_whose_holder_died_here_is_removed(repo: Repository, store: LocalStore) -> None:
    foreign(repo, exclusive=True, hostname=socket.gethostname(), pid=dead_pid(), holder=locks._namespace())

    with repo.lock():
        assert len(lock_files(store)) == 1


def test_a_live_process_in_another_pid_namespace_keeps_its_lock(repo: Repository, store: LocalStore) -> None:
    foreign(repo, exclusive=True, hostname=socket.gethostname(), pid=dead_pid(), holder="this boot/pid:[1]")

    with pytest.raises(RepositoryLocked), repo.lock():
        pass
    assert len(lock_files(store)) == 1


@pytest.mark.parametrize(("minutes", "stale"), [(29, False), (31, True)])
def test_an_unrefreshed_lock_is_stale_after_half_an_hour(minutes: int, stale: bool) -> None:
    now = datetime.now(UTC)
    lock = LockJson(time=format_time(now - timedelta(minutes=minutes)), hostname="elsewhere", pid=1)

    assert is_stale(lock, now) is stale


def test_a_lock_that_cannot_be_read_counts(repo: Repository, store: LocalStore) -> None:
    (store.root / "locks" / ("0" * 64)).write_bytes(b"not a lock at all, not even sealed........")

    with pytest.raises(RepositoryLocked), repo.lock():
        pass


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_a_lock_is_refreshed_by_a_new_one_before_the_old_goes(repo: Repository, store: LocalStore) -> None:
    with repo.lock(refresh_seconds=0.02):
        first = lock_files(store)
        wait_for(lambda: lock_files(store) != first and len(lock_files(store)) == 1)

    assert lock_files(store) == []


def test_a_holder_whose_lock_was_removed_must_not_go_on(repo: Repository, store: LocalStore) -> None:
    with repo.lock(refresh_seconds=0.02) as lock:
        lock.ensure()
        for path in lock_files(store):
            path.unlink(missing_ok=True)

        def lost() -> bool:
            try:
                lock.ensure()
            except LockLost:
                return True
            return False

        wait_for(lost)


def test_a_holder_that_cannot_refresh_in_time_must_not_go_on(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    with repo.lock() as lock:
        monkeypatch.setattr(locks, "EXPIRES_SECONDS", -1.0)
        with pytest.raises(LockLost, match="refreshed"):
            lock.ensure()


def test_a_backup_whose_lock_was_removed_a_moment_ago_writes_no_snapshot(
    repo: Repository, store: LocalStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = store.put

    def put_and_break(path: str, data: bytes) -> None:
        put(path, data)
        if path.startswith("index/"):
            for lock in lock_files(store):
                lock.unlink()

    monkeypatch.setattr(store, "put", put_and_break)
    with pytest.raises(LockLost, match="removed by somebody else"):
        backup(repo, [str(source)])
    assert list(store.list("snapshots")) == []


def test_a_backup_that_lost_its_lock_writes_no_snapshot(
    repo: Repository, store: LocalStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "EXPIRES_SECONDS", -1.0)

    with pytest.raises(LockLost):
        backup(repo, [str(source)])
    assert list(store.list("snapshots")) == []
    assert list(store.list("data")) == []


def test_our_own_pid_is_alive() -> None:
    here = LockJson(
        time=format_time(datetime.now(UTC)), hostname=socket.gethostname(), pid=os.getpid(), holder=locks._namespace()
    )

    assert not is_stale(here, datetime.now(UTC))


def test_waiting_for_a_lock_ends_when_it_is_free(repo: Repository) -> None:
    taken, waiting = threading.Event(), threading.Event()

    def holder() -> None:
        with repo.lock(exclusive=True):
            taken.set()
            waiting.wait(10)

    thread = threading.Thread(target=holder)
    thread.start()
    taken.wait(10)
    with pytest.raises(RepositoryLocked), repo.lock(wait_seconds=0.01):
        pass
    waiting.set()
    with repo.lock(wait_seconds=20) as lock:
        lock.ensure()
    thread.join()


def test_time_that_a_machine_slept_counts(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    with repo.lock() as lock:
        awake, wall = locks._clocks()
        monkeypatch.setattr(locks, "_clocks", lambda: (awake + 1.0, wall + 3600.0))
        with pytest.raises(LockLost):
            lock.ensure()


def test_a_failed_refresh_is_tried_again_soon(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RETRY_REFRESH_SECONDS", 0.01)
    tries, refreshed = list[str](), threading.Event()

    def fault(operation: str, path: str) -> None:
        if operation == "put" and threading.current_thread() is not threading.main_thread():
            tries.append(path)
            if len(tries) < 4:
                raise StoreUnavailable("away")
            refreshed.set()

    with Repository(FaultyStore(repo.store, fault), repo.key, repo.config).lock(refresh_seconds=0.2) as lock:
        assert refreshed.wait(10)
        lock.ensure()


def test_people_see_who_holds_a_lock_and_remove_only_stale_ones(repo: Repository, store: LocalStore) -> None:
    foreign(repo, hostname="alive", pid=5)
    foreign(repo, hostname="old", time=format_time(datetime.now(UTC) - timedelta(hours=2)))
    foreign(repo, hostname=socket.gethostname(), pid=dead_pid(), holder=locks._namespace())
    repo.dead_hosts = frozenset({"pod-7"})
    foreign(repo, hostname="pod-7")

    reasons = {held.lock.hostname: held.stale for held in list_locks(repo)}
    done = unlock(repo)

    assert reasons["alive"] == ""
    assert reasons["old"] == "it was not refreshed for 120 minutes"
    assert reasons["pod-7"] == "its host pod-7 has ended"
    assert "has ended" in reasons[socket.gethostname()]
    assert len(done.removed) == 3
    assert [held.lock.hostname for held in done.kept] == ["alive"]
    assert len(lock_files(store)) == 1


def test_a_person_can_remove_every_lock_even_one_that_can_not_be_read(repo: Repository, store: LocalStore) -> None:
    foreign(repo, hostname="alive")
    (store.root / "locks" / ("0" * 64)).write_bytes(b"not a lock at all, not even sealed........")

    assert [held.lock.time for held in unlock(repo).kept][-1] == "unreadable"
    assert len(unlock(repo, remove_all=True).removed) == 2
    assert lock_files(store) == []


ASKED = """
import os, signal, sys, threading
from pathlib import Path
from holdfast.repo.repository import Repository
from holdfast.repo.stores.local import LocalStore

heard = []
if sys.argv[2] == "handler":
    signal.signal(signal.SIGHUP, lambda *_: heard.append(1))

def hold():
    with Repository.open(LocalStore(Path(sys.argv[1])), "correct horse").lock():
        os.kill(os.getpid(), signal.SIGHUP)

thread = threading.Thread(target=hold)
thread.start()
thread.join()
print("alive", len(heard))
"""


@pytest.mark.parametrize(("program", "heard"), [("plain", 0), ("handler", 1)])
def test_being_asked_whether_it_lives_does_not_end_a_holder(
    store: LocalStore, repo: Repository, program: str, heard: int
) -> None:
    done = subprocess.run([sys.executable, "-c", ASKED, str(store.root), program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, f"alive {heard}\n")
