"""ActionSets and BackupPolicies of KubeBlocks: Available when a backup would find all it needs, else with the reason."""

from typing import Any

import pytest
from tests.kubeblocks_world import World, repo, status, thing, world

from holdfast.core.objects import Object

__all__ = ["world"]
pytestmark = [pytest.mark.run, pytest.mark.timeout(60), pytest.mark.asyncio(loop_scope="module")]

JOB = {"image": "holdfast:test", "command": ["true"]}
TARGET = {"podSelector": {"matchLabels": {"app": "db"}}}


def action_set(name: str, **spec: Any) -> Object:
    given: dict[str, Any] = {"backup": {"backupData": JOB}, **spec}
    return thing("ActionSet", name, **given)


def policy(name: str, *, action_set: str = "dump", **spec: Any) -> Object:
    methods = [{"name": "dump", "actionSetName": action_set}]
    given: dict[str, Any] = {"backupMethods": methods, "target": TARGET, **spec}
    return thing("BackupPolicy", name, **given)


async def test_a_policy_becomes_available_when_what_it_names_comes(world: World) -> None:
    await world.apply(policy("waits", action_set="later", backupRepoName="later"))
    found = await world.phase("BackupPolicy", "waits", "Unavailable")
    assert "ActionSet later not found" in found["message"]
    assert "BackupRepo later not found" in found["message"]

    await world.apply(action_set("later"), repo("later"))
    await world.phase("ActionSet", "later", "Available")
    ready = await world.phase("BackupPolicy", "waits", "Available")
    assert "message" not in ready
    assert ready["observedGeneration"] == 1


async def test_a_parameter_that_is_not_declared_makes_an_action_set_unavailable_and_its_policies_with_it(world: World) -> None:
    backup = {"backupData": JOB, "withParameters": ["table", "speed"]}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"table": {"type": "string"}}}}
    await world.apply(action_set("selective", backup=backup, parametersSchema=schema), policy("unfit", action_set="selective"))
    found = await world.phase("ActionSet", "selective", "Unavailable")
    assert found["message"] == "spec.backup.withParameters: speed is not in spec.parametersSchema.openAPIV3Schema"
    told = await world.phase("BackupPolicy", "unfit", "Unavailable")
    assert "ActionSet selective is Unavailable" in told["message"]

    schema["openAPIV3Schema"]["properties"]["speed"] = {"type": "integer"}  # type: ignore[index]
    await world.apply(action_set("selective", backup=backup, parametersSchema=schema))
    await world.phase("BackupPolicy", "unfit", "Available")


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("nameless", {"target": None, "targets": [TARGET, TARGET]}, "spec.targets[0].name: is needed"),
        (
            "twice",
            {"target": None, "targets": [{**TARGET, "name": "a"}, {**TARGET, "name": "a"}]},
            "targets[1].name: a is used twice",
        ),
        ("podless", {"target": {"podSelector": {}}}, "spec.target.podSelector: selects no pods"),
        ("neither", {"backupMethods": [{"name": "m"}]}, "spec.backupMethods[0].actionSetName: is needed unless"),
        ("volumeless", {"backupMethods": [{"name": "m", "snapshotVolumes": True}]}, "targetVolumes.volumes: is needed with"),
        (
            "mounts",
            {
                "backupMethods": [
                    {
                        "name": "m",
                        "snapshotVolumes": True,
                        "targetVolumes": {"volumes": ["data"], "volumeMounts": [{"name": "log", "mountPath": "/log"}]},
                    }
                ]
            },
            "log is not among targetVolumes.volumes",
        ),
    ],
)
async def test_what_makes_a_policy_unfit_is_told_by_field(world: World, name: str, spec: Object, expected: str) -> None:
    given = policy(name, **spec)
    given["spec"] = {key: value for key, value in given["spec"].items() if value is not None}
    await world.apply(given)
    found = await world.phase("BackupPolicy", name, "Unavailable")
    assert expected in found["message"]


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (policy("a", backupMethods=[{"name": "m", "actionSetName": "x"}] * 2), "m is the name of two methods"),
        (policy("b", pathPrefix="../other"), "spec.pathPrefix"),
        (policy("c", targets=[{"name": "t", **TARGET}]), "exactly one of target and targets"),
        (policy("d", backoffLimit=11), "spec.backoffLimit"),
        (action_set("e", backupType="Selective"), "spec.backupType"),
        (
            action_set("f", backup={"preBackup": [{"exec": {"command": ["a"], "timeout": "soon"}}]}),
            "spec.backup.preBackup[0].exec.timeout: 'soon' is not a positive duration",
        ),
        (
            action_set("g", backup={"preBackup": [{"exec": {"command": ["a"]}, "job": JOB}]}),
            "only one of exec and job may be set",
        ),
        (
            action_set("h", parametersSchema={"openAPIV3Schema": {"type": "object", "properties": {"a": {"type": "strng"}}}}),
            "spec.parametersSchema.openAPIV3Schema: can't be used",
        ),
    ],
)
async def test_what_cant_be_meant_is_refused_at_once(world: World, obj: Object, expected: str) -> None:
    assert expected in await world.refused(obj)


async def test_a_change_of_the_policy_is_judged_anew(world: World) -> None:
    await world.apply(action_set("dump"), policy("edited"))
    await world.phase("BackupPolicy", "edited", "Available")
    await world.apply(policy("edited", action_set="none"))
    found = await world.wait("BackupPolicy", "edited", lambda obj: status(obj).get("observedGeneration") == 2)
    assert status(found)["phase"] == "Unavailable"


async def test_a_method_without_its_action_set_keeps_no_other_method_from_its_backups(world: World) -> None:
    methods = [{"name": "good", "actionSetName": "good"}, {"name": "bad", "actionSetName": "nowhere"}]
    made = [thing("Backup", name, backupPolicyName="mixed", backupMethod=name) for name in ("good", "bad")]
    target = {"podSelector": {"matchLabels": {"app": "mixed"}}}
    await world.apply(action_set("good"), policy("mixed", backupMethods=methods, target=target))
    found = await world.phase("BackupPolicy", "mixed", "Unavailable")
    assert "backupMethods[1].actionSetName: ActionSet nowhere not found" in found["message"]

    await world.apply(*made)
    assert "matches the target" in (await world.told("good", "no ready pod"))["message"]
    assert "nowhere not found" in (await world.told("bad", "BackupPolicy default/mixed is Unavailable"))["message"]
