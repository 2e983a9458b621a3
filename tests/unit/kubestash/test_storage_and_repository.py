"""Storages and Repositories are proven before they are used, and heal by themselves."""

from datetime import timedelta
from itertools import pairwise

import pytest
import yaml
from tests.unit.kubestash.builders import EXAMPLES, ready_world, run, sample, sample_world
from tests.unit.kubestash.world import World, condition

from holdfast.core.objects import Object
from holdfast.core.report import Failure
from holdfast.core.times import format_time

DENIED = Failure("AccessDenied", "bucket demo-backups: access denied", "check the key in Secret demo/s3-secret")


def s3_world() -> World:
    world = sample_world(storage="storage-s3.yaml")
    world.settle()
    return world


def storage(world: World) -> Object:
    return world.find("BackupStorage", "s3-storage")


def elsewhere(shared: Object) -> Object:
    """Return a storage as one of namespace vault that admits everybody."""
    spec = {**shared["spec"], "usagePolicy": {"allowedNamespaces": {"from": "All"}}}
    return {**shared, "metadata": {"name": shared["metadata"]["name"], "namespace": "vault"}, "spec": spec}


def test_an_initialised_storage_is_ready_and_stays_so_without_its_job():
    world = s3_world()
    assert storage(world)["status"]["phase"] == "NotReady"
    world.finish("init-s3-storage")
    world.settle()
    assert storage(world)["status"]["phase"] == "Ready"
    assert condition(storage(world), "BackendInitialized")["reason"] == "BackendInitializationSucceeded"
    assert condition(storage(world), "BackendSecretFound")["reason"] == "BackendSecretAvailable"
    world.delete("Job", "init-s3-storage")
    world.settle()
    assert world.names("Job") == []
    assert storage(world)["status"]["phase"] == "Ready"


def test_the_job_is_told_the_place_and_where_the_key_is_mounted_but_never_the_key():
    world = s3_world()
    assert world.call("init-s3-storage") == (
        "storage-init",
        {
            "store": {
                "url": "s3:http://127.0.0.1:9000/demo-backups/holdfast",
                "options": {"region": "us-east-1"},
                "credentials_dir": "/holdfast/secrets/storage",
            },
            "document": {"kind": "BackendMeta", "operatorVersion": "holdfast", "repositories": []},
            "adopt": ["demo", "s3-storage"],
        },
        "storage=s3-secret",
    )
    job = world.find("Job", "init-s3-storage")
    assert job["spec"]["template"]["spec"]["containers"][0]["securityContext"]["runAsUser"] == 65534


def test_a_local_storage_is_mounted_where_it_says_and_written_by_root():
    world = sample_world()
    world.settle()
    pod = world.find("Job", "init-gcs-storage")["spec"]["template"]["spec"]
    assert {"mountPath": "/kubestash/store", "name": "storage-demo-gcs-storage"} in pod["containers"][0]["volumeMounts"]
    assert pod["containers"][0]["securityContext"]["runAsUser"] == 0
    assert "add" not in pod["containers"][0]["securityContext"]["capabilities"]


def test_a_wrong_key_is_told_in_the_condition_and_tried_again_after_a_growing_pause():
    world = s3_world()
    tried: list[int] = []
    began = world.now
    while len(tried) < 7:
        if "status" not in world.find("Job", "init-s3-storage"):
            tried.append(round((world.now - began).total_seconds() / 60))
            world.finish("init-s3-storage", failure=DENIED)
            world.settle()
            judged = condition(storage(world), "BackendInitialized")
            assert judged["reason"] == "BackendInitializationFailed"
            said, _, due = judged["message"].partition("; the next attempt is at ")
            assert said == "bucket demo-backups: access denied (check the key in Secret demo/s3-secret)"
            assert format_time(world.now + timedelta(minutes=1)) <= due <= format_time(world.now + timedelta(minutes=10))
            assert storage(world)["status"]["phase"] == "NotReady"
        world.later(minutes=1)
        world.settle()
    assert [later - earlier for earlier, later in pairwise(tried)] == [1, 1, 2, 4, 8, 10]


def test_a_job_whose_node_went_away_is_tried_again_at_once_but_not_for_ever():
    world = s3_world()
    for retry in (1, 2, 3):
        world.crash("init-s3-storage", "NodeRestarted", "the node was restarted")
        world.settle()
        said = condition(storage(world), "BackendInitialized")["message"]
        assert said.endswith(f"the node was restarted; tried again at once ({retry} of 3)")
        assert "status" not in world.find("Job", "init-s3-storage")
    world.crash("init-s3-storage", "NodeRestarted", "the node was restarted")
    world.settle()
    said = condition(storage(world), "BackendInitialized")["message"]
    assert said.endswith(f"; the next attempt is at {format_time(world.now + timedelta(minutes=1))}")
    assert "status" in world.find("Job", "init-s3-storage")
    world.later(minutes=1)
    world.settle()
    world.finish("init-s3-storage")
    world.settle()
    assert storage(world)["status"]["phase"] == "Ready"


def test_a_changed_spec_is_tried_at_once():
    world = s3_world()
    world.finish("init-s3-storage", failure=DENIED)
    world.settle()
    spec = storage(world)["spec"]
    s3 = {**spec["storage"]["s3"], "secretName": "right-secret"}
    world.add({**storage(world), "spec": {**spec, "storage": {"provider": "s3", "s3": s3}}})
    world.settle()
    assert "status" not in world.find("Job", "init-s3-storage")
    world.finish("init-s3-storage")
    world.settle()
    assert storage(world)["status"]["phase"] == "Ready"


def test_a_ready_storage_stays_ready_until_its_new_spec_has_an_outcome():
    world = s3_world()
    world.finish("init-s3-storage")
    world.settle()
    policy = {"allowedNamespaces": {"from": "All"}}
    world.add({**storage(world), "spec": {**storage(world)["spec"], "usagePolicy": policy}})
    world.settle()
    assert "status" not in world.find("Job", "init-s3-storage")
    assert storage(world)["status"]["phase"] == "Ready"
    world.finish("init-s3-storage", failure=DENIED)
    world.settle()
    assert storage(world)["status"]["phase"] == "NotReady"


def test_a_missing_secret_is_told_and_its_arrival_heals():
    world = s3_world()
    world.waits("init-s3-storage", "CreateContainerConfigError", 'secret "demo/s3-secret" not found')
    world.settle()
    judged = condition(storage(world), "BackendSecretFound")
    assert judged["reason"] == "BackendSecretNotAvailable"
    assert 'secret "demo/s3-secret" not found' in judged["message"]
    world.finish("init-s3-storage")
    world.settle()
    assert condition(storage(world), "BackendSecretFound")["status"] == "True"
    assert storage(world)["status"]["phase"] == "Ready"


def test_of_two_storages_in_one_place_the_younger_is_told():
    world = s3_world()
    world.later(seconds=1)
    world.add({**storage(world), "metadata": {"name": "twin", "namespace": "demo"}})
    world.settle()
    assert "uses the same place" in condition(world.find("BackupStorage", "twin"), "ValidationPassed")["message"]
    assert condition(storage(world), "ValidationPassed") == {}


def test_a_storage_lists_its_repositories_and_their_size():
    world = ready_world()
    run(world, "run-1")
    status = world.find("BackupStorage", "gcs-storage")["status"]
    assert status["totalSize"] == "1.907 MiB"
    assert status["repositories"] == [
        {"name": "gcs-demo-repo", "namespace": "demo", "path": "/demo/data", "size": "1.907 MiB", "synced": True}
    ]


def test_a_repository_without_its_storage_is_not_ready_until_it_is_back():
    world = ready_world()
    kept = world.find("BackupStorage", "gcs-storage")
    world.delete("BackupStorage", "gcs-storage")
    world.settle()
    status = world.find("Repository", "gcs-demo-repo")["status"]
    assert status["phase"] == "NotReady"
    judged = condition(world.find("Repository", "gcs-demo-repo"), "RepositoryInitialized")
    assert judged["message"] == "BackupStorage demo/gcs-storage not found"
    listed = world.find("BackupConfiguration", "sample-backup-sts")["status"]["repositories"][0]
    assert (listed["phase"], listed["reason"]) == ("NotReady", "BackupStorage demo/gcs-storage not found")
    meta = {"name": "gcs-storage", "namespace": "demo"}
    world.add({"apiVersion": kept["apiVersion"], "kind": "BackupStorage", "metadata": meta, "spec": kept["spec"]})
    world.settle()
    for job in ("init-gcs-storage", "init-repo-gcs-demo-repo"):
        world.finish(job)
        world.settle()
    assert world.find("Repository", "gcs-demo-repo")["status"]["phase"] == "Ready"


def test_a_repository_says_why_its_storage_is_not_ready():
    world = ready_world()
    spec = world.find("BackupStorage", "gcs-storage")["spec"]
    world.add({**world.find("BackupStorage", "gcs-storage"), "spec": {**spec, "runtimeSettings": {"pod": {"priority": 1}}}})
    world.settle()
    world.finish("init-gcs-storage", failure=DENIED)
    world.settle()
    judged = condition(world.find("Repository", "gcs-demo-repo"), "BackendReady")
    assert judged["message"].startswith("BackupStorage demo/gcs-storage is not Ready: bucket demo-backups: access denied")


def test_an_unused_repository_is_ready_and_empty():
    status = ready_world().find("Repository", "gcs-demo-repo")["status"]
    assert (status["phase"], status["snapshotCount"], status["size"]) == ("Ready", 0, "0 B")


def test_a_repository_shows_its_five_newest_snapshots_and_the_last_good_one():
    world = ready_world()
    for index in range(5):
        run(world, f"run-{index}")
        world.later(minutes=5)
    run(world, "run-5")
    status = world.find("Repository", "gcs-demo-repo")["status"]
    recent = [entry["name"] for entry in status["recentSnapshots"]]
    assert recent == [f"gcs-demo-repo-run-{index}" for index in (5, 4, 3, 2, 1)]
    assert status["lastBackupTime"] == status["recentSnapshots"][0]["snapshotTime"]
    assert status["integrity"] is True


def test_a_repository_in_another_namespace_brings_a_copy_of_the_storages_secret():
    world = sample_world(storage="storage-s3.yaml")
    shared = storage(world)
    world.delete("BackupStorage", "s3-storage")
    policy = {"allowedNamespaces": {"from": "All"}}
    world.add(
        {**shared, "metadata": {"name": "s3-storage", "namespace": "vault"}, "spec": {**shared["spec"], "usagePolicy": policy}}
    )
    wanted = sample()
    wanted["spec"]["backends"][0]["storageRef"] = {"name": "s3-storage", "namespace": "vault"}
    world.add(wanted)
    world.settle()
    world.finish("init-s3-storage")
    world.settle()
    assert "init-repo-gcs-demo-repo" in world.names("Job")
    copy = world.copied[0].copy
    assert str(copy.source) == "Secret vault/s3-secret"
    assert copy.target.namespace == "demo"
    assert copy.owner is not None


def test_a_local_storage_on_a_claim_of_another_namespace_is_refused_with_advice():
    world = sample_world()
    shared = world.find("BackupStorage", "gcs-storage")
    world.delete("BackupStorage", "gcs-storage")
    policy = {"allowedNamespaces": {"from": "All"}}
    world.add(
        {**shared, "metadata": {"name": "gcs-storage", "namespace": "vault"}, "spec": {**shared["spec"], "usagePolicy": policy}}
    )
    wanted = sample()
    wanted["spec"]["backends"][0]["storageRef"]["namespace"] = "vault"
    world.add(wanted)
    world.settle()
    world.finish("init-gcs-storage")
    world.settle()
    judged = condition(world.find("Repository", "gcs-demo-repo"), "RepositoryInitialized")
    assert "a Job in demo can't mount" in judged["message"]


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.yaml")))
def test_every_example_passes_its_crd(name: str):
    text = (EXAMPLES / name).read_text().replace("generateName: ", "name: x")
    world = World()
    for document in yaml.safe_load_all(text):
        world.add(document)
    assert world.objects
