"""Action sets as people write them for the KubeBlocks API, with every kind of step and the documented environment."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from tests.kubeblocks_backups import backup, make_database, policy, stored
from tests.kubeblocks_world import GROUP, REST, World, condition, secret, status, thing, world

from holdfast.core.objects import Object
from holdfast.kube.builtin import PVCS

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAD = """
set -e
set -o pipefail
export PATH="$PATH:$DP_DATASAFED_BIN_PATH"
export DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
function handle_exit() {
  exit_code=$?
  if [ $exit_code -ne 0 ]; then
    echo "failed with exit code $exit_code"
    touch "${DP_BACKUP_INFO_FILE}.exit"
    exit $exit_code
  fi
}
trap handle_exit EXIT
"""
SAVE = (
    HEAD
    + """
START_TIME=$(date -u "+%Y-%m-%dT%H:%M:%SZ")
test -e ${DATA_DIR}/frozen
cd ${DATA_DIR}
tar -cf - . | datasafed push -z zstd-fastest - "/${DP_BACKUP_NAME}.tar.zst"
TOTAL_SIZE=$(datasafed stat / | grep TotalSize | awk '{print $2}')
STOP_TIME=$(date -u "+%Y-%m-%dT%H:%M:%SZ")
range="{\\"start\\":\\"${START_TIME}\\",\\"end\\":\\"${STOP_TIME}\\"}"
extras="[{\\"host\\":\\"$DP_DB_HOST\\"}]"
echo "{\\"totalSize\\":\\"$TOTAL_SIZE\\",\\"timeRange\\":$range,\\"extras\\":$extras}" >"${DP_BACKUP_INFO_FILE}"
sleep ${LINGER:-0}
"""
)
LOAD = """
set -e
set -o pipefail
export PATH="$PATH:$DP_DATASAFED_BIN_PATH"
export DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
mkdir -p ${DATA_DIR}
backupFile="${DP_BACKUP_NAME}.tar.zst"
if [ "$(datasafed list ${backupFile})" == "${backupFile}" ]; then
  datasafed pull -d zstd-fastest "${backupFile}" - | tar -xvf - -C "${DATA_DIR}/"
else
  exit 1
fi
rm -f ${DATA_DIR}/frozen && sync
"""
DIFF = (
    HEAD
    + """
export DATASAFED_BACKEND_BASE_PATH=""
parent="$DP_BACKUP_ROOT_PATH/$DP_PARENT_BACKUP_NAME/$DP_TARGET_RELATIVE_PATH"
datasafed list -r "$parent" | grep -q "${DP_PARENT_BACKUP_NAME}.tar.zst"
export DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
cp ${DATA_DIR}/rows /tmp/changed
datasafed push -z gzip /tmp/changed "${DP_BACKUP_NAME}.gz"
datasafed stat / | awk '/TotalSize/ {print "{\\"totalSize\\":\\""$2"\\"}"}' > "${DP_BACKUP_INFO_FILE}"
"""
)
DIFF_LOAD = """
set -exo pipefail
export PATH="$PATH:$DP_DATASAFED_BIN_PATH" DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
test -e ${DATA_DIR}/first
datasafed pull -d gzip "${DP_BACKUP_NAME}.gz" ${DATA_DIR}/rows
echo "$DP_BASE_BACKUP_NAME" > ${DATA_DIR}/base
"""
STREAM = """
export PATH="$PATH:$DP_DATASAFED_BIN_PATH"
export DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
start=$(date -u "+%Y-%m-%dT%H:%M:%SZ")
number=0
while true; do
  number=$((number + 1))
  cat /data/rows | datasafed push -z lz4 - "log-$(date +%s)-$number.lz4" || exit 1
  for old in $(datasafed list -f --older-than $(($(date +%s) - DP_TTL_SECONDS)) /); do datasafed rm "$old"; done
  size=$(datasafed stat --json / | sed 's/.*"total_size":\\([0-9]*\\).*/\\1/')
  end=$(date -u "+%Y-%m-%dT%H:%M:%SZ")
  range="{\\"start\\":\\"$start\\",\\"end\\":\\"$end\\",\\"timeZone\\":\\"+02:00\\"}"
  echo "{\\"totalSize\\":\\"$size\\",\\"timeRange\\":$range}" >"${DP_BACKUP_INFO_FILE}"
  sleep 1
done
"""
STREAM_LOAD = """
set -eo pipefail
export PATH="$PATH:$DP_DATASAFED_BIN_PATH" DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
last=$(datasafed list -s mtime --reverse --name 'log-*' / | head -n 1)
datasafed pull -d lz4 "$last" ${DATA_DIR}/rows
echo "$DP_RESTORE_TIME/$DP_RESTORE_TIMESTAMP" > ${DATA_DIR}/moment
"""
LAST = """
PATH="$PATH:$DP_DATASAFED_BIN_PATH"
datasafed list -r "$DP_BACKUP_BASE_PATH" | datasafed push - /deleted-$DP_BACKUP_NAME
"""
CLAIM: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}


def bash(script: str, **more: Any) -> Object:
    return {"image": "docker.io/apecloud/tools:$(IMAGE_TAG)", "command": ["bash", "-c", script], **more}


def in_pod(script: str, **more: Any) -> Object:
    return {"exec": {"container": "db", "command": ["sh", "-c", script], **more}}


def made(name: str, type_: str, save: str, load: str, restore: Object | None = None, **parts: Any) -> Object:
    return thing(
        "ActionSet",
        name,
        labels={"clusterdefinition.kubeblocks.io/name": "files"},
        backupType=type_,
        env=[{"name": "DATA_DIR", "value": "/data"}, {"name": "IMAGE_TAG", "value": "1.0"}],
        backup={
            "backupData": bash(save, runOnTargetPodNode=True, syncProgress={"enabled": True, "intervalSeconds": 1}),
            **parts,
        },
        restore={"prepareData": bash(load), **(restore or {})},
    )


METHOD = {"targetVolumes": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}}


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def sets(world: World) -> None:
    await make_database(world)
    hooks = {
        "preBackup": [in_pod("echo one >/data/first; touch /data/frozen", timeout="10s")],
        "postBackup": [in_pod("exit 3", onError="Continue"), in_pod("rm /data/frozen")],
        "preDelete": {
            "image": "busybox",
            "command": ["sh", "-c", LAST],
        },
    }
    ready = {
        "postReady": [
            in_pod("cat /data/rows >/data/seen-after"),
            {"job": bash("cat /data/rows > /data/job-$DP_DB_USER", runOnTargetPodNode=True)},
        ]
    }
    await world.apply(
        secret("login", username="someone", password="secret-word", host="db.example.org"),
        made("files-full", "Full", SAVE, LOAD, ready, **hooks),
        made("files-diff", "Differential", DIFF, DIFF_LOAD),
        made("files-stream", "Continuous", STREAM, STREAM_LOAD, {"baseBackupRequired": False}),
        policy(
            "files",
            {"name": "full", "actionSetName": "files-full", **METHOD, "env": [{"name": "LINGER", "value": "3"}]},
            {"name": "diff", "actionSetName": "files-diff", "compatibleMethod": "full", **METHOD},
            {
                "name": "stream",
                "actionSetName": "files-stream",
                **METHOD,
                "env": [{"name": "DP_TIME_FORMAT", "value": "2006-01-02 15:04:05 MST"}],
            },
            target={
                "podSelector": {"matchLabels": {"app": "db"}},
                "connectionCredential": {"secretName": "login", "hostKey": "host"},
                "resources": {"selector": {"matchLabels": {"keep": "yes"}}, "included": ["configmaps"]},
            },
            pathPrefix="/files",
        ),
    )


async def ended(world: World, kind: str, name: str) -> Object:
    found = await world.phase(kind, name, "Completed", "Failed")
    assert found["phase"] == "Completed", found.get("failureReason") or condition(found, "PrepareData")["message"]
    return found


async def content(world: World, claim: str, path: str) -> str:
    found = await world.client.get(PVCS, claim, "default")
    return (world.directory / "volumes" / found["spec"]["volumeName"] / path).read_text()


def into(claim: str, **more: Any) -> Object:
    claims = [{"metadata": {"name": claim}, "volumeSource": "data", "volumeClaimSpec": CLAIM}]
    return {"volumeClaims": claims, "volumeClaimRestorePolicy": "Parallel", **more}


def of(name: str) -> Object:
    return {"name": name, "namespace": "default"}


async def test_hooks_progress_and_objects_of_a_full_backup(world: World) -> None:
    kept = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kept", "namespace": "default", "labels": {"keep": "yes"}},
    }
    await world.apply({**kept, "data": {"a": "b"}}, backup("files-1", "files"))
    seen = await world.wait("Backup", "files-1", lambda obj: "timeRange" in status(obj))
    assert status(seen)["phase"] == "Running", "the status follows the info file"
    done = await ended(world, "Backup", "files-1")

    assert done["extras"] == [{"host": "db.example.org"}]
    phases = {action["name"]: action["phase"] for action in done["actions"]}
    assert phases == {
        "dp-prebackup-0-0": "Completed",
        "dp-backup-0": "Completed",
        "dp-objects-0": "Completed",
        "dp-postbackup-0-0": "Failed",
        "dp-postbackup-1-0": "Completed",
    }
    assert await content(world, "data-db-0", "first") == "one\n"
    with pytest.raises(FileNotFoundError):
        await content(world, "data-db-0", "frozen")


async def test_a_differential_backup_is_taken_and_comes_back_after_its_parent(world: World) -> None:
    await world.apply(backup("files-2", "files", "diff", parentBackupName="files-1"))
    assert (await ended(world, "Backup", "files-2"))["parentBackupName"] == "files-1"
    await world.apply(thing("Restore", "diff", backup=of("files-2"), prepareDataConfig=into("diff")))
    done = await ended(world, "Restore", "diff")

    assert [action["backupName"] for action in done["actions"]["prepareData"]] == ["files-1", "files-2"]
    assert await content(world, "diff", "rows") == "rows\n"
    assert await content(world, "diff", "base") == "files-1\n"


async def test_steps_after_the_probe_and_objects_by_name(world: World) -> None:
    await world.kubectl("delete", "configmap", "kept")
    selector = {"matchLabels": {"app": "db"}}
    probe = {
        "exec": {
            "image": "busybox",
            "command": ["sh", "-c", "test $DP_DB_HOST:$DP_DB_PORT:$DP_DB_USER = db-0.db:5432:someone"],
        },
        "periodSeconds": 1,
        "initialDelaySeconds": 1,
    }
    ready = {
        "execAction": {"target": {"podSelector": selector}},
        "jobAction": {"target": {"podSelector": selector, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}},
        "connectionCredential": {"secretName": "login"},
        "readinessProbe": probe,
    }
    wanted = {"included": [{"groupResource": "configmaps"}]}
    await world.apply(
        thing("Restore", "after", backup=of("files-1"), readyConfig=ready, resources=wanted, prepareDataConfig=into("after"))
    )
    done = await ended(world, "Restore", "after")

    assert condition(done, "PostReady")["status"] == "True"
    assert len(done["actions"]["postReady"]) == 3, "both pods by exec, one by a job"
    assert "b" in await world.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}")
    assert await content(world, "data-db-1", "seen-after") == "rows\n"
    assert await content(world, "data-db-0", "job-someone") == "rows\n"


async def test_a_stream_of_another_kind_comes_back_at_a_moment(world: World) -> None:
    entry = {"backupMethod": "stream", "cronExpression": "*/1 * * * *", "enabled": True, "retentionPeriod": "1d"}
    await world.apply(thing("BackupSchedule", "stream", backupPolicyName="files", schedules=[entry]))
    name = ""
    async with asyncio.timeout(20):
        while not name:
            name = await world.kubectl(
                "get", "backups", "-l", f"{GROUP}/backup-schedule=stream", "-o", "jsonpath={.items[*].metadata.name}"
            )
            await asyncio.sleep(0.1)
    running = await world.wait("Backup", name, lambda obj: "timeRange" in status(obj))
    moment = status(running)["timeRange"]["end"]
    await world.apply(thing("Restore", "moment", backup=of(name), restoreTime=moment, prepareDataConfig=into("moment")))
    await ended(world, "Restore", "moment")

    assert await content(world, "moment", "rows") == "rows\n"
    said, _, stamp = (await content(world, "moment", "moment")).strip().partition("/")
    at = datetime.fromisoformat(moment)
    assert int(stamp) == at.timestamp()
    assert said.startswith((at + timedelta(hours=2)).strftime("%Y-%m-%d %H:%M:%S")), "in the zone that the script told"
    await world.client.delete(REST["BackupSchedule"], "stream", "default")


async def test_what_shall_run_before_a_deletion_runs(world: World) -> None:
    await world.client.delete(REST["Backup"], "files-2", "default")
    await world.gone(REST["Backup"], "files-2")
    await world.client.delete(REST["Backup"], "files-1", "default")
    await world.gone(REST["Backup"], "files-1")

    assert "files-1.tar.zst" in stored(world, "deleted-files-1")
    assert list((world.directory / "volumes").glob("*/default/files/files-1")) == []
