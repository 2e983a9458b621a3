"""Progress: the newest line of each repository, told at most once a second, through streams that break."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from holdfast.core.labels import STEP
from holdfast.core.objects import Object
from holdfast.engine import progress as module
from holdfast.engine.progress import ProgressFollower
from holdfast.kube.errors import Unavailable


def pod(phase: str = "Running", uid: str = "p1") -> Object:
    owner = {"kind": "Job", "name": "dump", "uid": "j", "controller": True}
    meta = {"name": "dump-x", "namespace": "demo", "uid": uid, "labels": {STEP: "dump"}, "ownerReferences": [owner]}
    return {"metadata": meta, "spec": {"containers": [{"name": "main"}]}, "status": {"phase": phase}}


def line(repository: str, done: int) -> bytes:
    return b'{"progress":{"repository":"%s","filesDone":%d}}\n' % (repository.encode(), done)


class FakeLogs:
    """Serves one script of chunks for each call; an error ends that stream."""

    def __init__(self, *streams: list[bytes | Exception]) -> None:
        self.streams = list(streams)
        self.calls = 0
        self.served = asyncio.Event()

    async def logs(self, namespace: str, pod: str, container: str, **_: object) -> AsyncGenerator[bytes, None]:
        self.calls += 1
        for chunk in self.streams.pop(0):
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk
        self.served.set()


async def follow(logs: FakeLogs, *, early: bool = False) -> tuple[ProgressFollower, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    heard = asyncio.Event()

    def tell(*job: str) -> None:
        told.append((job[0], job[1]))
        heard.set()

    follower = ProgressFollower(logs, tell)  # type: ignore[arg-type]
    if early:
        follower.observe_pod(None, pod())
    task = asyncio.create_task(follower.run())
    await asyncio.sleep(0)
    if not early:
        follower.observe_pod(None, pod())
    async with asyncio.timeout(5):
        await logs.served.wait()
        await heard.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return follower, told


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TELL_EVERY", 0.02)
    monkeypatch.setattr(module, "_PAUSES", (0.001, 0.001))


async def test_the_newest_line_of_each_repository_is_kept_and_told_once() -> None:
    first = line("s3", 1)
    logs = FakeLogs([b"an ordinary line\n" + first[:20], first[20:] + line("local", 5), line("s3", 9)])
    follower, told = await follow(logs)
    assert [(item.repository, item.files_done) for item in follower.of("demo", "dump")] == [("local", 5), ("s3", 9)]
    assert told == [("demo", "dump")]


async def test_a_stream_that_breaks_is_taken_up_again() -> None:
    logs = FakeLogs([line("s3", 1), Unavailable(0, "", "line broke")], [line("s3", 2)])
    follower, _ = await follow(logs)
    assert logs.calls == 2
    assert follower.of("demo", "dump")[0].files_done == 2


async def test_a_pod_that_ran_before_we_did_is_followed_too() -> None:
    follower, _ = await follow(FakeLogs([line("s3", 3)]), early=True)
    assert follower.of("demo", "dump")[0].files_done == 3
    follower.forget_job("demo", "dump")
    assert follower.of("demo", "dump") == ()


async def test_other_pods_are_left_alone() -> None:
    logs = FakeLogs([])
    follower = ProgressFollower(logs, lambda *_: None)  # type: ignore[arg-type]
    task = asyncio.create_task(follower.run())
    await asyncio.sleep(0)
    foreign = pod()
    foreign["metadata"]["labels"] = {}
    follower.observe_pod(None, foreign)
    follower.observe_pod(None, pod("Pending"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert logs.calls == 0
