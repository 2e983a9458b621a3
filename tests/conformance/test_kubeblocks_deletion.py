"""The end of Backups of the KubeBlocks API: what goes with them, what stays, and what holds them up."""

from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from tests.kubeblocks_backups import action_set, backup, make_database, method, policy, shell
from tests.kubeblocks_world import GROUP, REST, World, condition, status, thing, world

from holdfast.core.objects import Object
from holdfast.kube.builtin import JOBS, PODS, PVCS, VOLUMESNAPSHOTS
from holdfast.kube.errors import NotFound

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def database(world: World) -> None:
    await make_database(world)


def folders(world: World, name: str) -> list[Path]:
    return list((world.directory / "volumes").glob(f"*/default/{name}"))


async def delete(world: World, *names: str) -> None:
    for name in names:
        await world.client.delete(REST["Backup"], name, "default")


async def taken(world: World, name: str, policy_: str = "plain", method_: str = "full", **spec: object) -> Object:
    await world.apply(backup(name, policy_, method_, **spec))
    done = await world.phase("Backup", name, "Completed", "Failed")
    assert done["phase"] == "Completed", done.get("failureReason")
    return done


async def test_15_the_files_go_with_the_backup_and_others_stay(world: World) -> None:
    await taken(world, "going")
    await taken(world, "staying")

    await delete(world, "going")
    await world.gone(REST["Backup"], "going")

    assert folders(world, "going") == []
    assert len(folders(world, "staying")) == 1


async def test_retained_files_stay_and_nothing_is_stuck(world: World) -> None:
    await taken(world, "kept", deletionPolicy="Retain")

    await delete(world, "kept")
    await world.gone(REST["Backup"], "kept")

    assert len(folders(world, "kept")) == 1


async def test_a_running_backup_is_stopped_and_what_it_wrote_goes(world: World) -> None:
    script = """
        export PATH="$PATH:$DP_DATASAFED_BIN_PATH" DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
        echo half | datasafed push - half; echo '{"totalSize":"5"}' > $DP_BACKUP_INFO_FILE; sleep 1000
    """
    endless = action_set("endless", script)
    endless["spec"]["backup"]["backupData"]["syncProgress"] = {"enabled": True, "intervalSeconds": 1}
    await world.apply(endless, policy("endless", method("endless")), backup("endless", "endless"))
    running = await world.phase("Backup", "endless", "Running")
    await world.wait("Backup", "endless", lambda obj: status(obj).get("totalSize") == "5")

    await delete(world, "endless")
    await world.gone(REST["Backup"], "endless")

    await world.gone(JOBS, running["actions"][0]["objectRef"]["name"])
    assert folders(world, "endless") == []


async def test_15_a_failed_deletion_keeps_the_backup_says_why_and_is_tried_again(world: World) -> None:
    pre = shell('test -z "$SET" && test "$DP_BACKUP_NAME" = guarded && test -e /var/lib/may-go')
    made = action_set("guarded", preDelete={key: pre[key] for key in ("image", "command")} | {"image": "busybox:1"})
    await world.apply(made, policy("guarded", method("guarded")))
    await taken(world, "guarded", "guarded")

    await delete(world, "guarded")
    stuck = await world.wait("Backup", "guarded", lambda obj: "deletionFailureReason" in status(obj), seconds=60)
    assert status(stuck)["phase"] == "Deleting"
    assert "exit code 1" in status(stuck)["deletionFailureReason"]
    assert len(folders(world, "guarded")) == 1

    pre["command"] = ["sh", "-ec", 'test -z "$SET" && test "$DP_BACKUP_BASE_PATH" = /default/guarded']
    made["spec"]["backup"]["preDelete"] = {"image": "busybox:1", "command": pre["command"]}
    await world.apply(made)
    await world.set_clock(timedelta(minutes=6))
    await world.gone(REST["Backup"], "guarded")
    await world.set_clock(timedelta())
    assert folders(world, "guarded") == []


async def test_18_a_parent_stays_while_a_child_lives_and_a_chain_goes_from_its_end(world: World) -> None:
    await world.apply(action_set("grown", type_="Incremental"))
    await world.apply(policy("chain", method("plain"), method("grown", "inc", compatibleMethod="full")))
    for name, way in (("full", "full"), ("inc1", "inc"), ("inc2", "inc")):
        await taken(world, name, "chain", way)

    await delete(world, "full")
    held = await world.wait("Backup", "full", lambda obj: "deletionFailureReason" in status(obj))
    assert "inc1 builds on it" in status(held)["deletionFailureReason"]
    assert len(folders(world, "full")) == 1

    await delete(world, "inc1", "inc2")
    for name in ("inc2", "inc1", "full"):
        await world.gone(REST["Backup"], name)
        assert folders(world, name) == []


async def test_nothing_is_deleted_under_a_restore_that_reads_it(world: World) -> None:
    made = action_set("read")
    made["spec"]["restore"] = {"prepareData": shell("while [ ! -e /data/go ]; do sleep 0.1; done")}
    await world.apply(made, policy("read", method("read")))
    await taken(world, "read", "read")
    claims = [{"metadata": {"name": "reading"}, "mountPath": "/data", "volumeClaimSpec": CLAIM}]
    config = {"volumeClaims": claims, "volumeClaimRestorePolicy": "Parallel"}
    source = {"name": "read", "namespace": "default"}
    await world.apply(thing("Restore", "reading", backup=source, prepareDataConfig=config))
    await world.wait("Restore", "reading", lambda obj: "actions" in status(obj))

    await delete(world, "read")
    held = await world.wait("Backup", "read", lambda obj: "deletionFailureReason" in status(obj))
    assert "Restore default/reading" in status(held)["deletionFailureReason"]

    claim = await world.until(PVCS, "reading", lambda obj: bool(obj["spec"].get("volumeName")))
    (world.directory / "volumes" / claim["spec"]["volumeName"] / "go").touch()
    await world.phase("Restore", "reading", "Completed")
    await world.gone(REST["Backup"], "read")


async def test_nothing_is_deleted_under_a_claim_that_is_filled_from_it(world: World) -> None:
    made = action_set("fill")
    made["spec"]["restore"] = {"prepareData": shell("while [ ! -e /data/go ]; do sleep 0.1; done")}
    await world.apply(made, policy("fill", method("fill")))
    await taken(world, "fill", "fill")
    source = {"name": "fill", "namespace": "default"}
    config = {"dataSourceRef": {"mountPath": "/data"}, "volumeClaimRestorePolicy": "Parallel"}
    await world.apply(thing("Restore", "filling", backup=source, prepareDataConfig=config))
    await world.phase("Restore", "filling", "AsDataSource")
    reference = {"apiGroup": GROUP, "kind": "Restore", "name": "filling"}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "filled", "namespace": "default"}}
    await world.apply({**claim, "spec": {**CLAIM, "dataSourceRef": reference}})
    uid = (await world.client.get(PVCS, "filled", "default"))["metadata"]["uid"]
    scratch = await world.until(PVCS, f"populate-{uid}", lambda obj: bool(obj["spec"].get("volumeName")))
    await world.until(JOBS, f"restore-preparedata-{uid[:8]}-fill-0", lambda _: True)

    await delete(world, "fill")
    held = await world.wait("Backup", "fill", lambda obj: "deletionFailureReason" in status(obj))
    assert "Restore default/filling" in status(held)["deletionFailureReason"]

    (world.directory / "volumes" / scratch["spec"]["volumeName"] / "go").touch()
    await world.until(PVCS, "filled", lambda obj: obj.get("status", {}).get("phase") == "Bound")
    await world.gone(REST["Backup"], "fill")


async def test_16_snapshots_of_several_volumes_are_taken_restored_and_deleted(world: World) -> None:
    container = {
        "name": "db",
        "image": "busybox",
        "command": ["sh", "-c", "echo one > /one/file; echo two > /two/file; exec sleep 100000"],
        "volumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in ("one", "two")],
    }
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in ("one", "two")]
    for name in ("one", "two"):
        await world.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": "default"},
                "spec": CLAIM,
            }
        )
    await world.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "twin", "namespace": "default", "labels": {"app": "twin"}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [container],
                "volumes": [*volumes, {"name": "tmp", "emptyDir": {}}],
            },
        }
    )
    await world.until(PODS, "twin", lambda obj: obj.get("status", {}).get("phase") == "Running")
    way = {"name": "snap", "snapshotVolumes": True, "targetVolumes": {"volumes": ["one", "two"]}}
    bad = {"name": "bad", "snapshotVolumes": True, "targetVolumes": {"volumes": ["tmp"]}}
    await world.apply(policy("twin", way, bad, target={"podSelector": {"matchLabels": {"app": "twin"}}}))
    done = await taken(world, "twin", "twin", "snap")
    await world.apply(backup("claimless", "twin", "bad"))

    assert [entry["volumeName"] for entry in done["volumeSnapshots"]] == ["one", "two"]
    assert done["actions"][0]["name"] == "createVolumeSnapshot-0"
    assert "no PersistentVolumeClaim" in (await world.phase("Backup", "claimless", "Failed"))["failureReason"]

    claims = [{"metadata": {"name": "again"}, "volumeSource": "two", "volumeClaimSpec": CLAIM}]
    config = {"volumeClaims": claims, "volumeClaimRestorePolicy": "Parallel"}
    source = {"name": "twin", "namespace": "default"}
    await world.apply(thing("Restore", "again", backup=source, prepareDataConfig=config))
    again = await world.phase("Restore", "again", "Completed", "Failed")
    assert again["phase"] == "Completed", condition(again, "PrepareData")
    claim = await world.client.get(PVCS, "again", "default")
    assert (world.directory / "volumes" / claim["spec"]["volumeName"] / "file").read_text() == "two\n"

    await delete(world, "twin")
    await world.gone(REST["Backup"], "twin")
    for entry in done["volumeSnapshots"]:
        with pytest.raises(NotFound):
            await world.client.get(VOLUMESNAPSHOTS, entry["name"], "default")


async def test_an_expired_backup_goes_once_a_newer_one_is_there(world: World) -> None:
    await world.apply(policy("ageing", method("plain")))
    await taken(world, "old", "ageing", retentionPeriod="1h")
    await taken(world, "new", "ageing", retentionPeriod="4h")
    await world.set_clock(timedelta(hours=2))
    await world.gone(REST["Backup"], "old")
    await world.set_clock(timedelta(hours=9))

    assert (await world.phase("Backup", "new", "Completed"))["phase"] == "Completed", "the last good one stays"
    await world.set_clock(timedelta())
