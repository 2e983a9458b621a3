"""A claim that names a Snapshot as its source is filled with that Snapshot's files."""

from tests.unit.kubestash.builders import REPO, ready_world, run
from tests.unit.kubestash.world import World

from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Problems
from holdfast.dialects.kubestash.dialect import KubeStash

SNAPSHOT = f"{REPO}-run-1"


def claim(name: str = "born") -> Object:
    meta = {"name": name, "namespace": "demo", "uid": "uid-born"}
    source = {"apiGroup": "storage.kubestash.com", "kind": "Snapshot", "name": SNAPSHOT}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": {"dataSourceRef": source}}


def filled(world: World) -> Desired | Problems:
    (populator,) = KubeStash().populators
    return populator.fill(claim(), world.find("Snapshot", SNAPSHOT), "populate-uid-born", world, world.now)


def test_the_files_are_restored_where_the_volume_was_mounted():
    world = ready_world()
    run(world, "run-1", "id00000001")

    desired = filled(world)

    assert isinstance(desired, Desired)
    (step,) = desired.runs[0].steps
    pod = step.child["spec"]["template"]["spec"]
    assert pod["volumes"][0] == {"name": "scratch", "persistentVolumeClaim": {"claimName": "populate-uid-born"}}
    assert pod["containers"][0]["volumeMounts"][0] == {"name": "scratch", "mountPath": "/source/data"}
    assert step.mover is not None
    assert step.mover.arguments["snapshot_ids"] == ["id00000001"]


def test_a_failed_snapshot_fills_nothing_and_says_so():
    world = ready_world()
    run(world, "run-1", "id00000001")
    world.find("Snapshot", SNAPSHOT)["status"]["phase"] = "Failed"

    found = filled(world)

    assert isinstance(found, Problems)
    assert f"Snapshot demo/{SNAPSHOT} is Failed" in str(found)


def test_a_snapshot_that_is_being_made_is_waited_for():
    world = ready_world()
    run(world, "run-1", "id00000001")
    world.find("Snapshot", SNAPSHOT)["status"]["phase"] = "Running"

    assert filled(world) == Desired()
