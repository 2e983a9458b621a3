"""Hard trees, byte for byte: what three releases of stock restic write and what we write of the same source.

Contents are compared by restoring them. In trees the content of files from the chunker's minimum on is left out, since a
repository of ours is cut by a chunker of its own; everything else must be the same bytes.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.repo.backup import backup
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.stores.local import LocalStore
from holdfast.repo.tree import decode_tree
from tests import tools
from tests.repo_oddities import build_oddities
from tests.repo_trees import PASSWORD, describe
from tests.stock import Stock

PROGRAM = """
import sys
from pathlib import Path
from holdfast.repo.backup import backup
from holdfast.repo.stores.local import LocalStore
from holdfast.repo.repository import Repository

with Repository.open(LocalStore(Path(sys.argv[1])), sys.argv[2]) as repo:
    done = backup(repo, [sys.argv[3]], parent="")
    assert not done.partial, done.errors
    print(done.snapshot_id)
"""

_SUBTREE = re.compile(rb'"subtree":"[0-9a-f]{64}"')
_CONTENT = re.compile(rb'("size":(\d+),[^\[]*(?:\[\{"name".*?\}\],)?)"content":\[[^\]]*\]')
_NEW_SINCE_UNICODE_13 = "\U0002b739 \U0001fae8"


@pytest.fixture(scope="module")
def oddities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("oddities") / "tree"
    build_oddities(root)
    return root


@pytest.fixture(scope="module", params=tools.restics())
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def empty(version: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty repository that this version made."""
    folder = tmp_path_factory.mktemp(f"empty-{version}")
    Stock(str(folder / "repository"), folder / "cache", program=tools.restics()[version]).init()
    return folder / "repository"


@pytest.fixture
def stock(version: str, tmp_path: Path) -> Stock:
    return Stock(str(tmp_path / "repository"), tmp_path / "cache", program=tools.restics()[version])


def start(stock: Stock, empty: Path) -> None:
    """Give the stock program the empty repository of its own making."""
    shutil.copytree(empty, stock.url)


def ours(stock: Stock) -> Repository:
    return Repository.open(LocalStore(Path(stock.url)), PASSWORD)


def backup_in_zone(stock: Stock, source: Path) -> str:
    """A backup of ours in a process whose zone is that of the stock program; returns the snapshot's id."""
    command = [sys.executable, "-c", PROGRAM, stock.url, PASSWORD, str(source)]
    return subprocess.run(command, env=stock.env, capture_output=True, text=True, check=True).stdout.strip()


def trees(repo: Repository, snapshot: str, folder: Path) -> Iterator[tuple[str, bytes]]:
    """The blob of every tree below a folder, without the ids of subtrees and the content of large files."""
    tree = repo.snapshot(snapshot).tree
    for part in folder.parts[1:]:
        tree = next(node.subtree for node in decode_tree(repo.load_blob(bytes.fromhex(tree))) if node.name == part) or ""
    stack = [(str(folder), tree)]
    while stack:
        path, ident = stack.pop()
        blob = repo.load_blob(bytes.fromhex(ident))
        stack += [(f"{path}/{node.name}", node.subtree) for node in decode_tree(blob) if node.subtree]
        yield path, _CONTENT.sub(_without_large, _SUBTREE.sub(b"", blob))


def _without_large(match: "re.Match[bytes]") -> bytes:
    return match[1] if int(match[2]) >= 512 << 10 else match[0]


_NEWEST = list(tools.restics())[-1]


@pytest.mark.parametrize(
    ("version", "zone"),
    [
        *((version, "UTC") for version in list(tools.restics())[1:]),
        *((_NEWEST, zone) for zone in ("Pacific/Marquesas", "Asia/Kathmandu")),
    ],
    indirect=["version"],
)
def test_trees_are_the_same_bytes_in_every_zone(oddities: Path, empty: Path, version: str, zone: str, tmp_path: Path) -> None:
    stock = Stock(str(tmp_path / "repository"), tmp_path / "cache", program=tools.restics()[version], zone=zone)
    start(stock, empty)
    theirs = stock.backup(oddities)["snapshot_id"]
    mine = backup_in_zone(stock, oddities)

    repo = ours(stock)
    expected, found = dict(trees(repo, theirs, oddities)), dict(trees(repo, mine, oddities))
    assert len(expected) > 80
    assert found.keys() == expected.keys()
    for path, blob in expected.items():
        assert found[path] == blob, path


def fields_that_differ(a: bytes, b: bytes) -> dict[str, set[str]]:
    """By type of node, the fields in which two trees differ."""
    left, right = (json.loads(_strip(blob))["nodes"] for blob in (a, b))
    assert len(left) == len(right)
    differ: dict[str, set[str]] = {}
    for one, two in zip(left, right, strict=True):
        fields = {key for key in one.keys() | two.keys() if one.get(key) != two.get(key)}
        if fields:
            differ.setdefault(two["type"], set()).update(fields)
    return differ


def _strip(blob: bytes) -> bytes:
    return re.sub(rb",(?=[,}])", b"", blob)


@pytest.mark.parametrize("version", list(tools.restics())[:1], indirect=True)
def test_the_oldest_release_differs_in_named_points_only(oddities: Path, empty: Path, stock: Stock) -> None:
    """0.14 has no raw link targets and no attributes of links, and knows the characters of Unicode 13 only."""
    start(stock, empty)
    theirs = stock.backup(oddities)["snapshot_id"]
    mine = backup_in_zone(stock, oddities)

    repo = ours(stock)
    expected, found = dict(trees(repo, theirs, oddities)), dict(trees(repo, mine, oddities))
    differ = {
        path.removeprefix(str(oddities)): fields_that_differ(blob, found[path])
        for path, blob in expected.items()
        if path in found and found[path] != blob
    }
    assert differ == {
        "/links": {"symlink": {"linktarget_raw"}},
        "/attributes": {"symlink": {"extended_attributes"}},
        "/names": {"file": {"name"}},
        "/names/folders": {"dir": {"name"}},
    }
    assert {path for path in expected.keys() ^ found.keys() if _NEW_SINCE_UNICODE_13 not in path} == {
        path for path in expected.keys() - found.keys() if "\\U0002b739" in path
    }


def without_known_losses(version: str, entry: tuple[object, ...], *, by_stock: bool) -> tuple[object, ...]:
    """An entry without what that version is known to lose.

    No version ties special files and links with several names together again; we do, but for fifos, of which trees do not
    say that they have several. 0.14 knows no link targets that are not UTF-8 and no attributes of links: it puts those on
    what the link points to.
    """
    kind, uid, gid, mtime, device, target, attributes, content, group = entry
    mode = int(str(kind), 8)
    if stat.S_ISFIFO(mode) or (by_stock and not stat.S_ISREG(mode)):
        group = b""
    if version.startswith("0.14"):
        assert isinstance(target, bytes)
        assert isinstance(attributes, list)
        target = re.sub("[\udc80-\udcff]", "\ufffd", os.fsdecode(target)).encode()
        attributes = [pair for pair in attributes if pair[0] != "trusted.link"]
    return kind, uid, gid, mtime, device, target, attributes, content, group


def compare(version: str, source: Path, out: Path, *, by_stock: bool) -> None:
    """Both trees must be equal, but for what that version is known to lose."""
    expected = {path: without_known_losses(version, entry, by_stock=by_stock) for path, entry in describe(source).items()}
    found: dict[Any, Any] = {
        path: without_known_losses(version, entry, by_stock=by_stock) for path, entry in describe(out).items()
    }
    assert found.keys() == expected.keys()
    for path, entry in expected.items():
        assert found[path] == entry, path


def test_stock_restores_what_we_wrote(oddities: Path, version: str, stock: Stock, tmp_path: Path) -> None:
    repo = Repository.init(LocalStore(Path(stock.url)), PASSWORD)
    made = backup(repo, [str(oddities)])
    assert not made.partial

    stock("check", "--read-data")
    stock("restore", "latest", "--target", str(tmp_path / "out"))
    compare(version, oddities, tmp_path / "out" / oddities.relative_to("/"), by_stock=True)


def test_we_restore_what_stock_wrote(oddities: Path, empty: Path, version: str, stock: Stock, tmp_path: Path) -> None:
    start(stock, empty)
    stock.backup(oddities)
    done = restore(ours(stock), "latest", str(tmp_path / "out"), subfolder=str(oddities))

    assert done.errors == ()
    compare(version, oddities, tmp_path / "out", by_stock=False)


def test_each_side_takes_the_others_snapshot_as_parent(oddities: Path, version: str, stock: Stock) -> None:
    """Nothing is read again and no content is stored again, in either direction."""
    repo = Repository.init(LocalStore(Path(stock.url)), PASSWORD)
    first = backup(repo, [str(oddities)])
    after = stock.backup(oddities)
    again = backup(repo, [str(oddities)])

    assert (after["files_new"], after["files_changed"], after["files_unmodified"]) == (0, 0, first.files)
    assert after["data_blobs"] == 0
    assert again.parent.startswith(after["snapshot_id"])
    assert (again.files_new, again.files_changed, again.files_unmodified) == (0, 0, first.files)
    assert again.added_raw <= first.added_raw / 100


def test_sparse_files_come_back_sparse(oddities: Path, empty: Path, stock: Stock, tmp_path: Path) -> None:
    start(stock, empty)
    stock.backup(oddities / "holes")
    restore(ours(stock), "latest", str(tmp_path / "out"), subfolder=str(oddities / "holes"))

    for name in ("leading", "trailing", "middle", "nothing else"):
        assert os.stat(tmp_path / "out" / name).st_blocks * 512 <= 64 << 10, name
