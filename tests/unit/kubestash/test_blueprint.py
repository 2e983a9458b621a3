"""BackupBlueprints: a workload asks by annotation, and gets a BackupConfiguration filled in for it."""

import pytest
from tests.unit.kubestash.blueprints import NAME, asking, blueprint
from tests.unit.kubestash.builders import sample, sample_world


def test_a_workload_that_asks_gets_a_configuration_with_its_values():
    world = sample_world()
    world.add(blueprint())
    asking(world, name="nightly", path="/source/data", sessions="demo-session")

    made = world.find("BackupConfiguration", NAME)
    (session,) = made["spec"]["sessions"]
    assert session["repositories"][0]["name"] == "sample-sts-repo"
    assert session["repositories"][0]["directory"] == "/demo/sample-sts"
    assert session["scheduler"]["schedule"] == "0 2 * * *"
    assert session["addon"]["tasks"][0]["params"]["paths"] == "/source/data"
    assert made["spec"]["target"] == {"apiGroup": "apps", "kind": "StatefulSet", "name": "sample-sts", "namespace": "demo"}
    assert made["metadata"]["labels"]["kubestash.com/invoker-kind"] == "BackupBlueprint"


def test_a_missing_value_is_told_and_nothing_is_made():
    world = sample_world()
    world.add(blueprint())
    asking(world, name="nightly")

    assert world.names("BackupConfiguration") == []
    assert any(reason == "VariableMissing" and "${path}" in said for reason, said in world.notes)


def test_without_the_annotation_nothing_is_made_and_what_was_made_goes():
    world = sample_world()
    world.add(blueprint())
    world.settle()
    assert world.names("BackupConfiguration") == []
    asking(world, name="nightly", path="/source/data")
    assert world.names("BackupConfiguration") == [NAME]
    asking(world)
    assert world.names("BackupConfiguration") == []


@pytest.mark.parametrize(("policy", "left"), [("OnDelete", []), (None, [NAME])])
def test_a_deleted_blueprint_takes_its_configurations_along_only_when_it_says_so(policy: str | None, left: list[str]):
    world = sample_world()
    world.add(blueprint(**({"deletionPolicy": policy} if policy else {})))
    asking(world, name="nightly", path="/source/data")
    world.delete("BackupBlueprint", "nightly")
    world.settle()

    assert world.names("BackupConfiguration") == left
    assert world.names("BackupBlueprint") == []


def test_somebody_elses_configuration_of_that_name_is_left_alone():
    world = sample_world()
    theirs = sample()
    theirs["metadata"]["name"] = NAME
    world.add(theirs)
    world.add(blueprint())
    asking(world, name="nightly", path="/source/data")

    assert len(world.find("BackupConfiguration", NAME)["spec"]["sessions"]) == 1
    assert any(reason == "NameTaken" for reason, _ in world.notes)


def test_a_subject_that_is_never_backed_up_is_refused():
    wanted = blueprint()
    wanted["spec"]["subjects"] = [{"apiVersion": "v1", "kind": "ConfigMap"}]
    assert "ConfigMap is nothing that is backed up" in sample_world().problems(wanted)
