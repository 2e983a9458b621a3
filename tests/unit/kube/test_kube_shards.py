"""Namespaces shared among processes: everything is somebody's, nothing is anybody's twice. The clocks stop and turn."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kube.fake import FakeApi

from holdfast.kube.builtin import LEASES
from holdfast.kube.client import Client
from holdfast.kube.lease import Elector, LeaseLost
from holdfast.kube.shards import FIXED, Shards, deal, shard_of

COUNT = 4
DURATION = 15.0
TICK = DURATION / 7.5


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def member(client: Client, name: str, clock: Clock, count: int = COUNT) -> Shards:
    return Shards(client, "engine", "holdfast", name, count, duration=DURATION, clock=clock)


async def rounds(clock: Clock, number: int, *members: Shards) -> Counter[int]:
    """Let everybody look a number of times; return how often each shard was held by two at once."""
    twice: Counter[int] = Counter()
    for _ in range(number):
        clock.now += TICK
        for each in members:
            await each.once()
            await asyncio.sleep(0.02)  # what hands over does so in a task of its own
            twice.update(number for number, count in Counter(n for one in members for n in one.held).items() if count > 1)
    return twice


def held(members: Sequence[Shards]) -> list[int]:
    return sorted(number for each in members for number in each.held)


@given(st.integers(1, 20), st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_a_deal_is_even_and_moves_little(count: int, members: set[str], other: str) -> None:
    dealt = deal(count, members)
    shares = Counter(dealt.values())
    assert sorted(dealt) == list(range(count))
    assert max(shares.values()) - min(shares[each] for each in members) <= 1
    assert dealt == deal(count, sorted(members, reverse=True))
    if other not in members:
        moved = sum(dealt[shard] != holder for shard, holder in deal(count, {*members, other}).items() if holder != other)
        assert moved <= count - count // (len(members) + 1)


def test_namespaces_spread_over_shards_and_what_lies_in_none_has_a_fixed_one() -> None:
    spread = Counter(shard_of(f"team-{number}", COUNT) for number in range(1000))
    assert min(spread.values()) > 200
    assert shard_of("", COUNT) == FIXED
    assert shard_of("demo", 1) == FIXED


async def test_one_alone_takes_all_and_shares_with_those_who_come(api: FakeApi) -> None:
    clock = Clock()
    async with api.client() as client:
        one, two, three = (member(client, name, clock) for name in ("one", "two", "three"))
        await rounds(clock, 2, one)
        assert held([one]) == [0, 1, 2, 3]
        assert await rounds(clock, 5, one, two, three) == Counter()
        assert held([one, two, three]) == [0, 1, 2, 3]
        assert sorted(len(each.held) for each in (one, two, three)) == [1, 1, 2]


async def test_the_shards_of_one_that_died_are_taken_within_fifteen_seconds(api: FakeApi) -> None:
    """A Lease of ten seconds, looked at every 1.3 s: what an operator uses."""
    clock = Clock()
    async with api.client() as client:
        one, two = (Shards(client, "engine", "holdfast", name, COUNT, duration=10, clock=clock) for name in ("one", "two"))
        for _ in range(6):
            clock.now += 1.33
            for each in (one, two):
                await each.once()
                await asyncio.sleep(0.02)
        assert [len(one.held), len(two.held)] == [2, 2]
        died = clock.now
        while len(two.held) < COUNT:
            clock.now += 1.33
            await two.once()
            assert clock.now - died <= 15
        assert not one.held


async def test_one_that_was_stopped_for_a_minute_may_write_for_nobody(api: FakeApi) -> None:
    clock, stopped = Clock(), Clock()
    async with api.client() as client:
        one, two = member(client, "one", clock), member(client, "two", stopped)
        for _ in range(5):
            await rounds(clock, 1, one)
            stopped.now = clock.now
            await two.once()
            await asyncio.sleep(0.02)
        assert two.held
        ours = next(name for name in (f"team-{n}" for n in range(99)) if two.holds(name))
        await rounds(clock, 15, one)
        assert held([one]) == [0, 1, 2, 3]
        stopped.now = clock.now
        with pytest.raises(LeaseLost):
            two.check(ours)
        assert not two.held


async def test_a_shard_is_handed_over_only_when_nothing_is_under_way_for_it(api: FakeApi) -> None:
    clock, drained = Clock(), asyncio.Event()

    async def drain(_: int) -> None:
        await drained.wait()

    async with api.client() as client:
        one, two = member(client, "one", clock), member(client, "two", clock)
        one.drained_by(drain)
        await rounds(clock, 2, one)
        assert await rounds(clock, 2, two, one) == Counter()
        assert (len(one.held), len(two.held)) == (2, 0)
        drained.set()
        await asyncio.sleep(0.05)
        await rounds(clock, 1, two, one)
        assert (len(one.held), len(two.held)) == (2, 2)


async def test_a_shard_that_was_lost_for_a_moment_is_told_of_again(api: FakeApi) -> None:
    """What a pass gave up in that moment is found by nobody else."""
    clock = Clock()
    told: list[tuple[int, bool]] = []
    async with api.client() as client:
        one = member(client, "one", clock)
        await rounds(clock, 2, one)
        one.subscribe(lambda number, ours: told.append((number, ours)))
        told.clear()
        await rounds(clock, 2, one)
        assert told == []
        clock.now += DURATION
        assert not one.held
        await rounds(clock, 2, one)
    assert told[-COUNT:] == [(number, True) for number in range(COUNT)]


async def test_those_who_go_leave_their_shards_at_once(api: FakeApi) -> None:
    clock = Clock()
    async with api.client() as client:
        one, two = member(client, "one", clock), member(client, "two", clock)
        running = asyncio.create_task(one.run())
        await asyncio.sleep(0.1)
        await rounds(clock, 3, two)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert not one.held
        await rounds(clock, 2, two)
        assert held([two]) == [0, 1, 2, 3]


@pytest.mark.parametrize("first", ["one acts for all", "other number"])
async def test_who_deals_differently_stands_by(api: FakeApi, first: str) -> None:
    clock = Clock()
    async with api.client() as client:
        new = member(client, "new", clock)
        if first == "one acts for all":
            old = Elector(client, "engine", "holdfast", "old", duration=DURATION, clock=clock)
            await old.once()
        else:
            old = member(client, "old", clock, COUNT + 1)
            await rounds(clock, 2, old)
        for _ in range(10):
            clock.now += TICK
            await old.once()
            await new.once()
            assert old.held
            assert not new.held
        await rounds(clock, 12, new)
        assert held([new]) == [0, 1, 2, 3]
        if isinstance(old, Elector):
            await old.once()
            assert not old.held


async def test_those_who_share_the_layout_need_not_all_renew_it(api: FakeApi) -> None:
    clock = Clock()
    async with api.client() as client:
        one, two = member(client, "one", clock), member(client, "two", clock)
        await rounds(clock, 4, one, two)
        before = sum(method == "PUT" and path.endswith("/leases/engine") for method, path, _ in api.requests)
        await rounds(clock, 10, one, two)
        after = sum(method == "PUT" and path.endswith("/leases/engine") for method, path, _ in api.requests)
        assert after - before <= 11
        assert held([one, two]) == [0, 1, 2, 3]


async def test_leases_of_the_long_dead_are_removed(api: FakeApi) -> None:
    clock = Clock()
    async with api.client() as client:
        one, two = member(client, "one", clock), member(client, "two", clock)
        await rounds(clock, 3, one, two)
        name = "engine-member-4-two"
        lease = await client.get(LEASES, name, "holdfast")
        await client.merge_patch(LEASES, name, "holdfast", {"spec": {**lease["spec"], "renewTime": "2020-01-01T00:00:00.0Z"}})
        await rounds(clock, 12, one)
        assert [path for path in api.objects if path.endswith(name)] == []
