"""What a restore does with what is there already: overwrite rules, the delete rule, staging, dry runs, parts of a snapshot."""

import os
import shutil
import stat
from pathlib import Path

import pytest
from tests.repo_trees import build_corpus, describe, differences

from holdfast.repo.backup import backup
from holdfast.repo.blob import blob_id
from holdfast.repo.errors import BadRequest, NoSnapshot
from holdfast.repo.overwrite import Action, Overwrite
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.stores.local import LocalStore

pytestmark = pytest.mark.usefixtures("data_path")


@pytest.fixture
def stored(repo: Repository, source: Path) -> Path:
    """The source, backed up; its first file is from 2020."""
    os.utime(source / "file0", (1_577_836_800, 1_577_836_800))
    backup(repo, [str(source)])
    return source


def copy_of(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, symlinks=True)
    return target


@pytest.mark.parametrize(
    ("rule", "when", "same_size", "kept"),
    [
        ("always", 1_577_836_800, True, False),
        ("if-changed", 1_577_836_800, True, True),
        ("if-changed", 1_577_836_800, False, False),
        ("if-changed", 1_600_000_000, True, False),
        ("if-newer", 1_577_836_800, True, True),
        ("if-newer", 1_500_000_000, True, False),
        ("if-newer", 1_600_000_000, True, True),
        ("never", 1_500_000_000, True, True),
    ],
)
def test_the_overwrite_rules(
    repo: Repository, stored: Path, tmp_path: Path, rule: Overwrite, when: int, same_size: bool, kept: bool
) -> None:
    target = copy_of(stored, tmp_path / "t")
    mine = (stored / "file0").read_text().upper() + ("" if same_size else "!")
    (target / "file0").write_text(mine)
    os.utime(target / "file0", (when, when))
    done = restore(repo, "latest", str(target), subfolder=str(stored), overwrite=rule)

    assert ((target / "file0").read_text() == mine) == kept
    assert not done.partial
    assert done.files + done.skipped + done.unchanged == 10


def test_unchanged_files_get_their_metadata_and_skipped_ones_do_not(repo: Repository, stored: Path, tmp_path: Path) -> None:
    for rule, mode in (("if-changed", 0o644), ("never", 0o600)):
        target = copy_of(stored, tmp_path / rule)
        (target / "file0").chmod(0o600)
        done = restore(repo, "latest", str(target), subfolder=str(stored), overwrite=rule)  # type: ignore[arg-type]
        assert (target / "file0").stat().st_mode & 0o777 == mode
        assert (done.unchanged, done.skipped) == ((10, 0) if rule == "if-changed" else (0, 10))
        assert done.bytes_restored == 0


def test_a_rule_that_is_none_is_refused(repo: Repository, stored: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no overwrite rule 'sometimes'"):
        restore(repo, "latest", str(tmp_path / "t"), overwrite="sometimes")  # type: ignore[arg-type]


def test_an_empty_folder_in_the_way_goes_a_full_one_is_an_error(repo: Repository, stored: Path, tmp_path: Path) -> None:
    (tmp_path / "t" / "file0").mkdir(parents=True)
    (tmp_path / "t" / "file1").mkdir()
    (tmp_path / "t" / "file1" / "precious").touch()
    done = restore(repo, "latest", str(tmp_path / "t"), subfolder=str(stored))

    assert (tmp_path / "t" / "file0").is_file()
    assert (tmp_path / "t" / "file1" / "precious").exists()
    assert [error.path for error in done.errors] == [str(tmp_path / "t" / "file1")]


def test_delete_removes_what_the_snapshot_has_not_and_nothing_outside(repo: Repository, stored: Path, tmp_path: Path) -> None:
    target = copy_of(stored, tmp_path / "t")
    precious = tmp_path / "precious"
    (precious / "kept").mkdir(parents=True)
    (target / "below" / "extra").symlink_to(precious)
    (target / "more" / "deep").mkdir(parents=True)
    (target / "more" / "deep" / "file").write_text("x")
    (target / "more" / "link").symlink_to(precious)
    told: list[tuple[Action, str]] = []
    done = restore(
        repo, "latest", str(target), subfolder=str(stored), delete=True,
        on_action=lambda action, path, _: told.append((action, path)),
    )  # fmt: skip

    assert differences(stored, target) == []
    assert (precious / "kept").is_dir()
    assert done.removed == 5
    assert (Action.REMOVED, str(target / "more")) in told


def test_delete_leaves_what_is_excluded_or_not_included(repo: Repository, stored: Path, tmp_path: Path) -> None:
    target = copy_of(stored, tmp_path / "t")
    (target / "more").mkdir()
    for name in ("cache.tmp", "other"):
        (target / "more" / name).touch()
        (target / name).touch()
    restore(repo, "latest", str(target), subfolder=str(stored), delete=True, exclude=["*.tmp"])
    assert sorted(os.listdir(target)) == ["below", "cache.tmp", "file0", "file1", "file2", "file3", "file4", "more"]
    assert os.listdir(target / "more") == ["cache.tmp"]

    (target / "below" / "extra").touch()
    restore(repo, "latest", str(target), subfolder=str(stored), delete=True, include=[f"{stored}/below"])
    assert (target / "cache.tmp").exists()
    assert not (target / "below" / "extra").exists()


def test_nothing_is_deleted_once_something_went_wrong(
    repo: Repository, store: LocalStore, stored: Path, tmp_path: Path
) -> None:
    target = copy_of(stored, tmp_path / "t")
    (target / "extra").touch()
    repo.load_index()
    at = repo.index.find(blob_id((stored / "file2").read_bytes()))
    assert at is not None
    store.delete(f"data/{at.pack.hex()[:2]}/{at.pack.hex()}")
    done = restore(repo, "latest", str(target), subfolder=str(stored), delete=True)

    assert done.partial
    assert done.removed == 0
    assert (target / "extra").exists()


def test_deleting_in_the_root_of_the_system_is_refused(repo: Repository, stored: Path) -> None:
    with pytest.raises(BadRequest, match="remove the whole system"):
        restore(repo, "latest", "/", delete=True, dry_run=True)


def test_a_dry_run_tells_and_writes_nothing(repo: Repository, stored: Path, tmp_path: Path) -> None:
    target = copy_of(stored, tmp_path / "t")
    (target / "file1").unlink()
    (target / "file2").write_text("mine")
    (target / "extra").touch()
    shutil.rmtree(target / "below")
    before = describe(target)
    told: dict[str, Action] = {}
    done = restore(
        repo, "latest", str(target), subfolder=str(stored), dry_run=True, delete=True, overwrite="if-changed",
        on_action=lambda action, path, _: told.__setitem__(os.path.relpath(path, target), action),
    )  # fmt: skip

    assert describe(target) == before
    assert done.files == 7
    assert (done.unchanged, done.removed) == (3, 1)
    assert told["file1"] is Action.NEW
    assert told["file2"] is Action.REPLACED
    assert told["file3"] is Action.UNCHANGED
    assert told["extra"] is Action.REMOVED
    assert told["below"] is Action.NEW
    assert told["below/file0"] is Action.NEW


def test_a_dry_run_into_nothing_makes_nothing(repo: Repository, stored: Path, tmp_path: Path) -> None:
    done = restore(repo, "latest", str(tmp_path / "none" / "t"), dry_run=True)

    assert done.files == 10
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("exists", [True, False])
def test_staging_hands_over_a_whole_restore(repo: Repository, stored: Path, tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "volume"
    if exists:
        (target / "lost+found").mkdir(parents=True)
    done = restore(repo, "latest", str(target), subfolder=str(stored), staging=True)

    assert not done.partial
    shutil.rmtree(target / "lost+found", ignore_errors=True)
    assert differences(stored, target) == []
    assert [name for name in os.listdir(tmp_path) if name.startswith(".holdfast")] == []


@pytest.mark.parametrize("exists", [True, False])
def test_staging_hands_over_nothing_of_a_partial_restore(
    repo: Repository, store: LocalStore, stored: Path, tmp_path: Path, exists: bool
) -> None:
    target = tmp_path / "volume"
    if exists:
        target.mkdir()
    repo.load_index()
    at = repo.index.find(blob_id((stored / "file2").read_bytes()))
    assert at is not None
    pack = store.root / f"data/{at.pack.hex()[:2]}/{at.pack.hex()}"
    pack.chmod(0o600)
    data = bytearray(pack.read_bytes())
    data[at.offset + 20] ^= 1
    pack.write_bytes(data)
    done = restore(repo, "latest", str(target), subfolder=str(stored), staging=True)

    assert done.partial
    assert (Path(done.staged_at) / "file1").read_text() == (stored / "file1").read_text()
    assert not target.exists() or os.listdir(target) == [os.path.basename(done.staged_at)]


def test_staging_wants_an_empty_target(repo: Repository, stored: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="holds files"):
        restore(repo, "latest", str(stored), staging=True)
    with pytest.raises(BadRequest, match="leave one of the two out"):
        restore(repo, "latest", str(tmp_path / "t"), staging=True, delete=True)


def test_a_staged_restore_that_fails_leaves_nothing(repo: Repository, stored: Path, tmp_path: Path) -> None:
    with pytest.raises(NoSnapshot):
        restore(repo, "latest:/nowhere", str(tmp_path / "t"), staging=True)

    assert not (tmp_path / "t").exists()


def test_paths_are_literal_and_must_exist(repo: Repository, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for name in ("a[1]", "a1", "b*"):
        (source / name).write_text(name)
    backup(repo, [str(source)])
    restore(repo, "latest", str(tmp_path / "t"), subfolder=str(source), paths=[f"{source}/a[1]", f"{source}/b*"])
    assert sorted(os.listdir(tmp_path / "t")) == ["a[1]", "b*"]

    with pytest.raises(NoSnapshot, match="has nothing at"):
        restore(repo, "latest", str(tmp_path / "t"), paths=[f"{source}/missing"])


def test_a_folder_may_follow_the_snapshot_after_a_colon(repo: Repository, stored: Path, tmp_path: Path) -> None:
    restore(repo, f"latest:{stored}/below", str(tmp_path / "t"))
    assert differences(stored / "below", tmp_path / "t") == []

    with pytest.raises(BadRequest, match="given twice"):
        restore(repo, f"latest:{stored}", str(tmp_path / "t"), subfolder=str(stored))


def test_patterns_can_ignore_case(repo: Repository, stored: Path, tmp_path: Path) -> None:
    restore(repo, "latest", str(tmp_path / "one"), subfolder=str(stored), iinclude=["FILE[01]"])
    restore(repo, "latest", str(tmp_path / "two"), subfolder=str(stored), iexclude=["Below", "FILE*"], include=["*"])

    assert sorted(os.listdir(tmp_path / "one")) == ["below", "file0", "file1"]
    assert os.listdir(tmp_path / "two") == []


def test_everything_a_file_system_has_comes_back_on_both_paths(repo: Repository, tmp_path: Path) -> None:
    build_corpus(tmp_path / "s")
    backup(repo, [str(tmp_path / "s")])
    for sparse in (True, False):
        done = restore(repo, "latest", str(tmp_path / f"t{sparse}"), subfolder=str(tmp_path / "s"), sparse=sparse)
        assert not done.partial
        assert differences(tmp_path / "s", tmp_path / f"t{sparse}") == []
        assert done.verified_files + done.links == done.files
    sparse_blocks, full_blocks = (os.stat(tmp_path / f"t{way}" / "all hole").st_blocks for way in (True, False))
    assert sparse_blocks < 100 < full_blocks


def test_second_names_of_links_and_devices_come_back_as_such(repo: Repository, tmp_path: Path) -> None:
    source = tmp_path / "s"
    (source / "sub").mkdir(parents=True)
    (source / "link").symlink_to("nowhere")
    os.mknod(source / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    for name in ("link", "null"):
        os.link(source / name, source / "sub" / name, follow_symlinks=False)
    backup(repo, [str(source)])
    done = restore(repo, "latest", str(tmp_path / "t"), subfolder=str(source))

    assert not done.partial
    assert differences(source, tmp_path / "t") == []
    for name in ("link", "null"):
        assert os.lstat(tmp_path / "t" / name).st_ino == os.lstat(tmp_path / "t" / "sub" / name).st_ino
