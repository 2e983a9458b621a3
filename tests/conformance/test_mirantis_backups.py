"""ClusterBackups of a real etcd: what is written, where, and what the status says of it.

Numbers in names are those of the behaviours that the specification lists.
"""

import itertools
import json
import tarfile
from pathlib import Path

import pytest
from tests.mirantis_world import KEY_TEXT, World, backup, credential, etcd, open_with_openssl, plane, status, thing, world
from tests.movers_builders import KEY, SECRET, s3_server

from holdfast.core.objects import Object

__all__ = ["etcd", "plane", "world"]
pytestmark = [pytest.mark.run, pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="module")]


def kek(name: str = "swift-s3", text: str = KEY_TEXT) -> Object:
    return thing("KeyEncryptionKey", name, secret={"value": text})


def by_suffix(found: Object) -> dict[str, str]:
    """The names of a backup's files by what follows their common name."""
    return {file["name"].partition(".")[2]: file["name"] for file in found["files"]}


async def test_01_without_any_parameters_one_archive_lies_on_the_node(world: World) -> None:
    await world.apply(backup("one"))

    found = await world.ended("one")

    assert found["phase"] == "Completed", found.get("message")
    names = sorted(path.name for path in world.local.iterdir())
    assert [name.partition(".")[2] for name in names] == ["manifest.json", "tar.gz"]
    assert sorted(file["name"] for file in found["files"]) == names
    assert found["location"] == f"here:{world.local}"
    assert found["node"] == "here"
    assert found["encrypted"] is False
    assert found["attempts"]["total"] == 1
    assert "inProgress" not in found["attempts"]
    with tarfile.open(world.local / names[1]) as tar:
        members = tar.getnames()
        about = json.load(tar.extractfile("backup.json"))  # type: ignore[arg-type]
    assert {"etcd/snapshot.db", "pki/etcd/ca.crt", "pki/etcd/ca.key", "manifests/kube-apiserver.yaml"} <= set(members)
    assert about["database"]["keys"] == found["snapshot"]["keys"] >= 300


async def test_11_12_encrypted_in_a_bucket_and_opened_by_openssl_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "s3" / "test").mkdir(parents=True)
    with s3_server(tmp_path / "s3") as endpoint:
        remote = {"rclone": {"bucket": "test", "credential": "swift-s3"}, "keyEncryptionKey": "swift-s3"}
        await world.apply(credential("swift-s3", endpoint, SECRET, KEY), kek())
        await world.apply(backup("one", **remote), backup("two", **remote))
        found = [await world.ended(name) for name in ("one", "two")]

    assert [each["phase"] for each in found] == ["Completed", "Completed"], [each.get("message") for each in found]
    folder = tmp_path / "s3" / "test" / "default-kaas-mgmt"
    for each in found:
        assert sorted(by_suffix(each)) == ["dek", "encrypted", "manifest.json"]
        assert each["location"] == "swift:test/default-kaas-mgmt"
        assert each["key"]["name"] == "swift-s3"
    assert sorted(path.name for path in folder.iterdir()) == sorted(file["name"] for each in found for file in each["files"])
    data_keys: set[str] = set()
    for number, each in enumerate(found):
        names, opened = by_suffix(each), tmp_path / f"opened-{number}" / "backup.tar"
        opened.parent.mkdir()
        open_with_openssl(folder / names["encrypted"], folder / names["dek"], KEY_TEXT, opened)
        data_keys.add(opened.with_name("dek.txt").read_text())
        with tarfile.open(opened) as tar:
            assert "etcd/snapshot.db" in tar.getnames()
    assert len(data_keys) == 2
    everything = json.dumps(await world.all("ClusterBackup"))
    assert KEY_TEXT not in everything
    assert SECRET not in everything


REMOTE = {"rclone": {"bucket": "test", "credential": "cred"}}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"rclone": {"bucket": "test", "credential": "absent"}}, "RCloneCredential default/absent not found"),
        ({**REMOTE, "keyEncryptionKey": "absent"}, "there is no Secret absent"),
        ({**REMOTE, "keyEncryptionKey": "cred-rclone-secret"}, "holds an access key"),
    ],
    ids=["credential", "key", "the credential's own secret"],
)
async def test_what_is_missing_is_named_in_the_message(world: World, parameters: Object, said: str) -> None:
    await world.apply(credential("cred", "http://127.0.0.1:9", SECRET, KEY))
    await world.apply(backup("one", **parameters))

    found = await world.ended("one")

    assert found["phase"] == "Failed"
    assert said in found["message"]
    assert found["attempts"]["last"]["message"] == found["message"]


async def test_14_two_backups_of_one_cluster_never_run_at_once(world: World) -> None:
    names = [f"b{number}" for number in range(4)]
    await world.apply(*[backup(name) for name in names])

    found = [await world.ended(name) for name in names]

    assert {each["phase"] for each in found} == {"Completed"}, [each.get("message") for each in found]
    spans = sorted((each["startedAt"], each["completedAt"]) for each in found)
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans)), spans


async def test_08_an_owner_reference_ties_a_backup_to_its_cluster(world: World) -> None:
    cluster = await world.get("Cluster", "kaas-mgmt")
    await world.apply(backup("one"))
    await world.ended("one")

    (reference,) = (await world.get("ClusterBackup", "one"))["metadata"]["ownerReferences"]
    wanted = {"apiVersion": "kaas.mirantis.com/v1alpha1", "kind": "Cluster", "name": "kaas-mgmt"}
    assert reference == {**wanted, "uid": cluster["metadata"]["uid"]}


async def test_etcd_that_does_not_answer_fails_the_backup_and_the_good_one_stays(world: World) -> None:
    await world.apply(backup("good"))
    assert (await world.ended("good"))["phase"] == "Completed"
    cluster = world.cluster()
    cluster["metadata"]["annotations"]["backup.holdfast.dev/etcd"] = "https://127.0.0.1:9"
    await world.apply(cluster)
    await world.apply(backup("bad"))

    found = await world.ended("bad")

    assert found["phase"] == "Failed"
    assert "127.0.0.1:9" in found["message"]
    assert status(await world.get("ClusterBackup", "good"))["phase"] == "Completed"
