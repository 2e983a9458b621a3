"""Looking into snapshots that nobody sane would write: hostile names, lying sizes, odd times; and what changed between."""

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.repo_program import init_cheap
from tests.repo_trees import PASSWORD

from holdfast.repo.blob import blob_id
from holdfast.repo.browse import Finder, Query, Trees, ls, start
from holdfast.repo.compare import Comparison
from holdfast.repo.dump import dump
from holdfast.repo.errors import Damaged, NoSuchPath
from holdfast.repo.repository import Repository
from holdfast.repo.snapshot import Snapshot, SnapshotJson, encode_snapshot
from holdfast.repo.stats import count
from holdfast.repo.stores import open_store
from holdfast.repo.writer import BlobWriter


class Builder:
    """Writes trees entry by entry into a repository."""

    def __init__(self, repo: Repository) -> None:
        self.repo = repo
        self._waiting: list[tuple[Any, bytes]] = []

    def save(self, kind: Any, plain: bytes) -> str:
        self._waiting.append((kind, plain))
        return blob_id(plain).hex()

    def _store(self) -> None:
        self.repo.load_index()
        with self.repo.lock() as lock, BlobWriter(self.repo, lock) as writer:
            for kind, plain in self._waiting:
                writer.save(kind, plain)
            writer.finish()
        self._waiting.clear()
        self.repo.load_index()

    def file(self, name: str, content: bytes, **fields: Any) -> dict[str, Any]:
        ids = [self.save("data", content)] if content else []
        return {"name": name, "type": "file", "size": len(content), "content": ids} | TIMES | fields

    def folder(self, name: str, *nodes: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "type": "dir", "subtree": self.tree(*nodes)} | TIMES

    def tree(self, *nodes: dict[str, Any]) -> str:
        ordered = sorted(nodes, key=lambda node: node["name"].encode())
        return self.save("tree", json.dumps({"nodes": ordered}).encode())

    def snapshot(self, *nodes: dict[str, Any]) -> Snapshot:
        document = SnapshotJson(time="2026-01-01T00:00:00Z", tree=self.tree(*nodes), paths=["/"], hostname="h")
        self._store()
        return self.repo.snapshot(self.repo.put_json("snapshots", encode_snapshot(document)))


TIMES = {"mode": 0o644, "mtime": "2026-01-01T00:00:00Z"}


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    init_cheap(str(tmp_path / "r"))
    return Builder(Repository.open(open_store(str(tmp_path / "r"), {}), PASSWORD))


@pytest.mark.parametrize("name", ["..", ".", "", "../../etc/passwd", "a/b", "nul\\x00byte"])
def test_a_name_that_is_no_file_name_is_damage_and_never_shown_or_packed(name: str, builder: Builder) -> None:
    snapshot = builder.snapshot(builder.folder("a", builder.file(name, b"evil")))
    trees = Trees(builder.repo)

    with pytest.raises(Damaged, match=r"/a: the name .* in a tree is no file name"):
        list(ls(trees, snapshot))
    out = io.BytesIO()
    with pytest.raises(Damaged, match="is no file name"):
        dump(builder.repo, trees, snapshot.tree, "/", out)
    assert b"evil" not in out.getvalue()


def test_a_size_that_lies_is_found_before_a_byte_is_written(builder: Builder) -> None:
    snapshot = builder.snapshot(builder.file("long", b"four", size=1 << 62), builder.file("short", b"four", size=1))
    for name in ("long", "short"):
        out = io.BytesIO()
        with pytest.raises(Damaged, match=f"'/{name}': its blobs hold 4 bytes, its entry says"):
            dump(builder.repo, Trees(builder.repo), snapshot.tree, f"/{name}", out)
        assert out.getvalue() == b""


def test_a_path_that_is_missing_or_has_no_content_is_named(builder: Builder) -> None:
    snapshot = builder.snapshot(builder.file("file", b"x"), {"name": "pipe", "type": "fifo"} | TIMES)
    trees = Trees(builder.repo)
    with pytest.raises(NoSuchPath, match="there is no '/file/below'"):
        dump(builder.repo, trees, snapshot.tree, "/file/below", io.BytesIO())
    with pytest.raises(NoSuchPath, match="'/pipe' is no file or folder but a fifo"):
        dump(builder.repo, trees, snapshot.tree, "/pipe", io.BytesIO())
    with pytest.raises(NoSuchPath, match="is no folder but a file"):
        start(trees, snapshot, "/file")


def test_odd_times_and_names_survive_archives(builder: Builder) -> None:
    snapshot = builder.snapshot(
        builder.file("old", b"1", mtime="1960-02-03T04:05:06.75Z"),
        builder.file("far", b"2", mtime="2345-01-01T00:00:00.000000001Z"),
        builder.file("\\xff\\n", b"3"),
    )
    tar_out, zip_out = io.BytesIO(), io.BytesIO()
    dump(builder.repo, Trees(builder.repo), snapshot.tree, "/", tar_out)
    dump(builder.repo, Trees(builder.repo), snapshot.tree, "/", zip_out, archive="zip")

    with tarfile.open(fileobj=io.BytesIO(tar_out.getvalue()), encoding="utf-8", errors="surrogateescape") as tar:
        times = {info.name: info.pax_headers.get("mtime", str(info.mtime)) for info in tar}
    assert times == {"old": "-312753293.25", "far": "11833862400.000000001", "\udcff\n": "1767225600"}
    archive = zipfile.ZipFile(io.BytesIO(zip_out.getvalue()))
    years = {info.filename: info.date_time[0] for info in archive.infolist()}
    assert (years["old"], years["far"]) == (1980, 1980)
    assert archive.testzip() is None


def test_a_file_of_many_blobs_is_dumped_in_order(builder: Builder) -> None:
    pieces = [bytes([number]) * (1 << 20) for number in range(40)]
    ids = [builder.save("data", piece) for piece in pieces]
    snapshot = builder.snapshot(builder.file("big", b"") | {"content": ids, "size": 40 << 20})
    out = io.BytesIO()
    dump(builder.repo, Trees(builder.repo), snapshot.tree, "/big", out)
    assert out.getvalue() == b"".join(pieces)


def test_a_deep_and_a_wide_snapshot_are_walked_without_recursion(builder: Builder) -> None:
    node = builder.file("leaf", b"x")
    for _ in range(1200):
        node = builder.folder("d", node)
    snapshot = builder.snapshot(node)
    trees = Trees(builder.repo)
    last = list(ls(trees, snapshot))[-1]
    assert last.path == "/d" * 1200 + "/leaf"
    assert [item.path for item in Finder(trees, Query(("leaf",))).search(snapshot)] == [last.path]
    other = builder.snapshot(builder.file("leaf", b"x"))
    changes = list(Comparison(builder.repo, trees).changes(snapshot.tree, other.tree))
    assert (len(changes), changes[0].letters, changes[-1].path) == (1202, "-", "/leaf")


def test_what_took_the_place_of_a_file_is_listed(builder: Builder) -> None:
    before = builder.snapshot(builder.file("x", b"was a file"), builder.folder("y", builder.file("in", b"1")))
    after = builder.snapshot(builder.folder("x", builder.file("in", b"2")), builder.file("y", b"is a file"))
    comparison = Comparison(builder.repo, Trees(builder.repo))
    changes = [(change.letters, change.path) for change in comparison.changes(before.tree, after.tree)]
    assert changes == [("T", "/x/"), ("+", "/x/in"), ("T", "/y"), ("-", "/y/in")]
    assert (comparison.sums.added.files, comparison.sums.removed.files) == (1, 1)


def test_a_blob_that_moved_is_neither_added_nor_removed(builder: Builder) -> None:
    kept = builder.folder("kept", builder.file("same", b"shared bytes"))
    before = builder.snapshot(kept)
    after = builder.snapshot(kept, builder.file("copy", b"shared bytes"))
    comparison = Comparison(builder.repo, Trees(builder.repo))
    assert [change.path for change in comparison.changes(before.tree, after.tree)] == ["/copy"]
    assert (comparison.sums.added.data_blobs, comparison.sums.added.tree_blobs) == (0, 1)


def test_content_that_changed_under_the_same_metadata_is_called_rot(builder: Builder) -> None:
    before, after = builder.snapshot(builder.file("x", b"abc")), builder.snapshot(builder.file("x", b"abd"))
    comparison = Comparison(builder.repo, Trees(builder.repo))
    assert [change.letters for change in comparison.changes(before.tree, after.tree)] == ["?"]


def test_a_folder_that_was_barren_once_is_found_where_it_matches(builder: Builder) -> None:
    same = builder.folder("inner", builder.file("plain", b"1"))
    one = builder.snapshot(builder.folder("other", same))
    two = builder.snapshot(builder.folder("wanted", same))
    finder = Finder(Trees(builder.repo), Query(("/wanted",)))
    assert finder.search(one) == []
    assert [item.path for item in finder.search(two)] == ["/wanted", "/wanted/inner", "/wanted/inner/plain"]


def test_stats_count_a_hard_link_once_and_the_same_content_once(builder: Builder) -> None:
    linked = {"links": 2, "inode": 7, "device_id": 1}
    one, two, copy = builder.file("a", b"12345", **linked), builder.file("b", b"12345", **linked), builder.file("c", b"12345")
    snapshots = [builder.snapshot(one, two, copy), builder.snapshot(one)]
    trees = Trees(builder.repo)
    assert (count(builder.repo, trees, snapshots, "restore-size").bytes, snapshots[0].hostname) == (15, "h")
    contents = count(builder.repo, trees, snapshots, "files-by-contents")
    assert (contents.bytes, contents.entries) == (5, 1)
    raw = count(builder.repo, trees, snapshots, "raw-data")
    assert (raw.blobs, raw.snapshots) == (3, 2)
