"""Making one repository from several sides at once, in a store that writes over what is there; what a dead founder leaves."""

import contextlib
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.repo_trees import PASSWORD

from holdfast.repo import founding, keys
from holdfast.repo.backup import backup
from holdfast.repo.crypto import Key
from holdfast.repo.errors import Damaged, NoRepository, ObjectExists, RepositoryExists
from holdfast.repo.repository import Repository
from holdfast.repo.store import CONFIG, Buffer
from holdfast.repo.stores.faults import FaultyStore
from holdfast.repo.stores.local import LocalStore


class Overwriting(LocalStore):
    """A store without conditional writes: the last config stays."""

    def put(self, path: str, data: Buffer) -> None:
        """Write, whatever is there."""
        with contextlib.suppress(ObjectExists):
            super().put(path, data)
            return
        (self.root / path).unlink(missing_ok=True)
        self.put(path, data)


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "SCRYPT_N", 256)
    monkeypatch.setattr(founding, "_POLL_SECONDS", 0.01)


def found(store: LocalStore, seed: int, start: threading.Barrier) -> Repository | None:
    """Make a repository, every request after a wait of its own; None when somebody else was faster."""
    rng = random.Random(seed)
    start.wait()
    try:
        return Repository.init(FaultyStore(store, lambda *_: time.sleep(rng.random() * 0.005)), PASSWORD)
    except RepositoryExists:
        return None


@pytest.mark.parametrize("kind", [LocalStore, Overwriting])
def test_of_many_founders_one_makes_the_repository_and_leaves_the_only_key(tmp_path: Path, kind: type[LocalStore]) -> None:
    for number in range(3):
        store, start = kind(tmp_path / str(number)), threading.Barrier(3)
        store.create()
        with ThreadPoolExecutor(3) as pool:
            tries = [pool.submit(found, store, 3 * number + each, start) for each in range(3)]
        made = [each.result() for each in tries]
        winners = [repo for repo in made if repo is not None]

        assert len(winners) == 1
        assert [entry.name for entry in store.list("keys")] == [winners[0].key_id]
        assert Repository.open(store, PASSWORD).config == winners[0].config


def leave_a_key(store: LocalStore, password: str = PASSWORD) -> str:
    store.create()
    return keys.add(store, Key.generate(), password)


def test_what_a_dead_founder_left_is_taken_up(store: LocalStore, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(founding, "PATIENCE_SECONDS", 0.1)
    left = leave_a_key(store)
    made = Repository.init(store, PASSWORD)

    assert made.key_id == left
    assert [entry.name for entry in store.list("keys")] == [left]
    assert backup(Repository.open(store, PASSWORD), [str(source)]).snapshot_id


def test_a_living_founder_is_waited_for(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, go = threading.Event(), threading.Event()

    def slow(operation: str, path: str) -> None:
        if (operation, path) == ("put", CONFIG):
            ready.set()
            assert go.wait(10)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(Repository.init, FaultyStore(store, slow), PASSWORD)
        assert ready.wait(10)
        threading.Timer(0.05, go.set).start()
        with pytest.raises(RepositoryExists):
            Repository.init(store, PASSWORD)
        assert [entry.name for entry in store.list("keys")] == [first.result().key_id]


def test_an_unfinished_attempt_with_another_password_is_named(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(founding, "PATIENCE_SECONDS", 0.1)
    left = leave_a_key(store, "of somebody else")

    with pytest.raises(NoRepository, match=rf"delete keys/{left} and try again"):
        Repository.init(store, PASSWORD)
    assert [entry.name for entry in store.list("keys")] == [left]


def test_a_repository_that_lost_its_config_is_not_made_anew(
    repo: Repository, store: LocalStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(founding, "PATIENCE_SECONDS", 0.1)
    backup(repo, [str(source)])
    (store.root / CONFIG).unlink()

    with pytest.raises(Damaged, match="config is missing"):
        Repository.init(store, PASSWORD)
    assert [entry.name for entry in store.list("keys")] == [repo.key_id]


def test_a_key_of_no_repository_does_not_keep_its_password_from_opening_this_one(
    repo: Repository, store: LocalStore, reopen: Callable[[], Repository]
) -> None:
    strays = [leave_a_key(store) for _ in range(3)]

    assert reopen().key_id == repo.key_id
    keys.remove(store, repo.key_id, strays[0])
    with pytest.raises(Damaged, match="config is damaged, or of another repository than the keys"):
        reopen()
