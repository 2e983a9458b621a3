import errno
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.repo_trees import PASSWORD, build_corpus, differences, find_path
from tests.rights import foreign, without_override

from holdfast.repo import native, writer
from holdfast.repo.backup import backup
from holdfast.repo.blob import blob_id
from holdfast.repo.check import check
from holdfast.repo.chunker import MIN_BYTES
from holdfast.repo.errors import (
    NoRepository,
    NoSnapshot,
    RepositoryExists,
    SelfCheckFailed,
    Stopped,
    StoreFull,
    StoreUnavailable,
    WrongPassword,
)
from holdfast.repo.maintain import forget, read_root, snapshots
from holdfast.repo.patterns import Patterns
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.result import Progress
from holdfast.repo.stores.faults import FaultyStore
from holdfast.repo.stores.local import LocalStore

pytestmark = pytest.mark.usefixtures("data_path")


def test_everything_that_a_file_system_holds_comes_back(repo: Repository, tmp_path: Path) -> None:
    build_corpus(tmp_path / "source")
    made = backup(repo, [str(tmp_path / "source")])
    done = restore(repo, made.snapshot_id, str(tmp_path / "target"), subfolder=str(tmp_path / "source"))

    assert not made.partial
    assert not done.partial
    assert differences(tmp_path / "source", tmp_path / "target") == []
    assert done.verified_files == done.files - done.links
    assert (tmp_path / "target" / "sparse").stat().st_blocks * 512 < 1 << 20


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Arrange for something to happen once, after the source's folder was looked at and before its files are opened."""

    def arrange(action: Callable[[], object]) -> None:
        left = [action]

        def match(_: object, path: str) -> bool:
            if left and path.count("/source/"):
                left.pop()()
            return False

        monkeypatch.setattr(Patterns, "match", match)

    return arrange


def test_a_second_backup_reads_nothing_and_adds_nothing(repo: Repository, source: Path) -> None:
    foreign(*source.glob("file*"))
    first = backup(repo, [str(source)])
    with without_override():
        second = backup(repo, [str(source)])

    assert not second.partial
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


def test_a_file_that_cannot_be_read_makes_the_result_partial_and_is_named(repo: Repository, source: Path) -> None:
    foreign(source / "file2", source / "below" / "file2")
    with without_override():
        made = backup(repo, [str(source)])

    assert made.partial
    assert made.error_count == 2
    assert {error.path for error in made.errors} == {str(source / "file2"), str(source / "below" / "file2")}
    assert made.errors[0].message == "Permission denied"
    assert made.files == 8


def test_a_file_that_vanished_is_counted_and_no_error(
    repo: Repository, source: Path, between: Callable[[Callable[[], object]], None]
) -> None:
    between(lambda: (source / "file4").unlink())
    made = backup(repo, [str(source)], excludes=["nothing"])

    assert not made.partial
    assert (made.vanished, made.files) == (1, 9)


def test_a_file_that_became_a_link_or_a_fifo_is_not_followed(
    repo: Repository, source: Path, between: Callable[[Callable[[], object]], None]
) -> None:
    def swap() -> None:
        (source / "file3").unlink()
        os.symlink("/etc/passwd", source / "file3")
        (source / "file4").unlink()
        os.mkfifo(source / "file4")

    between(swap)
    made = backup(repo, [str(source)], excludes=["nothing"])

    assert {(error.path, error.message) for error in made.errors} == {
        (str(source / "file3"), "Too many levels of symbolic links"),
        (str(source / "file4"), "is no regular file any more"),
    }


@pytest.mark.parametrize("size", [0, 100, MIN_BYTES - 1, MIN_BYTES + 5, 3 * MIN_BYTES])
def test_a_file_that_grew_or_shrank_before_it_was_opened_is_stored_as_read(
    repo: Repository, source: Path, tmp_path: Path, between: Callable[[Callable[[], object]], None], size: int
) -> None:
    content = os.urandom(size)
    between(lambda: (source / "file1").write_bytes(content))
    made = backup(repo, [str(source)], excludes=["nothing"])
    restore(repo, made.snapshot_id, str(tmp_path / "t"), subfolder=str(source))

    assert not made.partial
    assert made.files == 10
    assert (tmp_path / "t" / "file1").read_bytes() == content


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


def test_what_was_stored_before_a_stop_is_not_stored_again(
    repo: Repository, store: LocalStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PACK_BYTES", 300_000)
    for number in range(40):
        (source / f"folder{number}").mkdir()
        (source / f"folder{number}" / "file").write_bytes(os.urandom(100_000))
    stop, put = threading.Event(), store.put

    def put_and_stop(path: str, data: bytes) -> None:
        put(path, data)
        if path.startswith("data/"):
            stop.set()

    monkeypatch.setattr(store, "put", put_and_stop)
    with pytest.raises(Stopped):
        backup(repo, [str(source)], stop=stop)
    stored = sum(entry.size for entry in store.list("data"))
    again = backup(repo, [str(source)])

    assert stored >= 300_000
    assert again.added_stored <= 40 * 100_000 - stored + 100_000
    assert not check(repo).problems


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


def test_an_extended_attribute_that_cannot_be_read_makes_the_backup_partial_and_keeps_the_file(
    repo: Repository, source: Path, tmp_path: Path
) -> None:
    for name in ("file0", "file1"):
        os.setxattr(source / name, "user.note", b"kept")
    foreign(source / "file1")
    backup(repo, [str(source)])
    with without_override():
        made = backup(repo, [str(source)])
    restore(repo, made.snapshot_id, str(tmp_path / "target"), subfolder=str(source))

    assert made.partial
    assert made.files_unmodified == 10
    assert [(error.path, error.message) for error in made.errors] == [
        (str(source / "file1"), "its extended attribute user.note can't be read: Permission denied")
    ]
    assert (tmp_path / "target" / "file1").read_text() == (source / "file1").read_text()
    assert os.getxattr(tmp_path / "target" / "file0", "user.note") == b"kept"


def test_extended_attributes_that_cannot_be_listed_are_named_too(
    repo: Repository, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(native.PURE_VARIABLE, "1")
    native.forget()
    inode, real = (source / "file1").stat().st_ino, os.listxattr

    def failing(path: int | str, **options: bool) -> list[str]:
        if os.stat(path).st_ino == inode:
            raise OSError(errno.EIO, "Input/output error")
        return real(path, **options)

    monkeypatch.setattr(os, "listxattr", failing)
    made = backup(Repository.open(repo.store, PASSWORD), [str(source)])

    assert [error.path for error in made.errors] == [str(source / "file1")]
    assert "extended attributes can't be listed" in made.errors[0].message


def test_ctime_and_inode_can_be_passed_over(repo: Repository, source: Path) -> None:
    backup(repo, [str(source)])
    stat = (source / "file1").stat()
    os.chmod(source / "file0", 0o600)
    (source / "file1").rename(source / "old")
    (source / "file1").write_text("content 1\n" * 50)
    os.utime(source / "file1", ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    (source / "old").unlink()

    assert backup(repo, [str(source)], dry_run=True).files_changed == 2
    assert backup(repo, [str(source)], dry_run=True, ignore_ctime=True).files_changed == 1
    assert backup(repo, [str(source)], dry_run=True, ignore_inode=True).files_changed == 0


def test_a_dry_run_writes_nothing_and_tells_what_a_backup_adds(
    repo: Repository, store: LocalStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)  # a relative path: the folders above, which others write in, are not in the trees
    (source / "large").write_bytes(os.urandom(3 * MIN_BYTES))
    before = sorted(store.root.rglob("*"))
    told = backup(repo, [source.name], dry_run=True)

    assert sorted(store.root.rglob("*")) == before
    made = backup(repo, [source.name])
    assert told.snapshot_id == ""
    assert (told.files_new, told.dirs_new, told.added_raw) == (made.files_new, made.dirs_new, made.added_raw)
    assert abs(told.added_stored - made.added_stored) < 4000
    assert backup(repo, [source.name], dry_run=True).files_unmodified == 11


def test_both_paths_make_the_same_trees(repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_corpus(tmp_path / "source")
    trees: list[str] = []
    for pure in ("0", "1", "0", "1"):
        monkeypatch.setenv(native.PURE_VARIABLE, pure)
        native.forget()
        opened = Repository.open(repo.store, PASSWORD)
        made = backup(opened, [str(tmp_path / "source")], parent="" if len(trees) < 2 else "auto")
        folder = find_path(opened, made.tree, str(tmp_path / "source"))
        trees.append(folder)
        assert made.files_unmodified == (0 if len(trees) <= 2 else made.files)

    assert len(set(trees)) == 1
