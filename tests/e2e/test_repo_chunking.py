"""Large files are stored once in a repository that stock restic and we share, whoever comes first."""

import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from holdfast.repo.backup import backup
from holdfast.repo.chunking import is_shared
from holdfast.repo.copy import copy
from holdfast.repo.repository import Repository
from holdfast.repo.stores import open_store
from tests import tools
from tests.repo_trees import PASSWORD, sparse


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Random bytes, text, repeated bytes, and a file with holes: some dozen chunks in all."""
    folder = tmp_path / "large"
    folder.mkdir()
    rng = random.Random(17)
    (folder / "random").write_bytes(rng.randbytes(24 << 20))
    (folder / "text").write_bytes(b"".join(b"%d %d words of a log\n" % (n, rng.getrandbits(30)) for n in range(300_000)))
    (folder / "repeated").write_bytes(b"0123456789" * 1_100_000)
    sparse(folder / "holes", 12 << 20, {1 << 20: rng.randbytes(1 << 20), (7 << 20) + 5: rng.randbytes(700_000)})
    return folder


class Shared:
    """One repository, used by both."""

    def __init__(self, folder: Path, like: Repository | None = None) -> None:
        self.folder = folder
        self.env = {**os.environ, "RESTIC_PASSWORD": PASSWORD, "RESTIC_CACHE_DIR": str(folder.parent / "cache"), "TZ": "UTC"}
        Repository.init(open_store(str(folder), {}), PASSWORD, chunker_like=like)

    def stock(self, *words: str) -> str:
        command = [tools.restic(), "-r", str(self.folder), *words]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=True).stdout

    def stock_backup(self, path: Path) -> dict[str, Any]:
        lines = self.stock("backup", str(path), "--force", "--json").splitlines()
        return next(found for line in lines if (found := json.loads(line))["message_type"] == "summary")

    def open(self) -> Repository:
        return Repository.open(open_store(str(self.folder), {}), PASSWORD)


def test_what_stock_restic_stored_is_not_stored_again_by_us(tmp_path: Path, large: Path) -> None:
    shared = Shared(tmp_path / "repository")
    first = shared.stock_backup(large)
    assert first["data_blobs"] > 15  # each repository cuts by a polynomial of its own

    again = backup(shared.open(), [str(large)], parent="")

    assert again.files_new == 4
    repo = shared.open()
    ours = next(snapshot for snapshot in repo.snapshots() if snapshot.id == again.snapshot_id)
    assert ours.summary is not None
    assert ours.summary.data_blobs == 0
    shared.stock("check", "--read-data")
    changes = [line for line in shared.stock("diff", first["snapshot_id"], ours.id).splitlines() if str(large) in line]
    assert changes == []


def test_what_we_stored_as_stock_restic_does_it_does_not_store_again(tmp_path: Path, large: Path) -> None:
    shared = Shared(tmp_path / "repository")
    backup(shared.open(), [str(large)], chunking="stock")

    assert shared.stock_backup(large)["data_blobs"] == 0

    kept = (large / "random").read_bytes()[:10_000_000]
    (large / "random").write_bytes(kept + b"inserted" + random.Random(1).randbytes(9 << 20))
    changed = backup(shared.open(), [str(large)])
    assert is_shared(shared.open().snapshots())
    assert changed.files_changed == 1
    assert shared.stock_backup(large)["data_blobs"] == 0


def test_a_repository_of_ours_alone_is_cut_where_nobody_without_its_key_can_tell(tmp_path: Path, large: Path) -> None:
    shared = Shared(tmp_path / "repository")
    backup(shared.open(), [str(large)])

    assert shared.stock_backup(large)["data_blobs"] > 10


def test_a_copy_and_a_stock_backup_share_blobs_where_the_polynomial_was_taken_over(tmp_path: Path, large: Path) -> None:
    first = Shared(tmp_path / "first")
    second = Shared(tmp_path / "second", like=first.open())
    first.stock_backup(large)
    copy(first.open(), second.open())

    assert second.stock_backup(large)["data_blobs"] == 0
    assert backup(second.open(), [str(large)], parent="").added_raw < 100_000
