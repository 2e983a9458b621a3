"""Hooks: what runs before and after, in which pods, with which words, and that what a hook froze is always thawed."""

import pytest
from tests.unit.kubestash.builders import BC, REPO, in_place, ready_world, run, sample, sample_world, session
from tests.unit.kubestash.hook_builders import FREEZE, TELL, THAW, hook, notifier, pod, template
from tests.unit.kubestash.world import World, condition, succeeded

from holdfast.core.objects import Object
from holdfast.core.report import Failure

WORK = "run-1-dump-pod-0"
BROKEN = Failure("ExitCode", "command ended with exit code 1")


def world_with(pre: list[Object], post: list[Object], *objects: Object) -> World:
    wanted = sample()
    wanted["spec"]["sessions"][0]["hooks"] = {"preBackup": pre, "postBackup": post}
    world = ready_world(wanted)
    for obj in (FREEZE, THAW, TELL, pod("sample-sts-0"), *objects):
        world.add(obj)
    world.add(session("run-1", retryLeft=0))
    world.settle()
    return world


def started(world: World, name: str) -> bool:
    return name in world.names("Job")


def phase(world: World) -> str:
    return world.find("BackupSession", "run-1")["status"]["phase"]


def end(world: World, name: str, failure: Failure | None = None) -> None:
    world.finish(name, failure=failure)
    world.settle()


def test_the_backup_waits_for_the_hook_before_it_and_the_hook_after_waits_for_the_backup():
    world = world_with([hook("freeze", params={"lock": "hard"})], [hook("thaw")])
    assert world.call("hook-run-1-pre-0-sample-sts-0")[:2] == (
        "exec",
        {
            "namespace": "demo",
            "pod": "sample-sts-0",
            "command": ["sh", "-c", "freeze hard $HOME ${HOME}"],
            "container": "side",
            "uid": "uid-sample-sts-0",
            "timeout": 600,
        },
    )
    assert not started(world, WORK)

    end(world, "hook-run-1-pre-0-sample-sts-0")
    assert started(world, WORK)
    assert not started(world, "hook-run-1-post-0-sample-sts-0")
    world.finish(WORK, succeeded(REPO))
    world.settle()
    assert phase(world) == "Running"
    end(world, "hook-run-1-post-0-sample-sts-0")

    status = world.find("BackupSession", "run-1")["status"]
    assert status["phase"] == "Succeeded"
    assert status["hooks"] == {
        "preHooks": [{"name": "freeze", "phase": "Succeeded"}],
        "postHooks": [{"name": "thaw", "phase": "Succeeded"}],
    }
    told = [condition({"status": status}, name)["reason"] for name in ("PreBackupHooksExecutionSucceeded",)]
    assert told == ["SuccessfullyExecutedPreBackupHooks"]


def test_a_failed_hook_before_the_backup_keeps_it_from_running_and_is_unwound():
    after = [
        hook("thaw", executionPolicy="Always"),
        hook("tell", executionPolicy="OnFailure"),
        {**hook("freeze"), "name": "never", "executionPolicy": "OnSuccess"},
    ]
    world = world_with([hook("freeze")], after)
    end(world, "hook-run-1-pre-0-sample-sts-0", BROKEN)

    assert not started(world, WORK)
    assert not started(world, "hook-run-1-post-2-sample-sts-0")
    body = world.call("hook-run-1-post-1")[1]["body"]
    assert body == '{"error":"hook freeze: command ended with exit code 1","phase":"Failed","target":"sample-sts"}'
    end(world, "hook-run-1-post-0-sample-sts-0")
    end(world, "hook-run-1-post-1")
    failed = world.find("BackupSession", "run-1")
    assert failed["status"]["phase"] == "Failed"
    assert condition(failed, "PreBackupHooksExecutionSucceeded")["reason"] == "FailedToExecutePreBackupHooks"
    assert condition(failed, "BackupFailed")["reason"] == "FailedToExecutePreBackupHooks"
    assert world.find("Snapshot", f"{REPO}-run-1")["status"]["phase"] == "Failed"


def test_a_failed_backup_is_thawed_and_told():
    after = [hook("thaw"), hook("tell", executionPolicy="OnFailure", maxRetry=2, timeout="30")]
    world = world_with([hook("freeze")], after)
    end(world, "hook-run-1-pre-0-sample-sts-0")
    end(world, WORK, Failure("WrongPassword", "wrong password"))

    assert started(world, "hook-run-1-post-0-sample-sts-0")
    mover, arguments, _ = world.call("hook-run-1-post-1")
    assert (mover, arguments["method"], arguments["url"]) == ("http", "POST", "http://alerts.demo:9000/events")
    assert (arguments["attempts"], arguments.get("timeout", 30)) == (3, 30)
    assert "wrong password" in arguments["body"]


def test_a_hook_that_fails_after_a_good_backup_fails_the_session():
    world = world_with([], [hook("thaw")])
    world.finish(WORK, succeeded(REPO))
    world.settle()
    end(world, "hook-run-1-post-0-sample-sts-0", BROKEN)

    failed = world.find("BackupSession", "run-1")
    assert failed["status"]["phase"] == "Failed"
    assert condition(failed, "BackupFailed")["reason"] == "FailedToExecutePostBackupHooks"
    assert world.find("Snapshot", f"{REPO}-run-1")["status"]["phase"] == "Succeeded"


def test_a_hook_for_all_pods_has_a_job_for_each_of_the_moment_it_starts():
    everywhere = template("everywhere", {"exec": {"command": ["x"]}}, pod={"strategy": "ExecuteOnAll"})
    world = world_with([hook("everywhere")], [], everywhere, pod("sample-sts-1"), pod("other", app="another"))
    assert started(world, "hook-run-1-pre-0-sample-sts-1")

    world.add(pod("sample-sts-2"))
    world.settle()
    end(world, "hook-run-1-pre-0-sample-sts-0")
    assert not started(world, WORK)
    end(world, "hook-run-1-pre-0-sample-sts-1")
    assert started(world, WORK)
    assert not started(world, "hook-run-1-pre-0-sample-sts-2")


def test_hooks_come_one_after_the_other():
    world = world_with([hook("freeze"), {**hook("thaw"), "name": "second"}], [])
    assert not started(world, "hook-run-1-pre-1-sample-sts-0")
    end(world, "hook-run-1-pre-0-sample-sts-0")
    assert started(world, "hook-run-1-pre-1-sample-sts-0")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (template("freeze", {"exec": {"command": ["x"]}}, pod={"selector": "app=nobody"}), "no running pod in namespace demo"),
        (template("freeze", {"httpGet": {"port": "admin"}}), "has a port named admin"),
    ],
)
def test_a_hook_that_nobody_can_carry_out_fails_the_session_with_the_reason(broken: Object, message: str):
    world = world_with([hook("freeze")], [], broken)
    # the working template was added first and replaced before the session began
    told = condition(world.find("BackupSession", "run-1"), "BackupFailed")
    assert message in told["message"]
    assert not started(world, WORK)


def test_a_port_by_name_and_no_host_is_the_pod_itself():
    probe = template("probe", {"httpGet": {"port": "web", "path": "/ready"}})
    world = world_with([hook("probe")], [], probe)
    assert world.call("hook-run-1-pre-0-sample-sts-0")[1]["url"] == "http://10.0.0.7:8080/ready"


def test_a_session_that_is_deleted_thaws_what_it_froze_before_it_goes():
    world = world_with([hook("freeze")], [hook("thaw")])
    end(world, "hook-run-1-pre-0-sample-sts-0")
    world.delete("BackupSession", "run-1")
    world.settle()

    assert world.names("BackupSession") == ["run-1"]
    assert not started(world, WORK)
    end(world, "hook-run-1-post-0-sample-sts-0")
    assert world.names("BackupSession") == []


def test_a_target_that_goes_away_does_not_keep_the_hooks_from_being_unwound():
    world = world_with([hook("freeze")], [hook("tell")])
    end(world, "hook-run-1-pre-0-sample-sts-0")
    world.delete("StatefulSet", "sample-sts")
    world.settle()

    assert phase(world) == "Running"
    end(world, "hook-run-1-post-0")
    assert phase(world) == "Failed"


def test_the_account_of_hooks_may_run_commands_in_the_targets_namespace_only():
    world = world_with([hook("freeze")], [])
    binding = world.find("RoleBinding", f"hooks-{BC}")
    assert binding["roleRef"]["name"] == "holdfast-exec"
    spec = world.find("Job", "hook-run-1-pre-0-sample-sts-0")["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == f"hooks-{BC}"


def test_a_function_is_a_job_of_its_own_with_its_variables():
    function, kind = notifier()
    secret = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    world = world_with([hook("notify", variables=[secret], maxRetry=1)], [], function, kind)

    job = world.find("Job", "hook-run-1-pre-0")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["args"]) == ("notify:1", ["--for=run-1", "--level=info"])
    assert container["env"] == [secret, {"name": "A", "value": "b"}] or container["env"] == [
        {"name": "A", "value": "b"},
        secret,
    ]
    assert job["spec"]["backoffLimit"] == 1


def test_hooks_around_a_restore_wait_for_each_other_and_are_unwound():
    world = ready_world()
    run(world, "run-0", "id00000000")
    world.add({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "source-data-sample-sts-0"}})
    for obj in (FREEZE, THAW, TELL, pod("helper")):
        world.add(obj)
    wanted = in_place("back")
    wanted["spec"]["hooks"] = {"preRestore": [hook("freeze")], "postRestore": [hook("thaw")]}
    world.add(wanted)
    world.settle()
    assert not started(world, "back-dump-pod-0")
    end(world, "hook-back-pre-0-helper")
    assert started(world, "back-dump-pod-0")
    end(world, "back-dump-pod-0", Failure("WrongPassword", "wrong password"))
    assert world.find("RestoreSession", "back")["status"]["phase"] == "Running"
    end(world, "hook-back-post-0-helper")

    status = world.find("RestoreSession", "back")["status"]
    assert status["phase"] == "Failed"
    assert status["hooks"]["postHooks"] == [{"name": "thaw", "phase": "Succeeded"}]
    assert [item["name"] for item in status["pausedBackups"]] == [BC]


REFUSED: list[tuple[Object, str]] = [
    (template("x", {}), "spec.action: needs exactly one of exec"),
    (template("x", {"exec": {"command": ["a"]}}, type="Operator"), "the operator runs no commands"),
    (template("x", {"exec": {"command": ["a"]}}, pod={"selector": "app"}), "'app' is not key=value"),
    (template("x", {"httpGet": {"port": 1}}, type="Operator"), "httpGet.host: needed with type Operator"),
    (template("x", {"exec": {"command": ["a {{ .Status"]}}), "spec.action.exec.command[0]: "),
    (template("x", {"exec": {"command": ["a"]}}, type="Function", function={"name": "f"}), "spec.action: is for pods"),
]


@pytest.mark.parametrize(("obj", "message"), REFUSED)
def test_a_template_is_refused(obj: Object, message: str):
    assert message in sample_world().problems(obj)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (hook("freeze", params={"color": "red"}), "declares no parameter color (it has: lock)"),
        (hook("freeze", timeout="soon"), "preBackup[0].timeout: 'soon' is not a duration"),
        (hook("freeze", volumes=[{"name": "v", "emptyDir": {}}]), "preBackup[0].volumes: is for hooks with a Function only"),
        (hook("other"), "HookTemplate vault/other does not admit namespace demo"),
    ],
)
def test_a_hook_is_refused(given: Object, message: str):
    world = sample_world()
    world.add(FREEZE)
    elsewhere = template("other", {"exec": {"command": ["a"]}})
    elsewhere["metadata"]["namespace"] = "vault"
    world.add(elsewhere)
    if given["name"] == "other":
        given = {**given, "hookTemplate": {"name": "other", "namespace": "vault"}}
    wanted = sample()
    wanted["spec"]["sessions"][0]["hooks"] = {"preBackup": [given]}
    assert message in world.problems(wanted)
