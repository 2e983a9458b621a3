"""Snapshots, copies and restores over HTTP, with real pods, volumes and an S3 store.

A number in a name is that of the behaviour of the API that it shows.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.cloudcasa_runs import KINDS, app, cleaned, greeting, hook, left, points, present, shared, store
from tests.cloudcasa_world import LOCAL, World, world
from tests.movers_builders import KEY, SECRET, s3_server

from holdfast.cli.rest_import import import_points
from holdfast.core.labels import OWNER_UID
from holdfast.core.objects import Object
from holdfast.dialects.cloudcasa.kinds import BACKUPINSTANCE, KUBEJOB, ORGANIZATION
from holdfast.kube.builtin import (
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    JOBS,
    NAMESPACES,
    PVCS,
    ROLEBINDINGS,
    SERVICEACCOUNTS,
    VOLUMESNAPSHOTS,
)
from holdfast.rest.state import RESOURCES

pytestmark = [pytest.mark.run, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A cluster with one objectstore."""
    folder = tmp_path_factory.mktemp("runs")
    with s3_server(folder / "s3") as endpoint:
        async with world(folder / "cluster", pods=True) as found:
            await store(found, endpoint)
            yield found


async def test_09_a_copy_with_its_snapshot_ends_as_one_copy_that_comes_back_elsewhere(here: World) -> None:
    rest = here.rest
    await app(here, "shop")
    backup = await rest.backup("shop", source={"namespaces": ["shop"]})
    offload = await rest.offload(backup, "shop")

    job = await rest.run("kubeoffloads", offload, runBackup=True)
    ended = await rest.ended(job)

    assert (ended["state"], ended["backupdef"], ended["total_copy_data"]) == ("COMPLETED", backup, 6)
    assert await points(here, backup) == ["COPY"]
    assert (await rest.ok("GET", f"/kubeoffloads/{offload}"))["status"]["jobid"] == job
    assert (await rest.ok("GET", f"/kubebackups/{backup}"))["status"]["jobs"][0]["state"] == "COMPLETED"
    point = (await rest.find("backupinstances", {"backupdef": backup}))[0]
    assert point["expiry_timestamp"] == point["start_time"] + 15 * 86_400
    await cleaned(here, job)
    logs = (await rest.ok("GET", f"/jobs/{job}/logs"))["_items"]
    assert {"shop", ORGANIZATION} <= {each["namespace"] for each in logs if each["lines"] and not each["running"]}
    assert (await rest.call("GET", f"/jobs/{'0' * 24}/logs")).code == 404

    mapping = [{"source": "shop", "target": "shop-again"}]
    body = {
        "name": "shop",
        "cluster": LOCAL,
        "backup_inst": point["_id"],
        "namespaces": ["shop"],
        "namespace_mappings": mapping,
        "post_hooks": [{"hooks": [await hook(here, "thaw", "POST_RESTORE", "echo thawed > /data/thawed")]}],
    }
    restore = (await rest.ok("POST", "/kuberestores", body))["_id"]
    restored = await rest.ended(await rest.run("kuberestores", restore))

    assert restored["state"] == "COMPLETED", restored["message"]
    assert restored["restoredef"] == restore
    assert await greeting(here, "shop-again") == "hello\n"
    assert await greeting(here, "shop-again", "thawed") == "thawed\n"
    assert any("runs 1 hook commands" in line for line in restored["activity"])
    copied = await here.client.get(KINDS["ConfigMap"], "settings", "shop-again")
    assert copied["data"] == {"colour": "blue"}
    await cleaned(here, restored["_id"])

    second = await rest.ended(await rest.run("kuberestores", restore))
    assert second["state"] == "FAILED"
    assert "shop-again/data: exists already" in second["message"]

    assert (await rest.call("DELETE", f"/backupinstances/{point['_id']}")).code == 204
    async with asyncio.timeout(20):
        while await rest.find("backupinstances", {"backupdef": backup}):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert [each["state"] for each in await rest.find("jobs", {"type": "DELETE_BACKUP", "backup_inst": point["_id"]})] == [
        "COMPLETED"
    ]


async def test_08_and_09_without_delete_snapshots_both_points_stay_and_the_snapshot_can_be_copied_again(here: World) -> None:
    rest = here.rest
    await app(here, "keep")
    backup = await rest.backup("keep", source={"namespaces": ["keep"]})
    offload = await rest.offload(
        backup, "keep", delete_snapshots=False, options={"pvc_parallelism": 1, "upload_speed_limit": 4096}
    )

    none = await rest.ended(await rest.run("kubeoffloads", offload))
    assert (none["state"], "no snapshot" in none["message"]) == ("FAILED", True)
    first = await rest.ended(await rest.run("kubeoffloads", offload, runBackup=True))
    assert first["state"] == "COMPLETED", first["message"]
    assert await points(here, backup) == ["COPY", "SNAPSHOT"]
    before = (await rest.ok("GET", f"/kubeoffloads/{offload}"))["status"]["last_job_run_time"]
    second = await rest.ended(await rest.run("kubeoffloads", offload))

    assert second["start_time"] > before, "so clients find it by $gt"
    assert second["state"] == "COMPLETED", second["message"]
    assert await points(here, backup) == ["COPY", "COPY", "SNAPSHOT"]
    snapshot = await rest.ended(await rest.run("kubebackups", backup, days=1))
    assert (snapshot["state"], snapshot["type"]) == ("COMPLETED", "KUBE_BACKUP")
    assert await points(here, backup) == ["COPY", "COPY", "SNAPSHOT", "SNAPSHOT"]


async def test_10_a_cancelled_copy_leaves_nothing_behind_and_its_definition_can_go(here: World) -> None:
    rest = here.rest
    await app(here, "stop")
    backup = await rest.backup("stop", source={"namespaces": ["stop"]})
    volume = (await here.client.get(PVCS, "data", "stop"))["spec"]["volumeName"]
    await asyncio.to_thread((here.directory / "volumes" / volume / "large").write_bytes, bytes(range(256)) * 40_000)
    offload = await rest.offload(backup, "stop", options={"upload_speed_limit": 1})
    job = await rest.run("kubeoffloads", offload, runBackup=True)
    async with asyncio.timeout(20):
        while "copied" not in (await rest.ok("GET", f"/jobs/{job}")).get("message", ""):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await rest.call("DELETE", f"/kubeoffloads/{offload}")).code == 409

    await rest.ok("POST", f"/jobs/{job}/action/cancel")

    ended = await rest.ended(job, seconds=10)
    assert ended["state"] == "CANCELLED"
    assert await left(here, job) == []
    assert (await rest.call("POST", f"/jobs/{job}/action/cancel")).code == 409
    assert await points(here, backup) in (["SNAPSHOT"], [])
    assert (await rest.call("DELETE", f"/kubeoffloads/{offload}")).code == 204


async def test_a_job_that_is_deleted_with_kubectl_takes_what_it_made_along(here: World) -> None:
    rest = here.rest
    await app(here, "gone")
    backup = await rest.backup("gone", source={"namespaces": ["gone"]})
    job = await rest.run("kubeoffloads", await rest.offload(backup, "gone"), runBackup=True)
    uid = (await here.client.get(RESOURCES[KUBEJOB], job, ORGANIZATION))["metadata"]["uid"]

    await here.client.delete(RESOURCES[KUBEJOB], job, ORGANIZATION)

    async with asyncio.timeout(20):
        while (await rest.call("GET", f"/jobs/{job}")).code != 404:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    for resource in (JOBS, PVCS, SERVICEACCOUNTS, ROLEBINDINGS):
        assert (await here.client.list(resource, label_selector=f"{OWNER_UID}={uid}")).items == []


async def test_hooks_run_around_the_snapshot_and_one_that_fails_ends_the_run(here: World) -> None:
    rest = here.rest
    await app(here, "hooked")
    target = [{"command": "echo frozen >> /data/greeting"}]
    rule = {"labels": {"app": "writer, other"}, "target": target}
    freeze = await rest.ok("POST", "/kubehooks", {"name": "freeze", "hook_type": "PRE_BACKUP", "hook": [rule]})
    bad = {"labels": {"app": "writer"}, "target": [{"command": "exit 3", "container": "main"}]}
    broken = await rest.ok("POST", "/kubehooks", {"name": "broken", "hook_type": "COMMON", "hook": [bad]})
    good = await rest.backup("hooked", source={"namespaces": ["hooked"]}, pre_hooks=[{"hooks": [freeze["_id"]]}])
    wrong = await rest.backup("unhooked", source={"namespaces": ["hooked"]}, pre_hooks=[{"hooks": [broken["_id"]]}])

    frozen = await rest.ended(await rest.run("kubebackups", good))
    failed = await rest.ended(await rest.run("kubebackups", wrong))

    assert frozen["state"] == "COMPLETED", frozen["message"]
    assert await greeting(here, "hooked") == "hello\nfrozen\n"
    assert failed["state"] == "FAILED"
    assert "hook" in failed["message"]
    assert await points(here, wrong) == []
    await cleaned(here, failed["_id"])


async def test_a_missing_namespace_makes_a_copy_partial_and_its_snapshot_stays(here: World) -> None:
    rest = here.rest
    await app(here, "part")
    backup = await rest.backup("part", source={"namespaces": ["part", "nowhere"]})

    ended = await rest.ended(await rest.run("kubeoffloads", await rest.offload(backup, "part"), runBackup=True))

    assert (ended["state"], "nowhere" in ended["message"]) == ("PARTIAL", True)
    assert await points(here, backup) == ["COPY", "SNAPSHOT"]


async def test_15_a_locked_point_can_t_be_deleted_before_it_expires_and_is_removed_afterwards(here: World) -> None:
    rest = here.rest
    await app(here, "locked")
    backup = await rest.backup("locked", source={"namespaces": ["locked"]})
    offload = await rest.offload(backup, "locked")
    old = (await rest.ended(await rest.run("kubeoffloads", offload, runBackup=True)))["backup_inst"]
    resource = RESOURCES[BACKUPINSTANCE]
    await here.client.merge_patch(resource, old, ORGANIZATION, {"spec": {"locked": True}})
    while not (await rest.ok("GET", f"/backupinstances/{old}")).get("locked"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)

    refused = await rest.call("DELETE", f"/backupinstances/{old}")

    assert refused.code == 409
    assert "locked" in refused.body["_error"]["message"]
    await here.client.merge_patch(resource, old, ORGANIZATION, {"spec": {"expiry_timestamp": 1}})
    async with asyncio.timeout(10):
        while "stays" not in (await rest.ok("GET", f"/backupinstances/{old}")).get("message", ""):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    newer = await rest.ended(await rest.run("kubeoffloads", offload, runBackup=True))
    assert newer["state"] == "COMPLETED"
    async with asyncio.timeout(20):
        while (await rest.call("GET", f"/backupinstances/{old}")).code != 404:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await rest.call("GET", f"/backupinstances/{newer['backup_inst']}")).code == 200


async def test_a_store_with_other_keys_is_tried_anew_and_says_what_is_wrong(here: World) -> None:
    rest = here.rest
    (document,) = await rest.find("objectstores", {"name": "store"})
    endpoint, ident = document["s3provider"]["endpoint"], document["_id"]

    for keys, state in (
        ({"access_key": "other", "secret_key": "other"}, "INVALID"),
        ({"access_key": KEY, "secret_key": SECRET}, "VALID"),
    ):
        etag = (await rest.ok("GET", f"/objectstores/{ident}"))["_etag"]
        body = {"s3provider": {"endpoint": endpoint, "credentials": keys}}
        await rest.ok("PATCH", f"/objectstores/{ident}", body, If_Match=etag)
        async with asyncio.timeout(20):
            while (await rest.ok("GET", f"/objectstores/{ident}"))["validate_state"] != state:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    moved = await rest.call("PATCH", f"/objectstores/{ident}", {"bucket_name": "elsewhere"}, If_Match=etag)
    assert (moved.code, "recovery points" in moved.issues["bucket_name"]) == (422, True)


async def test_05_the_target_is_chosen_when_the_copy_runs_and_one_that_is_not_there_is_named(here: World) -> None:
    rest = here.rest
    backup = await rest.backup("target", source={"namespaces": ["default"]})
    (known,) = await rest.find("objectstores", {"name": "store"})
    offload = await rest.offload(backup, "target", offload_provider={"type": "aws", "region": "eu-west-9"})

    ended = await rest.ended(await rest.run("kubeoffloads", offload, runBackup=True))

    assert (ended["state"], "eu-west-9" in ended["message"]) == ("FAILED", True)
    etag = (await rest.ok("GET", f"/kubeoffloads/{offload}"))["_etag"]
    body = {"name": "target", "trigger_type": "ADHOC", "backupdef": backup}
    await rest.ok("PUT", f"/kubeoffloads/{offload}", body, If_Match=etag)
    place = f"/kubeclusters/{LOCAL}"
    preferred = {"backup_provider": {"user_objectstore": known["_id"]}}
    await rest.ok("PATCH", place, preferred, If_Match=(await rest.ok("GET", place))["_etag"])
    again = await rest.ended(await rest.run("kubeoffloads", offload, runBackup=True))
    assert (again["state"], again["objectstore"]) == ("COMPLETED", known["_id"]), again["message"]


async def test_a_copy_survives_crashes_of_the_engine_at_any_moment(here: World) -> None:
    rest, chance = here.rest, random.Random(11)
    await app(here, "crash")
    backup = await rest.backup("crash", source={"namespaces": ["crash"]})
    offload = await rest.offload(backup, "crash")
    for _ in range(3):
        job = await rest.run("kubeoffloads", offload, runBackup=True)
        for _ in range(3):
            await asyncio.sleep(chance.uniform(0.05, 0.6))
            await here.crash()

        ended = await rest.ended(job)

        assert ended["state"] == "COMPLETED", ended["message"]
        await cleaned(here, job)
    assert await points(here, backup) == ["COPY"] * 3
    assert (await here.client.list(VOLUMESNAPSHOTS, "crash")).items == []


async def test_a_copy_comes_back_in_a_fresh_cluster_from_the_store_alone(tmp_path: Path) -> None:
    with s3_server(tmp_path / "s3") as endpoint:
        async with world(tmp_path / "first", pods=True) as first:
            await store(first, endpoint, encryption_password="known to its owner")
            await app(first, "shop")
            offload = await first.rest.offload(await first.rest.backup("shop", source={"namespaces": ["shop"]}), "shop")
            made = await first.rest.ended(await first.rest.run("kubeoffloads", offload, runBackup=True))
            assert made["state"] == "COMPLETED", made["message"]
        async with world(tmp_path / "second", pods=True) as second:
            place = await store(second, endpoint, encryption_password="known to its owner")
            assert await import_points(second.client, ORGANIZATION, place["_id"]) == [made["backup_inst"]]
            assert await import_points(second.client, ORGANIZATION, place["_id"]) == []
            body = {"name": "back", "cluster": LOCAL, "backup_inst": made["backup_inst"], "all_namespaces": True}
            while (reply := await second.rest.call("POST", "/kuberestores", body)).code != 201:
                assert "backup_inst" in reply.issues, reply.body
            ended = await second.rest.ended(await second.rest.run("kuberestores", reply.body["_id"]))
            assert ended["state"] == "COMPLETED", ended["message"]
            assert await greeting(second, "shop") == "hello\n"


async def test_what_has_no_namespace_is_saved_with_its_users_and_made_again_only_where_it_is_missing(here: World) -> None:
    rest, client = here.rest, here.client
    await app(here, "whole")
    things = await shared(here, "whole")
    backup = await rest.backup("whole", source={"namespaces": ["whole"]})
    copied = await rest.ended(await rest.run("kubeoffloads", await rest.offload(backup, "whole"), runBackup=True))
    assert copied["state"] == "COMPLETED", copied["message"]
    await cleaned(here, copied["_id"])
    for resource, name in things.mine + things.others:
        await client.delete(resource, name)
    await client.merge_patch(CLUSTERROLES, "inside", None, {"rules": []})

    def body(name: str, **fields: Any) -> Object:
        mapping = [{"source": "whole", "target": name}]
        place = {"cluster": LOCAL, "backup_inst": copied["backup_inst"], "all_namespaces": True}
        return {"name": name, **place, "namespace_mappings": mapping, **fields}

    plain = (await rest.ok("POST", "/kuberestores", body("plain")))["_id"]
    without = await rest.ended(await rest.run("kuberestores", plain))
    assert (without["state"], "serves no widgets.shop.example" in without["message"]) == ("PARTIAL", True)
    assert [name for resource, name in things.mine if await present(here, resource, name)] == []

    whole = (await rest.ok("POST", "/kuberestores", body("again", cluster_resources=True, overwrite=True)))["_id"]
    back = await rest.ended(await rest.run("kuberestores", whole))

    assert back["state"] == "COMPLETED", back["message"]
    assert any("4 cluster resources made" in line for line in back["activity"]), back["activity"]
    assert (await client.get(NAMESPACES, "again"))["metadata"]["labels"]["team"] == "shop"
    assert (await client.get(things.widgets, "one", "again"))["spec"] == {"size": 3}
    assert (await client.get(CLUSTERROLEBINDINGS, "shop-reads"))["subjects"][0]["namespace"] == "again"
    assert (await client.get(CLUSTERROLES, "inside")).get("rules") in (None, []), "what exists is left alone"
    assert [name for resource, name in things.others if await present(here, resource, name)] == []
    await cleaned(here, back["_id"])
    assert [each["metadata"]["name"] for each in (await client.list(ROLEBINDINGS, "again")).items] == ["inside"]
