"""Retention of archives by count and age, files first, never the last good one; and what a backup waits for. In memory."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.golden.test_mirantis_mutation import BUCKET, SHARE, credential, key, node, thing
from tests.sim.cluster import Cluster
from tests.sim.test_mirantis_sim import BAD, GOOD, START, backups, born

from holdfast.core.objects import Object
from holdfast.core.plan import Phase, Run, RunKind, StepState
from holdfast.dialects.mirantis import expiry
from holdfast.dialects.mirantis.dialect import Mirantis
from holdfast.dialects.mirantis.kinds import CLUSTER, CLUSTER_BACKUP_SCHEDULE, JOB


def kept(days: int, block: Object | None = None, **annotations: str) -> Cluster:
    """A daily schedule of which `days` backups have completed, one a day, each ended at once."""
    world = Cluster(Mirantis().handlers, START)
    spec: Object = {"targetCluster": "kaas-mgmt", "schedule": "0 0 * * *", **({"parameters": block} if block else {})}
    schedule = thing("ClusterBackupSchedule", "daily", **spec)
    schedule["metadata"]["annotations"] = {
        f"holdfast.dev/{name.replace('_', '-')}": value for name, value in annotations.items()
    }
    for obj in (thing("Cluster", "kaas-mgmt"), node(), credential(), key(), schedule):
        world.put(born(obj, START))
    world.settle()
    for _ in range(days):
        world.now = (world.now + timedelta(days=1)).replace(hour=0, minute=0)
        world.settle()
        for ref in world.running():
            if ref.name.startswith("cluster-backup"):
                world.end(ref, GOOD)
        world.settle()
    return world


def deletions(world: Cluster) -> list[Object]:
    """Return the calls of the Jobs that delete files."""
    jobs = [obj for ref, obj in sorted(world.objects.items()) if ref.kind == JOB and ref.name.startswith("delete-")]
    calls = [item["value"] for job in jobs for item in job["spec"]["template"]["spec"]["containers"][0]["env"]]
    return [msgspec.json.decode(call)["arguments"] for call in calls if call.startswith("{")]


def names(world: Cluster) -> list[str]:
    return [obj["metadata"]["name"] for obj in backups(world)]


def through(world: Cluster) -> Cluster:
    """Let every deletion end well."""
    while world.running():
        for ref in world.running():
            world.end(ref, GOOD)
        world.settle()
    return world


def test_without_annotations_nothing_ever_goes() -> None:
    assert deletions(kept(5)) == []


def test_of_seven_the_newest_two_stay_and_files_go_before_their_objects() -> None:
    world = kept(3, keep_last="2")
    assert [call["files"] for call in deletions(world)] == [["a.tar.gz"]]
    assert len(names(world)) == 3, "the object stays while its files are there"
    assert names(through(world)) == ["daily-202611220000", "daily-202611230000"]


def test_what_is_older_than_the_period_goes() -> None:
    world = kept(5, keep_within="2d")
    assert names(through(world))[0] == "daily-202611230000", "it is two days old, and not older"
    world.now += timedelta(minutes=1)
    world.settle()
    assert names(through(world)) == ["daily-202611240000", "daily-202611250000"]


def test_the_newest_good_one_outlives_its_age() -> None:
    world = kept(2, keep_within="1d")
    for _ in range(5):
        world.now += timedelta(days=1)
        world.settle()
        for ref in world.running():
            world.end(ref, BAD if ref.name.startswith("cluster-backup") else GOOD, failed=ref.name.startswith("cluster-backup"))
        world.settle()
    good = [obj["metadata"]["name"] for obj in backups(world) if obj["status"]["phase"] == "Completed"]
    assert good == ["daily-202611220000"]


@pytest.mark.parametrize(
    ("block", "place"),
    [
        (BUCKET, {"remote": "remote", "folder": "test/default-kaas-mgmt"}),
        (SHARE, {"location": "nfs://10.0.0.1:/backups/default-kaas-mgmt"}),
        (None, {"location": "manager-1:/srv/backup/ucp"}),
    ],
    ids=["bucket", "share", "local"],
)
def test_files_are_deleted_where_they_were_written(block: Object | None, place: dict[str, Any]) -> None:
    (call,) = deletions(kept(2, block, keep_last="1"))
    assert {name: call["place"][name] for name in place} == place


def test_a_deletion_that_fails_is_tried_again_an_hour_later() -> None:
    world = kept(2, keep_last="1")
    (ref,) = world.running()
    world.end(ref, BAD, failed=True)
    world.settle()
    assert (world.running(), len(names(world))) == ([], 2)
    world.now += timedelta(minutes=61)
    world.settle()
    world.settle()
    assert [again.name for again in world.running()] == [ref.name]


def test_nothing_is_dropped_blindly_while_the_credential_is_gone() -> None:
    world = kept(1, BUCKET, keep_last="1")
    world.objects = {ref: obj for ref, obj in world.objects.items() if ref.kind.kind != "RCloneCredential"}
    world.now += timedelta(days=1)
    world.settle()
    assert (deletions(world), names(world)[:1]) == ([], ["daily-202611210000"])


def test_a_backup_waits_for_a_node_that_is_ready() -> None:
    world = kept(0)
    ready = world.objects.pop(next(ref for ref in world.objects if ref.kind.kind == "Node"))
    world.put(born(thing("ClusterBackup", "waits", targetCluster="kaas-mgmt"), world.now))
    world.settle()
    (told,) = backups(world)
    assert told["status"]["phase"] == "Pending"
    assert "no Ready node has the label node-role.kubernetes.io/control-plane: label" in told["status"]["message"]
    world.put(ready)
    world.settle()
    assert backups(world)[0]["status"]["phase"] == "InProgress"


def test_a_backup_waits_for_a_cluster_that_is_not_there_and_gives_up_after_an_hour() -> None:
    world = kept(0)
    lost = [ref for ref in world.objects if ref.kind == CLUSTER]
    obj = world.objects.pop(lost[0])
    world.put(born(thing("ClusterBackup", "waits", targetCluster="kaas-mgmt"), world.now))
    world.settle()
    (told,) = backups(world)
    assert (told["status"]["phase"], "Cluster default/kaas-mgmt not found" in told["status"]["message"]) == ("Pending", True)
    world.objects[lost[0]] = obj
    world.settle()
    assert backups(world)[0]["status"]["phase"] == "InProgress"
    world.put(born(thing("ClusterBackup", "never", targetCluster="nowhere"), world.now))
    world.settle()
    world.now += timedelta(minutes=61)
    world.settle()
    never = next(obj for obj in backups(world) if obj["metadata"]["name"] == "never")
    assert (never["status"]["phase"], "nowhere not found" in never["status"]["message"]) == ("Failed", True)


def applied(world: Cluster) -> Object:
    (schedule,) = [obj for ref, obj in world.objects.items() if ref.kind == CLUSTER_BACKUP_SCHEDULE]
    return next(each for each in schedule["status"]["conditions"] if each["type"] == "RetentionApplied")


def test_how_retention_goes_is_a_condition() -> None:
    world = kept(4, keep_last="1")
    assert applied(world)["message"] == "deletes files"
    (ref,) = world.running()
    world.end(ref, BAD, failed=True)
    world.settle()
    assert (applied(world)["status"], applied(world)["reason"]) == ("False", "DeletionFailed")
    assert "daily-202611210000 are not deleted: no answer; tried again at" in applied(world)["message"]
    assert len(world.running()) == 1, "the next one is tried meanwhile, alone"
    world.now += timedelta(minutes=61)
    world.settle()
    world.settle()
    assert len(world.running()) == 1
    through(world)
    assert applied(world)["message"] == "nothing is left to delete"


def test_a_place_that_can_not_be_reached_is_told_and_nothing_is_started() -> None:
    world = kept(2, BUCKET, keep_last="1")
    world.objects = {ref: obj for ref, obj in world.objects.items() if ref.kind.kind not in ("RCloneCredential", "Job")}
    world.settle()
    assert applied(world)["status"] == "False"
    assert "RCloneCredential default/swift-s3 not found" in applied(world)["message"]
    assert deletions(world) == []


def test_a_deletion_whose_secret_is_missing_waits_alone_and_says_so() -> None:
    world = kept(3, BUCKET, keep_last="1")
    (ref,) = world.running()
    (schedule,) = [obj for each, obj in world.objects.items() if each.kind == CLUSTER_BACKUP_SCHEDULE]
    found = expiry.drop(schedule, world, world.now)
    assert found is not None
    (plan,) = found.plans
    state = StepState(phase=Phase.RUNNING, exists=True, reason="CreateContainerConfigError", message='secret "kept" not found')
    run = Run(name=plan.name, kind=RunKind.RETENTION, phase=Phase.RUNNING, steps={expiry.STEP: state})
    told = expiry.told(schedule, world, {plan.name: run}, world.now)
    assert told is not None
    assert (told.status, told.message) == ("False", 'a deletion waits: secret "kept" not found')
    assert [each.name for each in world.running()] == [ref.name]
