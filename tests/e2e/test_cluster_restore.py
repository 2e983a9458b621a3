"""`holdfast cluster-restore`: a new etcd starts on what comes out, and answers with the keys that went in."""

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.core.calls import ArchiveKey, ArchivePlace, ControlPlane, ControlPlaneBackup
from holdfast.core.report import ArchiveResult
from holdfast.movers.context import Context
from holdfast.movers.control_plane import run
from tests.e2e.plane import HOLDFAST
from tests.etcd_server import Etcd, contents, ctl, etcd_server, running, until_healthy
from tests.mirantis_world import KEY_TEXT
from tests.movers_builders import KEY, SECRET, s3_server
from tests.store_servers import free_port

NAME = "c-20261121T100000Z-ab12"
pytestmark = [pytest.mark.run, pytest.mark.timeout(90)]


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with etcd_server(tmp_path_factory.mktemp("etcd")) as server:
        server.fill(1000)
        yield server


def back_up(
    source: ControlPlane, place: ArchivePlace, key: Path | None = None, name: str = "c-20261121T100000Z-ab12"
) -> ArchiveResult:
    wrapped = ArchiveKey("kek", "secret", str(key)) if key else None
    context = Context(lambda _: None, threading.Event())
    report = run(ControlPlaneBackup("c", name, "node", source, place, wrapped), context)
    assert report.archive is not None
    return report.archive


def of(etcd: Etcd) -> ControlPlane:
    return ControlPlane("etcd", etcd.endpoint, str(etcd.pki), str(etcd.manifests))


def restore(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [HOLDFAST, "cluster-restore", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "value"
    path.parent.mkdir()
    path.write_text(KEY_TEXT + "\n")
    return path


def test_a_new_etcd_answers_with_the_same_keys_after_a_way_through_a_bucket(etcd: Etcd, tmp_path: Path) -> None:
    (tmp_path / "s3" / "test").mkdir(parents=True)
    key, secret = key_file(tmp_path), tmp_path / "secret"
    secret.write_text(SECRET)
    with s3_server(tmp_path / "s3") as endpoint:
        options = {"type": "s3", "provider": "Other", "access_key_id": KEY, "endpoint": endpoint}
        place = ArchivePlace("test/default-c", "swift:test/default-c", "swift", options, "secret_access_key", str(secret))
        back_up(of(etcd), place, key)
        config = tmp_path / "rclone.conf"
        config.write_text("[swift]\n" + "".join(f"{k} = {v}\n" for k, v in {**options, "secret_access_key": SECRET}.items()))
        source = ("--from", "swift:test/default-c", "--rclone-config", config, "--key-file", key, "--into", tmp_path / "new")
        dry = restore("latest", *source, "--dry-run")
        assert dry.returncode == 0, dry.stderr
        assert not (tmp_path / "new").exists()
        done = restore("latest", *source)
    assert done.returncode == 0, done.stderr
    assert "revision" in done.stdout
    assert (tmp_path / "new/pki/etcd/ca.key").read_bytes() == (etcd.pki / "etcd/ca.key").read_bytes()
    with running(tmp_path / "new/etcd-data", port=free_port(), scheme="http") as fresh:
        until_healthy(f"--endpoints={fresh}")
        found = contents(ctl(f"--endpoints={fresh}", "get", "", "--prefix", "-w", "json"))
    assert found == etcd.contents()
    assert len(found) == 1000


@pytest.mark.parametrize("suffix", ["encrypted", "dek", "manifest.json"])
def test_a_changed_file_is_found_before_anything_is_written(etcd: Etcd, tmp_path: Path, suffix: str) -> None:
    key = key_file(tmp_path)
    back_up(of(etcd), ArchivePlace(str(tmp_path / "b"), "b"), key)
    (victim,) = (tmp_path / "b").glob(f"*.{suffix}")
    if suffix == "manifest.json":
        document = json.loads(victim.read_text())
        document["cluster"] = "another"
        victim.write_text(json.dumps(document))
    else:
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 1
        victim.write_bytes(data)

    done = restore("--from", tmp_path / "b", "--key-file", key, "--into", tmp_path / "new")

    assert done.returncode == 1
    assert victim.name in done.stderr
    assert not (tmp_path / "new").exists()


def test_an_old_backup_under_a_newer_name_is_noticed(etcd: Etcd, tmp_path: Path) -> None:
    key = key_file(tmp_path)
    back_up(of(etcd), ArchivePlace(str(tmp_path / "b"), "b"), key)
    for path in list((tmp_path / "b").iterdir()):
        path.rename(path.with_name(path.name.replace("20261121", "20261122")))

    done = restore("--from", tmp_path / "b", "--key-file", key, "--into", tmp_path / "new")

    assert f"is the manifest of {NAME}" in done.stderr


def test_a_wrong_key_and_a_folder_in_use_are_refused(etcd: Etcd, tmp_path: Path) -> None:
    key = key_file(tmp_path)
    back_up(of(etcd), ArchivePlace(str(tmp_path / "b"), "b"), key)
    other = tmp_path / "other"
    other.write_text("x" * 40)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "member").touch()

    wrong = restore("--from", tmp_path / "b", "--key-file", other, "--into", tmp_path / "new")
    none = restore("--from", tmp_path / "b", "--into", tmp_path / "new")
    used = restore("--from", tmp_path / "b", "--key-file", key, "--into", tmp_path / "used")

    assert "encrypted with key kek" in wrong.stderr
    assert "encrypted with key kek" in none.stderr
    assert "is not empty" in used.stderr
    assert {wrong.returncode, none.returncode, used.returncode} == {1}
    assert KEY_TEXT not in wrong.stderr + none.stderr


async def test_the_store_of_an_embedded_server_comes_back_whole(tmp_path: Path) -> None:
    from holdfast.embedded.apiserver.server import ApiServer

    server = ApiServer(tmp_path / "plane")
    await server.start()
    try:
        source = ControlPlane("sqlite", pki=str(tmp_path / "plane/pki"), database=str(tmp_path / "plane/state.db"))
        made = back_up(source, ArchivePlace(str(tmp_path / "b"), "b"))
    finally:
        await server.stop()

    done = restore("--from", tmp_path / "b", "--into", tmp_path / "new")

    assert done.returncode == 0, done.stderr
    assert (made.store, made.keys > 0) == ("sqlite", True)
    again = ApiServer(tmp_path / "new/data")
    await again.start()
    await again.stop()


def test_a_backup_is_never_written_over(etcd: Etcd, tmp_path: Path) -> None:
    from holdfast.movers.context import MoverError

    back_up(of(etcd), ArchivePlace(str(tmp_path / "b"), "b"))
    with pytest.raises(MoverError, match="nothing is overwritten"):
        back_up(of(etcd), ArchivePlace(str(tmp_path / "b"), "b"))
