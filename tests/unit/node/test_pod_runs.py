"""Pods in real sandboxes, with the API server replaced by a dict."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.unit.node.fakes import FakeClient, Run, container, pod, terminated

from holdfast.embedded.node.container import ANNOTATION
from holdfast.embedded.node.podstatus import Verdict

pytestmark = pytest.mark.run


async def output(
    tmp_path: Path, script: str, client: FakeClient | None = None, volumes: Any = None, spec: Any = None, **fields: Any
) -> str:
    run = Run(tmp_path, pod(container(script, **fields), volumes=volumes, **(spec or {})), client)
    status = await run.end()
    assert status["phase"] == "Succeeded", (status, run.log())
    return run.log()


async def test_a_container_runs_to_its_end_and_leaves_its_log(tmp_path: Path) -> None:
    run = Run(tmp_path, pod(container("echo out; echo err >&2; exit 3")))
    status = await run.end()
    assert (status["phase"], terminated(status)["exitCode"], terminated(status)["reason"]) == ("Failed", 3, "Error")
    assert sorted(run.log().split()) == ["err", "out"]


async def test_without_a_word_a_container_is_nobody_and_can_do_nothing(tmp_path: Path) -> None:
    text = await output(tmp_path, "id -u; id -g; grep -E 'CapPrm|CapBnd|NoNewPrivs' /proc/self/status; test ! -r /etc/shadow")
    lines = text.split()
    assert lines[:2] == ["65534", "65534"]
    assert lines[2:] == ["CapPrm:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"]


async def test_root_that_is_asked_for_has_only_the_capabilities_that_are_asked_for(tmp_path: Path) -> None:
    context = {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["DAC_READ_SEARCH"]}}
    text = await output(tmp_path, "id -u; grep -E 'CapEff|CapBnd' /proc/self/status", securityContext=context)
    assert text.split() == ["0", "CapEff:", "0000000000000004", "CapBnd:", "0000000000000004"]


async def test_user_group_and_supplementary_groups_are_taken_on(tmp_path: Path) -> None:
    spec = {"securityContext": {"runAsUser": 1234, "runAsGroup": 2345, "supplementalGroups": [3456], "fsGroup": 4567}}
    volumes = [{"name": "v", "emptyDir": {}}]
    mounts = [{"name": "v", "mountPath": "/v"}]
    text = await output(tmp_path, "id -u; id -G; touch /v/f; stat -c %g /v/f", spec=spec, volumes=volumes, volumeMounts=mounts)
    if os.geteuid() == 0:
        assert text.splitlines() == ["1234", "2345 3456 4567", "4567"]
    else:  # an ordinary user can be one user and one group in a sandbox, and no more
        assert text.splitlines()[:2] == ["1234", "2345"]


async def test_the_root_can_be_made_read_only(tmp_path: Path) -> None:
    script = "touch /x 2>/dev/null || touch /tmp/x 2>/dev/null || echo refused"
    context = {"readOnlyRootFilesystem": True, "runAsUser": 0}
    assert await output(tmp_path, script, securityContext=context) == "refused"


async def test_variables_come_from_everywhere_and_never_show_in_a_command_line(tmp_path: Path) -> None:
    client = FakeClient()
    client.secret("creds", password="s3cret", user="me")
    client.put("ConfigMap", "settings", data={"level": "9"})
    env = [
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "password"}}},
        {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "level"}}},
        {"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "BOTH", "value": "$(LEVEL)-$(NOPE)-$$(LEVEL)"},
        {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x", "optional": True}}},
        {"name": "LD_LIBRARY_PATH", "value": "/nowhere"},
    ]
    imported = [{"secretRef": {"name": "creds"}, "prefix": "C_"}, {"configMapRef": {"name": "no", "optional": True}}]
    script = "echo $PASSWORD $LEVEL $WHO $APP $CPUS $BOTH $C_user ${GONE-unset} $LD_LIBRARY_PATH;"
    script += "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    text = await output(tmp_path, script, client, env=env, envFrom=imported)
    first, *rest = text.splitlines()
    assert first == "s3cret 9 demo x 2 9-$(NOPE)-$(LEVEL) me unset /nowhere"
    assert "s3cret" not in "".join(rest)


async def test_a_missing_secret_is_named_and_the_pod_goes_on_once_it_is_there(tmp_path: Path) -> None:
    volumes = [{"name": "v", "secret": {"secretName": "late"}}]
    run = Run(tmp_path, pod(container("cat /v/key", volumeMounts=[{"name": "v", "mountPath": "/v"}]), volumes=volumes))
    status = await run.client.until(lambda each: "waiting" in each["containerStatuses"][0]["state"])
    waiting = status["containerStatuses"][0]["state"]["waiting"]
    assert waiting == {"reason": "CreateContainerConfigError", "message": "volume 'v': secret \"demo/late\" not found"}
    assert status["phase"] == "Pending"
    run.client.secret("late", key="here")
    assert (await run.end())["phase"] == "Succeeded"
    assert run.log() == "here"


async def test_a_missing_key_is_named_with_those_there_are(tmp_path: Path) -> None:
    client = FakeClient()
    client.secret("creds", user="me")
    env = [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "password"}}}]
    run = Run(tmp_path, pod(container(env=env)), client)
    status = await client.until(lambda each: "message" in each["containerStatuses"][0]["state"].get("waiting", {}))
    message = status["containerStatuses"][0]["state"]["waiting"]["message"]
    assert message == 'secret "creds" has no key "password" (it has user)'
    await run.runner.stop(0)
    await run.end()


async def test_an_image_that_nobody_knows_needs_a_command(tmp_path: Path) -> None:
    run = Run(tmp_path, pod({"name": "main", "image": "nginx:1"}))
    status = await run.client.until(lambda each: "waiting" in each["containerStatuses"][0]["state"])
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "ImageNeverRuns"
    await run.runner.stop(0)
    await run.end()


async def test_arguments_that_begin_with_a_program_are_a_command(tmp_path: Path) -> None:
    run = Run(tmp_path, pod({"name": "main", "image": "busybox", "args": ["sh", "-c", "echo it runs"]}))
    await run.end()
    assert run.log() == "it runs"


async def test_volumes_of_every_kind_are_at_their_mount_paths(tmp_path: Path) -> None:
    client = FakeClient()
    client.secret("s", a="A", b="B")
    client.put("ConfigMap", "c", data={"x": "X"})
    data = tmp_path / "pv"
    data.mkdir(mode=0o777)
    data.chmod(0o777)
    client.put("PersistentVolumeClaim", "data", spec={"volumeName": "pv"}, status={"phase": "Bound"})
    client.put("PersistentVolume", "pv", spec={"hostPath": {"path": str(data)}})
    projected = [
        {"serviceAccountToken": {"path": "token"}},
        {"configMap": {"name": "c", "items": [{"key": "x", "path": "deep/er"}]}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    volumes = [
        {
            "name": "s",
            "secret": {"secretName": "s", "items": [{"key": "a", "path": "only", "mode": 0o400}], "defaultMode": 0o440},
        },
        {"name": "c", "configMap": {"name": "c"}},
        {"name": "p", "projected": {"sources": projected}},
        {"name": "m", "emptyDir": {"medium": "Memory"}},
        {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
    ]
    mounts = [
        {"name": "s", "mountPath": "/usr/share/made/up"},
        {"name": "c", "mountPath": "/etc/app/x.conf", "subPath": "x"},
        {"name": "p", "mountPath": "/p"},
        {"name": "m", "mountPath": "/m"},
        {"name": "d", "mountPath": "/source/data"},
        {"name": "d", "mountPath": "/ro", "readOnly": True},
        {"name": "d", "mountPath": "/sub", "subPath": "in/side"},
    ]
    script = """ls /usr/share/made/up /usr/share/doc >/dev/null && echo there
    cat /etc/app/x.conf /p/token /p/deep/er /p/name; echo; touch /m/x /source/data/file /sub/y
    touch /ro/x 2>/dev/null || echo read-only; ls /ro /ro/in/side"""
    text = await output(tmp_path, script, client, volumes=volumes, volumeMounts=mounts)
    assert text.splitlines() == ["there", "Xtoken-for-defaultXp", "read-only", "/ro:", "file", "in", "", "/ro/in/side:", "y"]
    assert sorted(os.listdir(data)) == ["file", "in"]


async def test_the_token_of_the_service_account_is_mounted_where_programs_look(tmp_path: Path) -> None:
    place = "/var/run/secrets/kubernetes.io/serviceaccount"
    spec = {"automountServiceAccountToken": True, "serviceAccountName": "robot"}
    script = f"cat {place}/token {place}/namespace {place}/ca.crt; echo $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT"
    assert await output(tmp_path, script, spec=spec) == "token-for-robotdemoCERTIFICATE127.0.0.1:6443"


async def test_a_sub_path_can_not_lead_out_of_its_volume(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "out").symlink_to("/etc")
    volumes = [{"name": "v", "hostPath": {"path": str(tmp_path / "v")}}]
    mounts = [{"name": "v", "mountPath": "/v", "subPath": "out"}]
    run = Run(tmp_path, pod(container(volumeMounts=mounts), volumes=volumes))
    status = await run.client.until(lambda each: "message" in each["containerStatuses"][0]["state"].get("waiting", {}))
    assert "leads out of its volume" in status["containerStatuses"][0]["state"]["waiting"]["message"]
    await run.runner.stop(0)
    await run.end()


async def test_a_volume_kind_that_can_not_be_had_fails_the_pod_by_name(tmp_path: Path) -> None:
    run = Run(tmp_path, pod(container(), volumes=[{"name": "share", "nfs": {"server": "x", "path": "/"}}]))
    status = await run.end()
    assert (status["phase"], status["reason"]) == ("Failed", "UnsupportedVolume")
    assert "'share' is a nfs" in status["message"]


async def test_init_containers_run_in_order_and_share_volumes(tmp_path: Path) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}]
    init = [container("echo 1 >> /v/f", "one", volumeMounts=mounts), container("echo 2 >> /v/f", "two", volumeMounts=mounts)]
    obj = pod(container("cat /v/f", volumeMounts=mounts), volumes=[{"name": "v", "emptyDir": {}}], initContainers=init)
    run = Run(tmp_path, obj)
    status = await run.end()
    assert run.log().split() == ["1", "2"]
    assert [each["state"]["terminated"]["exitCode"] for each in status["initContainerStatuses"]] == [0, 0]


async def test_a_failed_init_container_fails_the_pod_and_nothing_else_starts(tmp_path: Path) -> None:
    run = Run(tmp_path, pod(container(), initContainers=[container("exit 4", "first")]))
    status = await run.end()
    assert status["phase"] == "Failed"
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"


async def test_a_sidecar_starts_before_the_others_and_ends_after_them(tmp_path: Path) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}]
    sidecar = container("trap 'exit 0' TERM; touch /v/up; while :; do sleep 0.02; done", "side", volumeMounts=mounts)
    sidecar["restartPolicy"] = "Always"
    script = "while [ ! -e /v/up ]; do sleep 0.02; done; echo saw it"
    obj = pod(container(script, volumeMounts=mounts), volumes=[{"name": "v", "emptyDir": {}}], initContainers=[sidecar])
    run = Run(tmp_path, obj)
    status = await run.end()
    assert (status["phase"], run.log()) == ("Succeeded", "saw it")


async def test_on_failure_a_container_is_restarted_and_keeps_its_last_end(tmp_path: Path) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}]
    script = "if [ -e /v/x ]; then echo again; else touch /v/x; echo first; exit 9; fi"
    obj = pod(container(script, volumeMounts=mounts), volumes=[{"name": "v", "emptyDir": {}}], restartPolicy="OnFailure")
    run = Run(tmp_path, obj)
    status = await run.end()
    found = status["containerStatuses"][0]
    assert (status["phase"], found["restartCount"]) == ("Succeeded", 1)
    assert found["lastState"]["terminated"]["exitCode"] == 9
    assert (run.log(), run.log(restart=0)) == ("again", "first")
    assert any(
        each["containerStatuses"][0]["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
        for each in run.client.statuses
    )


async def test_the_termination_message_is_what_the_program_wrote_there(tmp_path: Path) -> None:
    run = Run(tmp_path, pod(container('printf \'{"mover":"x"}\' > /dev/termination-log')))
    assert terminated(await run.end())["message"] == '{"mover":"x"}'


async def test_the_log_can_stand_in_for_the_termination_message(tmp_path: Path) -> None:
    obj = pod(container("echo because; exit 1", terminationMessagePolicy="FallbackToLogsOnError"))
    assert terminated(await Run(tmp_path, obj).end())["message"] == "because"


async def test_the_deadline_of_a_pod_ends_it_with_a_reason(tmp_path: Path) -> None:
    obj = pod(container("sleep 60"), activeDeadlineSeconds=1, terminationGracePeriodSeconds=0)
    status = await Run(tmp_path, obj).end()
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")


async def test_term_reaches_the_program_itself_and_kill_follows_after_the_grace(tmp_path: Path) -> None:
    polite = Run(tmp_path / "a", pod(container("trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.02; done")))
    await _until_log(polite, "up")
    await polite.runner.stop(10, Verdict("Test", "stopped"))
    assert terminated(await polite.end())["exitCode"] == 5
    assert "bye" in polite.log()
    stubborn = Run(tmp_path / "b", pod(container("trap '' TERM; echo up; while :; do sleep 0.02; done")))
    await _until_log(stubborn, "up")
    await stubborn.runner.stop(0.2)
    assert terminated(await stubborn.end())["exitCode"] == 128 + signal.SIGKILL


async def test_readiness_decides_when_a_pod_is_ready_and_liveness_restarts_it(tmp_path: Path) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 0.05}
    live = {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, "periodSeconds": 0.05, "failureThreshold": 1}
    script = "trap 'exit 0' TERM; sleep 0.3; touch /tmp/ready; sleep 0.6; touch /tmp/sick; while :; do sleep 0.02; done"
    run = Run(tmp_path, pod(container(script, readinessProbe=probe, livenessProbe=live), restartPolicy="Always"))
    await run.client.until(lambda each: each["phase"] == "Running")
    assert run.client.statuses[-1]["containerStatuses"][0]["ready"] is False
    await run.client.until(lambda each: each["containerStatuses"][0]["ready"])
    assert {each["type"]: each["status"] for each in run.client.statuses[-1]["conditions"]}["Ready"] == "True"
    await run.client.until(lambda each: each["containerStatuses"][0]["restartCount"] == 1)
    await run.runner.stop(0)
    await run.end()


async def test_a_program_over_its_memory_limit_is_killed_and_the_status_says_why(tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        pod(
            container("x=$(head -c 300000000 /dev/zero | tr '\\0' x); echo survived", resources={"limits": {"memory": "32Mi"}})
        ),
    )
    status = await run.end()
    if run.host.limiters.memory.root is None:
        assert {each["type"]: each["status"] for each in status["conditions"]}["MemoryLimited"] == "False"
        assert any(ANNOTATION in each.get("message", "") for each in status["conditions"])
    else:
        assert "survived" not in run.log()
        assert terminated(status)["reason"] == "OOMKilled"


async def test_a_command_that_does_not_exist_says_so(tmp_path: Path) -> None:
    run = Run(tmp_path, pod({"name": "main", "image": "x", "command": ["no-such-program"]}))
    assert terminated(await run.end())["exitCode"] == 127
    assert "no-such-program" in run.log()


async def test_holdfasts_own_image_brings_the_interpreter_and_the_package(tmp_path: Path) -> None:
    own = {
        "name": "main",
        "image": "registry.example/holdfast:1.2",
        "command": ["python", "-c", "import holdfast.core.plan; print('ok')"],
    }
    run = Run(tmp_path, pod(own))
    await run.end()
    assert run.log() == "ok"


async def test_secrets_and_scratch_space_go_when_the_pod_has_ended_and_the_log_stays(tmp_path: Path) -> None:
    client = FakeClient()
    client.secret("s", a="A")
    volumes = [{"name": "s", "secret": {"secretName": "s"}}, {"name": "e", "emptyDir": {}}]
    mounts = [{"name": "e", "mountPath": "/e"}, {"name": "s", "mountPath": "/s"}]
    script = "mkdir -p /e/a/b; chmod 0 /e/a/b /e/a; echo done"
    run = Run(tmp_path, pod(container(script, volumeMounts=mounts), volumes=volumes), client)
    await run.end()
    assert list((tmp_path / "memory").iterdir()) == []
    assert [each.name for each in (tmp_path / "node" / "pods" / "uid-p").iterdir()] == ["containers"]
    assert run.log() == "done"


async def _until_log(run: Run, text: str) -> None:
    await run.client.until(lambda each: each["phase"] == "Running")
    found = run.runner.container("main")
    assert found is not None
    assert found.log is not None
    while text not in run.log():
        await found.log.changed.wait()
