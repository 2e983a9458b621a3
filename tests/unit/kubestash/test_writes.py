"""What a backup costs the API server: every write request of the operator and of the trigger, counted."""

from tests.unit.kubestash.builders import REPO, ready_world, run, session
from tests.unit.kubestash.world import World, condition, succeeded

from holdfast.core.objects import Object
from holdfast.core.report import Failure
from holdfast.core.times import format_time

MOST = 12
"""Of one run with one repository, one component and no hooks. Events, the Ledger and the cluster's own controllers apart."""


class Counted(World):
    """Notes what the operator writes, and not what the cluster's own controllers make of it."""

    def count(self, *told: str) -> None:
        if told[1] != "Pod":
            self.log.append(told)

    def add(self, obj: Object) -> Object:
        self.count("apply", obj["kind"], obj["metadata"]["name"])
        return super().add(obj)

    def _write_status(self, owner: Object, status: Object) -> None:
        self.count("status", owner["kind"], owner["metadata"]["name"])
        super()._write_status(owner, status)

    def delete(self, kind: str, name: str, namespace: str = "demo") -> None:
        self.count("delete", kind, name)
        super().delete(kind, name, namespace)


def counted() -> Counted:
    world = ready_world()
    for number in range(2):
        run(world, f"run-{number}", f"{number}aaaaaaa")
        world.later(minutes=5)
    world.__class__ = Counted
    assert isinstance(world, Counted)
    world.log = []
    world.records = False
    return world


def test_a_run_takes_no_more_writes_than_the_budget():
    world = counted()
    world.add(session("run-9", retryLeft=0))
    world.settle()
    world.later(seconds=30)
    now = format_time(world.now)
    world.finish("run-9-dump-pod-0", succeeded(REPO, "dump-pod-0", "9aaaaaaa", started=now, finished=now))
    world.settle()
    world.later(seconds=5)
    world.finish(f"retentionpolicy-run-9-{REPO}")
    world.settle()

    assert world.find("BackupSession", "run-9")["status"]["phase"] == "Succeeded"
    ours = [told for told in world.log if told[:2] != ("delete", "Job")]  # garbage collection takes the Jobs of an old session
    assert len(ours) <= MOST, ours


def test_a_run_ends_with_every_documented_condition():
    world = counted()
    done = world.find("BackupSession", "run-1")

    for type_, reason in (
        ("SnapshotsEnsured", "SuccessfullyEnsuredSnapshots"),
        ("BackupExecutorEnsured", "SuccessfullyEnsuredBackupExecutor"),
        ("RetentionPolicyExecutorEnsured", "SuccessfullyEnsuredRetentionPolicyExecutor"),
        ("SessionHistoryCleaned", "SuccessfullyCleanedSessionHistory"),
        ("MetricsPushed", "SuccessfullyPushedMetrics"),
    ):
        assert (condition(done, type_)["status"], condition(done, type_)["reason"]) == ("True", reason)
    snapshot = world.find("Snapshot", f"{REPO}-run-1")
    assert condition(snapshot, "SnapshotMetadataUploaded")["reason"] == "SuccessfullyUploadedSnapshotMetadata"
    assert condition(snapshot, "RecentSnapshotListUpdated")["reason"] == "SuccessfullyUpdatedRecentSnapshotList"


def test_a_snapshot_that_was_not_recorded_says_so_and_stays_good():
    world = ready_world()
    world.records = False
    run(world, "run-0", "0aaaaaaa")
    world.finish(f"retentionpolicy-run-0-{REPO}", failure=Failure("AccessDenied", "the bucket refuses to be written"))
    world.settle()
    snapshot = world.find("Snapshot", f"{REPO}-run-0")

    assert snapshot["status"]["phase"] == "Succeeded"
    told = condition(snapshot, "SnapshotMetadataUploaded")
    assert (told["status"], told["reason"]) == ("False", "FailedToUploadSnapshotMetadata")
    assert "the bucket refuses" in told["message"]


def test_a_pass_over_unchanged_objects_writes_nothing():
    world = counted()
    world.settle()
    world.log = []
    world.later(seconds=20)
    world.settle()

    assert world.log == []
