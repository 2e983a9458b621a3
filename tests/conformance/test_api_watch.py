"""Watches: nothing missed, nothing twice, selectors that objects enter and leave, history that has gone."""

import asyncio
import contextlib
import json
import ssl

import pytest
from tests.api_samples import WIDGET_CRD, config_map
from tests.embedded_fixture import Http, api_server, http  # noqa: F401

from holdfast.embedded.apiserver import front
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


@pytest.mark.own
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


async def test_a_watch_ends_when_its_definition_is_removed(http: Http):  # noqa: F811
    crds, widgets = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "/apis/example.dev/v1/widgets"
    await http.ok("POST", crds, WIDGET_CRD)
    await http.ok("POST", "/apis/example.dev/v1/namespaces/default/widgets", {"metadata": {"name": "w"}, "spec": {"size": 1}})
    async with http.watch(widgets) as events:
        assert await events.named(1) == [("ADDED", "w")]
        await http.ok("DELETE", f"{crds}/widgets.example.dev")
        assert await events.named(1) == [("DELETED", "w")]
        assert await events.ended()


@pytest.mark.own
async def test_a_watcher_that_does_not_read_is_cut_off_and_costs_others_nothing(
    api_server: ApiServer,  # noqa: F811
    http: Http,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(front, "_WRITE_SECONDS", 0.5)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    token = (api_server.data_dir / "pki" / "admin.token").read_text().strip()
    reader, writer = await asyncio.open_connection("127.0.0.1", api_server.port, ssl=context, limit=1024)
    writer.transport.pause_reading()
    head = f"Host: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(f"GET {MAPS}?watch=1&resourceVersion={await _revision(http)} HTTP/1.1\r\n{head}".encode())
    async with http.watch(MAPS, resourceVersion=await _revision(http)) as events:
        following = asyncio.create_task(events.named(100))
        for at in range(100):
            await http.ok("POST", MAPS, config_map(f"big{at}", text="x" * 250_000))
        assert len(await following) == 100
    await asyncio.sleep(1)  # the cut is announced to nobody, least of all to a client that does not read
    writer.transport.resume_reading()
    got = 0
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1 << 20):
                got += len(chunk)
    assert got < 20 << 20
    writer.close()


async def test_a_revision_from_the_future_is_told_apart(http: Http):  # noqa: F811
    late = int(await _revision(http)) + 1000
    for path in (f"{MAPS}?resourceVersion={late}", f"{MAPS}?watch=1&resourceVersion={late}"):
        reply = await http.call("GET", path)
        assert (reply.code, reply.body["details"]["causes"][0]["reason"]) == (504, "ResourceVersionTooLarge")


async def test_an_exact_revision_is_served_while_nothing_changed(http: Http):  # noqa: F811
    await http.ok("POST", MAPS, config_map("a"))
    exact = f"{MAPS}?resourceVersion={await _revision(http)}&resourceVersionMatch=Exact"
    assert (await http.call("GET", exact)).code == 200
    await http.ok("POST", MAPS, config_map("b"))
    assert (await http.call("GET", exact)).code == 410
    assert (await http.call("GET", exact.replace("Exact", "NotOlderThan"))).code == 200
    assert (await http.call("GET", exact.replace("Exact", "Odd"))).code == 400


@pytest.mark.own
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


async def test_a_watch_from_the_revision_of_a_list_is_never_too_early(http: Http):  # noqa: F811
    async def write() -> None:
        for number in range(200):
            await http.ok("POST", MAPS, config_map(f"m{number}"))

    writer = asyncio.create_task(write())
    while not writer.done():
        seen = (await http.ok("GET", MAPS))["metadata"]["resourceVersion"]
        reply = await http.call("GET", MAPS, params={"resourceVersion": seen})
        assert reply.code == 200, reply.body
    await writer
