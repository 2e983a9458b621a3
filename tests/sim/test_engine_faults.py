"""The engine in front of an API server that fails: whatever is lost, refused or cut, one Job is made and the run ends."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from holdfast.engine.scope import Whole
from holdfast.kube.builtin import JOBS
from holdfast.kube.client import Client
from tests.conformance.engine_world import end_job, engine_on, exists, make, phase_is
from tests.unit.kube.fake import FakeApi, Fault


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi().serve() as server:
        yield server


@pytest.fixture
async def client(api: FakeApi) -> AsyncIterator[Client]:
    async with api.client() as client:
        yield client


def jobs_made(api: FakeApi) -> int:
    return sum(1 for _, type_, path, _ in api.history if type_ == "ADDED" and path.endswith("/jobs/job-t"))


async def finish(api: FakeApi, client: Client) -> None:
    await phase_is(client, "t", "Running")
    await end_job(client, "job-t", "demo", "Failed")
    await phase_is(client, "t", "Failed")
    assert jobs_made(api) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(drop=True),
        Fault(drop=True, after=True),
        Fault(409, reason="Conflict"),
        Fault(429, reason="TooManyRequests", headers={"Retry-After": "0"}),
        Fault(500, reason="InternalError"),
        Fault(503, reason="ServiceUnavailable", after=True),
    ],
    ids=["lost", "answer lost", "conflict", "too many", "error", "error after the work"],
)
async def test_a_write_that_fails_once(api: FakeApi, client: Client, method: str, fault: Fault) -> None:
    async with engine_on(client):
        api.fail(method, fault)
        await api.put("/apis/engine.test.holdfast.dev/v1/things", thing())
        await finish(api, client)


async def test_watches_that_break_and_versions_that_expire(api: FakeApi, client: Client) -> None:
    async with engine_on(client):
        await make(client, "t", job="")
        await phase_is(client, "t", "Running")
        api.compact()
        api.break_watches()
        await end_job(client, "job-t", "demo", "Failed")
        api.break_watches()
        await phase_is(client, "t", "Failed")
        assert jobs_made(api) <= 1


@pytest.mark.parametrize("writes", range(5))
async def test_a_process_that_dies_after_any_write_is_succeeded_by_the_next(api: FakeApi, client: Client, writes: int) -> None:
    died = asyncio.Event()
    async with engine_on(client, scope=Whole(dying(writes, died))):
        await api.put("/apis/engine.test.holdfast.dev/v1/things", thing())
        if writes < 2:
            await asyncio.wait_for(died.wait(), 5)
        else:
            await phase_is(client, "t", "Running")
    async with engine_on(client):
        await finish(api, client)


async def test_two_engines_at_once_make_one_job(api: FakeApi, client: Client) -> None:
    async with engine_on(client), engine_on(client):
        await make(client, "t", job="")
        await finish(api, client)
        assert await exists(client, JOBS, "job-t", "demo")


def dying(writes: int, died: asyncio.Event) -> Callable[[], None]:
    left = iter(range(writes))

    def gate() -> None:
        if next(left, None) is None:
            died.set()
            raise RuntimeError("this process is dead")

    return gate


def thing() -> dict[str, object]:
    meta = {"name": "t", "namespace": "demo"}
    return {"apiVersion": "engine.test.holdfast.dev/v1", "kind": "Thing", "metadata": meta, "spec": {"job": ""}}
