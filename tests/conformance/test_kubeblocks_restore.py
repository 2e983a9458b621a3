"""Restores of the KubeBlocks API: claims that are filled, moments, chains, and what follows once the service runs."""

from typing import Any

import pytest
import pytest_asyncio
from tests.kubeblocks_backups import SAVE, action_set, backup, make_database, method, policy, shell
from tests.kubeblocks_world import REST, World, condition, status, thing, world

from holdfast.core.objects import Object
from holdfast.kube.builtin import JOBS, PVCS
from holdfast.kube.errors import NotFound

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

LOAD = """
export PATH="$PATH:$DP_DATASAFED_BIN_PATH" DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
test "$EXTRA" != fail
datasafed pull data/name - >> /data/name
env | sort > /data/env-$DP_BACKUP_NAME
cat /dp_downward/status_extras > /data/extras
"""
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}


def restoring(name: str, type_: str = "Full", load: str = LOAD, **restore: Any) -> Object:
    made = action_set(name, SAVE + """echo '{"extras":[{"gtid":"7"}]}' > $DP_BACKUP_INFO_FILE""", type_)
    made["spec"]["restore"] = {"prepareData": shell(load), **restore}
    return made


def restore(name: str, source: str, *, claims: list[str] | None = None, **spec: Any) -> Object:
    config: Object = spec.pop("config", {})
    if claims:
        config = {
            "volumeClaims": [{"metadata": {"name": claim}, "mountPath": "/data", "volumeClaimSpec": CLAIM} for claim in claims],
            **config,
        }
    if config:
        spec["prepareDataConfig"] = {"volumeClaimRestorePolicy": "Parallel", **config}
    return thing("Restore", name, backup={"name": source, "namespace": "default"}, **spec)


def pattern(replicas: int, first: int = 0) -> Object:
    template = {"metadata": {"name": "set"}, "volumeSource": "data", "volumeClaimSpec": CLAIM}
    return {"templates": [template], "replicas": replicas, "startingIndex": first}


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def saved(world: World) -> None:
    """A database with a full backup `full`, and one of both pods `both`."""
    await make_database(world)
    env = [{"name": "WHO", "value": "method"}, {"name": "EXTRA", "value": "method"}]
    await world.apply(restoring("kept"), policy("kept", method("kept", env=env)), backup("full", "kept"))
    every = {"podSelector": {"matchLabels": {"app": "db"}, "strategy": "All"}}
    await world.apply(policy("both", method("kept"), target=every), backup("both", "both"))
    for name in ("full", "both"):
        assert (await world.phase("Backup", name, "Completed", "Failed"))["phase"] == "Completed"


async def content(world: World, claim: str, path: str) -> str:
    """Read a file of a claim."""
    found = await world.client.get(PVCS, claim, "default")
    return (world.directory / "volumes" / found["spec"]["volumeName"] / path).read_text()


async def test_a_backup_comes_back_into_a_new_claim_with_the_documented_variables(world: World) -> None:
    env = [{"name": "EXTRA", "value": "restore"}]
    await world.apply(restore("one", "full", claims=["one"], env=env, containerResources={"limits": {"memory": "64Mi"}}))
    done = await world.phase("Restore", "one", "Completed", "Failed")

    assert done["phase"] == "Completed", done
    assert [condition(done, type_)["status"] for type_ in ("ValidationPassed", "PrepareData")] == ["True", "True"]
    (action,) = done["actions"]["prepareData"]
    assert action["objectKey"] == f"Job/{action['name']}"
    assert (action["backupName"], action["status"]) == ("full", "Completed")
    assert await content(world, "one", "name") == "db-0\n"
    assert await content(world, "one", "extras") == '[{"gtid":"7"}]'
    env_file = await content(world, "one", "env-full")
    for line in ("EXTRA=restore", "WHO=method", "SET=yes", "DP_BACKUP_NAME=full", "DP_BACKUP_BASE_PATH=/default/full"):
        assert f"{line}\n" in env_file
    assert "DP_BASE_BACKUP_STOP_TIMESTAMP=" in env_file
    await world.gone(JOBS, action["name"])


async def test_24_serial_fills_one_claim_after_the_other_from_the_first_index(world: World) -> None:
    config = {"volumeClaimsTemplate": pattern(2, 1), "volumeClaimRestorePolicy": "Serial"}
    await world.apply(restore("serial", "full", config=config))
    began = await world.wait("Restore", "serial", lambda obj: "actions" in status(obj))
    first = await world.until(PVCS, "set-1", lambda _: True)
    done = await world.phase("Restore", "serial", "Completed")
    second = await world.client.get(PVCS, "set-2", "default")

    assert len(status(began)["actions"]["prepareData"]) == 1
    assert [action["name"][-2:] for action in done["actions"]["prepareData"]] == ["-0", "-1"]
    before, after = done["actions"]["prepareData"]
    assert before["endTime"] <= after["startTime"]
    assert first["metadata"]["creationTimestamp"] <= second["metadata"]["creationTimestamp"]
    with pytest.raises(NotFound):
        await world.client.get(PVCS, "set-0", "default")


async def test_events_tell_that_the_account_of_a_restore_is_missing_and_why_one_failed(world: World) -> None:
    await world.apply(restore("nobody", "full", claims=["nobody"], serviceAccountName="nobody"))
    told = await world.told("nobody", "ServiceAccount default/nobody does not exist")
    assert told["reason"] == "ServiceAccountNotFound"
    await world.client.delete(REST["Restore"], "nobody", "default")

    await world.apply(restore("nothing", "not-there", claims=["nothing"]))
    assert (await world.told("nothing", "Backup default/not-there does not exist"))["reason"] == "RestoreFailed"


async def test_24_one_failure_fails_the_restore_and_says_why(world: World) -> None:
    env = [{"name": "EXTRA", "value": "fail"}]
    await world.apply(restore("failing", "full", claims=["failing"], env=env, backoffLimit=0))
    failed = await world.phase("Restore", "failing", "Failed")

    assert "exit code 1" in condition(failed, "PrepareData")["message"]
    assert failed["actions"]["prepareData"][0]["status"] == "Failed"
    assert "completionTimestamp" in failed


async def test_each_claim_gets_the_data_of_the_saved_pod_of_its_number(world: World) -> None:
    template = {"metadata": {"name": "pair"}, "mountPath": "/data", "volumeClaimSpec": CLAIM}
    pairs = {"volumeClaimsTemplate": {"templates": [template], "replicas": 2}}
    await world.apply(restore("pair", "both", config=pairs))
    many = {"volumeClaimsTemplate": {"templates": [{**template, "metadata": {"name": "many"}}], "replicas": 3}}
    policy_ = {"dataRestorePolicy": "OneToMany", "sourceOfOneToMany": {"targetPodName": "db-1"}}
    await world.apply(restore("many", "both", config={**many, "requiredPolicyForAllPodSelection": policy_}))
    await world.apply(restore("toomany", "both", config=many))
    for name in ("pair", "many"):
        await world.phase("Restore", name, "Completed")

    assert [await content(world, f"pair-{number}", "name") for number in range(2)] == ["db-0\n", "db-1\n"]
    assert [await content(world, f"many-{number}", "name") for number in range(3)] == ["db-1\n"] * 3
    failed = await world.phase("Restore", "toomany", "Failed")
    assert "has data of 2 pods" in condition(failed, "ValidationPassed")["message"]


@pytest.mark.parametrize(
    ("name", "source", "spec", "said"),
    [
        ("lost", "nowhere", {"claims": ["x"]}, "Backup default/nowhere does not exist"),
        ("timed", "full", {"claims": ["x"], "restoreTime": "2026-01-01T00:00:00Z"}, "needs a continuous backup"),
        ("idle", "full", {}, "nothing to do"),
        ("unasked", "full", {"claims": ["x"], "parameters": [{"name": "p", "value": "1"}]}, "declares no parameter p"),
    ],
)
async def test_24_what_can_not_be_restored_fails_at_once_and_says_why(
    world: World, name: str, source: str, spec: dict[str, Any], said: str
) -> None:
    await world.apply(restore(name, source, **spec))

    assert said in condition(await world.phase("Restore", name, "Failed"), "ValidationPassed")["message"]


async def test_a_chain_is_restored_from_its_full_backup_onward(world: World) -> None:
    """One job for each link; a script that names its ancestors restores them itself."""
    alone = 'echo "$DP_BASE_BACKUP_NAME then $DP_ANCESTOR_INCREMENTAL_BACKUP_NAMES then $DP_BACKUP_NAME" > /data/order'
    await world.apply(restoring("link", "Incremental"), restoring("whole", "Incremental", alone))
    await world.apply(
        policy(
            "chain",
            method("kept"),
            method("link", "inc", compatibleMethod="full"),
            method("whole", "own", compatibleMethod="full"),
        )
    )
    for name, way in (("base", "full"), ("i1", "inc"), ("i2", "inc"), ("o1", "own"), ("o2", "own"), ("o3", "own")):
        await world.apply(backup(name, "chain", way))
        assert (await world.phase("Backup", name, "Completed", "Failed"))["phase"] == "Completed"
    await world.apply(restore("links", "i2", claims=["links"]), restore("whole", "o3", claims=["whole"]))
    links = await world.phase("Restore", "links", "Completed")
    whole = await world.phase("Restore", "whole", "Completed")

    assert [action["backupName"] for action in links["actions"]["prepareData"]] == ["base", "i1", "i2"]
    assert await content(world, "links", "name") == "db-0\n" * 3
    assert [action["backupName"] for action in whole["actions"]["prepareData"]] == ["o3"]
    assert await content(world, "whole", "order") == "base then o1,o2 then o3\n"


async def test_25_steps_for_the_running_service_follow_its_readiness_probe(world: World) -> None:
    def step(script: str) -> Object:
        return {"exec": {"command": ["sh", "-c", script]}}

    job = shell("test -e /data/in && env | grep -q FLAVOR=vanilla && touch /data/job", runOnTargetPodNode=True)
    await world.apply(restoring("ready", postReady=[step("touch /data/in"), {"job": job}]))
    await world.apply(policy("ready", method("ready")), backup("ready", "ready"))
    await world.phase("Backup", "ready", "Completed")
    pods = {"matchLabels": {"app": "db"}}
    probe = {
        "periodSeconds": 1,
        "exec": {"image": "busybox", "command": ["sh", "-c", "exit $(( $(date +%s) % 2 ))"]},
    }
    config = {
        "execAction": {"target": {"podSelector": pods}},
        "jobAction": {"target": {"podSelector": pods, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}},
        "readinessProbe": probe,
    }
    await world.apply(restore("ready", "ready", readyConfig=config))
    done = await world.phase("Restore", "ready", "Completed", "Failed")

    assert done["phase"] == "Completed", done["conditions"]
    assert [action["name"].rpartition("-ready-")[2] for action in done["actions"]["postReady"]] == ["0-0", "0-1", "1-0"]
    for pod, files in (("data-db-0", ("in", "job")), ("data-db-1", ("in",))):
        for name in files:
            assert await content(world, pod, name) == ""
    assert condition(done, "PostReady")["status"] == "True"


async def test_a_claim_whose_data_source_is_a_restore_is_bound_when_it_is_full(world: World) -> None:
    await world.apply(restore("source", "full", config={"dataSourceRef": {"volumeSource": "data"}}))
    await world.phase("Restore", "source", "AsDataSource")
    reference = {"apiGroup": "dataprotection.kubeblocks.io", "kind": "Restore", "name": "source"}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "populated", "namespace": "default"},
        "spec": {**CLAIM, "dataSourceRef": reference},
    }
    await world.apply(claim)
    await world.until(PVCS, "populated", lambda obj: obj.get("status", {}).get("phase") == "Bound")

    assert await content(world, "populated", "name") == "db-0\n"
