"""A BackupBlueprint of the sample, and a workload that asks for it."""

import copy

from tests.unit.kubestash.builders import sample
from tests.unit.kubestash.world import World

from holdfast.core.objects import Object

NAME = "statefulset-sample-sts"


def blueprint(**template: object) -> Object:
    spec = copy.deepcopy(sample()["spec"])
    session = spec["sessions"][0]
    session["repositories"][0] |= {"name": "${targetName}-repo", "directory": "/${namespace}/${targetName}"}
    session["scheduler"]["schedule"] = "${schedule:=0 2 * * *}"
    session["addon"]["tasks"][0]["params"]["paths"] = "${path}"
    spec["sessions"].append({**copy.deepcopy(session), "name": "weekly"})
    del spec["target"]
    return {
        "apiVersion": "core.kubestash.com/v1alpha1",
        "kind": "BackupBlueprint",
        "metadata": {"name": "nightly", "namespace": "demo"},
        "spec": {
            "subjects": [{"apiVersion": "apps/v1", "kind": "StatefulSet"}],
            "backupConfigurationTemplate": {**spec, **template},
        },
    }


def asking(world: World, **marks: str) -> World:
    wanted = world.find("StatefulSet", "sample-sts")
    names = {"name": "blueprint.kubestash.com/name", "sessions": "blueprint.kubestash.com/session-names"}
    notes = {names.get(key, f"variables.kubestash.com/{key}"): value for key, value in marks.items()}
    world.add({**wanted, "metadata": {**wanted["metadata"], "annotations": notes}})
    world.settle()
    return world
