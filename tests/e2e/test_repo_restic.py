"""Stock restic judges what we write, and we read what it writes."""

import contextlib
import os
import random
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from holdfast.repo.backup import backup
from holdfast.repo.check import check
from holdfast.repo.errors import StoreFull, WrongPassword
from holdfast.repo.maintain import forget, read_root, snapshots
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.stores import open_store
from tests.movers_builders import s3_server
from tests.repo_trees import PASSWORD, build_corpus, differences
from tests.stock import S3_ENV, Stock

PROGRAM = """
import signal, sys
from holdfast.repo import result
from holdfast.repo.backup import backup
from holdfast.repo.repository import Repository
from holdfast.repo.stores import open_store

result.PROGRESS_SECONDS = 0.05
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with Repository.open(open_store(sys.argv[1], {}), sys.argv[2]) as repo:
    backup(repo, [sys.argv[3]], progress=lambda told: print(told.bytes_done, flush=True))
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus") / "tree"
    build_corpus(root)
    return root


@pytest.fixture
def local(tmp_path: Path) -> Stock:
    return Stock(str(tmp_path / "repository"), tmp_path / "cache")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("s3") / "root"
    (folder / "bucket").mkdir(parents=True)
    with s3_server(folder) as endpoint:
        yield endpoint


@pytest.fixture(params=["local", "s3"])
def stock(request: pytest.FixtureRequest, tmp_path: Path) -> Stock:
    if request.param == "local":
        return request.getfixturevalue("local")
    return Stock(f"s3:{request.getfixturevalue('endpoint')}/bucket/{tmp_path.name}", tmp_path / "cache")


def ours(stock: Stock) -> Repository:
    return Repository.open(open_store(stock.url, S3_ENV), PASSWORD)


def tree(stock: Stock, snapshot: str, folder: Path) -> str:
    return stock("cat", "tree", f"{snapshot}:{folder}")


def init(stock: Stock) -> Repository:
    return Repository.init(open_store(stock.url, S3_ENV), PASSWORD)


def test_stock_restic_checks_lists_and_restores_what_we_wrote(stock: Stock, corpus: Path, tmp_path: Path) -> None:
    made = backup(init(stock), [str(corpus)], tags=["nightly"], host="web-0")

    stock("check", "--read-data")
    (listed,) = stock.snapshots()
    assert (listed["id"], listed["hostname"], listed["tags"]) == (made.snapshot_id, "web-0", ["nightly"])
    assert "level29/leaf" in stock("ls", "latest")
    stock("restore", f"latest:{corpus}", "--target", str(tmp_path / "out"), "--sparse")
    assert differences(corpus, tmp_path / "out") == []


def test_stock_restic_continues_our_repository_and_finds_everything_unmodified(local: Stock, corpus: Path) -> None:
    made = backup(init(local), [str(corpus)])
    after = local.backup(corpus)

    assert (after["files_new"], after["files_changed"], after["files_unmodified"]) == (0, 0, made.files)
    assert after["data_blobs"] == 0
    assert tree(local, made.snapshot_id, corpus) == tree(local, after["snapshot_id"], corpus)
    changes = [line for line in local("diff", made.snapshot_id, after["snapshot_id"]).splitlines() if str(corpus) in line]
    assert changes == []
    local("check", "--read-data")


def test_we_continue_what_stock_restic_wrote_with_identical_trees(local: Stock, corpus: Path, tmp_path: Path) -> None:
    local.init()
    first = local.backup(corpus)
    repo = ours(local)
    done = restore(repo, "latest", str(tmp_path / "out"), subfolder=str(corpus))
    assert not done.partial
    assert differences(corpus, tmp_path / "out") == []

    second = backup(repo, [str(corpus)])
    assert (second.files_new, second.files_changed, second.files_unmodified) == (0, 0, first["files_new"])
    assert tree(local, first["snapshot_id"], corpus) == tree(local, second.snapshot_id, corpus)
    assert [snapshot.id for snapshot in snapshots(repo)] == [first["snapshot_id"], second.snapshot_id]
    assert check(repo, read_data=True).ok
    local("check", "--read-data")


def test_stock_restic_prunes_after_our_forget(local: Stock, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "old").write_bytes(os.urandom(3 << 20))
    repo = init(local)
    old = backup(repo, [str(source)]).snapshot_id
    (source / "old").unlink()
    (source / "new").write_bytes(os.urandom(1 << 20))
    new = backup(repo, [str(source)]).snapshot_id
    assert forget(repo, [old]) == [old]
    local("prune")
    local("check", "--read-data")

    assert read_root(repo, new)
    assert sum(entry.size for entry in repo.store.list("data")) < 2 << 20


def test_locks_are_honoured_both_ways(local: Stock) -> None:
    repo = init(local)
    with repo.lock():
        assert "locked" in local.fails("prune")
        local("snapshots")
    with repo.lock(exclusive=True):
        assert "locked" in local.fails("snapshots")
    local("prune")


def test_a_wrong_password_is_told_from_a_missing_repository(local: Stock) -> None:
    local.init()
    with pytest.raises(WrongPassword):
        Repository.open(open_store(local.url, {}), "wrong")


@contextlib.contextmanager
def running_backup(stock: Stock, source: Path) -> Generator[subprocess.Popen[bytes]]:
    """A backup in a process of its own that has stored some of its bytes."""
    command = [sys.executable, "-c", PROGRAM, stock.url, PASSWORD, str(source)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], 30)
        assert ready, "no progress was told"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Enough to be interrupted in the middle: 160 MiB of random bytes."""
    root = tmp_path_factory.mktemp("bulk") / "tree"
    root.mkdir()
    rng = random.Random(3)
    for number in range(8):
        (root / f"{number}").write_bytes(rng.randbytes(20 << 20))
    yield root
    shutil.rmtree(root)


def test_a_backup_killed_in_the_middle_leaves_a_clean_repository_and_helps_the_next(local: Stock, bulk: Path) -> None:
    repo = init(local)
    with running_backup(local, bulk) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    assert snapshots(repo) == []
    local("unlock")
    local("check", "--read-data")
    made = backup(repo, [str(bulk)])
    assert made.files == 8
    assert list(repo.store.list("locks")) == []
    local("check", "--read-data")


def test_sigterm_ends_a_backup_and_gives_its_lock_back(local: Stock, bulk: Path) -> None:
    repo = init(local)
    with running_backup(local, bulk) as process:
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == 143

    assert list(repo.store.list("locks")) == []
    assert snapshots(repo) == []
    local("check")


def test_a_full_disk_is_an_error_and_the_repository_stays_clean(tmp_path: Path, bulk: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", str(disk)], check=True)
    try:
        stock = Stock(str(disk / "repository"), tmp_path / "cache")
        repo = init(stock)
        with pytest.raises(StoreFull, match="No space left on device: free some space"):
            backup(repo, [str(bulk)])
        assert snapshots(repo) == []
        for pack in (disk / "repository" / "data").rglob("*"):
            if pack.is_file():
                pack.unlink()
                break
        stock("check", "--read-data")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
