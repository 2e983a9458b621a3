import errno
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.repo_trees import PASSWORD, build_corpus, differences

from holdfast.repo import reading, scan, writer
from holdfast.repo.backup import backup
from holdfast.repo.blob import blob_id
from holdfast.repo.chunker import MIN_BYTES
from holdfast.repo.errors import (
    NoRepository,
    NoSnapshot,
    RepositoryExists,
    SelfCheckFailed,
    SourceError,
    Stopped,
    StoreFull,
    StoreUnavailable,
    WrongPassword,
)
from holdfast.repo.maintain import forget, read_root, snapshots, stats
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.result import Progress
from holdfast.repo.stores.local import LocalStore
from holdfast.repo.stores.retry import FaultyStore


def test_everything_that_a_file_system_holds_comes_back(repo: Repository, tmp_path: Path) -> None:
    build_corpus(tmp_path / "source")
    made = backup(repo, [str(tmp_path / "source")])
    done = restore(repo, made.snapshot_id, str(tmp_path / "target"), subfolder=str(tmp_path / "source"))

    assert not made.partial
    assert not done.partial
    assert differences(tmp_path / "source", tmp_path / "target") == []
    assert done.verified_files == done.files - done.links
    assert (tmp_path / "target" / "sparse").stat().st_blocks * 512 < 1 << 20


def test_a_second_backup_reads_nothing_and_adds_nothing(
    repo: Repository, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = backup(repo, [str(source)])

    def no_reading(path: str) -> int:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(reading, "open_source", no_reading)
    second = backup(repo, [str(source)])

    assert (second.files_new, second.files_changed, second.files_unmodified) == (0, 0, 10)
    assert second.parent == first.snapshot_id
    assert second.bytes_processed == first.bytes_processed


def test_only_what_changed_is_added(repo: Repository, source: Path) -> None:
    backup(repo, [str(source)])
    (source / "file1").write_text("changed")
    (source / "brand new").write_text("new")
    second = backup(repo, [str(source)])

    assert (second.files_new, second.files_changed, second.files_unmodified) == (1, 1, 9)
    assert second.dirs_unmodified >= 1


def test_a_file_whose_blob_was_lost_is_read_again(repo: Repository, store: LocalStore, source: Path) -> None:
    backup(repo, [str(source)])
    for kind in ("index", "data"):
        for path in (store.root / kind).rglob("*"):
            if path.is_file():
                path.unlink()
    again = backup(repo, [str(source)])

    assert again.files_unmodified == 0
    assert read_root(repo, again.snapshot_id)


def test_equal_files_are_stored_once(repo: Repository, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for number in range(20):
        (tmp_path / "s" / f"{number}").write_bytes(b"the same content in every file" * 100)
    made = backup(repo, [str(tmp_path / "s")])

    assert made.added_raw < 20 * 3000


def test_paths_excludes_tags_host_and_time_are_recorded(repo: Repository, source: Path) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    made = backup(repo, [str(source)], excludes=["file3"], tags=["nightly"], host="web-0", time=when)
    (snapshot,) = snapshots(repo)

    assert made.files == 8
    assert (snapshot.hostname, snapshot.tags, snapshot.excludes, snapshot.time) == ("web-0", ("nightly",), ("file3",), when)
    assert snapshot.paths == (str(source),)
    assert snapshot.summary is not None
    assert snapshot.summary.total_files_processed == 8


def test_a_parent_belongs_to_the_same_host_and_paths(repo: Repository, source: Path) -> None:
    backup(repo, [str(source)], host="one")

    assert backup(repo, [str(source)], host="two").parent == ""
    assert backup(repo, [str(source / "below")], host="one").parent == ""
    assert backup(repo, [str(source)], host="one").parent != ""
    assert backup(repo, [str(source)], host="one", parent="").files_unmodified == 0


def test_several_paths_and_single_files_are_one_snapshot(repo: Repository, source: Path, tmp_path: Path) -> None:
    backup(repo, [str(source / "below"), str(source / "file0"), str(source / "below" / "file1")])
    restore(repo, "latest", str(tmp_path / "target"), subfolder=str(source))

    assert sorted(os.listdir(tmp_path / "target")) == ["below", "file0"]
    assert len(os.listdir(tmp_path / "target" / "below")) == 5


def test_a_file_that_cannot_be_read_makes_the_result_partial_and_is_named(
    repo: Repository, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = reading.open_source

    def broken(path: str) -> int:
        if path.endswith("file2"):
            raise PermissionError(13, "Permission denied", path)
        return really(path)

    monkeypatch.setattr(reading, "open_source", broken)
    made = backup(repo, [str(source)])

    assert made.partial
    assert made.error_count == 2
    assert {error.path for error in made.errors} == {str(source / "file2"), str(source / "below" / "file2")}
    assert made.errors[0].message == "Permission denied"
    assert made.files == 8


def test_a_folder_that_cannot_be_listed_is_named(repo: Repository, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = scan.os.scandir

    def broken(path: str) -> object:
        if str(path).endswith("below"):
            raise PermissionError(13, "Permission denied", path)
        return really(path)

    monkeypatch.setattr(scan.os, "scandir", broken)
    made = backup(repo, [str(source)])

    assert [error.path for error in made.errors] == [str(source / "below")]


def test_a_file_that_vanished_is_counted_and_no_error(repo: Repository, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = reading.open_source

    def vanish(path: str) -> int:
        if path.endswith("/file4"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return really(path)

    monkeypatch.setattr(reading, "open_source", vanish)
    made = backup(repo, [str(source)])

    assert not made.partial
    assert made.vanished == 2


@pytest.mark.parametrize("size", [0, 100, MIN_BYTES - 1, MIN_BYTES + 5, 3 * MIN_BYTES])
def test_a_file_that_grew_or_shrank_after_it_was_opened_is_stored_as_read(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    (tmp_path / "s").mkdir()
    target = tmp_path / "s" / "log"
    target.write_bytes(b"x" * 1000)
    really = reading.os.fstat
    content = os.urandom(size)

    def race(handle: int) -> os.stat_result:
        stat = really(handle)
        if stat.st_size == 1000:
            target.write_bytes(content)
        return stat

    monkeypatch.setattr(reading.os, "fstat", race)
    made = backup(repo, [str(tmp_path / "s")], workers=1)
    restore(repo, made.snapshot_id, str(tmp_path / "t"), subfolder=str(tmp_path / "s"))

    assert (tmp_path / "t" / "log").read_bytes() == content


def test_a_missing_path_is_an_error_before_anything_is_written(repo: Repository, store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing here"):
        backup(repo, [str(tmp_path / "nothing here")])
    with pytest.raises(SourceError, match="no path"):
        backup(repo, [])
    assert stats(repo).packs == 0


def test_a_store_that_fills_up_ends_the_backup_with_its_own_words(store: LocalStore, source: Path) -> None:
    Repository.init(store, PASSWORD)

    def full(operation: str, path: str) -> None:
        if operation == "put" and path.startswith("data/"):
            raise StoreFull("no space left")

    repo = Repository.open(FaultyStore(store, full), PASSWORD)
    with pytest.raises(StoreFull, match="no space left"):
        backup(repo, [str(source)])
    assert list(store.list("snapshots")) == []
    assert list(store.list("locks")) == []


@pytest.mark.parametrize("kind", ["data/", "index/", "snapshots/"])
def test_whatever_write_fails_no_snapshot_names_what_is_missing(store: LocalStore, source: Path, kind: str) -> None:
    Repository.init(store, PASSWORD)

    def fail(operation: str, path: str) -> None:
        if operation == "put" and path.startswith(kind):
            raise StoreUnavailable("gone")

    with pytest.raises(StoreUnavailable):
        backup(Repository.open(FaultyStore(store, fail), PASSWORD), [str(source)])

    repo = Repository.open(store, PASSWORD)
    assert snapshots(repo) == []
    assert not backup(repo, [str(source)]).partial


def test_an_interrupted_backup_uploads_nothing_twice(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s").mkdir()
    for number in range(40):
        (tmp_path / "s" / f"{number:02}").write_bytes(os.urandom(100_000))
    monkeypatch.setattr(writer, "PACK_BYTES", 300_000)
    monkeypatch.setattr(writer, "INDEX_BLOBS", 1)
    Repository.init(store, PASSWORD)

    def die(operation: str, path: str) -> None:
        if operation == "put" and path.startswith("snapshots/"):
            raise StoreUnavailable("killed")

    with pytest.raises(StoreUnavailable):
        backup(Repository.open(FaultyStore(store, die), PASSWORD), [str(tmp_path / "s")])
    again = backup(Repository.open(store, PASSWORD), [str(tmp_path / "s")])

    assert again.files == 40
    assert again.added_stored < 20_000


def test_bad_memory_is_caught_before_anything_is_stored(repo: Repository, store: LocalStore) -> None:
    damaged, other = blob_id(b"what the memory held first"), blob_id(b"other")
    with repo.lock() as lock, writer.BlobWriter(repo, lock) as blobs:
        assert blobs.claim(damaged)
        with pytest.raises(SelfCheckFailed, match="memory of this machine"):
            blobs.store("data", damaged, b"what the memory holds now")
    repo.load_index()
    with repo.lock() as lock, writer.BlobWriter(repo, lock) as blobs:
        assert blobs.claim(other)
        with pytest.raises(SelfCheckFailed):
            blobs.finish()
    assert list(store.list("data")) == []


def test_stopping_ends_soon_and_leaves_a_clean_repository(repo: Repository, store: LocalStore, source: Path) -> None:
    stop = threading.Event()
    stop.set()

    with pytest.raises(Stopped):
        backup(repo, [str(source)], stop=stop)
    assert list(store.list("locks")) == []
    assert list(store.list("snapshots")) == []


def test_progress_ends_with_the_whole(repo: Repository, source: Path) -> None:
    told: list[Progress] = []
    made = backup(repo, [str(source)], progress=told.append)

    assert told[-1].files_done == made.files == 10
    assert told[-1].bytes_done == made.bytes_processed


def test_max_file_bytes_and_one_file_system(repo: Repository, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "small").write_bytes(b"x")
    (tmp_path / "s" / "big").write_bytes(b"x" * 1000)

    assert backup(repo, [str(tmp_path / "s")], max_file_bytes=999).files == 1
    assert backup(repo, ["/dev/null"], one_file_system=True).files == 0


def test_packs_hold_blobs_of_one_kind_and_random_sizes(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PACK_BYTES", 400_000)
    (tmp_path / "s").mkdir()
    for number in range(60):
        (tmp_path / "s" / f"{number}").write_bytes(os.urandom(50_000))
    backup(repo, [str(tmp_path / "s")])
    repo.load_index()
    packs = dict(repo.index.by_pack())

    assert all(len({entry.kind for entry in entries}) == 1 for entries in packs.values())
    assert len({len(entries) for entries in packs.values()}) > 1


def test_opening_says_what_is_wrong(store: LocalStore, reopen: Callable[[], Repository]) -> None:
    with pytest.raises(NoRepository, match="initialise"):
        reopen()
    Repository.init(store, PASSWORD)
    with pytest.raises(RepositoryExists):
        Repository.init(store, PASSWORD)
    with pytest.raises(WrongPassword, match="encryption secret") as caught:
        Repository.open(store, "my guess")
    assert "my guess" not in str(caught.value)
    with pytest.raises(NoRepository, match="empty password"):
        Repository.init(LocalStore(store.root / "other"), "")


def test_snapshots_are_found_by_the_beginning_of_their_id_and_forgotten_by_all_of_it(repo: Repository, source: Path) -> None:
    one = backup(repo, [str(source)]).snapshot_id
    two = backup(repo, [str(source)]).snapshot_id

    assert repo.snapshot(one[:10]).id == one
    assert repo.snapshot("latest").id == two
    assert forget(repo, [one, "f" * 64]) == [one]
    assert [snapshot.id for snapshot in snapshots(repo)] == [two]
    with pytest.raises(NoSnapshot):
        repo.snapshot(one)
    with pytest.raises(NoSnapshot):
        read_root(repo, one)


@pytest.mark.parametrize("call", ["listxattr", "getxattr"])
def test_an_extended_attribute_that_cannot_be_read_makes_the_backup_partial_and_keeps_the_file(
    call: str, repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("good", "bad"):
        (source / name).write_text(name)
        os.setxattr(source / name, "user.note", b"kept")
    inode, real = (source / "bad").stat().st_ino, getattr(os, call)

    def failing(path: int | str, *arguments: str, **options: bool) -> object:
        if os.stat(path).st_ino == inode:
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, call, failing)
    made = backup(repo, [str(source)])
    monkeypatch.undo()
    restore(repo, made.snapshot_id, str(tmp_path / "target"), subfolder=str(source))

    assert made.partial
    assert [error.path for error in made.errors] == [str(source / "bad")]
    assert "extended attribute" in made.errors[0].message
    assert (tmp_path / "target" / "bad").read_text() == "bad"
    assert os.getxattr(tmp_path / "target" / "good", "user.note") == b"kept"
