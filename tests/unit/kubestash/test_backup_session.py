"""One run: the gate, the Jobs, what is told while they run, every way to end, and the repetition."""

import pytest
from tests.unit.kubestash.builders import BC, EXAMPLES, REPO, example, ready_world, restore, run, sample, sample_world, session
from tests.unit.kubestash.world import World, condition, succeeded

from holdfast.core.objects import Object
from holdfast.core.report import Failure, Progress

JOB = "run-1-dump-pod-0"
SNAPSHOT = "gcs-demo-repo-run-1"


def started(**spec: object) -> World:
    world = ready_world()
    world.add(session("run-1", **spec))
    world.settle()
    return world


def status(world: World, name: str = "run-1") -> Object:
    return world.find("BackupSession", name)["status"]


def test_the_job_reads_the_claim_of_its_pod_and_writes_the_documented_path():
    world = started()
    assert world.call(JOB)[1] == {
        "repositories": [
            {
                "name": REPO,
                "store": {"url": "/kubestash/store/demo/data/repository/v1/demo-session/dump-pod-0"},
                "password_file": "/holdfast/secrets/encryption-gcs-demo-repo/RESTIC_PASSWORD",
                "component": "dump-pod-0",
                "snapshot": SNAPSHOT,
            }
        ],
        "paths": ["/source/data"],
        "excludes": ["/source/data/lost+found"],
        "host": "dump-pod-0",
        "tags": ["run-1"],
        "sample": 16 << 20,
    }
    pod = world.find("Job", JOB)["spec"]["template"]["spec"]
    claims = {volume["name"]: volume.get("persistentVolumeClaim", {}).get("claimName") for volume in pod["volumes"]}
    assert claims["source-data"] == "source-data-sample-sts-0"
    mount = next(mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "source-data")
    assert mount == {"name": "source-data", "mountPath": "/source/data", "readOnly": True}
    context = pod["containers"][0]["securityContext"]
    assert (context["runAsUser"], context["capabilities"]) == (0, {"drop": ["ALL"], "add": ["DAC_READ_SEARCH"]})


def test_three_pods_are_three_components_with_paths_of_their_own():
    world = ready_world()
    world.find("StatefulSet", "sample-sts")["spec"]["replicas"] = 3
    world.add(session("run-1"))
    world.settle()
    components = [f"dump-pod-{index}" for index in range(3)]
    for name in components:
        world.finish(f"run-1-{name}", succeeded(REPO, name))
    world.settle()
    found = world.find("Snapshot", SNAPSHOT)["status"]
    assert found["totalComponents"] == 3
    assert sorted(found["components"]) == components
    assert [found["components"][name]["path"] for name in components] == [
        f"repository/v1/demo-session/{name}" for name in components
    ]
    assert found["size"] == "5.721 MiB"


def test_a_workload_that_is_scaled_meanwhile_changes_nothing():
    world = started()
    world.find("StatefulSet", "sample-sts")["spec"]["replicas"] = 2
    world.settle()
    assert "run-1-dump-pod-1" not in world.names("Job")
    world.finish(JOB, succeeded(REPO))
    world.settle()
    assert status(world)["phase"] == "Succeeded"


def test_two_repositories_are_written_by_one_job_and_get_a_snapshot_each():
    world = sample_world()
    world.load(EXAMPLES / "storage-s3.yaml")
    world.add(example("backup-configuration-two-backends.yaml"))
    world.settle()
    for job in ("init-gcs-storage", "init-s3-storage"):
        world.finish(job)
    world.settle()
    for job in ("init-repo-local-copy", "init-repo-s3-copy"):
        world.finish(job)
    world.settle()
    wanted = session("run-1", session="nightly", retryLeft=0)
    wanted["spec"]["invoker"]["name"] = "sample-two-backends"
    world.add(wanted)
    world.settle()
    urls = [entry["store"]["url"] for entry in world.call(JOB)[1]["repositories"]]
    assert urls == [
        "/kubestash/store/demo/two-copies/repository/v1/nightly/dump-pod-0",
        "s3:http://127.0.0.1:9000/demo-backups/holdfast/demo/two-copies/repository/v1/nightly/dump-pod-0",
    ]
    full = Failure("StorageFull", "bucket demo-backups: no space left")
    bad = succeeded("s3-copy")
    world.finish(
        JOB, succeeded("local-copy"), type(bad)(repository="s3-copy", component="dump-pod-0", failure=full), failure=full
    )
    world.settle()
    assert status(world)["phase"] == "Failed"
    assert {entry["repository"]: entry["phase"] for entry in status(world)["snapshots"]} == {
        "local-copy": "Succeeded",
        "s3-copy": "Failed",
    }
    failed = world.find("Snapshot", "s3-copy-run-1")["status"]["components"]["dump-pod-0"]
    assert failed["error"] == "bucket demo-backups: no space left"


def test_progress_is_shown_while_it_runs():
    world = started()
    assert status(world)["phase"] == "Running"
    world.progress[JOB] = (
        Progress(
            REPO,
            "dump-pod-0",
            files_done=15_000,
            files_total=30_000,
            bytes_done=1 << 28,
            bytes_total=1 << 29,
            seconds=7.9,
            rate=3e7,
        ),
    )
    world.settle()
    found = world.find("Snapshot", SNAPSHOT)["status"]
    assert found["phase"] == "Running"
    assert found["components"]["dump-pod-0"]["resticStats"][0]["progress"] == {
        "secondsElapsed": 7,
        "percentDone": "50.00%",
        "totalFiles": 30_000,
        "filesDone": 15_000,
        "backupDone": "256.000 MiB",
        "total": "512.000 MiB",
        "speed": "28.610 MiB/s",
    }


def test_a_good_run_succeeds_with_its_duration_and_what_was_read():
    world = started()
    world.later(seconds=63)
    world.finish(JOB, succeeded(REPO, "dump-pod-0", "4f5a6b7c"))
    world.settle()
    found = status(world)
    assert (found["phase"], found["duration"], found["totalSnapshots"]) == ("Succeeded", "1m3s", 1)
    assert found["retentionPolicy"] == [
        {"ref": {"name": "demo-retention", "namespace": "demo"}, "repository": REPO, "phase": "Applied"}
    ]
    stats = world.find("Snapshot", SNAPSHOT)["status"]["components"]["dump-pod-0"]["resticStats"][0]
    assert stats["summary"] == {
        "id": "4f5a6b7c",
        "hostPath": "/source/data",
        "size": "4.768 MiB",
        "uploaded": "976.562 KiB",
        "startTime": "2026-11-20T13:43:00Z",
        "endTime": "2026-11-20T13:43:12Z",
    }
    assert stats["id"] == "4f5a6b7c"


def test_a_final_phase_stays_whatever_happens_later():
    world = started(retryLeft=0)
    world.finish(JOB, succeeded(REPO))
    world.settle()
    world.delete("Job", JOB)
    world.delete("StatefulSet", "sample-sts")
    world.settle()
    assert status(world)["phase"] == "Succeeded"


@pytest.mark.parametrize("missing", ["BackupStorage", "StatefulSet", "Addon"])
def test_a_session_of_a_configuration_that_is_not_ready_is_skipped(missing: str):
    world = ready_world()
    name = {"BackupStorage": "gcs-storage", "StatefulSet": "sample-sts", "Addon": "workload-addon"}[missing]
    world.delete(missing, name)
    world.add(session("run-1"))
    world.settle()
    assert status(world)["phase"] == "Skipped"
    judged = condition(world.find("BackupSession", "run-1"), "BackupSkipped")
    assert judged["reason"] == "PreRequisitesNotSatisfied"
    assert [job for job in world.names("Job") if job.startswith("run-")] == []


def test_an_unknown_session_is_skipped_and_told_which_there_are():
    world = ready_world()
    world.add(session("run-1", session="nope"))
    world.settle()
    message = condition(world.find("BackupSession", "run-1"), "BackupSkipped")["message"]
    assert message == "BackupConfiguration demo/sample-backup-sts has no session nope (it has: demo-session)"


def test_a_second_session_is_skipped_while_the_first_goes_on():
    world = started()
    world.later(seconds=10)
    world.add(session("run-2"))
    world.settle()
    judged = condition(world.find("BackupSession", "run-2"), "BackupSkipped")
    assert (judged["reason"], judged["message"]) == ("AnotherBackupSessionRunning", "BackupSession demo/run-1 is still running")
    assert status(world)["phase"] == "Running"


def test_of_two_sessions_made_in_one_second_exactly_one_runs():
    world = ready_world()
    world.add(session("run-2"))
    world.add(session("run-1"))
    world.settle()
    assert sorted(status(world, name)["phase"] for name in ("run-1", "run-2")) == ["Running", "Skipped"]


def test_a_workload_without_pods_is_skipped():
    world = ready_world()
    world.find("StatefulSet", "sample-sts")["spec"]["replicas"] = 0
    world.add(session("run-1"))
    world.settle()
    assert "has no pods" in condition(world.find("BackupSession", "run-1"), "BackupSkipped")["message"]


def test_a_restore_into_the_target_keeps_backups_away():
    world = ready_world()
    run(world, "run-0")
    obj = restore("back")
    obj["spec"]["target"] = {"apiGroup": "apps", "kind": "StatefulSet", "name": "sample-sts", "namespace": "demo"}
    world.add(obj)
    world.settle()
    world.later(seconds=5)
    world.add(session("run-1"))
    world.settle()
    message = condition(world.find("BackupSession", "run-1"), "BackupSkipped")["message"]
    assert message == "RestoreSession demo/back is writing to the target"


def test_a_deleted_job_is_an_incomplete_backup_and_never_a_second_start():
    world = started(retryLeft=0)
    world.delete("Job", JOB)
    world.settle()
    assert JOB not in world.names("Job")
    snapshot = world.find("Snapshot", SNAPSHOT)
    assert snapshot["status"]["phase"] == "Failed"
    judged = condition(snapshot, "BackupIncomplete")
    assert judged["reason"] == "BackupExecutorTerminatedBeforeCompletion"
    assert "was deleted before it had finished" in judged["message"]
    assert status(world)["phase"] == "Failed"
    told = condition(world.find("BackupSession", "run-1"), "BackupFailed")
    assert told["reason"] == "JobDeleted"
    assert told["message"].endswith(f"Job demo/{JOB} was deleted before it had finished")


def test_a_deleted_pod_is_told_as_such():
    world = started(retryLeft=0)
    world.crash(JOB, "", "")
    world.delete("Pod", f"{JOB}-abcde")
    world.later(seconds=15)
    world.settle()
    world.finish(next(name for name in world.names("Job") if name.startswith("retentionpolicy-")))
    world.settle()
    told = condition(world.find("BackupSession", "run-1"), "BackupFailed")
    assert (told["reason"], told["message"]) == ("PodDeleted", f"the pod of Job {JOB} was deleted before it had finished")


def test_a_deleted_repository_fails_the_run_with_a_reason_and_stops_its_job():
    world = started(retryLeft=0)
    world.delete("Repository", REPO)
    world.settle()
    assert status(world)["phase"] == "Failed"
    told = condition(world.find("BackupSession", "run-1"), "BackupFailed")
    assert told["message"] == f"Repository demo/{REPO} not found"
    assert JOB not in world.names("Job")


@pytest.mark.parametrize(
    ("reason", "message"),
    [("Evicted", "the node was low on memory"), ("NodeRestarted", "the node started again"), ("OOMKilled", "killed")],
)
def test_a_pod_that_dies_fails_the_run_with_its_reason(reason: str, message: str):
    world = started(retryLeft=0)
    world.crash(JOB, reason, message)
    world.settle()
    snapshot = world.find("Snapshot", SNAPSHOT)
    assert message in snapshot["status"]["components"]["dump-pod-0"]["error"]
    assert condition(snapshot, "BackupIncomplete")["status"] == "True"
    assert status(world)["phase"] == "Running"
    world.finish(free_the_lock(world))
    world.settle()
    assert status(world)["phase"] == "Failed"
    told = condition(world.find("BackupSession", "run-1"), "BackupFailed")
    assert told["reason"] == reason
    assert message in told["message"]


def free_the_lock(world: World) -> str:
    """Return the Job that opens the repository again after its writer was killed: it has nothing to forget."""
    name = next(job for job in world.names("Job") if job.startswith("retentionpolicy-"))
    _, arguments, _ = world.call(name)
    assert [(item["repository"]["component"], item.get("snapshots", [])) for item in arguments["forget"]] == [
        ("dump-pod-0", [])
    ]
    return name


def test_past_its_time_the_session_fails_and_its_job_goes():
    wanted = sample()
    wanted["spec"]["sessions"][0]["timeout"] = "5s"
    world = ready_world(wanted)
    world.add(session("run-1", retryLeft=0))
    world.settle()
    assert status(world)["sessionDeadline"] == status(world)["backupDeadline"] == "2026-11-20T13:42:35Z"
    world.later(seconds=6)
    world.settle()
    assert JOB not in world.names("Job")
    assert status(world)["phase"] == "Failed"
    assert "deadline exceeded" in world.find("Snapshot", SNAPSHOT)["status"]["components"]["dump-pod-0"]["error"]


def test_a_sessions_own_limit_comes_first():
    world = started(backupTimeout="1m")
    assert status(world)["backupDeadline"] == "2026-11-20T13:43:30Z"


def test_what_a_pod_waits_for_is_told():
    world = started()
    world.waits(JOB, "CreateContainerConfigError", 'secret "demo/encrypt-secret" not found')
    world.settle()
    judged = condition(world.find("BackupSession", "run-1"), "PodHasBeenInPendingStateForLongerThanExpected")
    assert judged["status"] == "Unknown"
    assert 'secret "demo/encrypt-secret" not found' in judged["message"]
    assert status(world)["phase"] == "Running"


def test_what_keeps_a_job_from_starting_is_told():
    world = ready_world()
    world.missing_secret = "waits for a free slot"
    world.add(session("run-1"))
    world.settle()
    judged = condition(world.find("BackupSession", "run-1"), "BackupExecutorEnsured")
    assert (judged["status"], judged["message"]) == ("Unknown", "dump-pod-0: waits for a free slot")
    world.missing_secret = ""
    world.settle()
    assert condition(world.find("BackupSession", "run-1"), "BackupExecutorEnsured")["status"] == "True"


def test_a_deleted_snapshot_ends_its_session():
    world = started(retryLeft=0)
    world.delete("Snapshot", SNAPSHOT)
    world.settle()
    assert status(world)["phase"] == "Failed"
    judged = condition(world.find("BackupSession", "run-1"), "SnapshotsEnsured")
    assert judged["reason"] == "FailedToEnsureSnapshots"
    told = condition(world.find("BackupSession", "run-1"), "BackupFailed")
    assert told["message"] == f"Snapshot demo/{SNAPSHOT} was deleted before this session had finished"
    assert JOB not in world.names("Job")


def test_a_deleted_session_leaves_no_snapshot_running():
    world = started()
    world.delete("BackupSession", "run-1")
    world.settle()
    assert world.find("Snapshot", SNAPSHOT)["status"]["phase"] == "Failed"


def test_a_failed_session_is_repeated_as_often_as_it_may_be():
    world = started()  # the sample: maxRetry 2, delay 1m
    failure = Failure("WrongPassword", "wrong password")
    world.finish(JOB, failure=failure)
    world.settle()
    assert (status(world)["phase"], status(world)["nextRetry"]) == ("Failed", "2026-11-20T13:43:30Z")
    assert len(world.names("BackupSession")) == 1
    world.later(minutes=1)
    world.settle()
    assert status(world)["retried"] is True
    second = f"{BC}-demo-session-{int(world.now.timestamp())}"
    assert world.find("BackupSession", second)["spec"]["retryLeft"] == 1
    assert world.find("BackupSession", second)["metadata"]["annotations"] == {"holdfast.dev/retry-of": "run-1"}
    world.finish(f"{second}-dump-pod-0", failure=failure)
    world.settle()
    world.later(minutes=1)
    world.settle()
    third = f"{BC}-demo-session-{int(world.now.timestamp())}"
    assert world.find("BackupSession", third)["spec"]["retryLeft"] == 0
    world.finish(f"{third}-dump-pod-0", failure=failure)
    world.settle()
    assert "nextRetry" not in status(world, third)
    world.later(minutes=5)
    world.settle()
    assert world.names("BackupSession") == [third]


def test_without_a_retry_configuration_it_is_repeated_once():
    wanted = sample()
    del wanted["spec"]["sessions"][0]["retryConfig"]
    world = ready_world(wanted)
    world.add(session("run-1"))
    world.settle()
    world.finish(JOB, failure=Failure("X", "broken"))
    world.settle()
    world.later(seconds=1)
    world.settle()
    repeated = [obj for obj in world.all("BackupSession") if obj["metadata"]["name"] != "run-1"]
    assert [obj["spec"]["retryLeft"] for obj in repeated] == [0]


def test_the_trigger_makes_sessions_with_every_retry_left():
    world = ready_world()
    mover, arguments, _ = world.call("trigger-sample-backup-sts-demo-session", "CronJob")
    assert mover == "trigger"
    assert arguments["plural"] == "backupsessions"
    assert arguments["name_prefix"] == "sample-backup-sts-demo-session"
    document = arguments["document"]
    assert document["spec"] == {
        "invoker": {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": BC},
        "session": "demo-session",
        "retryLeft": 2,
    }
    assert document["metadata"]["labels"]["kubestash.com/invoker-name"] == BC


def test_settings_of_the_executor_reach_its_pod():
    wanted = sample()
    addon = wanted["spec"]["sessions"][0]["addon"]
    template = {"spec": {"nodeSelector": {"disk": "ssd"}, "resources": {"limits": {"memory": "1Gi"}}}}
    addon["jobTemplate"] = {**template, "metadata": {"labels": {"team": "x"}}, "controller": {"annotations": {"a": "b"}}}
    addon["containerRuntimeSettings"] = {"resources": {"limits": {"memory": "2Gi"}}, "env": [{"name": "GOGC", "value": "20"}]}
    world = ready_world(wanted)
    world.add(session("run-1"))
    world.settle()
    job = world.find("Job", JOB)
    pod = job["spec"]["template"]
    assert job["metadata"]["annotations"]["a"] == "b"
    assert pod["metadata"]["labels"]["team"] == "x"
    assert pod["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert pod["spec"]["containers"][0]["resources"] == {"limits": {"memory": "2Gi"}}
    assert {"name": "GOGC", "value": "20"} in pod["spec"]["containers"][0]["env"]


def test_a_job_runs_where_the_pod_holds_its_claim():
    world = ready_world()
    meta = {"name": "sample-sts-0", "namespace": "demo"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"nodeName": "n1"}, "status": {"phase": "Running"}}
    world.add(pod)
    world.add(session("run-1"))
    world.settle()
    assert world.find("Job", JOB)["spec"]["template"]["spec"]["nodeName"] == "n1"


def test_a_claim_is_backed_up_by_the_pvc_addon():
    wanted = sample()
    wanted["spec"]["target"] = {"kind": "PersistentVolumeClaim", "name": "backup-store", "namespace": "demo"}
    wanted["spec"]["sessions"][0]["addon"] = {"name": "pvc-addon", "tasks": [{"name": "logical-backup"}]}
    world = ready_world(wanted)
    world.add(session("run-1"))
    world.settle()
    pod = world.find("Job", "run-1-dump")["spec"]["template"]["spec"]
    assert {"name": "data", "mountPath": "/kubestash-data", "readOnly": True} in pod["containers"][0]["volumeMounts"]
    assert world.call("run-1-dump")[1]["paths"] == ["/kubestash-data"]
