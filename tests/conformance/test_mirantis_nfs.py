"""Backups of a control plane on an NFS share, with a real server: from a node that can't mount, and back from the share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.mirantis_world import KEY_TEXT, World, backup, etcd, pass_tick, plane, schedule, status, thing, world
from tests.nfs_server import NfsServer

from holdfast.cli.main import main
from holdfast.core.calls import ArchivePlace, NfsShare
from holdfast.movers.archive_places import Place, open_place
from holdfast.movers.context import MoverError

__all__ = ["etcd", "plane", "world"]

pytestmark = [pytest.mark.run, pytest.mark.root, pytest.mark.timeout(90)]


@pytest.fixture(scope="module")
def nfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NfsServer]:
    with NfsServer(tmp_path_factory.mktemp("nfs")).serving() as server:
        yield server


def place(nfs: NfsServer, folder: str, path: str = "") -> Place:
    return open_place(ArchivePlace(folder, f"{nfs.url}/{folder}", share=NfsShare(nfs.address, path or str(nfs.export))))


def test_a_file_goes_to_a_share_and_comes_back(nfs: NfsServer, tmp_path: Path) -> None:
    there, source = place(nfs, "deep/folder"), tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 20_000)
    assert there.names() == []
    sent = there.put(source, "one.tar")
    assert (sent.size, there.names()) == (5_120_000, ["one.tar"])
    assert [path.name for path in (nfs.export / "deep/folder").iterdir()] == ["one.tar"], "nothing half written is left"
    assert (nfs.export / "deep/folder/one.tar").stat().st_mode & 0o777 == 0o600
    there.fetch("one.tar", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    there.delete("one.tar")
    there.delete("one.tar")
    assert there.names() == []


def test_what_a_share_refuses_is_told_in_words(nfs: NfsServer, tmp_path: Path) -> None:
    with pytest.raises(MoverError, match="has no missing"):
        place(nfs, "empty").fetch("missing", tmp_path / "x")
    with pytest.raises(MoverError, match=r"can't list the files in nfs://.*Permission denied"):
        place(nfs, "x", "/not/exported").names()
    silent = ArchivePlace("x", "nfs://127.0.0.1:/x", share=NfsShare("127.0.0.1", "/x"))
    with pytest.raises(MoverError, match=r"can't list the files in nfs://127\.0\.0\.1:/x"):
        open_place(silent).names()


@pytest.mark.asyncio(loop_scope="module")
async def test_an_encrypted_backup_goes_to_a_share_and_is_restored_from_it(
    world: World, nfs: NfsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.apply(thing("KeyEncryptionKey", "kek", secret={"value": KEY_TEXT}))
    await world.apply(backup("to-nfs", nfsUploadUrl=nfs.url, keyEncryptionKey="kek"))
    told = await world.ended("to-nfs")
    assert (told["phase"], told["location"]) == ("Completed", f"{nfs.url}/default-kaas-mgmt"), told.get("message")
    lying = sorted(path.name for path in (nfs.export / "default-kaas-mgmt").iterdir())
    assert lying == sorted(file["name"] for file in told["files"])
    (tmp_path / "key.txt").write_text(KEY_TEXT)
    words = ["cluster-restore", "latest", "--from", told["location"], "--key-file", str(tmp_path / "key.txt")]
    assert await asyncio.to_thread(main, [*words, "--into", str(tmp_path / "back"), "--dry-run"]) == 0
    assert "the backup is whole and opens" in capsys.readouterr().out


@pytest.mark.asyncio(loop_scope="module")
async def test_retention_deletes_on_the_share(world: World, nfs: NfsServer) -> None:
    await world.live_at(datetime.now(UTC) - timedelta(hours=26))
    wanted = schedule("kept", "0 * * * *", nfsUploadUrl=f"{nfs.url}/kept")
    wanted["metadata"]["annotations"] = {"holdfast.dev/keep-last": "1"}
    (nfs.export / "kept").mkdir()
    await world.apply(wanted)
    first = await pass_tick(world, "kept")
    second = await pass_tick(world, "kept", total=2)
    assert second["attempts"]["last"]["status"] == "Completed", second["attempts"]

    await world.kubectl("wait", "--for=delete", f"clusterbackup/{first['lastBackup']}", "--timeout=20s")

    (child,) = [obj for obj in await world.all("ClusterBackup") if obj["metadata"]["name"] == second["lastBackup"]]
    left = sorted(path.name for path in (nfs.export / "kept" / "default-kaas-mgmt").iterdir())
    assert left == sorted(file["name"] for file in status(child)["files"])
