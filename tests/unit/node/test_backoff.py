"""What a container that keeps failing waits for, and what a node that was killed remembers of it."""

import time
from pathlib import Path

from tests.unit.node.fakes import FakeClient, Run, Silent, container, pod, terminated

from holdfast.core.objects import Object
from holdfast.embedded.node.backoff import Backoff
from holdfast.embedded.node.podstatus import Verdict
from holdfast.embedded.node.settings import Settings

LOST = Verdict("NodeRestarted", "the node was killed")


def test_waits_double_from_ten_seconds_to_five_minutes_and_begin_anew_after_ten_good_ones(tmp_path: Path) -> None:
    backoff = Backoff(tmp_path / "backoff.json", Settings())
    assert [backoff.failed(1) for _ in range(7)] == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.failed(600) == 10


def test_a_node_that_is_killed_at_each_failure_does_not_forget_how_often_it_was(tmp_path: Path) -> None:
    waits = [Backoff(tmp_path / "backoff.json", Settings()).failed(1) for _ in range(4)]
    assert waits == [10, 20, 40, 80]
    assert 79 < Backoff(tmp_path / "backoff.json", Settings()).left() <= 80


def test_a_file_that_a_crash_has_cut_short_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "backoff.json").write_bytes(b'{"failures": 3, "un')
    assert Backoff(tmp_path / "backoff.json", Settings()).failed(1) == 10


def _waiting(status: Object) -> bool:
    return status["containerStatuses"][0]["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"


async def test_a_pod_of_a_killed_node_goes_on_waiting_and_counts_its_restarts(tmp_path: Path) -> None:
    settings = Settings(crash_backoff=0.4, retry=0.02)
    spec = pod(container("exit 3"), restartPolicy="Always")
    first = Run(tmp_path, spec, settings=settings)
    before = await first.client.until(_waiting)
    first.task.cancel()
    asked = time.monotonic()
    second = Run(tmp_path, spec | {"status": before}, settings=settings, again=LOST)
    status = await second.client.until(lambda each: _waiting(each) and each["containerStatuses"][0]["restartCount"] == 1)
    assert status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3
    status = await second.client.until(lambda each: each["containerStatuses"][0]["restartCount"] == 2)
    assert time.monotonic() - asked > 0.3 + 0.8  # the rest of the first wait, and a second one that is twice as long
    await second.runner.stop(0)
    await second.end()


async def test_what_ran_when_the_node_was_killed_starts_at_once_and_shows_how_it_ended(tmp_path: Path) -> None:
    spec = pod(container("[ -e /tmp/never ] || sleep 60"), restartPolicy="Always")
    first = Run(tmp_path, spec)
    before = await first.client.until(lambda each: "running" in each["containerStatuses"][0]["state"])
    first.runner.kill()
    first.task.cancel()
    second = Run(tmp_path, spec | {"status": before}, client=FakeClient(), again=LOST)
    status = await second.client.until(lambda each: "running" in each["containerStatuses"][0]["state"])
    found = status["containerStatuses"][0]
    assert (found["restartCount"], found["lastState"]["terminated"]["exitCode"]) == (1, 137)
    assert found["lastState"]["terminated"]["reason"] == "NodeRestarted"
    assert status["startTime"] == before["startTime"]
    await second.runner.stop(0)
    assert terminated(await second.end())["exitCode"] == 137


async def test_a_container_tells_of_its_start_and_its_stop(tmp_path: Path) -> None:
    run = Run(tmp_path, pod(container("sleep 60")))
    await run.client.until(lambda each: "running" in each["containerStatuses"][0]["state"])
    await run.runner.stop(0)
    await run.end()
    assert isinstance(run.host.events, Silent)
    assert [reason for reason, _ in run.host.events.said] == ["Pulled", "Created", "Started", "Killing"]
