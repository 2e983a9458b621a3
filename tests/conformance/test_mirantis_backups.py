"""ClusterBackups of a real etcd: what is written, where, and what the status says of it."""

import json
import tarfile

import pytest
from tests.mirantis_world import World, backup, etcd, world

__all__ = ["etcd", "world"]
pytestmark = [pytest.mark.run, pytest.mark.timeout(90)]


async def test_without_any_parameters_one_archive_lies_on_the_node(world: World) -> None:
    await world.apply(backup("one"))

    found = await world.ended("one")

    assert found["phase"] == "Completed", found.get("message")
    names = sorted(path.name for path in world.local.iterdir())
    assert [name.partition(".")[2] for name in names] == ["manifest.json", "tar.gz"]
    assert sorted(file["name"] for file in found["files"]) == names
    assert found["location"] == f"here:{world.local}"
    assert found["node"] == "here"
    assert found["encrypted"] is False
    with tarfile.open(world.local / names[1]) as tar:
        members = tar.getnames()
        about = json.load(tar.extractfile("backup.json"))  # type: ignore[arg-type]
    assert {"etcd/snapshot.db", "pki/etcd/ca.crt", "pki/etcd/ca.key", "manifests/kube-apiserver.yaml"} <= set(members)
    assert about["database"]["keys"] == found["snapshot"]["keys"] >= 300
