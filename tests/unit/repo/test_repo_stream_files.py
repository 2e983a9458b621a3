"""Files that lie nowhere as a snapshot: their folders, their order, and what a second backup stores of them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.repo.errors import SourceError, Stopped
from holdfast.repo.maintain import snapshots
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.stream_files import StreamedFile, backup_files

pytestmark = pytest.mark.usefixtures("data_path")

MOMENT = 1_700_000_000_000_000_000
FILES = [
    StreamedFile("a.b/namespaces/x/one.yaml", b"one", MOMENT),
    StreamedFile("a.b/namespaces/x/two.yaml", b"two" * 2_000_000, MOMENT + 5),
    StreamedFile("a.b/namespaces/y/one.yaml", b"", MOMENT),
    StreamedFile("a/cluster/node.yaml", b"node", MOMENT),
]


def sorted_as_trees(files: list[StreamedFile]) -> list[StreamedFile]:
    return sorted(files, key=lambda file: [part.encode() for part in file.path.split("/")])


def test_files_come_back_in_their_folders(repo: Repository, tmp_path: Path) -> None:
    made = backup_files(repo, "/manifests", sorted_as_trees(FILES), tags=["m"])
    restore(repo, "latest", str(tmp_path / "out"))

    assert (made.files_new, made.bytes_processed) == (4, 6_000_007)
    found = {
        str(path.relative_to(tmp_path / "out" / "manifests")): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert found == {file.path: file.content for file in FILES}
    (snapshot,) = snapshots(repo)
    assert (snapshot.paths, snapshot.tags) == (("/manifests",), ("m",))
    assert (tmp_path / "out" / "manifests" / "a.b").stat().st_mtime_ns == MOMENT + 5


def test_the_same_files_again_add_nothing_and_know_their_parent(repo: Repository) -> None:
    first = backup_files(repo, "/manifests", sorted_as_trees(FILES))
    second = backup_files(repo, "/manifests", sorted_as_trees(FILES))

    assert (second.parent, second.tree, second.added_raw) == (first.snapshot_id, first.tree, 0)
    assert (second.files_new, second.files_unmodified) == (0, 4)


@pytest.mark.parametrize("paths", [["b", "a"], ["a", "a"], ["x/b", "x/a"], ["../a"], [""]])
def test_files_out_of_order_or_place_make_no_snapshot(repo: Repository, paths: list[str]) -> None:
    with pytest.raises(SourceError):
        backup_files(repo, "/manifests", [StreamedFile(path, b"x") for path in paths])
    assert snapshots(repo) == []


def test_nothing_at_all_is_an_empty_folder(repo: Repository, tmp_path: Path) -> None:
    backup_files(repo, "/manifests", [])
    restore(repo, "latest", str(tmp_path / "out"))
    assert list((tmp_path / "out" / "manifests").iterdir()) == []


def test_a_wish_to_stop_ends_it_without_a_snapshot(repo: Repository) -> None:
    stop = threading.Event()

    def files() -> Iterator[StreamedFile]:
        yield StreamedFile("a", b"x")
        stop.set()
        yield StreamedFile("b", b"y")

    with pytest.raises(Stopped):
        backup_files(repo, "/manifests", files(), stop=stop)
    assert snapshots(repo) == []
