"""Copying: which snapshots go, what is left alone, and what happens when either side is not as it should be."""

import random
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.repo_trees import PASSWORD

from holdfast.repo.backup import backup
from holdfast.repo.check import check
from holdfast.repo.copy import CopyProgress, copy
from holdfast.repo.errors import LockLost, NoSnapshot, RepositoryLocked, Stopped, StoreUnavailable
from holdfast.repo.index import Location
from holdfast.repo.maintain import forget
from holdfast.repo.packreads import GAP_BYTES, plan_reads
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.store import path_of
from holdfast.repo.stores.faults import FaultyStore
from holdfast.repo.stores.local import LocalStore
from holdfast.repo.writer import BlobWriter


@pytest.fixture
def target(tmp_path: Path) -> Repository:
    return Repository.init(LocalStore(tmp_path / "target"), "another")


def watched(repo: Repository, seen: Callable[[str, str], None]) -> Repository:
    """The same repository over a store that tells what is done with it."""
    return Repository(FaultyStore(repo.store, seen), repo.key, repo.config)


def packs(repo: Repository) -> set[str]:
    return {entry.name for entry in repo.store.list("data")}


def blobs_of(repo: Repository) -> list[bytes]:
    return [entry.id for _, entries in repo.load_index().by_pack() for entry in entries]


def test_a_copy_restores_to_the_same_files_with_the_other_password(
    repo: Repository, target: Repository, source: Path, tmp_path: Path
) -> None:
    backup(repo, [str(source)])

    done = copy(repo, target)

    with Repository.open(LocalStore(tmp_path / "target"), "another") as opened:
        restore(opened, "latest", str(tmp_path / "out"), subfolder=str(source))
        assert check(opened, read_data=True).ok
    assert [p.read_bytes() for p in sorted((tmp_path / "out").rglob("file*"))] == [
        p.read_bytes() for p in sorted(source.rglob("file*"))
    ]
    assert (done.copied, done.blobs) == (1, len(target.index))


def test_only_what_was_asked_for_is_copied(repo: Repository, target: Repository, source: Path) -> None:
    backup(repo, [str(source)])
    wanted = backup(repo, [str(source)], tags=["wanted"]).snapshot_id

    done = copy(repo, target, [wanted])

    assert [snapshot.tags for snapshot in target.snapshots()] == [("wanted",)]
    assert [(each.source, each.new) for each in done.snapshots] == [(wanted, True)]


def test_an_unknown_snapshot_is_refused_before_anything_is_written(repo: Repository, target: Repository, source: Path) -> None:
    known = backup(repo, [str(source)]).snapshot_id

    with pytest.raises(NoSnapshot, match="ffff"):
        copy(repo, target, [known, "f" * 64])
    assert packs(target) == set()


def test_blobs_that_the_target_has_are_neither_read_nor_written(repo: Repository, target: Repository, source: Path) -> None:
    backup(repo, [str(source)])
    copy(repo, target)
    held, old = packs(target), packs(repo)
    (source / "new").write_bytes(random.Random(1).randbytes(100_000))
    backup(repo, [str(source)])
    fresh = packs(repo) - old
    reads: set[str] = set()

    done = copy(watched(repo, lambda operation, path: reads.add(path) if operation == "get" else None), target)

    data_packs = {at.pack.hex() for at in map(repo.load_index().find, blobs_of(repo)) if at and at.kind == "data"}
    assert {path[8:] for path in reads if path[8:] in data_packs} == fresh & data_packs
    assert done.blobs == 1 + len(source.parts)
    assert len(packs(target) - held) == 2


def test_a_second_copy_does_nothing_and_a_dry_run_writes_nothing(repo: Repository, target: Repository, source: Path) -> None:
    backup(repo, [str(source)])

    planned = copy(repo, target, dry_run=True)
    assert (packs(target), target.snapshots()) == (set(), [])
    done = copy(repo, target)
    again = copy(repo, target)

    assert (planned.copied, planned.blobs, planned.bytes_read) == (done.copied, done.blobs, done.bytes_read)
    assert (again.copied, again.skipped, again.blobs, again.bytes_stored) == (0, 1, 0, 0)


def test_parents_are_those_of_the_target(repo: Repository, target: Repository, source: Path) -> None:
    first, second = (backup(repo, [str(source)]) for _ in range(2))
    assert second.parent == first.snapshot_id

    done = copy(repo, target)

    new = {each.source: each.target for each in done.snapshots}
    assert target.snapshot(new[second.snapshot_id]).parent == new[first.snapshot_id]


def test_a_snapshot_with_damaged_data_is_left_out_and_named_while_others_go(
    repo: Repository, target: Repository, source: Path, tmp_path: Path
) -> None:
    backup(repo, [str(source)])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_bytes(random.Random(2).randbytes(50_000))
    before = packs(repo)
    bad = backup(repo, [str(tmp_path / "other")]).snapshot_id
    backup(repo, [str(source)], tags=["later"])
    for name in packs(repo) - before:
        damaged = tmp_path / "repository" / path_of("data", name)
        damaged.chmod(0o600)
        if damaged.stat().st_size > 40_000:
            damaged.write_bytes(damaged.read_bytes().replace(damaged.read_bytes()[5000:5004], b"flip"))

    done = copy(repo, target)

    assert [failure.source for failure in done.failures] == [bad]
    assert "blob" in done.failures[0].message
    assert done.copied == 2
    assert check(target, read_data=True).ok


def test_a_snapshot_that_is_deleted_meanwhile_is_reported_and_not_written(
    repo: Repository, target: Repository, source: Path
) -> None:
    gone = backup(repo, [str(source)]).snapshot_id

    def forget_at_first_pack(operation: str, path: str) -> None:
        if operation == "get" and path.startswith("data/") and repo.snapshots():
            forget(repo, [gone])

    done = copy(watched(repo, forget_at_first_pack), target)

    assert "was deleted while it was copied" in done.failures[0].message
    assert (target.snapshots(), done.copied) == ([], 0)


def test_the_snapshot_comes_last_or_not_at_all(repo: Repository, target: Repository, source: Path) -> None:
    backup(repo, [str(source)])
    order: list[str] = []
    copy(repo, watched(target, lambda operation, path: order.append(path.split("/")[0]) if operation == "put" else None))
    kinds = [kind for kind in order if kind != "locks"]
    assert kinds == ["data"] * (len(kinds) - 2) + ["index", "snapshots"]

    (source / "new").write_text("new")
    backup(repo, [str(source)])

    def fail(operation: str, path: str) -> None:
        if operation == "put" and path.startswith("index"):
            raise StoreUnavailable("the store is away")

    with pytest.raises(StoreUnavailable):
        copy(repo, watched(target, fail))
    assert len(target.snapshots()) == 1
    assert list(target.store.list("locks")) == list(repo.store.list("locks")) == []


def test_both_sides_are_locked_and_a_prune_of_either_excludes_a_copy(
    repo: Repository, target: Repository, source: Path
) -> None:
    backup(repo, [str(source)])
    held: list[int] = []

    def look(operation: str, path: str) -> None:
        held.append(len(list(repo.store.list("locks"))) + len(list(target.store.list("locks"))))

    copy(watched(repo, lambda operation, path: look(operation, path) if path.startswith("data/") else None), target)
    assert set(held) == {2}

    for side in (repo, target):
        with side.lock(exclusive=True), pytest.raises(RepositoryLocked):
            copy(repo, target)
    with repo.lock(exclusive=True):
        assert copy(repo, target, lock_source=False).skipped == 1


def test_a_lost_lock_of_the_source_ends_the_copy(repo: Repository, target: Repository, source: Path) -> None:
    backup(repo, [str(source)])

    def lose(operation: str, path: str) -> None:
        if operation == "get" and path.startswith("data/"):
            raise LockLost("lost")

    with pytest.raises(LockLost):
        copy(watched(repo, lose), target)
    assert target.snapshots() == []


def test_a_copy_can_be_stopped_and_tells_how_far_it_is(repo: Repository, target: Repository, source: Path) -> None:
    backup(repo, [str(source)])
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        copy(repo, target, stop=stop)
    assert target.snapshots() == []

    told: list[CopyProgress] = []
    done = copy(repo, target, progress=told.append)
    last = told[-1]
    assert (last.snapshots_done, last.snapshots_total, last.blobs_done) == (1, 1, done.blobs)
    assert last.bytes_done == last.bytes_wanted == done.bytes_read


def test_unknown_fields_of_a_snapshot_survive(repo: Repository, target: Repository, source: Path) -> None:
    made = backup(repo, [str(source)])
    document = repo.load_json(path_of("snapshots", made.snapshot_id))
    repo.store.delete(path_of("snapshots", made.snapshot_id))
    repo.put_json("snapshots", document[:-1] + b',"future":{"kept":[1,2]}}')

    (copied,) = copy(repo, target).snapshots

    assert b'"future":{"kept":[1,2]}' in target.load_json(path_of("snapshots", copied.target))


def test_a_copy_of_a_copy_keeps_the_first_origin(repo: Repository, target: Repository, source: Path, tmp_path: Path) -> None:
    made = backup(repo, [str(source)]).snapshot_id
    third = Repository.init(LocalStore(tmp_path / "third"), PASSWORD)
    copy(repo, target)

    (copied,) = copy(target, third).snapshots

    assert f'"original":"{made}"'.encode() in third.load_json(path_of("snapshots", copied.target))
    assert copy(third, repo).skipped == 1


def test_reads_are_grouped_by_pack_and_bounded() -> None:
    def at(pack: bytes, offset: int, length: int = 100) -> tuple[bytes, Location]:
        return bytes([offset % 251]) * 32, Location("data", pack, offset, length, 0)

    wanted = [at(b"B", 300), at(b"A", 100), at(b"B", 100), at(b"A", 200), at(b"A", 400 + GAP_BYTES), at(b"B", 400, 1000)]

    reads = [(read.pack, read.start, read.length, len(read.blobs)) for read in plan_reads(wanted, 500)]

    assert reads == [(b"B", 100, 300, 2), (b"B", 400, 1000, 1), (b"A", 100, 200, 2), (b"A", 400 + GAP_BYTES, 100, 1)]


def shot(repo: Repository, tree: str) -> str:
    """A snapshot of a tree, as somebody else might have written it."""
    document = f'{{"time":"2026-01-01T00:00:00Z","tree":"{tree}","paths":["/"],"hostname":"elsewhere"}}'
    return repo.put_json("snapshots", document.encode())


def stored(repo: Repository, tree: bytes) -> str:
    with repo.lock() as lock, BlobWriter(repo, lock) as writer:
        ident = writer.save("tree", tree)
        writer.finish()
    return ident.hex()


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (b"no tree at all", "not readable"),
        (b'{"nodes":[{"name":"f","type":"file","content":["abcd"]}]}', "'abcd' is no id"),
        (b'{"nodes":[{"name":"f","type":"file","content":["' + b"ab" * 32 + b'"]}]}', "is in no index"),
        (b'{"nodes":[{"name":"d","type":"dir","subtree":"xyz"}]}', "'xyz' is no id"),
        (b'{"nodes":[{"name":"d","type":"dir","subtree":"' + b"cd" * 32 + b'"}]}', "is in no index"),
    ],
)
def test_a_tree_that_is_none_fails_its_snapshot_only(
    repo: Repository, target: Repository, source: Path, tree: bytes, said: str
) -> None:
    good = backup(repo, [str(source)]).snapshot_id
    bad = [shot(repo, stored(repo, tree)), shot(repo, ""), shot(repo, "ab" * 32)]

    done = copy(repo, target)

    assert {failure.source for failure in done.failures} == set(bad)
    assert any(said in failure.message for failure in done.failures)
    assert [each.source for each in done.snapshots] == [good]
    assert check(target, read_data=True).ok


def test_an_index_that_claims_too_much_is_not_believed(repo: Repository, target: Repository) -> None:
    tree = stored(repo, b'{"nodes":[]}')
    (entry,) = repo.store.list("index")
    index = repo.load_json(path_of("index", entry.name))
    repo.store.delete(path_of("index", entry.name))
    repo.put_json("index", re.sub(rb'"length":\d+', b'"length":1900000000', index))
    shot(repo, tree)

    (failure,) = copy(repo, target).failures

    assert "claims 1900000000 bytes" in failure.message
