"""Watches: nothing missed, nothing twice, selectors that objects enter and leave, history that has gone."""

import asyncio
import json

import pytest
from tests.api_samples import config_map
from tests.embedded_fixture import Http, api_server, http  # noqa: F401

from holdfast.embedded.apiserver.server import ApiServer

pytestmark = pytest.mark.api

MAPS = "/api/v1/namespaces/default/configmaps"


async def _revision(http: Http) -> str:  # noqa: F811
    return (await http.ok("GET", MAPS))["metadata"]["resourceVersion"]


async def test_a_watch_from_a_list_sees_each_change_once(http: Http):  # noqa: F811
    await http.ok("POST", MAPS, config_map("before"))
    async with http.watch(MAPS, resourceVersion=await _revision(http)) as events:
        await http.ok("POST", MAPS, config_map("a", x="1"))
        await http.patch(f"{MAPS}/a", {"data": {"x": "2"}})
        await http.ok("DELETE", f"{MAPS}/a")
        assert await events.named(3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_a_deletion_carries_the_last_state_and_its_own_revision(http: Http):  # noqa: F811
    made = await http.ok("POST", MAPS, config_map("a", x="1"))
    async with http.watch(MAPS, resourceVersion=made["metadata"]["resourceVersion"]) as events:
        await http.ok("DELETE", f"{MAPS}/a")
        type_, last = await events.next()
    assert (type_, last["data"]) == ("DELETED", {"x": "1"})
    assert int(last["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


async def test_a_watch_without_a_revision_begins_with_what_is_there(http: Http):  # noqa: F811
    await http.ok("POST", MAPS, config_map("a"))
    async with http.watch(MAPS) as events:
        assert await events.named(2) == [("ADDED", "a"), ("ADDED", "kube-root-ca.crt")]
        await http.ok("POST", MAPS, config_map("b"))
        assert await events.named(1) == [("ADDED", "b")]


async def test_initial_events_end_with_their_bookmark(http: Http):  # noqa: F811
    params = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with http.watch(MAPS, **params) as events:
        assert await events.named(1) == [("ADDED", "kube-root-ca.crt")]
        type_, bookmark = await events.next()
        assert (type_, bookmark["kind"]) == ("BOOKMARK", "ConfigMap")
        assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        await http.ok("POST", MAPS, config_map("a"))
        assert await events.named(1) == [("ADDED", "a")]


async def test_an_object_that_enters_or_leaves_a_selector_is_added_or_deleted(http: Http):  # noqa: F811
    async with http.watch(MAPS, resourceVersion=await _revision(http), labelSelector="on=yes") as events:
        await http.ok("POST", MAPS, config_map("a"))
        await http.patch(f"{MAPS}/a", {"metadata": {"labels": {"on": "yes"}}})
        await http.patch(f"{MAPS}/a", {"data": {"x": "1"}})
        await http.patch(f"{MAPS}/a", {"metadata": {"labels": {"on": None}}})
        await http.ok("DELETE", f"{MAPS}/a")
        await http.ok("POST", MAPS, {"metadata": {"name": "b", "labels": {"on": "yes"}}})
        assert await events.named(4) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b")]


async def test_a_namespaced_watch_and_one_by_name_see_only_theirs(http: Http):  # noqa: F811
    others = "/api/v1/namespaces/kube-system/configmaps"
    revision = await _revision(http)
    async with (
        http.watch(MAPS, resourceVersion=revision) as here,
        http.watch(MAPS, resourceVersion=revision, fieldSelector="metadata.name=b") as named,
        http.watch("/api/v1/configmaps", resourceVersion=revision) as everywhere,
    ):
        await http.ok("POST", others, config_map("c"))
        await http.ok("POST", MAPS, config_map("a"))
        await http.ok("POST", MAPS, config_map("b"))
        assert await here.named(2) == [("ADDED", "a"), ("ADDED", "b")]
        assert await named.named(1) == [("ADDED", "b")]
        assert await everywhere.named(3) == [("ADDED", "c"), ("ADDED", "a"), ("ADDED", "b")]


async def test_history_that_is_gone_ends_the_watch_with_410(api_server: ApiServer, http: Http):  # noqa: F811
    old = await _revision(http)
    await http.ok("POST", MAPS, config_map("a"))
    await api_server.stop()
    await api_server.start()
    async with http.watch(MAPS, resourceVersion=old) as events:
        type_, status = await events.next()
        assert (type_, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
        assert await events.ended()
    async with http.watch(MAPS, resourceVersion=await _revision(http)) as events:
        await http.ok("POST", MAPS, config_map("b"))
        assert await events.named(1) == [("ADDED", "b")]


async def test_a_watch_ends_at_its_timeout(http: Http):  # noqa: F811
    async with http.watch(MAPS, resourceVersion=await _revision(http), timeoutSeconds="1") as events:
        assert await events.ended(seconds=5)


async def test_a_watch_of_tables_renders_each_event(http: Http):  # noqa: F811
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    async with http.session.get(http.url + MAPS, params={"watch": "true"}, headers=headers) as response:
        event = json.loads(await response.content.readline())
    assert event["object"]["kind"] == "Table"
    assert event["object"]["rows"][0]["cells"][:2] == ["kube-root-ca.crt", 1]


async def test_stopping_the_server_ends_its_watches(api_server: ApiServer, http: Http):  # noqa: F811
    async with http.watch(MAPS, resourceVersion=await _revision(http)) as events:
        await asyncio.gather(api_server.stop(), events.ended())


async def test_many_watchers_all_see_all_of_many_writes(http: Http):  # noqa: F811
    revision = await _revision(http)

    async def follow() -> list[str]:
        async with http.watch(MAPS, resourceVersion=revision) as events:
            return [name for _, name in await events.named(200)]

    watchers = [asyncio.create_task(follow()) for _ in range(10)]
    await asyncio.gather(*(http.ok("POST", MAPS, config_map(f"m{at}")) for at in range(200)))
    seen = await asyncio.gather(*watchers)
    assert all(names == seen[0] for names in seen)
    assert sorted(seen[0]) == sorted(f"m{at}" for at in range(200))
