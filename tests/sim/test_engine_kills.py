"""The operator dies before each of its writes, and the next one goes on: each step once, in order, and what froze is thawed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from holdfast.core.objects import Object, owner_reference
from holdfast.core.plan import MoverCall
from holdfast.core.report import Failure, Report
from holdfast.engine.scope import Whole
from holdfast.engine.shell import Engine
from holdfast.kube.builtin import JOBS, PODS, PVCS, VOLUMESNAPSHOTS
from holdfast.kube.client import Client
from holdfast.kube.events import EventRecorder
from holdfast.kube.informer import Informer
from holdfast.kube.objects import key_of
from holdfast.kube.resource import Resource
from tests.conformance.engine_world import RESOURCES, FakeMover, phase_is, status_of
from tests.sim.frozen_world import ORDER, Freezing, FreezingDialect, child_name
from tests.unit.kube.fake import FakeApi

MOVERS = {"fake": FakeMover()}
CALLS = {name: MoverCall("fake", {}) for name in ("freeze", "copy", "thaw")}
ENDED = "2026-11-20T13:00:00Z"


class Hands:
    """Does what the cluster would: ends Jobs with a report, gets snapshots ready, binds claims, each as soon as it sees it."""

    def __init__(self, client: Client, failing: str) -> None:
        self._client, self._failing = client, failing
        self.began: list[str] = []

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for res in (JOBS, VOLUMESNAPSHOTS, PVCS):
                informer = Informer(self._client, res)
                informer.subscribe(self._seen(res, group))
                group.create_task(informer.run())

    def _seen(self, res: Resource, group: asyncio.TaskGroup) -> Callable[[Object | None, Object | None], None]:
        def seen(old: Object | None, new: Object | None) -> None:
            if old is None and new is not None:
                self.began.append(new["metadata"]["name"].partition("-")[0])
                group.create_task(self._carry_out(res, new))

        return seen

    async def _carry_out(self, res: Resource, obj: Object) -> None:
        namespace, name = key_of(obj)
        if res is VOLUMESNAPSHOTS:
            status: Object = {"readyToUse": True}
        elif res is PVCS:
            status = {"phase": "Bound"}
        else:
            failed = name.startswith(self._failing) if self._failing else False
            await self._client.create(PODS, pod_of(obj, failed=failed))
            kind = "Failed" if failed else "Complete"
            status = {"conditions": [{"type": kind, "status": "True", "lastTransitionTime": ENDED}]}
        await self._client.merge_patch(res, name, namespace, {"status": status}, subresource="status")


def pod_of(job: Object, *, failed: bool) -> Object:
    report = Report("fake", failure=Failure("NoRoom", "the disk is full") if failed else None)
    ended = {"exitCode": 1 if failed else 0, "message": msgspec.json.encode(report).decode()}
    status = {"phase": "Failed" if failed else "Succeeded"}
    status["containerStatuses"] = [{"name": "main", "state": {"terminated": ended}}]  # type: ignore[assignment]
    meta = {"name": f"{job['metadata']['name']}-x", "namespace": "demo", "ownerReferences": [owner_reference(job)]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [{"name": "main"}]}, "status": status}


@asynccontextmanager
async def operator(api: FakeApi, gate: Callable[[], None] | None = None) -> AsyncIterator[None]:
    async with api.client() as client:
        recorder = EventRecorder(client, "engine")
        engine = Engine(
            client, [FreezingDialect(Freezing(CALLS))], MOVERS, RESOURCES, image="x", recorder=recorder, scope=Whole(gate)
        )
        task = asyncio.create_task(engine.run())
        try:
            async with asyncio.timeout(10):
                await engine.manager.synced()
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await recorder.close()


class Dead(RuntimeError):
    """This process writes nothing any more."""


class Life:
    """A gate that lets so many writes through."""

    def __init__(self, writes: int) -> None:
        self._left = writes
        self.over = asyncio.Event()

    def __call__(self) -> None:
        if self._left == 0:
            self.over.set()
            raise Dead
        self._left -= 1


async def run_with_a_death(writes: int, failing: str = "") -> tuple[bool, Object, list[str]]:
    """Kill the operator before its write of this number, start another; return whether it came so far, and how it ended."""
    async with FakeApi().serve() as api, api.client() as client:
        hands = Hands(client, failing)
        doing = asyncio.create_task(hands.run())
        life = Life(writes)
        try:
            meta = {"name": "t", "namespace": "demo"}
            await api.put("/apis/engine.test.holdfast.dev/v1/things", {"metadata": meta, "spec": {}})
            async with operator(api, life):
                ended = asyncio.create_task(phase_is(client, "t", "Failed" if failing else "Succeeded"))
                death = asyncio.create_task(life.over.wait())
                await asyncio.wait([ended, death], return_when=asyncio.FIRST_COMPLETED)
                for task in (ended, death):
                    task.cancel()
            async with operator(api):
                await phase_is(client, "t", "Failed" if failing else "Succeeded")
            status = await status_of(client, "t")
        finally:
            doing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await doing
        made = [path.rpartition("/")[2] for _, type_, path, _ in api.history if type_ == "ADDED"]
        children = [name for name in made if name in {child_name("t", step) for step in ORDER}]
        assert len(children) == len(set(children)), f"a twin: {children}"
        return life.over.is_set(), status, hands.began


@pytest.mark.parametrize("first", range(4))
async def test_a_run_goes_on_wherever_its_operator_dies(first: int) -> None:
    died, writes = True, first
    while died:
        died, status, began = await run_with_a_death(writes)
        assert set(status["steps"]) == set(ORDER)
        assert began.index("freeze") < began.index("snap") < began.index("clone") < began.index("copy")
        assert began.index("snap") < began.index("thaw")
        writes += 4
    assert writes > 8, "a run has fewer writes than it has steps: nothing was killed"


@pytest.mark.parametrize("failing", ["freeze", "copy"])
async def test_a_run_that_fails_thaws_wherever_its_operator_dies(failing: str) -> None:
    died, writes = True, 0
    while died:
        died, status, began = await run_with_a_death(writes, failing)
        assert "the disk is full" in status["message"]
        assert began.count("thaw") == 1
        assert ("copy" in began) == (failing == "copy")
        writes += 2
