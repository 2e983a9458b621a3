"""Sidecars, hooks and what a pod's conditions say of its limits, in real sandboxes."""

import signal
from pathlib import Path
from typing import Any

import pytest
from tests.unit.node.fakes import Run, container, pod, terminated

from holdfast.core.objects import Object
from holdfast.embedded.node import container as runners

pytestmark = pytest.mark.run

SHARED: Any = {"volumes": [{"name": "v", "emptyDir": {}}]}
MOUNT: Any = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
WAIT = "while :; do sleep 0.02; done"


def sidecar(name: str, script: str, **fields: Any) -> Object:
    return container(script, name, restartPolicy="Always", **MOUNT, **fields)


async def test_a_pod_waits_until_its_sidecar_has_started_up(tmp_path: Path) -> None:
    probe = {"exec": {"command": ["test", "-e", "/v/up"]}, "periodSeconds": 0.05, "failureThreshold": 100}
    slow = sidecar("side", f"trap 'exit 0' TERM; sleep 0.4; touch /v/up; {WAIT}", startupProbe=probe)
    run = Run(tmp_path, pod(container("ls /v", **MOUNT), initContainers=[slow], **SHARED))
    await run.end()
    assert run.log() == "up"


async def test_sidecars_end_after_the_others_in_the_opposite_order_of_their_start(tmp_path: Path) -> None:
    script = "trap 'echo {0} >> /v/ends; exit 0' TERM; touch /v/{0}; " + WAIT
    sidecars = [sidecar(name, script.format(name)) for name in ("one", "two")]
    main = container(
        "trap 'sleep 0.2; echo main >> /v/ends; exit 0' TERM; while [ ! -e /v/two ]; do sleep 0.02; done; echo up; " + WAIT,
        **MOUNT,
    )
    host = tmp_path / "shared"
    host.mkdir()
    host.chmod(0o777)
    volumes = [{"name": "v", "hostPath": {"path": str(host)}}]
    run = Run(tmp_path, pod(main, initContainers=sidecars, volumes=volumes))
    await _says(run, "up")
    await run.runner.stop(10)
    await run.end()
    assert (host / "ends").read_text().split() == ["main", "two", "one"]


async def test_an_unready_sidecar_keeps_the_pod_from_being_ready(tmp_path: Path) -> None:
    never = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    run = Run(tmp_path, pod(container(WAIT), initContainers=[sidecar("side", WAIT, readinessProbe=never)], **SHARED))
    status = await run.client.until(lambda each: each["containerStatuses"][0]["ready"])
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["message"]) == ("False", "containers with unready status: [side]")
    await run.runner.stop(0)
    await run.end()


async def test_hooks_run_after_the_start_and_before_the_end(tmp_path: Path) -> None:
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "id -u > /v/begun"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo asked > /v/asked"]}},
    }
    script = "trap 'cat /v/begun /v/asked; exit 0' TERM; while [ ! -e /v/begun ]; do sleep 0.02; done; echo up; " + WAIT
    run = Run(tmp_path, pod(container(script, lifecycle=hooks, **MOUNT), **SHARED))
    await _says(run, "up")
    await run.runner.stop(10)
    await run.end()
    assert run.log().split() == ["up", "65534", "asked"]


async def test_a_failed_start_hook_ends_the_container_and_says_so(tmp_path: Path) -> None:
    hooks = {"postStart": {"exec": {"command": ["sh", "-c", "exit 9"]}}}
    obj = pod(container("trap 'exit 4' TERM; " + WAIT, lifecycle=hooks))
    run = Run(tmp_path, obj)
    assert terminated(await run.end())["exitCode"] != 0
    reasons = dict(run.host.events.said)  # type: ignore[attr-defined]
    assert "exit code 9" in reasons["FailedPostStartHook"]


async def test_a_slow_stop_hook_is_cut_off_by_the_grace_period(tmp_path: Path) -> None:
    hooks = {"preStop": {"sleep": {"seconds": 60}}}
    run = Run(tmp_path, pod(container("trap 'echo bye; exit 3' TERM; echo up; " + WAIT, lifecycle=hooks)))
    await _says(run, "up")
    await run.runner.stop(0.3)
    assert terminated(await run.end(10))["exitCode"] == 3
    assert run.log().split() == ["up", "bye"]


async def test_what_ignores_its_end_is_killed_even_after_a_slow_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "LEAST_GRACE", 0.2)
    hooks = {"preStop": {"sleep": {"seconds": 60}}}
    run = Run(tmp_path, pod(container("trap '' TERM; echo up; while :; do sleep 0.05; done", lifecycle=hooks)))
    await _says(run, "up")
    await run.runner.stop(0.2)
    assert terminated(await run.end(10))["signal"] == signal.SIGKILL


BURN = """\
import time
began, until = time.process_time(), time.monotonic() + 0.6
while time.monotonic() < until:
    pass
print(time.process_time() - began)
"""


async def test_a_container_gets_no_more_of_the_processor_than_its_limit(tmp_path: Path) -> None:
    burning = container("", command=["/usr/bin/python3", "-c", BURN], resources={"limits": {"cpu": "100m", "memory": "256Mi"}})
    run = Run(tmp_path, pod(burning))
    kept = run.host.limiters.cpu.root is not None
    status = await run.end(20)
    found = next(each for each in status["conditions"] if each["type"] == "CPULimited")
    assert (found["status"], found["reason"]) == (("True", "Cgroup") if kept else ("False", "NoCgroup"))
    assert not kept or float(run.log()) < 0.25


async def test_a_condition_says_by_what_a_memory_limit_is_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, pod(container(resources={"limits": {"memory": "64Mi"}})))
    kept = run.host.limiters.memory.root is not None
    status = await run.end()
    found = next(each for each in status["conditions"] if each["type"] == "MemoryLimited")
    assert (found["status"], found["reason"]) == (("True", "Cgroup") if kept else ("False", "NoCgroup"))


async def _says(run: Run, text: str) -> None:
    await run.client.until(lambda each: each["phase"] == "Running")
    found = run.runner.container("main")
    assert found is not None
    assert found.log is not None
    while text not in run.log().split():
        await found.log.changed.wait()
