"""After a backup: what goes, what stays, and that a Snapshot goes only after its data."""

from tests.unit.kubestash.builders import REPO, in_place, ready_world, run, sample, session
from tests.unit.kubestash.world import World, succeeded

from holdfast.core.report import Failure, RepositoryResult


def world_with(**rules: object) -> World:
    world = ready_world()
    policy = world.find("RetentionPolicy", "demo-retention")
    world.add({**policy, "spec": rules})
    world.settle()
    return world


def cleanup(name: str) -> str:
    return f"retentionpolicy-{name}-{REPO}"


def backups(world: World, count: int, start: int = 0) -> None:
    for index in range(start, start + count):
        run(world, f"run-{index}", f"id{index:08}")
        world.later(minutes=5)
        world.settle()


def test_the_oldest_is_forgotten_in_its_repository_and_then_its_snapshot_goes():
    world = world_with(successfulSnapshots={"last": 2})
    backups(world, 2)
    run(world, "run-2", "id00000002")
    world.later(seconds=11)  # a retention that ends in a moment is told with the end alone
    world.settle()
    status = world.find("BackupSession", "run-2")["status"]
    assert (status["phase"], status["retentionPolicy"][0]["phase"]) == ("Running", "Pending")
    assert len(world.names("Snapshot")) == 3
    assert world.call(cleanup("run-2"))[1]["forget"] == [
        {
            "repository": {
                "name": REPO,
                "store": {"url": "/kubestash/store/demo/data/repository/v1/demo-session/dump-pod-0"},
                "password_file": "/holdfast/secrets/encryption-gcs-demo-repo/RESTIC_PASSWORD",
                "component": "dump-pod-0",
            },
            "snapshots": [{"name": "gcs-demo-repo-run-0", "snapshot_ids": ["id00000000"]}],
        }
    ]
    world.finish(cleanup("run-2"))
    world.settle()
    assert world.names("Snapshot") == ["gcs-demo-repo-run-1", "gcs-demo-repo-run-2"]
    status = world.find("BackupSession", "run-2")["status"]
    assert (status["phase"], status["retentionPolicy"][0]["phase"]) == ("Succeeded", "Applied")


def test_a_snapshot_that_is_being_wiped_takes_no_place_of_one_that_could_stay():
    world = world_with(successfulSnapshots={"last": 2})
    backups(world, 2)
    world.find("Snapshot", f"{REPO}-run-1")["spec"]["deletionPolicy"] = "WipeOut"
    world.settle()
    world.delete("Snapshot", f"{REPO}-run-1")
    world.settle()
    assert f"{REPO}-run-1" in world.names("Snapshot"), "its data is still there"

    run(world, "run-2", "id00000002")

    assert world.call(cleanup("run-2"))[1]["forget"] == [], "the two others are all that will be left"


def test_only_what_the_job_was_told_goes():
    world = world_with(successfulSnapshots={"last": 2})
    backups(world, 2)
    run(world, "run-2", "id00000002")
    policy = world.find("RetentionPolicy", "demo-retention")
    world.add({**policy, "spec": {"successfulSnapshots": {"last": 1}}})
    world.finish(cleanup("run-2"))
    world.settle()
    assert world.names("Snapshot") == ["gcs-demo-repo-run-1", "gcs-demo-repo-run-2"]


def test_a_failed_cleanup_keeps_the_snapshots_and_fails_the_session():
    world = world_with(successfulSnapshots={"last": 1})
    backups(world, 1)
    run(world, "run-1", "id00000001")
    world.finish(cleanup("run-1"), failure=Failure("RepositoryLocked", "locked by another process"))
    world.settle()
    assert len(world.names("Snapshot")) == 2
    status = world.find("BackupSession", "run-1")["status"]
    assert status["phase"] == "Failed"
    assert status["retentionPolicy"][0]["phase"] == "FailedToApply"
    assert status["retentionPolicy"][0]["error"] == "locked by another process"


def test_what_a_failed_cleanup_had_forgotten_goes_all_the_same():
    world = world_with(successfulSnapshots={"last": 1})
    backups(world, 1)
    run(world, "run-1", "id00000001")
    forgotten = RepositoryResult(REPO, "dump-pod-0", deleted=("gcs-demo-repo-run-0",))
    world.finish(cleanup("run-1"), forgotten, failure=Failure("PruneFailed", "the space could not be freed"))
    world.settle()
    assert world.names("Snapshot") == ["gcs-demo-repo-run-1"]
    assert world.find("BackupSession", "run-1")["status"]["retentionPolicy"][0]["phase"] == "FailedToApply"


def test_a_cleanup_that_is_cut_short_is_told():
    world = world_with(successfulSnapshots={"last": 1})
    backups(world, 1)
    run(world, "run-1", "id00000001")
    world.crash(cleanup("run-1"), "Evicted", "low on memory")
    world.settle()
    conditions = world.find("BackupSession", "run-1")["status"]["conditions"]
    found = next(item for item in conditions if item["type"] == "SnapshotCleanupIncomplete")
    assert found["reason"] == "SnapshotCleanupTerminatedBeforeCompletion"


def test_good_and_failed_snapshots_are_counted_apart():
    world = world_with(successfulSnapshots={"last": 2}, failedSnapshots={"last": 1})
    for index in range(7):
        if index % 2:
            world.add(session(f"run-{index}", retryLeft=0))
            world.settle()
            world.finish(f"run-{index}-dump-pod-0", failure=Failure("X", "broken"))
            world.settle()
        else:
            run(world, f"run-{index}", f"id{index:08}")
        if cleanup(f"run-{index}") in world.names("Job"):
            world.finish(cleanup(f"run-{index}"))
            world.settle()
        world.later(minutes=5)
    phases = [obj["status"]["phase"] for obj in world.all("Snapshot")]
    assert sorted(phases) == ["Failed", "Succeeded", "Succeeded"]


def test_the_newest_good_snapshot_outlives_its_age():
    world = world_with(maxRetentionPeriod="1h")
    backups(world, 1)
    world.later(days=30)
    world.add(session("run-1", retryLeft=0))
    world.settle()
    world.finish("run-1-dump-pod-0", failure=Failure("X", "broken"))
    world.settle()
    assert "gcs-demo-repo-run-0" in world.names("Snapshot")


def test_a_paused_snapshot_stays():
    world = world_with(successfulSnapshots={"last": 1})
    backups(world, 1)
    world.find("Snapshot", "gcs-demo-repo-run-0")["spec"]["paused"] = True
    run(world, "run-1", "id00000001")
    assert world.find("BackupSession", "run-1")["status"]["phase"] == "Succeeded"
    assert len(world.names("Snapshot")) == 2


def test_a_snapshot_that_a_restore_reads_stays():
    world = world_with(successfulSnapshots={"last": 1})
    backups(world, 1)
    world.add(in_place("back", snapshot="gcs-demo-repo-run-0"))
    world.add({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "source-data-sample-sts-0"}})
    world.settle()
    world.find("RestoreSession", "back")["spec"]["target"]["name"] = "another"
    run(world, "run-1", "id00000001")
    assert world.find("BackupSession", "run-1")["status"]["phase"] == "Succeeded"
    assert len(world.names("Snapshot")) == 2


def test_another_session_of_the_same_repository_keeps_its_own():
    wanted = sample()
    wanted["spec"]["sessions"].append({**wanted["spec"]["sessions"][0], "name": "monthly"})
    world = ready_world(wanted)
    policy = world.find("RetentionPolicy", "demo-retention")
    world.add({**policy, "spec": {"successfulSnapshots": {"last": 1}}})
    world.add(session("run-m", session="monthly", retryLeft=0))
    world.settle()
    world.finish("run-m-dump-pod-0", succeeded(REPO, "dump-pod-0", "idmonthly"))
    world.settle()
    world.later(minutes=1)
    backups(world, 1)
    assert sorted(world.names("Snapshot")) == ["gcs-demo-repo-run-0", "gcs-demo-repo-run-m"]


def test_a_missing_policy_is_told():
    world = ready_world()
    world.add(session("run-1", retryLeft=0))
    world.settle()
    world.delete("RetentionPolicy", "demo-retention")
    world.finish("run-1-dump-pod-0", succeeded(REPO))
    world.settle()
    entry = world.find("BackupSession", "run-1")["status"]["retentionPolicy"][0]
    assert (entry["phase"], entry["error"]) == ("FailedToApply", "RetentionPolicy demo/demo-retention not found")
