"""Copies between repositories of ours and of stock restic's, with stock restic as the judge."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.repo.backup import backup
from holdfast.repo.copy import copy
from holdfast.repo.repository import Repository
from holdfast.repo.stores import open_store
from tests import tools
from tests.movers_builders import KEY, SECRET, s3_server
from tests.repo_trees import build_corpus

S3_ENV = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
KILLED = """
import os, signal, sys
from holdfast.repo import writer
from holdfast.repo.copy import copy
from holdfast.repo.repository import Repository
from holdfast.repo.stores.faults import FaultyStore
from holdfast.repo.stores import open_store

writer.INDEX_BLOBS, writer.PACK_BYTES = 1, 1 << 20

def fault(operation, path):
    fault.packs += operation == "put" and path.startswith("data/")
    if fault.packs == 8:
        os.kill(os.getpid(), signal.SIGKILL)

fault.packs = 0
source = Repository.open(open_store(sys.argv[1], {}), "a password")
target = Repository.open(FaultyStore(open_store(sys.argv[2], {}), fault), "another")
copy(source, target)
"""


class Place:
    """A repository with its own password, for the stock program and for us."""

    def __init__(self, url: str, password: str, folder: Path) -> None:
        self.url, self.password = url, password
        self.file = folder / f"{password}.txt"
        self.file.write_text(password)
        self.env = {**os.environ, **S3_ENV, "RESTIC_CACHE_DIR": str(folder / "cache"), "TZ": "UTC"}

    def stock(self, *words: str) -> str:
        command = [tools.restic(), "-r", self.url, "--password-file", str(self.file), *words]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stock_copy_from(self, other: "Place") -> None:
        self.stock("copy", "--from-repo", other.url, "--from-password-file", str(other.file))

    def snapshots(self) -> list[dict[str, Any]]:
        return json.loads(self.stock("snapshots", "--json"))

    def init(self) -> Repository:
        return Repository.init(open_store(self.url, S3_ENV), self.password)

    def open(self) -> Repository:
        return Repository.open(open_store(self.url, S3_ENV), self.password)


@pytest.fixture
def source(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "source"), "a password", tmp_path)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("s3") / "root"
    (folder / "bucket").mkdir(parents=True)
    with s3_server(folder) as endpoint:
        yield endpoint


@pytest.fixture
def target(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "target"), "another", tmp_path)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus") / "tree"
    build_corpus(root)
    return root


def contents(place: Place) -> list[dict[str, Any]]:
    """What snapshots say, without what a copy changes."""
    return [
        {key: shot[key] for key in shot if key not in ("id", "short_id", "parent", "original")} for shot in place.snapshots()
    ]


def test_a_chain_of_ours_arrives_whole_for_stock_restic(source: Place, tmp_path: Path, corpus: Path, endpoint: str) -> None:
    target = Place(f"s3:{endpoint}/bucket/chain", "another", tmp_path)
    ours, theirs = source.init(), target.init()
    made = [backup(ours, [str(corpus)], tags=["first"], host="web-0")]
    (corpus / "grown").write_bytes(random.Random(3).randbytes(3 << 20))
    made.append(backup(ours, [str(corpus)], tags=["second"], host="web-0"))
    (corpus / "grown").unlink()

    done = copy(ours, theirs)

    assert (done.copied, done.skipped, done.failures) == (2, 0, ())
    target.stock("check", "--read-data")
    assert contents(target) == contents(source)
    first, second = target.snapshots()
    assert [first["original"], second["original"]] == [snapshot.snapshot_id for snapshot in made]
    assert second["parent"] == first["id"]
    for one in (first, second):
        assert (
            target.stock("ls", one["id"], "--json").splitlines()[1:]
            == source.stock("ls", one["original"], "--json").splitlines()[1:]
        )


def test_both_programs_recognise_each_others_copies(source: Place, target: Place, corpus: Path, tmp_path: Path) -> None:
    third = Place(str(tmp_path / "third"), "one more", tmp_path)
    for place in (source, target, third):
        place.init()
    source.stock("backup", str(corpus / "sub"), "--tag", "stock")
    backup(source.open(), [str(corpus / "sub")], tags=["ours"])

    copy(source.open(), target.open())
    target.stock_copy_from(source)
    source.stock_copy_from(target)
    assert [len(place.open().snapshots()) for place in (source, target)] == [2, 2]

    third.stock_copy_from(source)
    again = copy(source.open(), third.open())
    back = copy(third.open(), source.open())
    across = copy(third.open(), target.open())
    assert [(run.copied, run.skipped, run.blobs) for run in (again, back, across)] == [(0, 2, 0)] * 3

    source.stock("tag", "--add", "kept", "latest")
    assert copy(source.open(), target.open()).copied == 1
    target.stock("check", "--read-data")


def test_what_stock_restic_wrote_is_copied_and_restored(source: Place, target: Place, corpus: Path, tmp_path: Path) -> None:
    source.init()
    source.stock("backup", str(corpus), "--compression", "off")
    done = copy(source.open(), target.init())

    assert done.copied == 1
    assert done.bytes_stored < done.bytes_read
    target.stock("check", "--read-data")
    assert contents(target) == contents(source)


def test_a_killed_copy_leaves_no_snapshot_and_the_next_goes_on(source: Place, target: Place, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(16):
        (tmp_path / "data" / f"file{number}").write_bytes(random.Random(number).randbytes(1 << 20))
    ours = source.init()
    target.init()
    backup(ours, [str(tmp_path / "data")])
    killed = subprocess.run([sys.executable, "-c", KILLED, source.url, target.url], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert target.snapshots() == []
    indexed = len(target.open().index)
    assert indexed >= 5

    done = copy(source.open(), target.open())

    assert done.copied == 1
    assert done.blobs == len(ours.load_index()) - indexed
    target.stock("check", "--read-data")
