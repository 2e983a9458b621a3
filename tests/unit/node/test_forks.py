"""Own steps from a fork server: the same sandbox, identity and end as of a program that was executed."""

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.node.fakes import Run, container, pod, terminated
from tests.unit.node.forked_program import LOOK

from holdfast.core.objects import Object
from holdfast.embedded.node.forks import ForkServer
from holdfast.embedded.node.images import ImageTable, own_image

pytestmark = [pytest.mark.run, pytest.mark.root]

COMMAND = (sys.executable, "-m", "holdfast.movers.forkserver", "tests.unit.node.forked_program:main")
IMAGES = ImageTable({"holdfast": msgspec.structs.replace(own_image(), server=COMMAND)})


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    """One server for all tests here: what one of them does must not be seen by the next."""
    made = ForkServer(COMMAND)
    asyncio.run(_warm(made))
    yield made
    asyncio.run(made.close())


async def _warm(made: ForkServer) -> None:
    async with asyncio.timeout(20):
        while not made.warm():  # noqa: ASYNC110 - imports take their time
            await asyncio.sleep(0.02)


def step(**fields: Any) -> Object:
    return container(image="holdfast", **fields) | {"command": ["holdfast-mover", "run"]}


def begin(tmp_path: Path, obj: Object, server: ForkServer) -> Run:
    return Run(tmp_path, obj, images=IMAGES, forks={COMMAND: server})


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["DAC_READ_SEARCH"]}},
        {"runAsUser": 0},
        {"runAsUser": 1234, "runAsGroup": 77, "capabilities": {"add": ["CHOWN"]}},
    ],
)
async def test_a_forked_program_is_who_and_where_an_executed_one_would_be(
    tmp_path: Path, server: ForkServer, context: Object
) -> None:
    fields = {
        "securityContext": context,
        "env": [{"name": "COLOUR", "value": "blue"}, {"name": "TZ", "value": "UTC"}],
        "workingDir": "/work",
        "resources": {"limits": {"memory": "256Mi"}},
    }
    whole = {"securityContext": {"supplementalGroups": [5, 6], "fsGroup": 7}}
    forked = begin(tmp_path / "a", pod(step(**fields), **whole), server)
    ended = await forked.end()
    same = container(**fields, image="holdfast") | {"command": ["python", "-c", LOOK]}
    executed = begin(tmp_path / "b", pod(same, **whole), server)
    await executed.end()
    said = forked.log().splitlines()
    assert said[0] == "forked ['run'] holdfast-mover"
    assert said[-1] == "said and not flushed"
    theirs = [line for line in said[1:-1] if not line.startswith("processes")]
    assert theirs == [line for line in executed.log().splitlines() if not line.startswith("processes")]
    assert (terminated(ended)["exitCode"], terminated(ended)["message"]) == (3, "last words")


async def test_one_pod_learns_nothing_of_the_one_before(tmp_path: Path, server: ForkServer) -> None:
    first = begin(tmp_path / "a", pod(step(env=[{"name": "PASSWORD", "value": "first-secret"}])), server)
    await first.end()
    second = begin(tmp_path / "b", pod(step(env=[{"name": "COLOUR", "value": "red"}])), server)
    await second.end()
    assert "first-secret" in first.log()
    assert "first-secret" not in second.log()
    assert server._popen is not None
    assert b"first-secret" not in _memory(server._popen.pid)


async def test_it_is_stopped_politely_killed_and_reported_like_any_other(tmp_path: Path, server: ForkServer) -> None:
    polite = begin(tmp_path / "a", pod(step(env=[{"name": "DO", "value": "wait"}])), server)
    await _says(polite, "up")
    await polite.runner.stop(10)
    assert terminated(await polite.end())["exitCode"] == 5
    stubborn = begin(tmp_path / "b", pod(step(env=[{"name": "DO", "value": "wait"}])), server)
    await _says(stubborn, "up")
    await stubborn.runner.stop(0)
    assert terminated(await stubborn.end())["exitCode"] == 128 + signal.SIGKILL
    broken = begin(tmp_path / "c", pod(step(env=[{"name": "DO", "value": "die"}])), server)
    found = terminated(await broken.end())
    assert (found["exitCode"], found["signal"]) == (128 + signal.SIGSEGV, signal.SIGSEGV)


async def test_without_a_server_the_program_is_executed(tmp_path: Path) -> None:
    run = begin(tmp_path, pod(step()), ForkServer(("/bin/false",)))
    assert terminated(await run.end())["exitCode"] == 2
    assert "HOLDFAST_CALL is not a call" in run.log()


async def test_when_the_server_dies_its_programs_end_and_the_next_ones_do_not_depend_on_it(tmp_path: Path) -> None:
    made = ForkServer(COMMAND)
    await _warm(made)
    run = begin(tmp_path / "a", pod(step(env=[{"name": "DO", "value": "wait"}])), made)
    await _says(run, "up")
    assert made._popen is not None
    made._popen.kill()
    assert terminated(await run.end())["exitCode"] == 128 + signal.SIGKILL
    made._popen.wait()
    executed = begin(tmp_path / "b", pod(step()), made)
    assert terminated(await executed.end())["exitCode"] == 2
    await _warm(made)
    forked = begin(tmp_path / "c", pod(step()), made)
    assert terminated(await forked.end())["exitCode"] == 3
    await made.close()


async def test_a_forked_program_costs_a_small_part_of_an_executed_one(tmp_path: Path, server: ForkServer) -> None:
    async def seconds(name: str, obj: Object) -> float:
        began = time.perf_counter()
        await begin(tmp_path / name, obj, server).end()
        return time.perf_counter() - began

    slow_one = container(image="holdfast") | {"command": ["/usr/bin/env", "holdfast-mover", "run"]}
    quick = slow = 1e9
    for number in range(8):  # once is enough, but for what else this machine does
        quick = min(quick, await seconds(f"f{number}", pod(step(env=[{"name": "DO", "value": "x"}]))))
        slow = min(slow, await seconds(f"e{number}", pod(slow_one)))
        if quick < slow:
            return
    pytest.fail(f"forked {quick * 1000:.1f} ms, executed {slow * 1000:.1f} ms")


async def _says(run: Run, text: str) -> None:
    await run.client.until(lambda each: each["phase"] == "Running")
    found = run.runner.container("main")
    assert found is not None
    assert found.log is not None
    async with asyncio.timeout(10):
        while text not in run.log().split():
            await found.log.changed.wait()


def _memory(pid: int) -> bytes:
    """What a process has in its own writable memory."""
    found: list[bytes] = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if rights.startswith("rw"):
                start, end = (int(number, 16) for number in span.split("-"))
                memory.seek(start)
                found.append(memory.read(end - start))
    return b"".join(found)
