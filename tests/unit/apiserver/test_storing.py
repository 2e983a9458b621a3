"""The store under a full disk, and the ring when watchers fall behind."""

import asyncio
from pathlib import Path

import pytest

from holdfast.embedded.apiserver.errors import StatusError
from holdfast.embedded.apiserver.ring import Event, Ring, Rings
from holdfast.embedded.apiserver.store import Change, Key, Record, Store


def _object(name: str, size: int = 0) -> dict:
    return {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": name, "uid": name}, "data": "x" * size}


def _put(store: Store, name: str, size: int = 0):
    return store.write(lambda transaction: transaction.put(Key("/things", "", name), _object(name, size)))


async def test_a_full_disk_is_said_and_nothing_that_was_acknowledged_suffers(tmp_path: Path):
    store = Store(tmp_path / "state.db")
    await _put(store, "kept")
    limit = store._db.execute("PRAGMA max_page_count=64").fetchone()[0]
    with pytest.raises(StatusError, match="full"):
        await asyncio.gather(*(_put(store, f"big{at}", 16_384) for at in range(100)))
    kept = {record.key.name for record in store.page("/things").records}
    store._db.execute(f"PRAGMA max_page_count={limit * 1000}")
    await _put(store, "after")
    await store.close()
    store = Store(tmp_path / "state.db")
    assert {record.key.name for record in store.page("/things").records} == kept | {"after"}
    await store.close()


async def test_a_listener_that_fails_does_not_keep_writers_waiting(tmp_path: Path):
    store = Store(tmp_path / "state.db")
    heard: list[str] = []

    def fail(changes: list[Change]) -> None:
        raise RuntimeError("broken")

    store.listeners += [fail, lambda changes: heard.extend(change.new.key.name for change in changes)]
    async with asyncio.timeout(5):
        await _put(store, "a")
    assert heard == ["a"]
    await store.close()


async def test_a_label_finds_the_objects_that_bear_exactly_it(tmp_path: Path):
    store = Store(tmp_path / "state.db")
    labels = {"a": {"app": "x", "tier": "y"}, "b": {"my-app": "x"}, "c": {"app": "xy"}, "d": {"tier": "y", "app": "x"}, "e": {}}
    for name, given in labels.items():
        obj = _object(name)
        obj["metadata"]["labels"] = given
        await store.write(lambda transaction, obj=obj, name=name: transaction.put(Key("/things", "", name), obj))

    found = await store.write(lambda transaction: transaction.objects("/things", label=("app", "x")))

    assert sorted(record.key.name for record in found) == ["a", "d"]
    await store.close()


def _event(rv: int, size: int = 10) -> Event:
    return Event(rv, "ADDED", Record(Key("/things", "", f"t{rv}"), rv, "u", {}, b"x" * size), None)


def test_a_ring_forgets_the_oldest_half_and_says_so():
    ring = Ring(floor=0, limit=4)
    early = ring.cursor(0)
    for rv in range(1, 6):
        ring.append(_event(rv))
    assert early is not None
    assert ring.since(early) is None
    assert ring.cursor(1) is None
    late = ring.cursor(4)
    assert late is not None
    assert [event.rv for event in ring.since(late) or []] == [5]


def test_a_ring_is_bounded_by_bytes_too():
    ring = Ring(floor=0, limit=1000, max_bytes=1000)
    for rv in range(1, 51):
        ring.append(_event(rv, size=100))
    assert ring.floor >= 39


def test_a_resource_without_events_knows_the_past_since_the_start():
    rings = Rings(floor=7)
    assert rings.of("/things").cursor(6) is None
    assert rings.of("/things").cursor(7) is not None
