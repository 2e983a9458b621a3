"""A cache converges to what the server holds, whatever happens to the line between them."""

import asyncio
import random
from typing import Any

import pytest
from tests.unit.kube.fake import FakeApi, Fault, running, until

from holdfast.kube import watching
from holdfast.kube.builtin import CONFIGMAPS, PODS
from holdfast.kube.errors import Forbidden
from holdfast.kube.informer import Informer
from holdfast.kube.objects import owner_uids

Object = dict[str, Any]


def config_map(name: str, **data: str) -> Object:
    return {"metadata": {"name": name, "namespace": "demo"}, "data": data}


class Diary:
    """What subscribers were told."""

    def __init__(self, informer: Informer):
        self.entries: list[str] = []
        informer.subscribe(self._note)

    def _note(self, old: Object | None, new: Object | None) -> None:
        sign = "+" if old is None else "-" if new is None else "~"
        self.entries.append(sign + (new or old or {})["metadata"]["name"])


def names(informer: Informer) -> set[str]:
    return {obj["metadata"]["name"] for obj in informer.all()}


async def test_it_lists_then_follows(api: FakeApi):
    await api.put("/api/v1/configmaps", config_map("a"))
    async with api.client() as client:
        informer = Informer(client, CONFIGMAPS)
        diary = Diary(informer)
        async with running(informer.run()):
            await informer.synced()
            assert names(informer) == {"a"}
            await api.put("/api/v1/configmaps", config_map("b"))
            await api.put("/api/v1/configmaps", config_map("a", x="1"))
            await api.drop("/api/v1/configmaps", "demo", "b")
            await until(lambda: "-b" in diary.entries)
            found = informer.get("demo", "a")
    assert found is not None
    assert (found["data"], found["kind"]) == ({"x": "1"}, "ConfigMap")
    assert diary.entries == ["+a", "+b", "~a", "-b"]
    assert api.count("GET") == 1


async def test_a_broken_watch_goes_on_where_it_was_without_a_new_list(api: FakeApi):
    async with api.client() as client:
        informer = Informer(client, CONFIGMAPS)
        diary = Diary(informer)
        async with running(informer.run()):
            await informer.synced()
            for number in range(5):
                await until(lambda: bool(api._streams))
                api.break_watches()
                await api.put("/api/v1/configmaps", config_map(f"c{number}"))
                await until(lambda number=number: f"+c{number}" in diary.entries)
    assert diary.entries == [f"+c{number}" for number in range(5)]
    assert api.count("GET") == 1


async def test_a_version_that_is_too_old_is_listed_again_and_what_vanished_is_told(api: FakeApi):
    await api.put("/api/v1/configmaps", config_map("stays"))
    await api.put("/api/v1/configmaps", config_map("goes"))
    async with api.client() as client:
        informer = Informer(client, CONFIGMAPS)
        diary = Diary(informer)
        async with running(informer.run()):
            await informer.synced()
            await until(lambda: bool(api._streams))
            api.fail("GET", Fault(503), watch=True)
            api.break_watches()
            await api.drop("/api/v1/configmaps", "demo", "goes")
            await api.put("/api/v1/configmaps", config_map("comes"))
            api.compact()
            await until(lambda: names(informer) == {"stays", "comes"})
    assert sorted(diary.entries[2:]) == ["+comes", "-goes"]
    assert api.count("GET") == 2


async def test_a_bookmark_moves_the_version_so_that_compaction_costs_no_list(api: FakeApi):
    async with api.client() as client:
        informer = Informer(client, CONFIGMAPS)
        async with running(informer.run()):
            await informer.synced()
            await until(lambda: bool(api._streams))
            await api.bookmark()
            await until(lambda: informer._version == str(api.version))
            api.compact()
            api.break_watches()
            await until(lambda: api.count("GET", watch=True) == 2 and bool(api._streams))
            await api.put("/api/v1/configmaps", config_map("a"))
            await until(lambda: names(informer) == {"a"})
    assert api.count("GET") == 1


async def test_a_silent_watch_is_opened_again(api: FakeApi, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watching, "READ_TIMEOUT", 0.05)
    async with api.client() as client:
        informer = Informer(client, CONFIGMAPS)
        async with running(informer.run()):
            await until(lambda: api.count("GET", watch=True) >= 3)
            assert informer.failure is None
    assert api.count("GET") == 1


async def test_a_refused_list_says_what_is_missing_and_goes_on_trying(api: FakeApi, caplog: pytest.LogCaptureFixture):
    for _ in range(2):
        api.fail("GET", Fault(403, reason="Forbidden"))
    async with api.client() as client:
        informer = Informer(client, PODS)
        async with running(informer.run()):
            await until(lambda: isinstance(informer.failure, Forbidden))
            await informer.synced()
            await until(lambda: informer.failure is None)
    assert "the verbs list and watch on pods" in caplog.text
    assert caplog.text.count("cannot follow") == 1


async def test_a_watch_that_is_refused_again_and_again_makes_no_storm(api: FakeApi, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("holdfast.kube.informer.BACKOFF", 10.0)
    monkeypatch.setattr("holdfast.kube.informer.BACKOFF_LIMIT", 10.0)
    for _ in range(10):
        api.fail("GET", Fault(410, reason="Expired"), watch=True)
    async with api.client() as client:
        informer = Informer(client, CONFIGMAPS)
        async with running(informer.run()):
            await until(lambda: len(api.faults) == 8)
            await api.put("/api/v1/configmaps", config_map("a"))
    assert api.count("GET") == 2


async def test_a_subscriber_that_fails_harms_nobody(api: FakeApi, caplog: pytest.LogCaptureFixture):
    def broken(old: Object | None, new: Object | None) -> None:
        raise KeyError("spec")

    async with api.client() as client:
        informer = Informer(client, CONFIGMAPS)
        informer.subscribe(broken)
        diary = Diary(informer)
        async with running(informer.run()):
            await informer.synced()
            await api.put("/api/v1/configmaps", config_map("a"))
            await until(lambda: diary.entries == ["+a"])
    assert "a subscriber failed" in caplog.text


async def test_an_index_finds_children_by_owner_as_they_come_change_and_go(api: FakeApi):
    def child(name: str, owner: str) -> Object:
        return {
            "metadata": {"name": name, "namespace": "demo", "ownerReferences": [{"uid": owner, "kind": "Job", "name": "j"}]}
        }

    await api.put("/api/v1/pods", child("a", "u1"))
    async with api.client() as client:
        informer = Informer(client, PODS)
        informer.add_index("owner", owner_uids)
        async with running(informer.run()):
            await informer.synced()
            await api.put("/api/v1/pods", child("b", "u1"))
            await until(lambda: len(informer.by_index("owner", "u1")) == 2)
            await api.put("/api/v1/pods", child("b", "u2"))
            await until(lambda: len(informer.by_index("owner", "u2")) == 1)
            await api.drop("/api/v1/pods", "demo", "a")
            await until(lambda: not informer.by_index("owner", "u1"))
            with pytest.raises(ValueError, match="another function"):
                informer.add_index("owner", lambda obj: [])


async def test_managed_fields_are_not_cached(api: FakeApi):
    obj = config_map("a")
    obj["metadata"]["managedFields"] = [{"manager": "x"}]
    await api.put("/api/v1/configmaps", obj)
    async with api.client() as client:
        informer = Informer(client, CONFIGMAPS, trim=lambda obj: {**obj, "data": None})
        async with running(informer.run()):
            await informer.synced()
            found = informer.get("demo", "a")
    assert found is not None
    assert "managedFields" not in found["metadata"]
    assert found["data"] is None


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_goes_wrong_the_cache_and_what_was_told_end_at_the_truth(api: FakeApi, seed: int):
    """Given random writes, cut lines, refusals and compactions, then store, index and subscribers agree with the server."""
    dice = random.Random(seed)
    told: dict[str, str] = {}

    def note(old: Object | None, new: Object | None) -> None:
        name = (new or old or {})["metadata"]["name"]
        assert (name in told) == (old is not None), f"{name} was told out of order"
        if new is None:
            del told[name]
        else:
            told[name] = new["metadata"]["resourceVersion"]

    async with api.client() as client:
        informer = Informer(client, CONFIGMAPS)
        informer.add_index("x", lambda obj: [obj["data"]["x"]])
        informer.subscribe(note)
        async with running(informer.run()):
            for _ in range(120):
                name = f"c{dice.randrange(8)}"
                match dice.randrange(10):
                    case 0:
                        api.break_watches()
                    case 1:
                        api.compact()
                    case 2:
                        api.fail("GET", Fault(dice.choice([410, 429, 500, 503])), watch=dice.random() < 0.5)
                    case 3:
                        api.fail("GET", Fault(drop=True), watch=dice.random() < 0.5)
                    case 4 | 5 if f"/api/v1/namespaces/demo/configmaps/{name}" in api.objects:
                        await api.drop("/api/v1/configmaps", "demo", name)
                    case _:
                        await api.put("/api/v1/configmaps", config_map(name, x=str(dice.randrange(3))))
                await asyncio.sleep(0.001 if dice.random() < 0.3 else 0)
            api.faults.clear()
            truth = {obj["metadata"]["name"]: obj["metadata"]["resourceVersion"] for obj in api.objects.values()}
            await until(lambda: told == truth)
            assert names(informer) == set(truth)
            for value in "012":
                found = {obj["metadata"]["name"] for obj in informer.by_index("x", value)}
                assert found == {obj["metadata"]["name"] for obj in api.objects.values() if obj["data"]["x"] == value}


async def test_a_kind_that_the_cluster_may_lack_has_no_objects_until_it_is_served(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("holdfast.kube.informer.LACKING", 0.01)
    await api.put("/api/v1/configmaps", config_map("a"))
    api.fail("GET", Fault(404, reason="NotFound"))
    api.fail("GET", Fault(404, reason="NotFound"))
    async with api.client() as client:
        informer = Informer(client, CONFIGMAPS, may_lack=True)
        async with running(informer.run()):
            await informer.synced()
            assert names(informer) == set()
            assert informer.failure is None
            await until(lambda: names(informer) == {"a"})


async def test_a_kind_that_is_served_no_more_loses_its_objects(api: FakeApi):
    await api.put("/api/v1/configmaps", config_map("a"))
    async with api.client() as client:
        informer = Informer(client, CONFIGMAPS, may_lack=True)
        diary = Diary(informer)
        async with running(informer.run()):
            await informer.synced()
            api.fail("GET", Fault(404, reason="NotFound"), watch=True)
            api.break_watches()
            await until(lambda: diary.entries == ["+a", "-a"])
