"""Deleting with WipeOut takes the data along, and only where somebody said so; without it the data stays."""

from tests.unit.kubestash.builders import BC, REPO, in_place, ready_world, run, sample
from tests.unit.kubestash.world import World, condition

from holdfast.core.report import Failure

DENIED = Failure("AccessDenied", "bucket demo: access denied")


def backed_up(policy: str = "WipeOut") -> World:
    wanted = sample()
    wanted["spec"]["sessions"][0]["repositories"][0]["deletionPolicy"] = policy
    world = ready_world(wanted)
    run(world, "run-1", "id00000001")
    return world


def without_its_configuration(world: World) -> World:
    """Take the BackupConfiguration away first, which would make the Repository again."""
    world.objects = {key: obj for key, obj in world.objects.items() if obj["kind"] != "BackupConfiguration"}
    return world


def test_a_wiped_repository_stays_until_its_data_is_gone():
    world = without_its_configuration(backed_up())
    world.delete("Repository", REPO)
    world.settle()

    mover, arguments, _ = world.call(f"cleanup-repo-{REPO}")
    assert mover == "wipe"
    assert arguments["store"]["url"] == "/kubestash/store/demo/data"
    assert arguments["listed"]["path"] == "demo/data"
    assert world.names("Snapshot") == []
    assert world.names("Repository") == [REPO]
    world.finish(f"cleanup-repo-{REPO}")
    world.settle()
    assert world.names("Repository") == []


def test_a_repository_that_is_only_deleted_leaves_its_data():
    world = without_its_configuration(backed_up("Delete"))
    world.delete("Repository", REPO)
    world.settle()

    assert world.names("Repository") == []
    assert [name for name in world.names("Job") if name.startswith("cleanup")] == []


def test_a_wipe_that_fails_says_why_and_giving_it_up_lets_the_repository_go():
    world = without_its_configuration(backed_up())
    world.delete("Repository", REPO)
    world.settle()
    world.finish(f"cleanup-repo-{REPO}", failure=DENIED)
    world.settle()

    told = condition(world.find("Repository", REPO), "DataWiped")
    assert (told["status"], told["reason"]) == ("False", "FailedToWipeOutData")
    assert "access denied; the next attempt is at " in told["message"]
    world.find("Repository", REPO)["spec"]["deletionPolicy"] = "Delete"
    world.settle()
    assert world.names("Repository") == []


def test_a_wipe_whose_secret_is_gone_does_not_hold_the_repository():
    world = without_its_configuration(backed_up())
    world.delete("Repository", REPO)
    world.settle()
    world.waits(f"cleanup-repo-{REPO}", "CreateContainerConfigError", 'secret "s3" not found')
    world.settle()

    assert world.names("Repository") == []
    assert [(reason, 'secret "s3" not found' in said) for reason, said in world.notes] == [("DataStays", True)]


def test_data_that_a_restore_reads_is_wiped_after_it():
    world = without_its_configuration(backed_up())
    world.add(in_place("back"))
    world.settle()
    world.delete("Repository", REPO)
    world.settle()
    assert [name for name in world.names("Job") if name.startswith("cleanup")] == []

    world.find("RestoreSession", "back")["status"]["phase"] = "Succeeded"
    world.settle()
    assert f"cleanup-repo-{REPO}" in world.names("Job")


def test_a_deleted_configuration_takes_data_along_only_where_it_says_so():
    world = backed_up()
    world.delete("BackupConfiguration", BC)
    world.settle()

    assert f"cleanup-repo-{REPO}" in world.names("Job")


def test_a_wiped_snapshot_loses_its_data_and_its_record():
    world = backed_up("Delete")
    snapshot = world.find("Snapshot", f"{REPO}-run-1")
    snapshot["spec"]["deletionPolicy"] = "WipeOut"
    world.settle()
    assert snapshot["metadata"]["finalizers"] == ["kubestash.com/cleanup"]
    world.delete("Snapshot", f"{REPO}-run-1")
    world.settle()

    mover, arguments, _ = world.call(f"cleanup-snapshot-{REPO}-run-1")
    assert mover == "retention"
    assert [item["snapshots"] for item in arguments["forget"]] == [[{"name": f"{REPO}-run-1", "snapshot_ids": ["id00000001"]}]]
    assert arguments["records"] == {"store": {"url": "/kubestash/store/demo/data"}, "delete": [f"{REPO}-run-1"]}
    world.finish(f"cleanup-snapshot-{REPO}-run-1")
    world.settle()
    assert world.names("Snapshot") == []


def test_a_snapshot_that_is_only_deleted_goes_at_once_and_is_never_held():
    world = backed_up("Delete")
    assert "finalizers" not in world.find("Snapshot", f"{REPO}-run-1")["metadata"]
    world.delete("Snapshot", f"{REPO}-run-1")
    world.settle()

    assert world.names("Snapshot") == []
    assert [name for name in world.names("Job") if name.startswith("cleanup")] == []


def test_a_wiped_storage_takes_its_repositories_and_then_what_lies_there():
    world = without_its_configuration(backed_up("Delete"))
    world.find("BackupStorage", "gcs-storage")["spec"]["deletionPolicy"] = "WipeOut"
    world.delete("BackupStorage", "gcs-storage")
    world.settle()

    assert (world.names("Repository"), world.names("Snapshot")) == ([], [])
    mover, arguments, _ = world.call("cleanup-gcs-storage")
    assert (mover, arguments["store"]["url"]) == ("storage-wipe", "/kubestash/store")
    world.finish("cleanup-gcs-storage")
    world.settle()
    assert world.names("BackupStorage") == []


def test_a_storage_that_is_only_deleted_never_wipes_even_repositories_that_would():
    world = without_its_configuration(backed_up("WipeOut"))
    world.delete("BackupStorage", "gcs-storage")
    world.settle()

    assert (world.names("BackupStorage"), world.names("Repository")) == ([], [])
    assert [name for name in world.names("Job") if name.startswith("cleanup")] == []


def test_the_right_to_make_objects_known_ends_with_the_initialising_job():
    world = backed_up()

    assert [name for name in world.names("RoleBinding") if name.startswith("kubestash-init-")] == []


def test_a_snapshot_that_came_back_waits_for_its_recorded_status():
    world = backed_up("Delete")
    known = world.find("Snapshot", f"{REPO}-run-1")
    marks = {**known["metadata"]["annotations"], "holdfast.dev/rediscovered": "true"}
    meta = {**known["metadata"], "name": "back", "annotations": marks, "uid": "uid-back"}
    world.add({**known, "metadata": meta, "status": {}, "spec": {**known["spec"], "backupSession": "long-gone"}})
    world.settle()

    assert world.find("Snapshot", "back").get("status", {}) == {}
