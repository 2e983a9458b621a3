"""Reconcilers hear of every change, one at a time per key, again after failures, and at the time they asked for."""

import asyncio
import itertools
import logging
from typing import Any

import pytest
from tests.unit.kube.fake import FakeApi, running, until

from holdfast.kube.builtin import CONFIGMAPS, JOBS, PODS
from holdfast.kube.controller import Controller, Result
from holdfast.kube.errors import Conflict
from holdfast.kube.manager import Manager
from holdfast.kube.objects import Key, key_of, owner_keys

Object = dict[str, Any]


def config_map(name: str, **data: str) -> Object:
    return {"metadata": {"name": name, "namespace": "demo"}, "data": data}


async def test_a_change_is_reconciled_from_the_cache(api: FakeApi):
    await api.put("/api/v1/configmaps", config_map("a", x="1"))
    seen: list[tuple[Key, Object]] = []
    async with api.client() as client:
        manager = Manager(client)
        informer = manager.informer(CONFIGMAPS)

        async def reconcile(key: Key) -> None:
            obj = informer.get(*key)
            seen.append((key, obj["data"] if obj else {}))

        controller = Controller("test", reconcile)
        controller.watches(informer, lambda obj: [key_of(obj)])
        manager.add(controller)
        async with running(manager.run()):
            await until(lambda: seen == [(("demo", "a"), {"x": "1"})])
            await api.put("/api/v1/configmaps", config_map("a", x="2"))
            await until(lambda: seen[-1] == (("demo", "a"), {"x": "2"}))
            await api.drop("/api/v1/configmaps", "demo", "a")
            await until(lambda: seen[-1] == (("demo", "a"), {}))


async def test_a_child_wakes_its_controller_old_and_new(api: FakeApi):
    def pod(owner: str) -> Object:
        reference = {"apiVersion": "batch/v1", "kind": "Job", "name": owner, "uid": owner, "controller": True}
        return {"metadata": {"name": "p", "namespace": "demo", "ownerReferences": [reference]}}

    woken: list[Key] = []

    async def reconcile(key: Key) -> None:
        woken.append(key)

    async with api.client() as client:
        manager = Manager(client)
        controller = manager.add(Controller("test", reconcile))
        controller.watches(manager.informer(PODS), owner_keys("Job", "batch"))
        async with running(manager.run()):
            await manager.synced()
            await api.put("/api/v1/pods", pod("one"))
            await until(lambda: woken == [("demo", "one")])
            await api.put("/api/v1/pods", pod("two"))
            await until(lambda: set(woken[1:]) == {("demo", "one"), ("demo", "two")})


async def test_no_controller_starts_before_every_cache_is_filled(api: FakeApi):
    await api.put("/apis/batch/v1/jobs", config_map("j"))
    for number in range(20):
        await api.put("/api/v1/configmaps", config_map(f"c{number}"))
    sizes: list[int] = []
    async with api.client() as client:
        manager = Manager(client)
        jobs, maps = manager.informer(JOBS), manager.informer(CONFIGMAPS)

        async def reconcile(key: Key) -> None:
            sizes.append(len(list(maps.all())))

        manager.add(Controller("test", reconcile)).watches(jobs, lambda obj: [key_of(obj)])
        async with running(manager.run()):
            await until(lambda: bool(sizes))
    assert sizes[0] == 20


async def test_a_failure_is_logged_and_tried_again_until_it_works(caplog: pytest.LogCaptureFixture):
    attempts: list[Key] = []

    async def reconcile(key: Key) -> None:
        attempts.append(key)
        if len(attempts) < 3:
            raise RuntimeError("the disk is full")

    controller = Controller("test", reconcile)
    async with running(controller.run()):
        controller.enqueue(("demo", "a"))
        await until(lambda: len(attempts) == 3)
        await until(lambda: controller.queue.failures(("demo", "a")) == 0)
    assert "test demo/a: the disk is full" in caplog.text
    assert (controller.stats.passes, controller.stats.failures) == (3, 2)


async def test_a_conflict_is_no_news(caplog: pytest.LogCaptureFixture):
    attempts: list[Key] = []

    async def reconcile(key: Key) -> None:
        attempts.append(key)
        if len(attempts) == 1:
            raise Conflict(409, "Conflict", "the object has been modified")

    controller = Controller("test", reconcile)
    with caplog.at_level(logging.INFO):
        async with running(controller.run()):
            controller.enqueue(("demo", "a"))
            await until(lambda: len(attempts) == 2)
    assert caplog.text == ""


async def test_a_reconcile_that_hangs_is_ended(caplog: pytest.LogCaptureFixture):
    ended = asyncio.Event()

    async def reconcile(key: Key) -> None:
        if not ended.is_set():
            ended.set()
            await asyncio.Event().wait()

    controller = Controller("test", reconcile, time_limit=0.02)
    async with running(controller.run()):
        controller.enqueue(("demo", "a"))
        await until(lambda: controller.stats.passes == 2)
    assert "TimeoutError" in caplog.text


async def test_a_result_brings_the_key_back_in_time():
    times: list[float] = []
    loop = asyncio.get_running_loop()

    async def reconcile(key: Key) -> Result:
        times.append(loop.time())
        return Result(after=0.05)

    controller = Controller("test", reconcile)
    async with running(controller.run()):
        controller.enqueue(("demo", "a"))
        await until(lambda: len(times) == 3)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(0.045 <= gap < 1.0 for gap in gaps)


async def test_different_keys_run_side_by_side_and_one_key_never_does():
    running_now: set[Key] = set()
    most = 0
    passes: dict[Key, int] = {}

    async def reconcile(key: Key) -> None:
        nonlocal most
        assert key not in running_now
        running_now.add(key)
        most = max(most, len(running_now))
        await asyncio.sleep(0.001)
        running_now.discard(key)
        passes[key] = passes.get(key, 0) + 1

    controller = Controller("test", reconcile, workers=4)
    keys = [("demo", str(number)) for number in range(10)]
    async with running(controller.run()):
        for _ in range(3):
            for key in keys:
                controller.enqueue(key)
            await asyncio.sleep(0.001)
        await until(lambda: not controller.queue.running and len(controller.queue) == 0)
    assert most == 4
    assert set(passes) == set(keys)
    assert controller.stats.failures == 0


async def test_informers_are_shared_and_must_agree_on_their_trim(api: FakeApi):
    async with api.client() as client:
        manager = Manager(client)
        first = manager.informer(PODS, trim=dict)
        assert manager.informer(PODS) is first
        assert manager.informer(PODS, namespace="demo") is not first
        with pytest.raises(ValueError, match="another trim"):
            manager.informer(PODS, trim=lambda obj: obj)


async def test_informers_and_controllers_may_join_a_running_manager(api: FakeApi):
    seen: list[Key] = []

    async def reconcile(key: Key) -> None:
        seen.append(key)

    async with api.client() as client:
        manager = Manager(client)
        manager.informer(PODS)
        async with running(manager.run()):
            await manager.synced()
            controller = Controller("late", reconcile)
            controller.watches(manager.informer(CONFIGMAPS), lambda obj: [key_of(obj)])
            manager.add(controller)
            await api.put("/api/v1/configmaps", config_map("a"))
            await until(lambda: seen == [("demo", "a")])
