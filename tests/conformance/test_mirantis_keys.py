"""Clear secrets of the Mirantis API: moved at once, shown never again, and not lost while an archive needs them.

Numbers in names are those of the behaviours that the specification lists.
"""

import base64
import json

import pytest
from tests.mirantis_world import KEY_TEXT, REST, World, backup, credential, etcd, plane, status, thing, world

from holdfast.kube.builtin import SECRETS

__all__ = ["etcd", "plane", "world"]
pytestmark = [pytest.mark.run, pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="module")]
ACCESS = "s3cr3t-access-key-of-somebody"


async def shown(world: World) -> str:
    return await world.kubectl("get", "keyencryptionkeys,rclonecredentials", "-o", "json", "--show-managed-fields")


async def test_13_a_clear_value_is_never_seen_again(world: World) -> None:
    await world.apply(
        thing("KeyEncryptionKey", "kek", secret={"value": KEY_TEXT}), credential("cred", "http://s3", ACCESS, "id")
    )

    first = await shown(world)

    assert KEY_TEXT not in first
    assert ACCESS not in first
    kept = {item["kind"]: item["spec"] for item in json.loads(first)["items"]}
    for reference, value in (
        (kept["KeyEncryptionKey"]["secret"], KEY_TEXT),
        (kept["RCloneCredential"]["remoteSecret"], ACCESS),
    ):
        secret = await world.client.get(SECRETS, reference["name"], "default")
        assert base64.b64decode(secret["data"][reference["key"]]).decode() == value
    events = await world.kubectl("get", "events", "-o", "json")
    assert KEY_TEXT not in events
    for path in world.directory.glob("state.db*"):
        assert f'"value":"{KEY_TEXT}"'.encode() not in path.read_bytes()


async def test_an_object_that_another_server_stored_in_clear_is_sealed_by_the_controller(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.server._api is not None
    monkeypatch.setattr(world.server._api, "sealers", {})
    given = "stored in clear by another server, for a moment"
    await world.apply(thing("KeyEncryptionKey", "kek", secret={"value": given}))

    found = await world.wait("KeyEncryptionKey", "kek", lambda obj: "name" in obj["spec"]["secret"])

    assert given not in json.dumps(found)
    assert given not in await shown(world)
    secret = await world.client.get(SECRETS, found["spec"]["secret"]["name"], "default")
    assert base64.b64decode(secret["data"]["value"]).decode() == given


async def test_13_a_key_of_31_characters_is_refused_and_one_of_32_accepted(world: World) -> None:
    answer = await world.refused(thing("KeyEncryptionKey", "short", secret={"value": "x" * 31}))
    assert "31 characters; at least 32" in answer
    assert "x" * 31 not in answer
    await world.apply(thing("KeyEncryptionKey", "enough", secret={"value": "x" * 32}))


async def test_15_both_shapes_of_the_secret_give_the_same_remote(world: World) -> None:
    older, newer = (credential(name, "http://s3", ACCESS, "id", older=name == "older") for name in ("older", "newer"))
    await world.apply(older, newer)

    specs = [(await world.get("RCloneCredential", name))["spec"] for name in ("older", "newer")]
    values = [await world.client.get(SECRETS, spec["remoteSecret"].pop("name"), "default") for spec in specs]

    assert specs[0] == specs[1]
    assert values[0]["data"] == values[1]["data"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "ftp"}, "type"),
        ({"endpoint": None}, "endpoint"),
        ({"access_key_id": None}, "access_key_id"),
        ({"secret_access_key": ACCESS}, "remoteSecret.value"),
    ],
)
async def test_a_credential_that_rclone_could_not_use_is_refused(world: World, change: dict[str, str], said: str) -> None:
    wanted = credential("cred", "http://s3", "other", "id")
    config = wanted["spec"]["remoteConfig"] | change
    wanted["spec"]["remoteConfig"] = {name: value for name, value in config.items() if value is not None}

    answer = await world.refused(wanted)

    assert said in answer
    assert ACCESS not in answer


async def archived(world: World) -> str:
    """Let a completed backup need a key, and return the name of the key's Secret."""
    await world.apply(thing("KeyEncryptionKey", "kek", secret={"value": KEY_TEXT}))
    await world.apply(backup("archive", nfsUploadUrl="nfs://127.0.0.1:/x", keyEncryptionKey="kek"))
    secret = (await world.ended("archive"))["key"]["secret"]
    done = {"phase": "Completed", "location": "nfs://127.0.0.1:/x/default-kaas-mgmt", "completedAt": "2026-11-20T10:00:00Z"}
    await world.client.merge_patch(REST["ClusterBackup"], "archive", "default", {"status": done}, subresource="status")
    await world.wait("KeyEncryptionKey", "kek", lambda obj: "location" in str(status(obj).get("archives")))
    return secret


async def test_a_key_that_an_archive_needs_outlives_cluster_and_deletion_until_it_may_be_forgotten(world: World) -> None:
    secret = await archived(world)

    await world.kubectl("delete", "clusters.kaas.mirantis.com", "kaas-mgmt")
    await world.kubectl("wait", "--for=delete", "clusterbackup/archive", "--timeout=20s")
    await world.kubectl("delete", "keyencryptionkey/kek", f"secret/{secret}", "--wait=false")
    held = await world.wait("KeyEncryptionKey", "kek", lambda obj: "Deletable" in json.dumps(status(obj)))

    (why,) = [each["message"] for each in held["status"]["conditions"] if each["type"] == "Deletable"]
    assert "archive (nfs://127.0.0.1:/x/default-kaas-mgmt)" in why
    assert "holdfast.dev/forget-key=kek" in why
    kept = await world.client.get(SECRETS, secret, "default")
    assert base64.b64decode(kept["data"]["value"]).decode() == KEY_TEXT
    assert "KeyInUse" in await world.kubectl("get", "events", "-o", "json")

    await world.forget("kek")
    await world.kubectl("wait", "--for=delete", "keyencryptionkey/kek", f"secret/{secret}", "--timeout=20s")


async def test_the_text_of_a_key_can_not_be_overwritten_and_its_hold_survives_another_apply(world: World) -> None:
    secret = await archived(world)

    answer = await world.kubectl("patch", "secret", secret, "-p", '{"data":{"value":"bG9zdA=="}}', check=False)
    await world.apply(thing("KeyEncryptionKey", "kek", secret={"value": KEY_TEXT}))

    assert "immutable" in answer
    assert (await world.client.get(SECRETS, secret, "default"))["metadata"]["finalizers"] == ["holdfast.dev/key-kek"]


async def test_a_new_value_is_a_new_key_beside_the_old_one(world: World) -> None:
    names: list[str] = []
    for text in (KEY_TEXT, "another key of more than thirty-two characters", KEY_TEXT):
        await world.apply(thing("KeyEncryptionKey", "kek", secret={"value": text}))
        names.append((await world.get("KeyEncryptionKey", "kek"))["spec"]["secret"]["name"])

    assert names[0] == names[2] != names[1]
    for name in names:
        await world.client.get(SECRETS, name, "default")
