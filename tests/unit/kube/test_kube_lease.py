"""One leader at most, judged by clocks that the tests stop and turn."""

import asyncio

import pytest
from tests.unit.kube.fake import FakeApi, Fault, running, until

from holdfast.kube.builtin import CONFIGMAPS
from holdfast.kube.client import Client
from holdfast.kube.lease import Elector, LeaseLost

LEASE = "/apis/coordination.k8s.io/v1/namespaces/holdfast/leases/engine"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def candidate(client: Client, name: str, clock: Clock, duration: float = 15.0) -> Elector:
    return Elector(client, "engine", "holdfast", name, duration=duration, clock=clock)


async def attempt(*electors: Elector) -> list[bool]:
    for elector in electors:
        await elector.once()
    return [elector.held for elector in electors]


async def test_the_first_candidate_leads_and_the_second_waits(api: FakeApi):
    clock = Clock()
    async with api.client() as client:
        one, two = candidate(client, "one", clock), candidate(client, "two", clock)
        assert await attempt(one, two) == [True, False]
    spec = api.objects[LEASE]["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("one", 15, 0)


async def test_a_leader_that_was_stopped_for_a_minute_cannot_write(api: FakeApi):
    clock = Clock()
    async with api.client() as client:
        leader = candidate(client, "one", clock)
        await attempt(leader)
        writer = client.gated(leader.check)
        await writer.create(CONFIGMAPS, {"metadata": {"name": "before", "namespace": "demo"}})
        clock.now += 60
        with pytest.raises(LeaseLost, match="holdfast/engine is not held by one"):
            await writer.create(CONFIGMAPS, {"metadata": {"name": "after", "namespace": "demo"}})
    assert api.count("POST") == 2


async def test_the_leader_stops_before_anyone_else_may_start(api: FakeApi):
    """Given the server is gone from the leader's view, its deadline passes before the other's patience ends."""
    clock = Clock()
    async with api.client() as client:
        one, two = candidate(client, "one", clock), candidate(client, "two", clock)
        await attempt(one, two)
        together = []
        for _ in range(40):
            clock.now += 0.5
            await attempt(two)
            together.append((one.held, two.held))
    assert (True, True) not in together
    assert together[-1] == (False, True)
    assert together.index((False, False)) < together.index((False, True))
    assert two.epoch == 1


async def test_a_deadline_counts_from_before_the_renewal_was_sent(api: FakeApi):
    """Given the renewal's answer takes twelve seconds, we hold nothing when it comes."""
    clock = Clock()
    async with api.client() as client:
        leader = candidate(client, "one", clock)
        api.hold = asyncio.Event()
        renewal = asyncio.ensure_future(leader.once())
        await until(lambda: api.active == 1)
        clock.now += 12
        api.hold.set()
        await renewal
    assert api.objects[LEASE]["spec"]["holderIdentity"] == "one"
    assert leader.held is False


async def test_a_clock_that_differs_between_machines_changes_nothing(api: FakeApi):
    fast, slow = Clock(), Clock()
    fast.now = 10_000_000.0
    async with api.client() as client:
        one, two = candidate(client, "one", slow), candidate(client, "two", fast)
        assert await attempt(one, two) == [True, False]


async def test_two_that_see_an_expired_lease_at_once_do_not_both_win(api: FakeApi):
    clock = Clock()
    async with api.client() as client:
        old, one, two = (candidate(client, name, clock) for name in ("old", "one", "two"))
        await attempt(old, one, two)
        clock.now += 16
        await asyncio.gather(one.once(), two.once())
    assert [one.held, two.held].count(True) == 1


async def test_a_leader_that_goes_gives_the_lease_back_at_once(api: FakeApi):
    clock = Clock()
    async with api.client() as client:
        one, two = candidate(client, "one", clock), candidate(client, "two", clock)
        async with running(one.run()):
            await one.acquired()
            assert await attempt(two) == [False]
        assert one.held is False
        assert await attempt(two) == [True]


async def test_who_follows_a_lease_is_told_of_each_term(api: FakeApi):
    clock = Clock()
    told: list[bool] = []
    async with api.client() as client:
        elector = candidate(client, "one", clock, duration=0.3)
        for _ in range(60):
            api.fail("PUT", Fault(409, reason="Conflict"))
        async with running(elector.run(), elector.follow(told.append)):
            await until(lambda: told == [True])
            clock.now += 5
            await until(lambda: told == [True, False])
            api.faults.clear()
            await until(lambda: told == [True, False, True])


async def test_a_gap_that_is_over_before_anybody_looks_ends_the_term(api: FakeApi):
    """Given a renewal that came too late: what was refused before it is to be looked at again."""
    clock = Clock()
    told: list[bool] = []
    async with api.client() as client:
        elector = candidate(client, "one", clock, duration=3)
        await attempt(elector)
        async with running(elector.follow(told.append)):
            await until(lambda: told == [True])
            clock.now += 1
            await attempt(elector)
            assert elector.term == 1
            clock.now += 5
            assert not elector.held
            assert await attempt(elector) == [True]
            await until(lambda: told == [True, False, True])
    assert elector.term == 2


async def test_an_unreachable_server_only_lets_the_deadline_come_nearer(api: FakeApi, caplog: pytest.LogCaptureFixture):
    clock = Clock()
    async with api.client() as client:
        elector = candidate(client, "one", clock)
        await attempt(elector)
        for _ in range(5):
            api.fail("PUT", Fault(503))
        clock.now += 9
        assert await attempt(elector) == [True]
        clock.now += 2
        assert elector.held is False
    assert "lease holdfast/engine" in caplog.text
