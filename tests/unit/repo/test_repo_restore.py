import os
import threading
from pathlib import Path

import pytest

from holdfast.repo import gate
from holdfast.repo.backup import backup
from holdfast.repo.blob import blob_id
from holdfast.repo.errors import NoSnapshot, Stopped
from holdfast.repo.files import data_runs
from holdfast.repo.overwrite import Overwrite
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.result import Progress
from holdfast.repo.snapshot import SnapshotJson, encode_snapshot
from holdfast.repo.stores.local import LocalStore
from holdfast.repo.writer import BlobWriter

pytestmark = pytest.mark.usefixtures("data_path")


def forge(repo: Repository, *nodes: str) -> str:
    """A snapshot whose root tree holds these nodes, as an attacker with the password would write it."""
    with repo.lock() as lock:
        repo.load_index()
        with BlobWriter(repo, lock) as writer:
            writer.save("data", b"evil")
            tree = writer.save("tree", ('{"nodes":[' + ",".join(nodes) + "]}\n").encode())
            writer.finish()
        return repo.put_json("snapshots", encode_snapshot(SnapshotJson(time="2026-01-01T00:00:00Z", tree=tree.hex())))


def evil_file(name: str) -> str:
    content = blob_id(b"evil").hex()
    return f'{{"name":"{name}","type":"file","mode":420,"mtime":"2026-01-01T00:00:00Z","size":4,"content":["{content}"]}}'


@pytest.mark.parametrize(
    "name", ["..", ".", "", "a/b", "../escaped", "/etc/escaped", "x\\\\x00y", "\\\\x2e\\\\x2e", "..\\\\x2fescaped"]
)
def test_a_name_that_leaves_the_target_is_refused(repo: Repository, tmp_path: Path, name: str) -> None:
    ident = forge(repo, evil_file(name), evil_file("good"))
    target = tmp_path / "deep" / "target"
    done = restore(repo, ident, str(target))

    assert os.listdir(target) == ["good"]
    assert not (tmp_path / "deep" / "escaped").exists()
    assert "refused" in done.errors[0].message


def test_a_link_of_the_snapshot_is_not_followed_by_a_later_entry(repo: Repository, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    head = '"name":"trap","mtime":"2026-01-01T00:00:00Z","content":null'
    link = f'{{{head},"type":"symlink","mode":134218239,"linktarget":"{outside}"}}'
    tree = repo_tree(repo, evil_file("escaped"))
    folder = f'{{{head},"type":"dir","mode":2147484141,"subtree":"{tree}"}}'
    done = restore(repo, forge(repo, link, folder), str(tmp_path / "target"))

    assert os.listdir(outside) == []
    assert done.partial


def repo_tree(repo: Repository, *nodes: str) -> str:
    with repo.lock() as lock:
        repo.load_index()
        with BlobWriter(repo, lock) as writer:
            tree = writer.save("tree", ('{"nodes":[' + ",".join(nodes) + "]}\n").encode())
            writer.finish()
    return tree.hex()


def test_links_in_the_way_are_replaced_never_written_through(repo: Repository, source: Path, tmp_path: Path) -> None:
    backup(repo, [str(source)])
    precious = tmp_path / "precious"
    precious.write_text("precious")
    target = tmp_path / "target"
    target.mkdir()
    (target / "file0").symlink_to(precious)
    os.link(precious, target / "file1")
    done = restore(repo, "latest", str(target), subfolder=str(source))

    assert not done.partial
    assert precious.read_text() == "precious"
    assert (target / "file0").read_text() == (source / "file0").read_text()
    assert not (target / "file0").is_symlink()


@pytest.mark.parametrize("overwrite", ["always", "never"])
def test_a_link_in_place_of_a_folder_is_replaced_or_an_error_but_never_followed(
    repo: Repository, source: Path, tmp_path: Path, overwrite: Overwrite
) -> None:
    backup(repo, [str(source)])
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "target"
    target.mkdir()
    (target / "below").symlink_to(tmp_path / "elsewhere")
    done = restore(repo, "latest", str(target), subfolder=str(source), overwrite=overwrite)

    assert os.listdir(tmp_path / "elsewhere") == []
    assert (target / "below").is_symlink() == (overwrite == "never")
    assert [error.path for error in done.errors] == ([str(target / "below")] if overwrite == "never" else [])


def test_include_takes_what_matches_and_the_folders_above_it(repo: Repository, source: Path, tmp_path: Path) -> None:
    backup(repo, [str(source)])
    restore(repo, "latest", str(tmp_path / "t"), subfolder=str(source), include=[f"{source}/below/file1"])

    assert sorted(path.relative_to(tmp_path / "t").as_posix() for path in (tmp_path / "t").rglob("*")) == [
        "below",
        "below/file1",
    ]


def test_exclude_leaves_out(repo: Repository, source: Path, tmp_path: Path) -> None:
    backup(repo, [str(source)])
    done = restore(repo, "latest", str(tmp_path / "t"), subfolder=str(source), exclude=["below", "file[0-3]"])

    assert os.listdir(tmp_path / "t") == ["file4"]
    assert done.files == 1


def test_without_a_subfolder_the_whole_path_is_made(repo: Repository, source: Path, tmp_path: Path) -> None:
    backup(repo, [str(source)])
    restore(repo, "latest", str(tmp_path / "t"))

    assert (tmp_path / "t" / str(source).lstrip("/") / "file0").is_file()


def test_a_missing_subfolder_or_snapshot_is_named(repo: Repository, source: Path, tmp_path: Path) -> None:
    with pytest.raises(NoSnapshot, match="no snapshot"):
        restore(repo, "latest", str(tmp_path / "t"))
    backup(repo, [str(source)])
    with pytest.raises(NoSnapshot, match="no folder '/nowhere'"):
        restore(repo, "latest", str(tmp_path / "t"), subfolder="/nowhere")


def flip(path: Path, at: int) -> None:
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_damaged_blob_costs_the_files_that_hold_it_and_no_other(
    repo: Repository, store: LocalStore, source: Path, tmp_path: Path
) -> None:
    backup(repo, [str(source)])
    repo.load_index()
    at = repo.index.find(blob_id((source / "file2").read_bytes()))
    assert at is not None
    flip(store.root / "data" / at.pack.hex()[:2] / at.pack.hex(), at.offset + 20)
    done = restore(repo, "latest", str(tmp_path / "t"), subfolder=str(source))

    assert [error.path for error in done.errors] == [str(tmp_path / "t" / "file2")]
    assert "seal does not fit" in done.errors[0].message
    assert (tmp_path / "t" / "below" / "file2").read_text() == (source / "below" / "file2").read_text()


def test_a_restore_over_an_older_state_brings_back_the_snapshot(repo: Repository, source: Path, tmp_path: Path) -> None:
    backup(repo, [str(source)])
    target = tmp_path / "t"
    restore(repo, "latest", str(target), subfolder=str(source))
    (target / "file0").write_text("a longer content than the original " * 100)
    restore(repo, "latest", str(target), subfolder=str(source))

    assert (target / "file0").read_text() == (source / "file0").read_text()


def test_stopping_a_restore(repo: Repository, store: LocalStore, source: Path, tmp_path: Path) -> None:
    backup(repo, [str(source)])
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        restore(repo, "latest", str(tmp_path / "t"), stop=stop)

    assert list(store.list("locks")) == []


def test_restore_progress_knows_its_totals(repo: Repository, source: Path, tmp_path: Path) -> None:
    made = backup(repo, [str(source)])
    told: list[Progress] = []
    restore(repo, "latest", str(tmp_path / "t"), progress=told.append)

    assert told[-1].totals_known
    assert (told[-1].files_done, told[-1].files_total) == (10, 10)
    assert told[-1].bytes_done == told[-1].bytes_total == made.bytes_processed


def test_a_restore_without_a_lock_writes_nothing_to_the_store(
    repo: Repository, store: LocalStore, source: Path, tmp_path: Path
) -> None:
    backup(repo, [str(source)])
    before = sorted((path, path.stat().st_mtime_ns) for path in store.root.rglob("*"))
    restore(repo, "latest", str(tmp_path / "t"), lock=False)

    assert sorted((path, path.stat().st_mtime_ns) for path in store.root.rglob("*")) == before


def test_runs_of_data_skip_whole_blocks_of_zeros_only() -> None:
    block = b"x" + bytes(4095)

    assert list(data_runs(block + bytes(8192) + block + b"tail")) == [(0, 4096), (12288, 16384), (16384, 16388)]
    assert list(data_runs(b"y" * 8193)) == [(0, 8193)]
    assert list(data_runs(bytes(8192))) == []


def test_the_gate_lets_more_in_while_they_wait_and_fewer_while_they_work() -> None:
    assert gate.next_limit(1, 4, 0.1) == 2
    assert gate.next_limit(4, 4, 0.1) == 4
    assert gate.next_limit(3, 4, 1.4) == 2
    assert gate.next_limit(1, 4, 1.4) == 1
    assert gate.next_limit(2, 4, 0.8) == 2
