"""Which paths and folders a backup takes, and what it says of those that it can't."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.repo_trees import PASSWORD, find_path
from tests.rights import foreign, without_override

from holdfast.repo.backup import backup
from holdfast.repo.errors import SourceError
from holdfast.repo.lists import read_paths
from holdfast.repo.maintain import stats
from holdfast.repo.patterns import Patterns
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.result import Faults
from holdfast.repo.scan import Bounds, Rules
from holdfast.repo.sources import find_sources
from holdfast.repo.stores.local import LocalStore
from holdfast.repo.tree import decode_tree

pytestmark = pytest.mark.usefixtures("data_path")


def test_several_paths_and_single_files_are_one_snapshot(repo: Repository, source: Path, tmp_path: Path) -> None:
    backup(repo, [str(source / "below"), str(source / "file0"), str(source / "below" / "file1")])
    restore(repo, "latest", str(tmp_path / "target"), subfolder=str(source))

    assert sorted(os.listdir(tmp_path / "target")) == ["below", "file0"]
    assert len(os.listdir(tmp_path / "target" / "below")) == 5


def test_a_folder_that_cannot_be_listed_is_named_and_left_out(repo: Repository, source: Path) -> None:
    foreign(source / "below")
    with without_override():
        made = backup(repo, [str(source)])

    why = "the folder can't be listed, and is left out: Permission denied"
    assert [(error.path, error.message) for error in made.errors] == [(str(source / "below"), why)]
    assert made.files == 5
    assert names(repo, source) == [f"file{number}" for number in range(5)]


def test_a_missing_path_is_an_error_before_anything_is_written(repo: Repository, store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing here"):
        backup(repo, [str(tmp_path / "nothing here")])
    with pytest.raises(SourceError, match="no path"):
        backup(repo, [])
    assert stats(repo).packs == 0


def test_a_path_that_is_missing_beside_others_makes_the_backup_partial(repo: Repository, source: Path) -> None:
    made = backup(repo, [str(source), str(source / "nothing here")])

    assert [error.path for error in made.errors] == [str(source / "nothing here")]
    assert made.files == 10
    assert repo.snapshot(made.snapshot_id).paths == (str(source),)


def test_a_path_within_another_does_not_narrow_it(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source / "folder").mkdir()
    monkeypatch.chdir(source)

    for outer, inner in ((".", "folder"), ("/", str(source))):
        assert find_sources([outer, inner], Patterns([]), Faults()).wanted == {}


def test_relative_paths_stand_at_the_root_of_the_tree(repo: Repository, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source)
    inside = backup(repo, ["."])
    monkeypatch.chdir(source.parent)
    beside = backup(repo, [source.name])
    (source / "elsewhere").mkdir()
    monkeypatch.chdir(source / "elsewhere")
    above = backup(repo, [f"../../{source.name}/file1", "../../nothing"])

    assert inside.tree == find_path(repo, beside.tree, source.name)
    assert inside.files == beside.files == 10
    assert beside.parent == inside.snapshot_id
    assert above.files == 1
    assert find_path(repo, above.tree, source.name) != above.tree


def test_a_path_that_an_exclude_names_is_left_out(repo: Repository, source: Path) -> None:
    both = [str(source / "file1"), str(source / "file2")]

    assert backup(repo, both, excludes=["file1"]).files == 1
    with pytest.raises(SourceError, match="leave out every path"):
        backup(repo, both, excludes=[str(source.parent)])


def test_max_file_bytes_and_one_file_system(repo: Repository, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "small").write_bytes(b"x")
    (tmp_path / "s" / "big").write_bytes(b"x" * 1000)

    assert backup(repo, [str(tmp_path / "s")], max_file_bytes=999).files == 1
    assert backup(repo, ["/dev/null"], one_file_system=True).files == 0


def test_with_one_file_system_what_is_mounted_stays_as_an_empty_folder(repo: Repository, tmp_path: Path) -> None:
    for name in ("at/below", "other"):
        (tmp_path / "s" / name).mkdir(parents=True)
    (tmp_path / "s" / "file").touch()
    (tmp_path / "s" / "bound").touch()
    command = f"""
        cd {tmp_path}/s
        mount -t tmpfs none at && mkdir at/inner && touch at/file at/inner/file
        mount --bind at/file bound
        exec {sys.executable} -c '
import sys
from pathlib import Path
from holdfast.repo.repository import Repository
from holdfast.repo.stores.local import LocalStore
from holdfast.repo.backup import backup
repo = Repository.open(LocalStore(Path(sys.argv[1])), sys.argv[2])
print(backup(repo, [sys.argv[3]], one_file_system=True).snapshot_id)' "$@"
    """
    arguments = [str(repo.store.location), PASSWORD, str(tmp_path / "s")]
    unshare = ["unshare", "--mount", "sh", "-ec", command, "sh", *arguments]
    made = subprocess.run(unshare, capture_output=True, text=True, check=True).stdout.strip()
    repo.load_index()
    restore(repo, made, str(tmp_path / "t"), subfolder=str(tmp_path / "s"))

    found = sorted(str(path.relative_to(tmp_path / "t")) for path in (tmp_path / "t").rglob("*"))
    assert found == ["at", "file", "other"]


def test_files_that_mark_a_folder_leave_out_what_else_is_in_it(repo: Repository, source: Path, tmp_path: Path) -> None:
    tag = b"Signature: 8a477f597d28d172789f06886806bc55\n"
    for name, mark, text in (("a", "CACHEDIR.TAG", tag), ("b", "CACHEDIR.TAG", b"no"), ("c", ".skip", b""), ("d", "x", b"yes")):
        (source / name / "deep").mkdir(parents=True)
        (source / name / mark).write_bytes(text)
        (source / name / "deep" / "file").write_text("content")
    backup(repo, [str(source)], exclude_caches=True, exclude_if_present=[".skip", "x:yes", "file0:other"])
    restore(repo, "latest", str(tmp_path / "t"), subfolder=str(source))

    assert {name: sorted(os.listdir(tmp_path / "t" / name)) for name in "abcd"} == {
        "a": ["CACHEDIR.TAG"],
        "b": ["CACHEDIR.TAG", "deep"],
        "c": [".skip"],
        "d": ["x"],
    }
    assert (tmp_path / "t" / "file0").exists()
    with pytest.raises(SourceError, match="without a path"):
        backup(repo, [str(source)], exclude_if_present=["a/b"])


def names(repo: Repository, folder: Path) -> list[str]:
    """What the newest snapshot has in a folder."""
    tree = find_path(repo, repo.snapshot("latest").tree, str(folder))
    return [node.name for node in decode_tree(repo.load_blob(bytes.fromhex(tree)))]


def test_a_line_that_stands_for_nothing_is_named_and_the_others_are_stored(
    repo: Repository, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list").write_text("source/file*\n/nothing/like/this*\n")
    monkeypatch.chdir(tmp_path)
    made = backup(repo, read_paths("list"))
    assert made.files == 5
    assert [(error.path, error.message) for error in made.errors] == [("/nothing/like/this*", "No such file or directory")]
    assert names(repo, Path("source")) == [f"file{number}" for number in range(5)]


def test_each_path_has_the_bounds_of_its_own_file_system(tmp_path: Path) -> None:
    """A file system that one path is on is still foreign to another."""
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "mounted"
    (inner / "below").mkdir(parents=True)
    own = tmp_path.stat().st_dev
    rules = Rules(Patterns(()), {str(outer): own + 1, str(inner): own})

    assert rules.bounds(str(inner / "below")) == Bounds(own, inside=True)
    assert rules.bounds(str(outer)) == Bounds(own + 1, inside=False)
    assert not rules.admits("entry", 0o100644, 1, own, rules.bounds(str(outer)))
    assert rules.admits("entry", 0o100644, 1, own, rules.bounds(str(inner)))


def test_a_damaged_snapshot_is_named_and_the_backup_goes_on(repo: Repository, store: LocalStore, source: Path) -> None:
    old, new = backup(repo, [str(source)]), backup(repo, [str(source)])
    (store.root / "snapshots" / new.snapshot_id).write_bytes(b"damaged")
    made = backup(repo, [str(source)])

    assert made.parent == old.snapshot_id
    assert [error.path for error in made.errors] == [f"snapshots/{new.snapshot_id}"]
    assert "it is damaged" in made.errors[0].message
