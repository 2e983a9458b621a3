"""Prune by stock restic behind our floors: what it frees, what it tells, and when it must not run."""

import json
import os
import random
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.repo.backup import backup
from holdfast.repo.check import check
from holdfast.repo.errors import Damaged, MissingProgram, PruneFailed, RepositoryLocked, Stopped, WrongPassword
from holdfast.repo.maintain import forget
from holdfast.repo.prune import PruneOptions, prune
from holdfast.repo.repository import Repository
from holdfast.repo.stock import Access
from holdfast.repo.store import path_of
from holdfast.repo.stores import open_store
from tests import tools
from tests.movers_builders import KEY, SECRET, s3_server

PASSWORD = "a password nobody sees"
MIB = 1 << 20


class Filled:
    """A repository with three snapshots of three mebibytes each; the first two are forgotten."""

    def __init__(self, url: str, data: Path, env: dict[str, str]) -> None:
        self.url = url
        self.env = env
        self.repo = Repository.init(open_store(url, env), PASSWORD)
        data.mkdir()
        ids: list[str] = []
        for number in range(3):
            (data / "file").write_bytes(random.Random(number).randbytes(3 * MIB))
            ids.append(backup(self.repo, [str(data)]).snapshot_id)
        forget(self.repo, ids[:2])

    @property
    def access(self) -> Access:
        return Access(self.url, self.env, PASSWORD)

    def open(self) -> Repository:
        return Repository.open(open_store(self.url, self.env), PASSWORD)


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    return Filled(str(tmp_path / "repository"), tmp_path / "data", {})


def test_a_dry_run_tells_what_a_prune_then_does(filled: Filled) -> None:
    planned = prune(filled.repo, filled.access, dry_run=True, program=tools.restic())
    with filled.repo.lock():
        prune(filled.repo, filled.access, dry_run=True, program=tools.restic())
    done = prune(filled.repo, filled.access, program=tools.restic())

    assert planned.packs_after == planned.packs_before == done.packs_before
    assert (planned.freed_bytes, planned.dry_run, planned.verified) == (0, True, False)
    assert planned.removed_blobs == done.removed_blobs > 6
    assert abs(planned.removed_bytes - 6 * MIB) < 0.1 * MIB
    assert abs(done.freed_bytes - 6 * MIB) < 0.1 * MIB
    assert (done.verified, done.remaining_blobs) == (True, len(filled.open().index))
    assert done.packs_after == len(list(filled.repo.store.list("data")))
    assert check(filled.open(), read_data=True).ok


def test_unused_data_may_be_left(filled: Filled) -> None:
    (Path(filled.url).parent / "data" / "kept").write_bytes(random.Random(9).randbytes(MIB))
    last = backup(filled.repo, [str(Path(filled.url).parent / "data")])
    prune(filled.repo, filled.access, program=tools.restic())
    (Path(filled.url).parent / "data" / "kept").unlink()
    backup(filled.repo, [str(Path(filled.url).parent / "data")])
    forget(filled.repo, [last.snapshot_id])

    lazy = prune(filled.repo, filled.access, options=PruneOptions(max_unused="unlimited"), program=tools.restic())
    with pytest.raises(ValueError, match="'a lot'"):
        prune(filled.repo, filled.access, options=PruneOptions(max_unused="a lot"), program=tools.restic())
    eager = prune(
        filled.repo, filled.access, options=PruneOptions(max_unused="0", max_repack_size="1G"), program=tools.restic()
    )

    assert lazy.repacked_blobs == 0
    assert eager.unused_left_bytes == 0


def test_it_waits_for_a_writer_and_refuses_when_that_takes_too_long(filled: Filled) -> None:
    with filled.open().lock():
        with pytest.raises(RepositoryLocked, match="a shared lock by"):
            prune(filled.repo, filled.access, program=tools.restic())
        stop = threading.Event()
        stop.set()
        with pytest.raises(Stopped):
            prune(filled.repo, filled.access, program=tools.restic(), wait_seconds=60, stop=stop)
    assert len(list(filled.repo.store.list("data"))) > 2
    assert list(filled.repo.store.list("locks")) == []


def _lose_pack(root: Path) -> None:
    max((path for path in (root / "data").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size).unlink()


def _cut_index(root: Path) -> None:
    for path in (root / "index").iterdir():
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-10])


def _flip_snapshot(root: Path) -> None:
    for path in (root / "snapshots").iterdir():
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize("damage", [_lose_pack, _cut_index, _flip_snapshot])
def test_a_damaged_repository_is_left_alone(filled: Filled, damage: Callable[[Path], None]) -> None:
    root = Path(filled.url)
    damage(root)
    before = sorted(path.name for path in root.rglob("*"))

    with pytest.raises(Damaged, match="nothing was pruned"):
        prune(filled.open(), filled.access, program=tools.restic())
    assert sorted(path.name for path in root.rglob("*")) == before


def test_a_snapshot_that_can_not_be_read_is_named_with_what_to_do(filled: Filled) -> None:
    _flip_snapshot(Path(filled.url))
    damaged = [entry.name for entry in filled.repo.store.list("snapshots")]

    with pytest.raises(Damaged, match=f"forget {damaged[0][:8]}") as caught:
        prune(filled.open(), filled.access, program=tools.restic())
    assert damaged[0] in str(caught.value)


def test_what_is_wrong_is_said(filled: Filled, tmp_path: Path) -> None:
    with pytest.raises(MissingProgram, match="apt-get install restic"):
        prune(filled.repo, filled.access, program="no-such-restic")
    with pytest.raises(WrongPassword):
        prune(filled.repo, Access(filled.url, {}, "wrong"), program=tools.restic())
    with pytest.raises(PruneFailed, match="exit code 1"):
        prune(filled.repo, Access(str(tmp_path / "elsewhere"), {}, PASSWORD), program=_fake(tmp_path, "echo no luck; exit 1"))


def _fake(folder: Path, script: str) -> str:
    program = folder / "fake-restic"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def test_neither_password_nor_keys_are_arguments_or_environment(filled: Filled, tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = _fake(
        tmp_path,
        f'{{ echo "$@"; env; }} > {told}/open\ncat "$RESTIC_PASSWORD_FILE" "$AWS_SHARED_CREDENTIALS_FILE" > {told}/files',
    )
    told.mkdir()
    keys = {"AWS_ACCESS_KEY_ID": "id-of-key", "AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_DEFAULT_REGION": "mars"}

    prune(filled.repo, Access("s3:http://host/bucket", keys, PASSWORD, upload_rate=2 * MIB, download_rate=10), program=program)

    seen, files = (told / "open").read_text(), (told / "files").read_text()
    assert "prune" in seen
    assert "mars" in seen
    assert "--limit-upload 2048 --limit-download 1 " in seen
    assert not any(secret in seen for secret in (PASSWORD, "id-of-key", "very-secret"))
    assert files.startswith(PASSWORD)
    assert "aws_secret_access_key = very-secret" in files
    assert PASSWORD not in repr(filled.access)


def test_a_bucket_is_pruned_with_its_keys(tmp_path: Path) -> None:
    (tmp_path / "s3" / "bucket").mkdir(parents=True)
    with s3_server(tmp_path / "s3") as endpoint:
        keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        filled = Filled(f"s3:{endpoint}/bucket/deep", tmp_path / "data", keys)
        done = prune(filled.repo, filled.access, program=tools.restic())
    assert (done.verified, done.freed_bytes > 5 * MIB) == (True, True)


def test_lost_packs_of_killed_writers_go_too(filled: Filled) -> None:
    prune(filled.repo, filled.access, program=tools.restic())
    orphan = os.urandom(100_000)
    name = subprocess.run(["sha256sum"], input=orphan, capture_output=True, check=True).stdout[:64].decode()
    filled.repo.store.put(path_of("data", name), orphan)

    assert prune(filled.repo, filled.access, program=tools.restic()).freed_bytes == len(orphan)
    listed = subprocess.run(
        [tools.restic(), "-r", filled.url, "snapshots", "--json", "--no-cache"],
        env={**os.environ, "RESTIC_PASSWORD": PASSWORD},
        capture_output=True,
        check=True,
    )
    assert len(json.loads(listed.stdout)) == 1
