"""A restore: the right Snapshot, the right volumes, never under a running application, never a partial success."""

from datetime import timedelta

from tests.unit.kubestash.builders import REPO, in_place, ready_world, restore, run, session
from tests.unit.kubestash.world import World, condition, succeeded

from holdfast.core.objects import Object
from holdfast.core.report import Failure, Progress, RepositoryResult
from holdfast.core.times import format_time, parse_time

JOB = "back-dump-pod-0"


def backed_up() -> World:
    world = ready_world()
    run(world, "run-0", "id00000000")
    world.later(minutes=5)
    run(world, "run-1", "id00000001")
    world.later(minutes=5)
    world.add({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "source-data-sample-sts-0"}})
    return world


def pod(phase: str = "Running") -> Object:
    volume = {"name": "source-data", "persistentVolumeClaim": {"claimName": "source-data-sample-sts-0"}}
    meta = {"name": "sample-sts-0", "namespace": "demo"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"volumes": [volume]}, "status": {"phase": phase}}


def status(world: World) -> Object:
    return world.find("RestoreSession", "back")["status"]


def test_latest_goes_into_a_claim_that_is_made_for_it():
    world = backed_up()
    world.add(restore("back"))
    world.settle()
    assert world.find("PersistentVolumeClaim", "restored-data-0")["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert world.call(JOB)[1] == {
        "repository": {
            "name": REPO,
            "store": {"url": "/kubestash/store/demo/data/repository/v1/demo-session/dump-pod-0"},
            "password_file": "/holdfast/secrets/encryption-gcs-demo-repo/RESTIC_PASSWORD",
            "component": "dump-pod-0",
            "snapshot": "gcs-demo-repo-run-1",
        },
        "snapshot_ids": ["id00000001"],
    }
    template = world.find("Job", JOB)["spec"]["template"]["spec"]
    context = template["containers"][0]["securityContext"]
    assert context["runAsUser"] == 0
    assert set(context["capabilities"]["add"]) >= {"CHOWN", "FOWNER", "DAC_OVERRIDE"}
    assert "SYS_ADMIN" not in context["capabilities"]["add"]
    claims = [volume.get("persistentVolumeClaim", {}).get("claimName") for volume in template["volumes"]]
    assert "restored-data-0" in claims
    mounts = {mount["mountPath"]: mount for mount in template["containers"][0]["volumeMounts"]}
    assert "readOnly" not in mounts["/source/data"]


def test_it_succeeds_with_its_figures_and_is_final():
    world = backed_up()
    world.add(restore("back"))
    world.settle()
    assert status(world)["phase"] == "Running"
    world.progress[JOB] = (Progress(REPO, "dump-pod-0", 10, 20, 1024, 4096, 2.5, 512.0),)
    world.settle()
    assert status(world)["components"]["dump-pod-0"]["progress"]["percentDone"] == "25.00%"
    world.later(seconds=40)
    world.finish(JOB, RepositoryResult(REPO, "dump-pod-0", files=20, bytes=4096, seconds=8.0))
    world.settle()
    found = status(world)
    assert (found["phase"], found["duration"], found["totalComponents"]) == ("Succeeded", "40s", 1)
    assert found["components"]["dump-pod-0"]["duration"] == "8s"
    assert found["components"]["dump-pod-0"]["progress"]["restoreDone"] == "4.000 KiB"
    assert {(entry["kind"], entry["name"]) for entry in found["dependencies"]} == {
        ("Snapshot", "gcs-demo-repo-run-1"),
        ("Addon", "workload-addon"),
    }
    world.delete("Snapshot", "gcs-demo-repo-run-1")
    world.settle()
    assert status(world)["phase"] == "Succeeded"


def test_a_named_snapshot_is_the_one_that_comes_back():
    world = backed_up()
    world.add(in_place("back", snapshot="gcs-demo-repo-run-0"))
    world.settle()
    assert world.call(JOB)[1]["snapshot_ids"] == ["id00000000"]


def test_the_choice_of_latest_is_made_once():
    world = backed_up()
    world.add(in_place("back"))
    world.add(pod())
    world.settle()
    run(world, "run-2", "id00000002")
    world.delete("Pod", "sample-sts-0")
    world.settle()
    assert world.call(JOB)[1]["snapshot_ids"] == ["id00000001"]


def test_nothing_is_restored_under_a_running_pod():
    world = backed_up()
    world.add(pod())
    world.add(in_place("back"))
    world.settle()
    assert JOB not in world.names("Job")
    assert status(world)["phase"] == "Pending"
    judged = condition(world.find("RestoreSession", "back"), "RestoreExecutorEnsured")
    assert judged["reason"] == "TargetInUse"
    assert "is mounted by running pod demo/sample-sts-0: scale its workload to 0" in judged["message"]
    world.delete("Pod", "sample-sts-0")
    world.settle()
    assert JOB in world.names("Job")
    assert status(world)["phase"] == "Running"


def assert_met_by_a_pod(world: World) -> None:
    assert status(world)["phase"] == "Failed"
    judged = condition(world.find("RestoreSession", "back"), "RestoreIncomplete")
    assert judged["reason"] == "TargetInUse"
    assert "pod demo/sample-sts-0 mounted PersistentVolumeClaim demo/source-data-sample-sts-0" in judged["message"]
    assert "scale its workload to 0 and create another RestoreSession" in judged["message"]
    assert judged["message"].endswith(status(world)["components"]["dump-pod-0"]["error"])


def test_a_pod_that_comes_while_the_restore_writes_ends_it():
    world = backed_up()
    world.add(in_place("back"))
    world.settle()
    world.later(seconds=3)
    world.add(pod())
    world.settle()
    assert_met_by_a_pod(world)
    assert JOB not in world.names("Job")


def test_a_pod_that_came_before_the_end_was_seen_spoils_the_restore_too():
    for phase in ("Running", "Succeeded"):
        world = backed_up()
        world.add(in_place("back"))
        world.settle()
        world.later(seconds=10)
        world.add(pod(phase))
        world.finish(JOB, RepositoryResult(REPO, "dump-pod-0", files=20, bytes=4096, seconds=8.0))
        world.settle()
        assert_met_by_a_pod(world)


def test_a_pod_that_starts_after_the_last_write_does_not_spoil_the_restore():
    world = backed_up()
    world.add(in_place("back"))
    world.settle()
    world.later(seconds=10)
    world.finish(JOB, RepositoryResult(REPO, "dump-pod-0", files=20, bytes=4096, seconds=8.0))
    world.later(seconds=2)
    world.add(pod())
    world.settle()
    assert status(world)["phase"] == "Succeeded"


def test_the_restores_own_pod_and_one_without_a_node_spoil_nothing():
    world = backed_up()
    world.add(in_place("back"))
    world.settle()
    own, waiting = pod(), pod("Pending")
    own["metadata"] |= {"name": "mover", "labels": world.find("Job", JOB)["spec"]["template"]["metadata"]["labels"]}
    waiting["metadata"]["name"] = "unscheduled"
    world.add(own)
    world.add(waiting)
    world.settle()
    assert status(world)["phase"] == "Running"


def test_a_restore_waits_for_a_backup_of_its_target_to_end():
    world = backed_up()
    world.add(session("run-2", retryLeft=0))
    world.settle()
    world.add(in_place("back"))
    world.settle()
    judged = condition(world.find("RestoreSession", "back"), "RestoreExecutorEnsured")
    assert judged["message"] == "BackupSession demo/run-2 is reading the target"
    world.finish("run-2-dump-pod-0", succeeded(REPO, "dump-pod-0", "id00000002"))
    world.settle()
    assert JOB in world.names("Job")


def test_a_restore_does_not_wait_for_retention():
    world = backed_up()
    policy = world.find("RetentionPolicy", "demo-retention")
    world.add({**policy, "spec": {"successfulSnapshots": {"last": 1}}})
    run(world, "run-2", "id00000002")
    assert world.find("BackupSession", "run-2")["status"]["phase"] == "Running"
    world.add(in_place("back"))
    world.settle()
    assert JOB in world.names("Job")


def test_a_pod_that_has_ended_does_not_count():
    world = backed_up()
    world.add(pod("Succeeded"))
    world.add(in_place("back"))
    world.settle()
    assert JOB in world.names("Job")


def test_without_a_good_snapshot_it_waits_and_says_so():
    world = ready_world()
    world.add({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "source-data-sample-sts-0"}})
    world.add(in_place("back"))
    world.settle()
    judged = condition(world.find("RestoreSession", "back"), "RestoreExecutorEnsured")
    assert judged["reason"] == "SourceNotFound"
    assert judged["message"].startswith("Repository demo/gcs-demo-repo has no Snapshot that Succeeded: waits until ")
    assert status(world)["phase"] == "Pending"
    run_blocked = world.find("RestoreSession", "back")
    world.delete("RestoreSession", "back")
    run(world, "run-0", "id00000000")
    run_blocked.pop("status")
    world.add(run_blocked)
    world.settle()
    assert status(world)["phase"] == "Running"


def test_it_does_not_wait_for_ever_for_a_source_that_does_not_exist():
    for source in ({"snapshot": "no-such-snapshot"}, {"repository": "no-such-repository"}):
        world = backed_up()
        world.add(in_place("back", **source))
        world.settle()
        assert status(world)["phase"] == "Pending"
        judged = condition(world.find("RestoreSession", "back"), "RestoreExecutorEnsured")
        due = format_time(world.now + timedelta(hours=1))
        assert judged["reason"] == "SourceNotFound"
        assert judged["message"].startswith(
            ("Snapshot demo/no-such-snapshot not found", "Repository demo/no-such-repository not")
        )
        assert judged["message"].endswith(f"not found: waits until {due}")
        assert parse_time(due) in world.wakes
        world.later(hours=1)
        world.settle()
        judged = condition(world.find("RestoreSession", "back"), "RestoreExecutorEnsured")
        assert (status(world)["phase"], judged["reason"]) == ("Failed", "SourceNotFound")
        assert judged["message"].endswith(f"not found; waited until {due}")


def test_a_timeout_of_its_own_says_how_long_it_waits_for_the_source():
    world = backed_up()
    world.add({**in_place("back"), "spec": {**in_place("back", snapshot="none-yet")["spec"], "restoreTimeout": "3h"}})
    world.settle()
    world.later(hours=2)
    world.settle()
    assert status(world)["phase"] == "Pending"
    world.later(hours=1)
    world.settle()
    assert status(world)["phase"] == "Failed"


def test_latest_waits_longer_for_a_backup_that_runs():
    world = ready_world()
    world.add({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "source-data-sample-sts-0"}})
    world.add(session("run-0", retryLeft=0))
    world.settle()
    world.add(in_place("back"))
    world.settle()
    world.later(hours=2)
    world.settle()
    assert status(world)["phase"] == "Pending"


def test_a_failed_snapshot_is_refused():
    world = backed_up()
    world.add(session("bad", retryLeft=0))
    world.settle()
    world.finish("bad-dump-pod-0", failure=Failure("X", "broken"))
    world.settle()
    world.add(in_place("back", snapshot="gcs-demo-repo-bad"))
    world.settle()
    assert status(world)["phase"] == "Invalid"
    judged = condition(world.find("RestoreSession", "back"), "ValidationPassed")
    assert "is Failed: choose one that Succeeded" in judged["message"]


def test_an_unknown_component_is_refused():
    world = backed_up()
    world.add(in_place("back", components=["dump-pod-7"]))
    world.settle()
    judged = condition(world.find("RestoreSession", "back"), "ValidationPassed")
    assert "has no component dump-pod-7 (it has: dump-pod-0)" in judged["message"]


def test_data_that_would_land_beside_the_volumes_is_refused():
    world = backed_up()
    obj = in_place("back")
    obj["spec"]["addon"]["tasks"][0]["targetVolumes"]["volumeMounts"][0]["mountPath"] = "/elsewhere"
    world.add(obj)
    world.settle()
    judged = condition(world.find("RestoreSession", "back"), "ValidationPassed")
    assert "the data of dump-pod-0 belongs at /source/data, where no volume is mounted" in judged["message"]


def test_a_failure_is_told_with_the_movers_words():
    world = backed_up()
    world.add(restore("back"))
    world.settle()
    world.finish(JOB, failure=Failure("VerifyFailed", "2 files differ from the snapshot"))
    world.settle()
    assert status(world)["phase"] == "Failed"
    assert status(world)["components"]["dump-pod-0"]["error"] == "2 files differ from the snapshot"


def test_a_deleted_job_is_an_incomplete_restore():
    world = backed_up()
    world.add(restore("back"))
    world.settle()
    world.delete("Job", JOB)
    world.settle()
    assert status(world)["phase"] == "Failed"
    judged = condition(world.find("RestoreSession", "back"), "RestoreIncomplete")
    assert judged["reason"] == "RestoreExecutorTerminatedBeforeCompletion"
    assert JOB not in world.names("Job")


def test_past_its_time_it_fails_and_its_job_goes():
    world = backed_up()
    world.add(restore("back", restoreTimeout="30s"))
    world.settle()
    assert "restoreDeadline" in status(world)
    world.later(seconds=31)
    world.settle()
    assert JOB not in world.names("Job")
    assert status(world)["phase"] == "Failed"
    assert "deadline exceeded" in status(world)["components"]["dump-pod-0"]["error"]


def test_a_restore_that_only_waits_ends_at_its_time_too():
    world = backed_up()
    world.add(pod())
    world.add({**in_place("back"), "spec": {**in_place("back")["spec"], "timeout": "30s"}})
    world.settle()
    world.later(seconds=31)
    world.settle()
    assert status(world)["phase"] == "Failed"
    assert "deadline exceeded" in condition(world.find("RestoreSession", "back"), "RestoreExecutorEnsured")["message"]


def test_a_namespace_that_the_storage_does_not_admit_gets_nothing():
    world = backed_up()
    obj = restore("back")
    obj["metadata"]["namespace"] = "other"
    obj["spec"]["dataSource"] |= {"namespace": "demo"}
    world.add(obj)
    world.settle()
    found = world.find("RestoreSession", "back", "other")
    assert found["status"]["phase"] == "Invalid"
    assert "does not admit namespace other" in condition(found, "ValidationPassed")["message"]


def at_time(world: World, moment: str, **more: bool) -> Object:
    """Restore to a moment, and return the status of the session."""
    wanted = restore("back")
    wanted["spec"]["dataSource"] = {"repository": REPO, "pitr": {"targetTime": moment, **more}}
    world.add(wanted)
    world.settle()
    return status(world)


def test_a_moment_restores_the_newest_snapshot_that_is_not_younger():
    world = backed_up()
    older = world.find("Snapshot", f"{REPO}-run-0")["status"]["snapshotTime"]
    assert at_time(world, older)["dependencies"][0]["name"] == f"{REPO}-run-0"


def test_an_exclusive_moment_leaves_out_the_snapshot_of_that_very_time():
    world = backed_up()
    newer = world.find("Snapshot", f"{REPO}-run-1")["status"]["snapshotTime"]
    assert at_time(world, newer, exclusive=True)["dependencies"][0]["name"] == f"{REPO}-run-0"


def test_a_moment_before_the_first_backup_is_told():
    world = backed_up()
    found = at_time(world, "2020-01-01T00:00:00Z")
    assert (
        "no Snapshot that Succeeded at or before 2020-01-01T00:00:00Z"
        in condition(world.find("RestoreSession", "back"), "RestoreExecutorEnsured")["message"]
    )
    assert found["dependencies"][0]["found"] is False
