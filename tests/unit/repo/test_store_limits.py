"""Stores around stores: rates, connections, counts, faults."""

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast.repo.errors import ObjectNotFound, StoreFull, StoreUnavailable
from holdfast.repo.store import path_of
from holdfast.repo.stores import StoreOptions, open_store
from holdfast.repo.stores.faults import FaultyStore, Room, after, before, cut, nth, slow
from holdfast.repo.stores.limits import ConcurrencyLimitedStore, Rate, RateLimitedStore
from holdfast.repo.stores.local import LocalStore
from holdfast.repo.stores.metrics import MeasuredStore, OperationStatistics
from holdfast.repo.stores.retry import RetryingStore, pause_before


def pack(number: int) -> str:
    return path_of("data", hashlib.sha256(bytes([number])).hexdigest())


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "store")
    store.create()
    return store


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_rate_is_shared_by_all_threads(local: LocalStore, way: str, threads: int) -> None:
    """On a clock that stands still each transfer waits for the end of its own span, and the spans lie end to end."""
    size, count = 25_000, 16
    for number in range(count):
        local.put(pack(number), bytes(size))
    pauses: list[float] = []
    rate = Rate(500_000, clock=lambda: 0.0, pause=pauses.append)
    store = RateLimitedStore(local, **{"upload" if way == "up" else "download": rate})
    with ThreadPoolExecutor(threads) as pool:
        if way == "up":
            list(pool.map(lambda number: store.put(pack(number), bytes(size)), range(count)))
        else:
            list(pool.map(lambda number: store.get(pack(number)), range(count)))

    ends = [number * size / 500_000 for number in range(1, count + 1)]
    starts = ends[:-1] if way == "up" else []
    assert sorted(pauses) == pytest.approx(sorted([*starts, *ends]))


def test_locks_do_not_wait_for_a_slow_line(local: LocalStore) -> None:
    pauses: list[float] = []
    rate = Rate(10, pause=pauses.append)
    store = ConcurrencyLimitedStore(RateLimitedStore(local, upload=rate, download=rate), 1)
    lock = "locks/" + "ab" * 32
    store.put(lock, bytes(1000))
    store.get(lock)

    assert pauses == []


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="moves nothing"):
        Rate(0)


def test_no_more_operations_than_connections_run_at_once(local: LocalStore) -> None:
    guard, running, most = threading.Lock(), 0, 0
    full = threading.Barrier(3)

    def count(operation: str, path: str) -> None:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        full.wait(10)
        with guard:
            running -= 1

    store = ConcurrencyLimitedStore(FaultyStore(local, count), 3)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda number: store.put(pack(number), b"x"), range(12)))

    assert most == 3


def test_what_was_done_is_counted(local: LocalStore) -> None:
    ticks = iter(range(100))
    fault = nth("get", 2, before(StoreUnavailable("cut")))
    store = MeasuredStore(FaultyStore(local, fault), clock=lambda: float(next(ticks)))
    store.put(pack(1), bytes(500))
    store.get(pack(1), 0, 100)
    with pytest.raises(StoreUnavailable):
        store.get(pack(1))
    with pytest.raises(ObjectNotFound):
        store.size(pack(2))

    assert store.statistics() == {
        "put": OperationStatistics(calls=1, bytes=500, seconds=1.0),
        "get": OperationStatistics(calls=2, bytes=100, seconds=2.0, errors={"StoreUnavailable": 1}),
        "size": OperationStatistics(calls=1, seconds=1.0),
    }


def test_faults_meet_the_call_they_were_aimed_at(local: LocalStore) -> None:
    store = FaultyStore(local, nth("put", 2, before(StoreUnavailable("never arrived"))))
    store.put(pack(1), b"one")
    with pytest.raises(StoreUnavailable):
        store.put(pack(2), b"two")
    store.put(pack(3), b"three")
    with pytest.raises(ObjectNotFound):
        local.get(pack(2))

    with pytest.raises(StoreUnavailable):
        FaultyStore(local, nth("put", 1, after(StoreUnavailable("no answer")))).put(pack(2), b"two")
    assert local.get(pack(2)) == b"two"
    assert FaultyStore(local, nth("get", 1, cut(2))).get(pack(3)) == b"th"
    waits: list[float] = []
    assert FaultyStore(local, nth("get", 1, slow(7.0, waits.append))).get(pack(3)) == b"three"
    assert waits == [7.0]


def test_a_store_with_little_room_is_full_when_it_is_full(local: LocalStore) -> None:
    store = FaultyStore(local, Room(100))
    store.put(pack(1), bytes(60))
    with pytest.raises(StoreFull):
        store.put(pack(2), bytes(60))
    store.put(pack(3), bytes(40))


def test_a_service_that_says_when_to_come_back_is_obeyed_up_to_a_minute(local: LocalStore) -> None:
    pauses: list[float] = []
    fault = nth("get", 1, before(StoreUnavailable("busy", retry_after=7.0)))
    local.put(pack(1), b"x")
    RetryingStore(FaultyStore(local, fault), pause=pauses.append).get(pack(1))

    assert pauses == [7.0]
    assert pause_before(1, 3600.0) == 60.0
    assert pause_before(1, None) <= 0.5


def test_options_limit_a_store_that_is_opened_by_its_url(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "repo"), {}, StoreOptions(connections=2, upload_rate=200_000))
    store.create()
    started = time.monotonic()
    store.put(pack(1), bytes(40_000))

    assert time.monotonic() - started >= 0.2
