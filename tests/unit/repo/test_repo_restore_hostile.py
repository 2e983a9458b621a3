"""Restores from repositories that mean harm, and into targets in which somebody else is at work."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.repo_memory import MemoryStore
from tests.repo_trees import PASSWORD

from holdfast.repo.backup import backup
from holdfast.repo.overwrite import Action
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.snapshot import SnapshotJson, encode_snapshot
from holdfast.repo.target import Folder, Target
from holdfast.repo.writer import BlobWriter

pytestmark = pytest.mark.usefixtures("data_path")

TIME = '"mtime":"2026-01-01T00:00:00Z"'
SWAPPER = """
import os, sys, time
here, elsewhere, end = sys.argv[1], sys.argv[2], time.monotonic() + 20
print("ready", flush=True)
while time.monotonic() < end and os.getppid() == int(sys.argv[3]):
    for name in os.listdir(here):
        path = os.path.join(here, name)
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                os.rename(path, path + ".moved")
                os.symlink(elsewhere, path)
                os.unlink(path)
                os.rename(path + ".moved", path)
        except OSError:
            pass
"""


class Forger:
    """Writes trees and snapshots as somebody with the password could."""

    def __init__(self, repo: Repository, writer: BlobWriter) -> None:
        self.repo, self._writer = repo, writer
        self.evil = writer.save("data", b"evil").hex()

    def tree(self, *nodes: str) -> str:
        return self._writer.save("tree", ('{"nodes":[' + ",".join(nodes) + "]}\n").encode()).hex()

    def file(self, name: str, size: object = 4, ids: str = "", more: str = "") -> str:
        ids = ids or f'"{self.evil}"'
        return f'{{"name":"{name}","type":"file","mode":420,{TIME}{more},"size":{size},"content":[{ids}]}}'

    def folder(self, name: str, tree: str) -> str:
        return f'{{"name":"{name}","type":"dir","mode":2147484141,{TIME},"content":null,"subtree":"{tree}"}}'

    def snapshot(self, tree: str) -> str:
        self._writer.finish()
        return self.repo.put_json("snapshots", encode_snapshot(SnapshotJson(time="2026-01-01T00:00:00Z", tree=tree)))


@pytest.fixture
def forger(repo: Repository) -> Iterator[Forger]:
    with repo.lock() as lock:
        repo.load_index()
        with BlobWriter(repo, lock) as writer:
            yield Forger(repo, writer)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file0").write_text("precious")
    return folder


def untouched(outside: Path) -> bool:
    return os.listdir(outside) == ["file0"] and (outside / "file0").read_text() == "precious"


@pytest.mark.parametrize("at", ["below", "below/file0", "below/file1"])
def test_a_folder_that_becomes_a_link_leads_nowhere(
    repo: Repository, source: Path, tmp_path: Path, outside: Path, at: str
) -> None:
    backup(repo, [str(source)])
    target = tmp_path / "t"
    (target / "below").mkdir(parents=True)

    def swap(_: Action, path: str, size: int) -> None:
        if path == str(target / at) and not (target / "below").is_symlink():
            os.rename(target / "below", target / "moved")
            (target / "below").symlink_to(outside)

    restore(repo, "latest", str(target), subfolder=str(source), on_action=swap)

    assert untouched(outside)


def test_a_process_that_swaps_folders_all_the_time_gets_nothing_outside(
    repo: Repository, tmp_path: Path, outside: Path
) -> None:
    source = tmp_path / "many"
    for folder in range(40):
        (source / f"d{folder}").mkdir(parents=True)
        for file in range(15):
            (source / f"d{folder}" / f"f{file}").write_text(f"{folder} {file}")
    backup(repo, [str(source)])
    target = tmp_path / "t"
    target.mkdir()
    swapper = subprocess.Popen(
        [sys.executable, "-c", SWAPPER, target, outside, str(os.getpid())], stdout=subprocess.PIPE, text=True
    )
    try:
        assert swapper.stdout is not None
        assert swapper.stdout.readline() == "ready\n"
        for _ in range(5):
            restore(repo, "latest", str(target), subfolder=str(source), delete=True)
            assert untouched(outside)
    finally:
        swapper.kill()
        swapper.wait()


def test_a_file_that_is_exchanged_while_it_is_written_is_an_error_and_the_other_is_left_alone(
    repo: Repository, tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has several blobs, so that it is made first and opened again for each."""
    source = tmp_path / "s"
    source.mkdir()
    (source / "large").write_bytes(os.urandom(5 << 20))
    backup(repo, [str(source)])
    target = tmp_path / "t"
    really = repo.store.get

    def exchange(path: str, offset: int = 0, length: int | None = None) -> bytes:
        if path.startswith("data/") and (target / "large").exists() and (target / "large").stat().st_nlink == 1:
            (target / "large").unlink()
            os.link(outside / "file0", target / "large")
        return really(path, offset, length)

    monkeypatch.setattr(repo.store, "get", exchange)
    done = restore(repo, "latest", str(target), subfolder=str(source))

    assert untouched(outside)
    assert [error.path for error in done.errors] == [str(target / "large")]


def test_a_snapshot_with_a_path_longer_than_systems_take_comes_back(repo: Repository, forger: Forger, tmp_path: Path) -> None:
    tree = forger.tree(forger.file("leaf"))
    for _ in range(1200):
        tree = forger.tree(forger.folder("folder", tree))
    done = restore(repo, forger.snapshot(tree), str(tmp_path / "t"), lock=False)

    assert not done.partial
    assert (done.files, done.directories) == (1, 1200)
    subprocess.run(["rm", "-rf", tmp_path / "t"], check=True)


def test_few_descriptors_suffice(repo: Repository, tmp_path: Path) -> None:
    source = tmp_path / "many"
    for folder in range(300):
        (source / f"d{folder}" / "e").mkdir(parents=True)
        (source / f"d{folder}" / "e" / "file").write_text(str(folder))
    backup(repo, [str(source)])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = len(os.listdir("/proc/self/fd"))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 110, hard))
        done = restore(repo, "latest", str(tmp_path / "t"), subfolder=str(source))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert not done.partial
    assert (tmp_path / "t" / "d299" / "e" / "file").read_text() == "299"
    assert len(os.listdir("/proc/self/fd")) <= open_now + 1


def test_a_name_that_comes_twice_is_restored_once(repo: Repository, forger: Forger, tmp_path: Path) -> None:
    done = restore(repo, forger.snapshot(forger.tree(forger.file("x"), forger.file("x"))), str(tmp_path / "t"), lock=False)

    assert (tmp_path / "t" / "x").read_bytes() == b"evil"
    assert "twice" in done.errors[0].message


@pytest.mark.parametrize(
    ("size", "ids", "more", "word"),
    [
        (1 << 63, "", "", "its entry says"),
        (10**30, "", "", "its entry says"),
        (-1, "", "", "its entry says"),
        (4, '"' + "0" * 64 + '"', "", "in no index"),
        (4, '"zz"', "", "not readable"),
        (4, '"' + "00 " * 32 + '"', "", "not readable"),
        (4, "", ',"uid":4294967296', "out of range"),
        (4, "", ',"gid":-1', "out of range"),
        (0, "null", "", "not readable"),
    ],
)
def test_what_an_entry_lies_about_is_an_error_of_that_entry(
    repo: Repository, forger: Forger, tmp_path: Path, size: int, ids: str, more: str, word: str
) -> None:
    tree = forger.tree(forger.folder("bad", forger.tree(forger.file("lie", size, ids, more))), forger.file("good"))
    done = restore(repo, forger.snapshot(tree), str(tmp_path / "t"), lock=False)

    assert (tmp_path / "t" / "good").read_bytes() == b"evil"
    assert not (tmp_path / "t" / "bad" / "lie").exists()
    assert word in done.errors[0].message


def test_a_time_that_is_none_is_an_error_of_its_file(repo: Repository, forger: Forger, tmp_path: Path) -> None:
    lie = forger.file("lie").replace("2026-01-01", "2026-13-01")
    done = restore(repo, forger.snapshot(forger.tree(lie, forger.file("good"))), str(tmp_path / "t"), lock=False)

    assert (tmp_path / "t" / "good").read_bytes() == b"evil"
    assert "not readable" in done.errors[0].message


def test_a_tree_that_is_data_and_data_that_is_a_tree_are_refused(repo: Repository, forger: Forger, tmp_path: Path) -> None:
    inner = forger.tree()
    tree = forger.tree(forger.folder("a", forger.evil), forger.file("b", 14, f'"{inner}"'), forger.file("good"))
    done = restore(repo, forger.snapshot(tree), str(tmp_path / "t"), lock=False)

    assert done.error_count == 2
    assert (tmp_path / "t" / "good").read_bytes() == b"evil"


def test_a_user_who_is_not_root_gets_the_files_and_is_told_of_the_owners(source: Path, tmp_path: Path) -> None:
    repo = Repository.init(MemoryStore(), PASSWORD)
    os.chown(source / "file0", 1234, 4321)
    backup(repo, [str(source)])
    target = tmp_path / "t"
    target.mkdir()
    os.chown(target, 65534, 65534)
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o011)
    os.seteuid(65534)
    try:
        done = restore(repo, "latest", str(target), subfolder=str(source), lock=False)
    finally:
        os.seteuid(0)

    assert not done.partial
    assert done.unowned == 12
    assert (target / "file0").read_text() == (source / "file0").read_text()
    assert (target / "file0").stat().st_uid == 65534


def test_descriptors_are_opened_again_and_a_link_is_refused_then(tmp_path: Path, outside: Path) -> None:
    target = Target(Folder(str(tmp_path / "t"), None, None, wanted=True), most=3)
    target.begin()
    folders = [target.root]
    for number in range(10):
        folders.append(Folder(f"d{number}", None, folders[-1], wanted=True))
        target.make(folders[-1])
    assert os.path.samestat(os.fstat(target.handle(folders[10])), os.stat(folders[10].path))
    assert target.handle(folders[3]) >= 0
    assert sum(folder.handle >= 0 for folder in folders) <= 3
    target.handle(folders[10])
    os.rename(folders[2].path, folders[2].path + "x")
    os.symlink(outside, folders[2].path)

    with pytest.raises(NotADirectoryError):
        target.handle(folders[2])
    target.close()
