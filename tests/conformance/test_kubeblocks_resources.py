"""Kubernetes objects beside a backup of the KubeBlocks API: which are saved, how they are kept, and how they come back."""

from typing import Any

import pytest
import pytest_asyncio
from tests.kubeblocks_backups import backup, make_database, method, policy
from tests.kubeblocks_world import World, condition, secret, thing, world

from holdfast.core.objects import Object
from holdfast.kube.builtin import CONFIGMAPS, ROLEBINDINGS, SECRETS, SERVICEACCOUNTS
from holdfast.kube.errors import NotFound

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

PODS = {"matchLabels": {"app": "db"}}
FILE = "kubernetes-objects.tar.zst"


def config(name: str, **labels: str) -> Object:
    meta = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"of": name}}


def saving(**resources: Any) -> Object:
    return {"podSelector": PODS, "resources": resources}


def bringing(name: str, source: str, *included: Object) -> Object:
    return thing("Restore", name, backup={"name": source, "namespace": "default"}, resources={"included": list(included)})


async def remove(world: World, resource: Any, *names: str) -> None:
    for name in names:
        await world.client.delete(resource, name, "default")
        await world.gone(resource, name)


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def objects(world: World) -> None:
    """A database, the objects of an application, and a sealed backup `sealed` of both."""
    await make_database(world)
    login = secret("login", password="open-sesame")
    login["metadata"]["labels"] = {"of": "app"}
    await world.apply(config("one", of="app", part="a"), config("two", of="app", part="b"), config("other"), login)
    await world.apply(secret("phrase", phrase="correct horse"))
    key = {"algorithm": "AES-256-CFB", "passPhraseSecretKeyRef": {"name": "phrase", "key": "phrase"}}
    chosen = saving(selector={"matchLabels": {"of": "app"}})
    await world.apply(policy("sealed", method("plain"), target=chosen, encryptionConfig=key), backup("sealed", "sealed"))
    done = await world.phase("Backup", "sealed", "Completed", "Failed")
    assert done["phase"] == "Completed", done


async def test_objects_lie_sealed_beside_the_data_and_the_right_to_read_them_is_gone(world: World) -> None:
    found = (await world.wait("Backup", "sealed", lambda _: True))["status"]
    (file,) = (world.directory / "volumes").glob(f"*/default/sealed/{FILE}.enc")

    assert [action["name"] for action in found["actions"]] == ["dp-backup-0", "dp-objects-0"]
    assert [action["phase"] for action in found["actions"]] == ["Completed", "Completed"]
    assert not file.read_bytes().startswith(b"\x28\xb5\x2f\xfd")
    data, kept = (int(action["totalSize"]) for action in found["actions"])
    assert (data + kept, kept) == (int(found["totalSize"]), file.stat().st_size - 16)
    for action in found["actions"]:
        assert action["objectRef"]["kind"] == "Job"
    uid = (await world.wait("Backup", "sealed", lambda _: True))["metadata"]["uid"][:8]
    for resource in (ROLEBINDINGS, SERVICEACCOUNTS):
        await world.gone(resource, f"dp-objects-{uid}-sealed")


async def test_a_restore_brings_back_the_named_resources_narrowed_by_label_and_touches_nothing_else(world: World) -> None:
    await remove(world, CONFIGMAPS, "one", "two")
    await remove(world, SECRETS, "login")
    selected = {
        "groupResource": "configmaps",
        "labelSelector": {"matchExpressions": [{"key": "part", "operator": "In", "values": ["a"]}]},
    }
    await world.apply(bringing("some", "sealed", selected, {"groupResource": "secrets"}))
    done = await world.phase("Restore", "some", "Completed", "Failed")

    assert done["phase"] == "Completed", done
    assert (await world.client.get(CONFIGMAPS, "one", "default"))["data"] == {"of": "one"}
    assert "password" in (await world.client.get(SECRETS, "login", "default"))["data"]
    with pytest.raises(NotFound):
        await world.client.get(CONFIGMAPS, "two", "default")
    (action,) = done["actions"]["prepareData"]
    assert (action["backupName"], action["status"]) == ("sealed", "Completed")
    uid = (await world.wait("Restore", "some", lambda _: True))["metadata"]["uid"][:8]
    await world.gone(ROLEBINDINGS, f"dp-objects-{uid}-some")


async def test_included_and_excluded_choose_the_types_that_are_saved(world: World) -> None:
    chosen = saving(selector={}, included=["configmaps", "secrets"], excluded=["secrets"])
    await world.apply(policy("types", method("plain"), target=chosen), backup("types", "types"))
    assert (await world.phase("Backup", "types", "Completed", "Failed"))["phase"] == "Completed"
    await remove(world, CONFIGMAPS, "other")
    await remove(world, SECRETS, "login")
    await world.apply(bringing("types", "types", {"groupResource": "configmaps"}, {"groupResource": "secrets"}))
    await world.phase("Restore", "types", "Completed")

    assert (await world.client.get(CONFIGMAPS, "other", "default"))["data"] == {"of": "other"}
    with pytest.raises(NotFound):
        await world.client.get(SECRETS, "login", "default")


async def test_without_a_selector_nothing_is_saved_and_a_restore_of_objects_says_so(world: World) -> None:
    await world.apply(policy("none", method("plain"), target=saving(included=["configmaps"])), backup("none", "none"))
    done = await world.phase("Backup", "none", "Completed")
    await world.apply(bringing("none", "none", {"groupResource": "configmaps"}))
    failed = await world.phase("Restore", "none", "Failed")

    assert [action["name"] for action in done["actions"]] == ["dp-backup-0"]
    assert not list((world.directory / "volumes").glob(f"*/default/none/{FILE}*"))
    assert "Backup none holds no Kubernetes objects" in condition(failed, "ValidationPassed")["message"]
