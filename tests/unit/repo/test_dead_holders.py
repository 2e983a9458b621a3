"""A lock whose holder is known to have ended is removed by whoever comes next; nobody else's is."""

import json
from pathlib import Path

import pytest

from holdfast.repo.errors import RepositoryLocked
from holdfast.repo.repository import Repository
from holdfast.repo.stores import open_store


def foreign_lock(repo: Repository, host: str, *, exclusive: bool) -> str:
    document = {"time": "2999-01-01T00:00:00Z", "exclusive": exclusive, "hostname": host, "pid": 2}
    return repo.put_json("locks", json.dumps(document).encode())


def locks(repo: Repository) -> set[str]:
    return {entry.name for entry in repo.store.list("locks")}


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository.init(open_store(str(tmp_path / "repo"), {}), "secret")


def test_the_lock_of_a_dead_host_goes_when_the_next_one_is_taken(repo: Repository) -> None:
    dead, alive = foreign_lock(repo, "pod-dead", exclusive=False), foreign_lock(repo, "pod-alive", exclusive=False)
    repo.dead_hosts = frozenset({"pod-dead"})
    with repo.lock():
        held = locks(repo)
        assert dead not in held
        assert alive in held
    assert locks(repo) == {alive}


def test_an_exclusive_lock_of_a_dead_host_holds_nobody_up(repo: Repository) -> None:
    foreign_lock(repo, "pod-dead", exclusive=True)
    with pytest.raises(RepositoryLocked, match="pod-dead"), repo.lock():
        pass
    repo.dead_hosts = frozenset({"pod-dead"})
    with repo.lock():
        pass
    assert locks(repo) == set()
