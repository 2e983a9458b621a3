"""Three releases of stock restic do their work on repositories of ours, and we on theirs, in turn on one repository."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.repo.backup import backup
from holdfast.repo.browse import Trees, ls
from holdfast.repo.check import check
from holdfast.repo.maintain import forget
from holdfast.repo.prune import prune
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.stock import Access
from holdfast.repo.stores.local import LocalStore
from tests import tools
from tests.repo_trees import PASSWORD, differences
from tests.stock import Stock

OLDEST = next(iter(tools.restics()))


@pytest.fixture(params=tools.restics())
def stock(request: pytest.FixtureRequest, tmp_path: Path) -> Stock:
    return Stock(str(tmp_path / "repository"), tmp_path / "cache", program=tools.restics()[request.param])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "folder").mkdir(parents=True)
    rng = random.Random(7)
    for number in range(6):
        (root / f"file {number}").write_bytes(rng.randbytes(40_000))
        (root / "folder" / f"{number}").write_text(f"small {number}")
    (root / "large").write_bytes(rng.randbytes(2_500_000))
    os.symlink("large", root / "link")
    return root


@pytest.fixture
def change(source: Path) -> Callable[[int], None]:
    """The source goes on: a file changes, one goes, one comes."""

    def change(number: int) -> None:
        (source / f"file {number}").write_bytes(random.Random(number).randbytes(50_000))
        (source / "folder" / f"{number}").unlink()
        (source / f"new {number}").write_text(f"new in {number}")

    return change


def ours(stock: Stock) -> Repository:
    return Repository.open(LocalStore(Path(stock.url)), PASSWORD)


def init(stock: Stock) -> Repository:
    return Repository.init(LocalStore(Path(stock.url)), PASSWORD)


def is_oldest(stock: Stock) -> bool:
    return stock.program == tools.restics()[OLDEST]


def repair_index(stock: Stock) -> None:
    stock(*(["rebuild-index"] if is_oldest(stock) else ["repair", "index", "--read-all-packs"]))


def restores_to(stock: Stock, snapshot: str, source: Path, out: Path) -> None:
    done = restore(ours(stock), snapshot, str(out), subfolder=str(source))
    assert not done.partial, done.errors
    assert differences(source, out) == []


def test_we_go_on_after_all_that_stock_restic_does_to_our_repository(
    stock: Stock, source: Path, change: Callable[[int], None], tmp_path: Path
) -> None:
    repo = init(stock)
    made: list[str] = []
    for number in range(3):
        made.append(backup(repo, [str(source)]).snapshot_id)
        change(number)
    made.append(backup(repo, [str(source)]).snapshot_id)

    stock("check", "--read-data")
    assert "new 0" in stock("diff", made[0], made[1])
    assert f"{source}/folder/5" in stock("ls", "latest")
    stock("forget", made[0], "--prune", "--max-unused", "0")
    if not is_oldest(stock):  # both came later
        stock("rewrite", made[1], "--exclude", "large", "--forget")
        stock("repair", "snapshots", "--dry-run")
    repair_index(stock)
    stock("check", "--read-data")

    repo = ours(stock)
    found = check(repo, read_data=True)
    assert found.ok, found.problems
    assert made[0] not in [snapshot.id for snapshot in repo.snapshots()]
    restores_to(stock, made[3], source, tmp_path / "out")
    again = backup(repo, [str(source)])
    assert (again.parent, again.files_new, again.files_changed) == (made[3], 0, 0)
    assert again.added_raw < 20_000
    stock("check")


def test_stock_restic_goes_on_after_all_that_we_do_to_its_repository(
    stock: Stock, source: Path, change: Callable[[int], None], tmp_path: Path
) -> None:
    stock.init()
    first = stock.backup(source)["snapshot_id"]
    change(0)
    stock.backup(source)

    repo = ours(stock)
    listed = {item.path for item in ls(Trees(repo), repo.snapshot("latest"), recursive=True)}
    assert {f"{source}/new 0", f"{source}/folder/1", f"{source}/link"} <= listed
    assert check(repo, read_data=True).ok
    restores_to(stock, "latest", source, tmp_path / "out")
    forget(repo, [repo.snapshot(first).id])
    access = Access(url=stock.url, env={}, password=PASSWORD)
    assert prune(repo, access, program=stock.program).verified
    change(1)
    mine = backup(ours(stock), [str(source)])
    assert mine.files_new == 1

    stock("check", "--read-data")
    stock("restore", "latest", "--target", str(tmp_path / "theirs"))
    assert differences(source, tmp_path / "theirs" / source.relative_to("/")) == []
    after = stock.backup(source)
    assert (after["files_new"], after["files_changed"], after["data_blobs"]) == (0, 0, 0)


def test_what_stock_restic_repairs_is_sound_to_us(stock: Stock, source: Path, tmp_path: Path) -> None:
    """A pack of ours is lost: the stock program drops what was in it, and the rest restores."""
    repo = init(stock)
    backup(repo, [str(source)])
    (source / "later").write_text("in a pack of its own")
    kept = backup(repo, [str(source / "later")]).snapshot_id
    largest = max((Path(stock.url) / "data").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    largest.unlink()
    assert not check(repo).ok

    repair_index(stock)
    if is_oldest(stock):  # it knows no repair of snapshots: the one that is hurt has to go
        stock("forget", *check(ours(stock)).hurt)
    else:
        stock("repair", "snapshots", "--forget")

    found = check(ours(stock), read_data=True)
    assert found.ok, found.problems
    restore(ours(stock), kept, str(tmp_path / "out"))
    assert (tmp_path / "out" / (source / "later").relative_to("/")).read_text() == "in a pack of its own"
    stock("check", "--read-data")
