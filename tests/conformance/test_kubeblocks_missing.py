"""What a backup or restore of the KubeBlocks API reads and does not find: it ends soon, and names it."""

from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from tests.kubeblocks_backups import action_set, backup, make_database, method, policy, shell
from tests.kubeblocks_world import REST, World, condition, secret, status, thing, world

from holdfast.core.objects import Object
from holdfast.kube.builtin import JOBS, PODS, SECRETS

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

SEALED = {"algorithm": "AES-256-CFB", "passPhraseSecretKeyRef": {"name": "phrase", "key": "phrase"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def database(world: World) -> None:
    await make_database(world)


async def has_actions(world: World, kind: str, name: str) -> None:
    await world.wait(kind, name, lambda obj: bool(status(obj).get("actions")))


async def test_14_without_its_encryption_secret_a_backup_fails_soon_names_it_and_thaws(world: World) -> None:
    freeze, thaw = ({"exec": {"command": ["sh", "-c", f"{verb} /data/frozen"]}} for verb in ("touch", "rm"))
    await world.apply(action_set("frozen", preBackup=[freeze], postBackup=[thaw]))
    await world.apply(policy("sealed", method("frozen"), encryptionConfig=SEALED), backup("early", "sealed"))
    running = await world.wait(
        "Backup",
        "early",
        lambda obj: [each["phase"] for each in status(obj).get("actions", ())][:2] == ["Completed", "Running"],
    )
    await world.set_clock(timedelta(minutes=1))
    failed = await world.phase("Backup", "early", "Failed")
    await world.set_clock(timedelta())

    assert [action["phase"] for action in failed["actions"]] == ["Completed", "Failed", "Completed"]
    assert 'secret "default/phrase" not found' in failed["failureReason"]
    assert "namespace default" in failed["failureReason"]
    await world.gone(JOBS, status(running)["actions"][1]["objectRef"]["name"])
    assert not list((world.directory / "volumes").glob("*/frozen"))


async def test_14_a_secret_that_comes_a_moment_late_is_no_fault_and_a_restore_without_it_names_it(world: World) -> None:
    made = action_set("kept")
    made["spec"]["restore"] = {"prepareData": shell("true")}
    await world.apply(made, policy("late", method("kept"), encryptionConfig=SEALED), backup("late", "late"))
    await has_actions(world, "Backup", "late")
    await world.apply(secret("phrase", phrase="correct horse"))
    done = await world.phase("Backup", "late", "Completed", "Failed")
    await world.client.delete(SECRETS, "phrase", "default")
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    config: dict[str, Any] = {"volumeClaims": [{"metadata": {"name": "again"}, "mountPath": "/data", "volumeClaimSpec": claim}]}
    config["volumeClaimRestorePolicy"] = "Parallel"
    source = {"name": "late", "namespace": "default"}
    await world.apply(thing("Restore", "late", backup=source, prepareDataConfig=config))
    await has_actions(world, "Restore", "late")
    await world.set_clock(timedelta(minutes=1))
    failed = await world.phase("Restore", "late", "Failed")
    await world.set_clock(timedelta())

    assert done["phase"] == "Completed", done
    assert 'secret "default/phrase" not found' in condition(failed, "PrepareData")["message"]


async def test_a_pod_that_its_stateful_set_brings_back_is_waited_for(world: World) -> None:
    own = {**SEALED, "passPhraseSecretKeyRef": {"name": "slow", "key": "phrase"}}
    await world.apply(policy("killed", method("plain"), encryptionConfig=own), backup("killed", "killed"))
    await has_actions(world, "Backup", "killed")
    await world.stop_part("controllers")
    await world.client.delete(PODS, "db-0", "default")
    told = await world.told("killed", "db-0 is gone")
    await world.start_controllers()
    await world.apply(secret("slow", phrase="correct horse"))

    assert told["reason"] == "TargetPodGone"
    done = await world.phase("Backup", "killed", "Completed", "Failed")
    assert done["phase"] == "Completed", done
    found = await world.client.get(REST["Backup"], "killed", "default")
    assert "holdfast.dev/target-pod-gone" not in found["metadata"]["annotations"]


def sleeper(name: str) -> Object:
    """Build a pod of the database `name`, which does nothing."""
    container = {"name": "db", "image": "busybox", "command": ["sleep", "100000"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    meta = {"name": f"{name}-0", "namespace": "default", "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


async def test_a_backup_that_is_applied_before_its_database_waits_for_it(world: World) -> None:
    target = {"podSelector": {"matchLabels": {"app": "young"}}}
    await world.apply(policy("young", method("young"), target=target), backup("young", "young"))
    assert (await world.phase("Backup", "young", "New", "Failed"))["phase"] == "New"
    await world.told("young", "ActionSet young not found: create it")
    await world.apply(action_set("young"))
    assert (await world.told("young", "no ready pod"))["reason"] == "TargetPodNotFound"
    await world.apply(sleeper("young"))

    done = await world.phase("Backup", "young", "Completed", "Failed")
    assert done["phase"] == "Completed", done


async def test_a_backup_whose_database_never_comes_fails_in_the_end_and_a_continuous_one_heals(world: World) -> None:
    target = {"podSelector": {"matchLabels": {"app": "never"}}}
    await world.apply(action_set("endless", "sleep 1000", "Continuous"))
    await world.apply(policy("never", method("plain"), method("endless", "log"), target=target))
    await world.apply(backup("never", "never"), backup("endless", "never", "log"))
    await world.phase("Backup", "never", "New")
    await world.phase("Backup", "endless", "New")
    await world.set_clock(timedelta(minutes=11))
    failed = await world.phase("Backup", "never", "Failed")
    await world.phase("Backup", "endless", "Failed")
    await world.apply(sleeper("never"))
    healed = await world.phase("Backup", "endless", "Running")
    await world.set_clock(timedelta())

    assert failed["failureReason"] == "no ready pod of namespace default matches the target"
    assert "failureReason" not in healed
    assert "completionTimestamp" not in healed
    assert (await world.phase("Backup", "never", "Failed"))["phase"] == "Failed"
    await world.client.delete(REST["Backup"], "endless", "default")


async def test_a_job_whose_account_does_not_exist_fails_soon_and_names_it(world: World) -> None:
    target = {"podSelector": {"matchLabels": {"app": "db"}}, "serviceAccountName": "nobody"}
    await world.apply(policy("nobody", method("plain"), target=target), backup("nobody", "nobody"))
    await has_actions(world, "Backup", "nobody")
    await world.told("nobody", "ServiceAccount default/nobody does not exist")
    await world.set_clock(timedelta(minutes=1))
    failed = await world.phase("Backup", "nobody", "Failed")
    await world.set_clock(timedelta())

    assert "ServiceAccount default/nobody does not exist: create what is named" in failed["failureReason"]


async def test_a_backup_that_failed_after_its_data_was_stored_leaves_no_record_for_another_cluster_to_find(
    world: World,
) -> None:
    fails = {"job": shell("exit 7")}
    await world.apply(action_set("undone", postBackup=[fails]), policy("undone", method("undone"), backoffLimit=0))
    await world.apply(backup("undone", "undone"))
    failed = await world.phase("Backup", "undone", "Failed")
    uid = (await world.wait("Backup", "undone", lambda _: True))["metadata"]["uid"]
    await world.until(JOBS, f"{uid[:8]}-forget-undone", lambda job: bool(job.get("status", {}).get("succeeded")))

    assert [action["phase"] for action in failed["actions"]] == ["Completed", "Failed"]
    (folder,) = (world.directory / "volumes").glob("*/default/undone")
    assert sorted(path.name for path in folder.iterdir()) == ["data", "env"]
    await world.client.delete(REST["Backup"], "undone", "default")
    await world.gone(REST["Backup"], "undone")
    assert not folder.exists()
