"""Backups of the KubeBlocks API: what becomes of them, their jobs and their data. Jobs run as real pods.

Numbers in names are those of the behaviours that the API documents.
"""

import asyncio
import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from tests.kubeblocks_backups import SAVE, action_set, backup, make_database, method, policy, shell, stored
from tests.kubeblocks_world import ENCRYPTION_KEY, GROUP, REST, World, repo, secret, status, thing, world
from tests.movers_builders import KEY, SECRET, s3_server

from holdfast.core.objects import Object
from holdfast.core.times import parse_duration, parse_time
from holdfast.kube.builtin import JOBS, PODS, PVCS, STATEFULSETS

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def database(world: World) -> None:
    await make_database(world)


async def test_1_2_a_full_backup_runs_beside_its_pod_and_is_completed(world: World) -> None:
    await world.apply(backup("first", "plain", retentionPeriod="7h"))
    running = await world.phase("Backup", "first", "Running")
    job = await world.until(JOBS, running["actions"][0]["objectRef"]["name"], lambda _: True)
    done = await world.phase("Backup", "first", "Completed")

    assert running["path"] == "/default/first"
    assert running["persistentVolumeClaimName"].startswith("pvc-volume-")
    pod = job["spec"]["template"]["spec"]
    assert job["metadata"]["name"].startswith("dp-backup-0-first-")
    assert pod["containers"][0]["image"] == "busybox:1"
    assert pod["nodeSelector"] == {"kubernetes.io/hostname": "here"}
    assert pod["serviceAccountName"] == "kubeblocks-dataprotection-worker"
    assert job["spec"]["backoffLimit"] == 2
    assert (done["target"]["selectedTargetPods"], done["backupRepoName"]) == (["db-0"], "volume")
    assert done["actions"][0]["phase"] == "Completed"
    assert int(done["totalSize"]) > 100
    assert parse_time(done["expiration"]) - parse_time(done["completionTimestamp"]) == timedelta(hours=7)
    assert parse_duration(done["duration"]) < timedelta(seconds=60)
    found = await world.wait("Backup", "first", lambda _: True)
    labels = found["metadata"]["labels"]
    assert labels[f"{GROUP}/backup-type"] == "Full"
    assert labels[f"{GROUP}/backup-policy"] == "plain"
    assert labels[f"{GROUP}/backup-repo-name"] == "volume"
    assert labels["app.kubernetes.io/instance"] == "mydb"
    await world.gone(JOBS, job["metadata"]["name"])


async def test_commands_get_the_documented_variables_and_the_last_layer_wins(world: World) -> None:
    await world.apply(backup("seen", "plain", retentionPeriod="1d"))
    await world.phase("Backup", "seen", "Completed")
    lines = [line.split("=", 1) for line in stored(world, "default/seen/env").splitlines()]
    env = {line[0]: line[1] for line in lines}

    assert env["WHO"] == "method"
    assert (env["SET"], env["FLAVOR"]) == ("yes", "vanilla")
    assert (env["DP_BACKUP_NAME"], env["DP_TTL"], env["DP_TARGET_POD_NAME"]) == ("seen", "1d", "db-0")
    assert (env["DP_BACKUP_BASE_PATH"], env["DP_BACKUP_INFO_FILE"]) == ("/default/seen", "/dp-manager/backup.info")
    assert (env["DP_DB_HOST"], env["DP_DB_PORT"]) == ("db-0.db", "5432")
    assert (env["KB_CLUSTER_NAME"], env["KB_NAMESPACE"]) == ("mydb", "default")
    record = json.loads(stored(world, "default/seen/kubeblocks-backup.json"))
    assert (record["metadata"]["name"], record["status"]["path"]) == ("seen", "/default/seen")


async def test_3_a_failed_job_fails_the_backup_with_its_last_words(world: World) -> None:
    await world.apply(
        action_set("broken", "echo the disk is on fire; exit 3"), policy("broken", method("broken"), backoffLimit=0)
    )
    await world.apply(backup("broken", "broken"))
    failed = await world.phase("Backup", "broken", "Failed")

    assert "the disk is on fire" in failed["failureReason"]
    assert "exit code 3" in failed["failureReason"]
    assert (failed["actions"][0]["phase"], "completionTimestamp" in failed) == ("Failed", True)


async def test_a_command_says_what_it_saved_while_it_runs_and_at_the_end(world: World) -> None:
    script = """
        export PATH="$PATH:$DP_DATASAFED_BIN_PATH" DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
        echo content | datasafed push - data
        echo '{"totalSize":"1Ki"}' > $DP_BACKUP_INFO_FILE
        while ! datasafed stat go >/dev/null 2>&1; do sleep 0.1; done
        range='{"start":"2026-01-01T00:00:00Z","end":"2026-01-02T00:00:00Z"}'
        echo '{"totalSize":"8","timeRange":'$range',"extras":[{"gtid":"7"}]}' > $DP_BACKUP_INFO_FILE
    """
    told = action_set("told", script)
    told["spec"]["backup"]["backupData"]["syncProgress"] = {"enabled": True, "intervalSeconds": 1}
    await world.apply(told, policy("told", method("told")), backup("told", "told"))
    await world.wait("Backup", "told", lambda obj: status(obj).get("totalSize") == "1Ki")
    (folder,) = (world.directory / "volumes").glob("*/default/told")
    (folder / "go").write_text("go")
    done = await world.phase("Backup", "told", "Completed")

    assert (done["totalSize"], done["extras"]) == ("8", [{"gtid": "7"}])
    assert done["timeRange"] == {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}


async def test_a_backup_that_says_it_saved_something_but_did_not_is_no_good_one(world: World) -> None:
    await world.apply(
        action_set("liar", """echo '{"totalSize":"12Mi"}' > $DP_BACKUP_INFO_FILE"""), policy("liar", method("liar"))
    )
    await world.apply(backup("liar", "liar"))

    assert "nothing lies in the repository" in (await world.phase("Backup", "liar", "Failed"))["failureReason"]


async def test_6_a_backup_that_asks_for_it_is_left_alone(world: World) -> None:
    await world.apply(backup("skipped", "plain", annotations={f"{GROUP}/skip-reconciliation": "true"}))
    await world.apply(backup("beside", "plain"))
    await world.phase("Backup", "beside", "Completed")

    assert "phase" not in status(await world.wait("Backup", "skipped", lambda _: True))


@pytest.mark.parametrize(
    ("name", "spec", "said"),
    [
        ("lost", {"policy_": "nowhere"}, "BackupPolicy default/nowhere does not exist"),
        ("wayless", {"policy_": "plain", "method_": "none"}, "has no method none"),
        ("parented", {"policy_": "plain", "parentBackupName": "first"}, "a Full backup builds on nothing"),
        ("asking", {"policy_": "plain", "parameters": [{"name": "speed", "value": "1"}]}, "declares no parameter speed"),
        ("misplaced", {"policy_": "plain", "labels": {f"{GROUP}/backup-repo-name": "none"}}, "BackupRepo none does not exist"),
    ],
)
async def test_7_13_what_can_not_be_done_fails_at_once_and_says_why(
    world: World, name: str, spec: dict[str, Any], said: str
) -> None:
    await world.apply(backup(name, **spec))
    failed = await world.phase("Backup", name, "Failed")

    assert said in failed["failureReason"]
    assert "expiration" not in failed


async def test_13_parameters_are_held_against_the_schema_and_reach_the_job(world: World) -> None:
    made = action_set("tuned", withParameters=["speed"])
    schema = {"type": "object", "properties": {"speed": {"type": "integer", "maximum": 9}}}
    made["spec"]["parametersSchema"] = {"openAPIV3Schema": schema}
    await world.apply(made, policy("tuned", method("tuned")))
    await world.phase("ActionSet", "tuned", "Available")
    await world.apply(backup("tuned", "tuned", parameters=[{"name": "speed", "value": "7"}]))
    await world.apply(backup("fast", "tuned", parameters=[{"name": "speed", "value": "70"}]))
    await world.phase("Backup", "tuned", "Completed")

    assert "speed=7\n" in stored(world, "default/tuned/env")
    assert "speed" in (await world.phase("Backup", "fast", "Failed"))["failureReason"]


async def test_9_all_pods_are_backed_up_side_by_side_into_folders_of_their_own(world: World) -> None:
    selector = {"matchLabels": {"app": "db"}, "strategy": "All"}
    await world.apply(policy("all", method("plain"), target={"podSelector": selector}), backup("all", "all"))
    done = await world.phase("Backup", "all", "Completed")

    assert [action["name"] for action in done["actions"]] == ["dp-backup-0", "dp-backup-1"]
    assert [stored(world, f"default/all/db-{number}/data/name") for number in (0, 1)] == ["db-0\n", "db-1\n"]
    assert int(done["totalSize"]) == sum(int(action["totalSize"]) for action in done["actions"])


async def test_10_11_several_targets_are_planned_first_and_one_that_fails_fails_all(world: World) -> None:
    failing = 'test "$DP_TARGET_POD_NAME" = db-0 && { echo no; exit 1; }; sleep 1;' + SAVE
    targets = [
        {"name": name, "podSelector": {"matchLabels": {"statefulset.kubernetes.io/pod-name": pod}}}
        for name, pod in (("one", "db-0"), ("two", "db-1"))
    ]
    await world.apply(action_set("picky", failing))
    await world.apply(policy("several", method("picky"), target=None, targets=targets, backoffLimit=0))
    await world.apply(backup("several", "several"))
    planned = await world.phase("Backup", "several", "Running")
    failed = await world.phase("Backup", "several", "Failed")

    assert [action["name"] for action in planned["actions"]] == ["dp-backup-one-0", "dp-backup-two-0"]
    assert all(action["objectRef"]["name"].startswith(action["name"]) for action in planned["actions"])
    assert [action["phase"] for action in failed["actions"]] == ["Failed", "Completed"]


async def test_12_a_fallback_selector_is_used_when_no_pod_is_ready(world: World) -> None:
    selector = {"matchLabels": {"app": "none"}, "fallbackLabelSelector": {"matchLabels": {"app": "db"}}}
    await world.apply(policy("fallback", method("plain"), target={"podSelector": selector}), backup("fallback", "fallback"))

    assert (await world.phase("Backup", "fallback", "Completed"))["target"]["selectedTargetPods"] == ["db-0"]


async def test_5_a_job_that_waits_for_a_pod_that_is_gone_fails(world: World) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lone", "namespace": "default", "labels": {"app": "lone"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {"name": "db", "image": "busybox", "command": ["sleep", "1000"], "env": [{"name": "LATE", "value": "1"}]}
            ],
        },
    }
    waiting = {"name": "NEVER", "valueFrom": {"secretKeyRef": {"name": "missing", "key": "x"}}}
    await world.apply(
        pod, policy("lone", method("plain", env=[waiting]), target={"podSelector": {"matchLabels": {"app": "lone"}}})
    )
    await world.until(
        PODS, "lone", lambda obj: any(c["type"] == "Ready" and c["status"] == "True" for c in obj["status"]["conditions"])
    )
    await world.apply(backup("lone", "lone"))
    await world.phase("Backup", "lone", "Running")
    await world.client.delete(PODS, "lone", "default")

    assert "lone is gone" in (await world.phase("Backup", "lone", "Failed"))["failureReason"]


async def test_hooks_run_around_the_data_and_thaw_also_what_failed(world: World) -> None:
    def hook(script: str, **more: Any) -> Object:
        return {"exec": {"command": ["sh", "-c", script], **more}}

    await world.apply(
        action_set(
            "hooked",
            "cat /data/frozen; exit 1",
            preBackup=[hook("echo frozen > /data/frozen"), hook("exit 1", onError="Continue")],
            postBackup=[hook("rm /data/frozen")],
        )
    )
    await world.apply(policy("hooked", method("hooked"), backoffLimit=0), backup("hooked", "hooked"))
    failed = await world.phase("Backup", "hooked", "Failed")
    phases = {action["name"]: action["phase"] for action in failed["actions"]}

    assert phases == {
        "dp-prebackup-0-0": "Completed",
        "dp-prebackup-1-0": "Failed",
        "dp-backup-0": "Failed",
        "dp-postbackup-0-0": "Completed",
    }
    (folder,) = [each.parent for each in (world.directory / "volumes").glob("*/rows")][:1]
    assert not (folder / "frozen").exists()


async def test_a_command_in_a_pod_of_several_containers_runs_in_the_first_unless_it_names_one(world: World) -> None:
    def runs_in(name: str, **more: Any) -> Object:
        return {"exec": {"command": ["sh", "-c", f'test "$WHO" = {name}'], **more}}

    sleepers = [
        {"name": name, "image": "busybox", "command": ["sleep", "1000"], "env": [{"name": "WHO", "value": name}]}
        for name in ("one", "two")
    ]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pair", "namespace": "default", "labels": {"app": "pair"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": sleepers},
    }
    hooks = [runs_in("one"), runs_in("two", container="two")]
    target = {"podSelector": {"matchLabels": {"app": "pair"}}}
    await world.apply(pod, action_set("pair", preBackup=hooks), policy("pair", method("pair"), target=target))
    await world.until(
        PODS, "pair", lambda obj: any(c["type"] == "Ready" and c["status"] == "True" for c in obj["status"]["conditions"])
    )
    await world.apply(backup("pair", "pair"))

    done = await world.phase("Backup", "pair", "Completed", "Failed")
    assert [action["phase"] for action in done["actions"]] == ["Completed"] * 3


async def test_the_reason_of_a_failure_is_not_one_that_was_accepted(world: World) -> None:
    accepted: Object = {"exec": {"command": ["sh", "-c", "echo accepted; exit 1"], "onError": "Continue"}}
    await world.apply(action_set("two", "echo the data is bad; exit 1", preBackup=[accepted]))
    await world.apply(policy("two", method("two"), backoffLimit=0), backup("two", "two"))

    failed = await world.phase("Backup", "two", "Failed")
    assert "the data is bad" in failed["failureReason"]
    assert "accepted" in failed["actions"][0]["failureReason"]
    assert (await world.told("two", "the data is bad"))["reason"] == "BackupFailed"


async def test_an_info_file_that_the_status_can_not_hold_fails_the_backup_and_says_why(world: World) -> None:
    wrong = """{"timeRange": {"start": "yesterday", "end": "2026-01-01T02:00:00+02:00"}}"""
    await world.apply(action_set("odd", f"{SAVE}\necho '{wrong}' > $DP_BACKUP_INFO_FILE"), policy("odd", method("odd")))
    await world.apply(backup("odd", "odd"))

    failed = await world.phase("Backup", "odd", "Failed")
    assert "'yesterday' is no moment" in failed["failureReason"]
    assert failed["timeRange"] == {"end": "2026-01-01T00:00:00Z"}
    assert not list((world.directory / "volumes").glob("*/default/odd/kubeblocks-backup.json"))


async def test_the_password_of_a_full_backup_is_kept_sealed_and_that_of_an_incremental_is_not(world: World) -> None:
    target = {
        "podSelector": {"matchLabels": {"app": "db"}},
        "connectionCredential": {"secretName": "login", "passwordKey": "pass"},
    }
    await world.apply(secret("login", username="root", **{"pass": "open sesame"}), action_set("step", type_="Incremental"))
    await world.apply(policy("login", method("plain"), method("step", "inc", compatibleMethod="full"), target=target))
    for name, way in (("login", "full"), ("login-inc", "inc")):
        await world.apply(backup(name, "login", way))
        assert (await world.phase("Backup", name, "Completed", "Failed"))["phase"] == "Completed"
    kept, other = [(await world.wait("Backup", name, lambda _: True))["metadata"] for name in ("login", "login-inc")]
    raw = base64.b64decode(kept["annotations"][f"{GROUP}/connection-password"])
    key = HKDF(algorithm=SHA256(), length=32, salt=b"encryption", info=b"").derive(ENCRYPTION_KEY.encode())

    assert AESGCM(key).decrypt(raw[:12], raw[12:], key) == b"open sesame"
    assert f"{GROUP}/connection-password" not in other.get("annotations", {})


async def test_events_tell_what_a_running_backup_waits_for(world: World) -> None:
    missing = {"name": "NEVER", "valueFrom": {"secretKeyRef": {"name": "not-there", "key": "x"}}}
    await world.apply(policy("stuck", method("plain", env=[missing])), backup("stuck", "stuck"))

    assert (await world.told("stuck", "not-there"))["reason"] == "CreateContainerConfigError"
    await world.client.delete(REST["Backup"], "stuck", "default")


async def test_a_hook_past_its_timeout_has_failed(world: World) -> None:
    slow = {"exec": {"command": ["sleep", "60"], "timeout": "1s"}}
    await world.apply(action_set("slow", preBackup=[slow]), policy("slow", method("slow")), backup("slow", "slow"))

    assert "1 s" in (await world.phase("Backup", "slow", "Failed"))["failureReason"]


async def test_14_encrypted_files_are_sealed_in_the_repository(world: World) -> None:
    await world.apply(secret("phrase", key="a phrase for tests"))
    config = {"algorithm": "AES-256-CFB", "passPhraseSecretKeyRef": {"name": "phrase", "key": "key"}}
    await world.apply(policy("sealed", method("plain"), encryptionConfig=config), backup("sealed", "sealed"))
    done = await world.phase("Backup", "sealed", "Completed")

    assert done["encryptionConfig"] == config
    (folder,) = (world.directory / "volumes").glob("*/default/sealed")
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["env.enc", "kubeblocks-backup.json.enc"]
    assert b"DP_BACKUP_NAME" not in (folder / "env.enc").read_bytes()


async def test_17_a_chain_grows_by_itself_and_rejects_bad_parents(world: World) -> None:
    script = (
        SAVE + 'echo "$DP_PARENT_BACKUP_NAME of $DP_BASE_BACKUP_NAME below $DP_BACKUP_ROOT_PATH" | datasafed push - chain\n'
    )
    await world.apply(action_set("grown", script, "Incremental"), action_set("differing", script, "Differential"))
    methods = (
        method("plain"),
        method("grown", "inc", compatibleMethod="full"),
        method("differing", "diff", compatibleMethod="full"),
    )
    await world.apply(policy("chain", *methods))
    await world.apply(backup("orphan", "chain", "inc"))
    orphan = await world.phase("Backup", "orphan", "Failed")
    parents: dict[str, tuple[str, str]] = {}
    for name, way in (("full", "full"), ("inc1", "inc"), ("inc2", "inc"), ("diff", "diff"), ("full2", "full"), ("inc3", "inc")):
        await world.apply(backup(name, "chain", way))
        done = await world.phase("Backup", name, "Completed")
        parents[name] = (done.get("parentBackupName", ""), done.get("baseBackupName", ""))
    await world.apply(backup("stranger", "plain"))
    await world.phase("Backup", "stranger", "Completed")
    await world.apply(backup("astray", "chain", "inc", parentBackupName="stranger"))
    astray = await world.phase("Backup", "astray", "Failed")

    assert "take one first" in orphan["failureReason"]
    assert parents == {
        "full": ("", ""),
        "inc1": ("full", "full"),
        "inc2": ("inc1", "full"),
        "diff": ("full", "full"),
        "full2": ("", ""),
        "inc3": ("full2", "full2"),
    }
    assert stored(world, "default/inc2/chain") == "inc1 of full below /default\n"
    assert "stranger can't be the parent: it is of BackupPolicy plain" in astray["failureReason"]


@pytest.mark.parametrize("kopia", [False, True])
async def test_a_bucket_holds_backups_plain_or_deduplicated_and_gives_them_back(
    world: World, tmp_path: Path, kopia: bool
) -> None:
    name = "dedup" if kopia else "bucket"
    (tmp_path / "s3" / "backups").mkdir(parents=True)
    load = """
        export PATH="$PATH:$DP_DATASAFED_BIN_PATH" DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
        datasafed pull data/name /data/name
    """
    made = action_set(name)
    made["spec"]["restore"] = {"prepareData": shell(load)}
    config = {"bucket": "backups", "endpoint": "", "region": "us-east-1"}
    with s3_server(tmp_path / "s3") as config["endpoint"]:
        await world.apply(secret(name, accessKeyId=KEY, secretAccessKey=SECRET))
        credential = {"name": name, "namespace": "default"}
        await world.apply(repo(name, "minio", accessMethod="Tool", config=config, credential=credential))
        await world.phase("BackupRepo", name, "Ready")
        await world.apply(made, policy(name, method(name), backupRepoName=name, useKopia=kopia), backup(name, name))
        done = await world.phase("Backup", name, "Completed", "Failed")
        assert done["phase"] == "Completed", done["failureReason"]
        files = {str(path.relative_to(tmp_path / "s3/backups")) for path in (tmp_path / "s3/backups").rglob("*")}

        claim = {
            "metadata": {"name": name},
            "mountPath": "/data",
            "volumeClaimSpec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
        }
        config_ = {"volumeClaims": [claim], "volumeClaimRestorePolicy": "Parallel"}
        source = {"name": name, "namespace": "default"}
        await world.apply(thing("Restore", name, backup=source, prepareDataConfig=config_))
        again = await world.phase("Restore", name, "Completed", "Failed")
        assert again["phase"] == "Completed", again["conditions"]
        await world.client.delete(REST["Backup"], name, "default")
        await world.gone(REST["Backup"], name)

    restored = await world.client.get(PVCS, name, "default")
    assert (world.directory / "volumes" / restored["spec"]["volumeName"] / "name").read_text() == "db-0\n"
    assert f"default/{name}/kubeblocks-backup.json" in files
    assert (f"default/{name}/data/name" in files) is not kopia
    assert ("default/kopia/config" in files) is kopia
    assert done.get("kopiaRepoPath", "") == ("/default/kopia" if kopia else "")
    assert not (tmp_path / f"s3/backups/default/{name}").exists()


async def test_a_continuous_backup_runs_for_as_long_as_its_schedule_wants(world: World) -> None:
    script = """
        export PATH="$PATH:$DP_DATASAFED_BIN_PATH" DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
        echo "$DP_ARCHIVE_INTERVAL $DP_TTL_SECONDS" | datasafed push - log
        range='{"start":"2026-01-01T00:00:00Z","end":"2026-01-02T00:00:00Z"}'
        echo '{"totalSize":"7","timeRange":'$range'}' > $DP_BACKUP_INFO_FILE
        sleep 1000
    """
    await world.apply(action_set("stream", script, "Continuous"), policy("stream", method("stream", "log")))
    entry = {"backupMethod": "log", "cronExpression": "*/2 * * * *", "enabled": True, "retentionPeriod": "1d"}
    schedule = thing("BackupSchedule", "stream", backupPolicyName="stream", schedules=[entry])
    await world.apply(schedule)
    name = ""
    async with asyncio.timeout(20):
        while not name:
            label = f"{GROUP}/backup-schedule=stream"
            name = await world.kubectl("get", "backups", "-l", label, "-o", "jsonpath={.items[*].metadata.name}")
            await asyncio.sleep(0.1)
    running = await world.wait("Backup", name, lambda obj: "timeRange" in status(obj))
    assert (status(running)["phase"], status(running)["totalSize"]) == ("Running", "7")
    assert "expiration" not in status(running)
    (action,) = status(running)["actions"]
    assert (action["actionType"], action["objectRef"]["kind"]) == ("StatefulSet", "StatefulSet")
    assert stored(world, f"default/{name}/log") == "120s 86400\n"

    entry["enabled"] = False
    await world.apply(schedule)
    done = await world.phase("Backup", name, "Completed")
    await world.gone(STATEFULSETS, action["objectRef"]["name"])
    assert done["timeRange"]["end"] == "2026-01-02T00:00:00Z"
    assert "expiration" in done

    entry["enabled"] = True
    await world.apply(schedule)
    await world.phase("Backup", name, "Running")
    await world.client.delete(REST["BackupSchedule"], "stream", "default")
    await world.client.delete(REST["Backup"], name, "default")
    await world.gone(REST["Backup"], name)
    assert list((world.directory / "volumes").glob(f"*/default/{name}")) == []
