"""What a backup or restore of the KubeBlocks API reads and does not find: it ends soon, and names it."""

from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from tests.kubeblocks_backups import action_set, backup, make_database, method, policy, shell
from tests.kubeblocks_world import REST, World, condition, secret, status, thing, world

from holdfast.kube.builtin import JOBS, SECRETS

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
