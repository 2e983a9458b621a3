"""The client, caches, controllers and leases on a real API server instead of the fake."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.embedded_fixture import api_server  # noqa: F401 - a fixture
from tests.unit.kube.fake import running, until

from holdfast.embedded.apiserver.server import ApiServer
from holdfast.kube.builtin import CONFIGMAPS, EVENTS, LEASES, NAMESPACES, PODS, SERVICEACCOUNTS
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.kube.controller import Controller
from holdfast.kube.errors import AlreadyExists, Conflict, Forbidden, Gone, Invalid, NotFound, Unauthorized, Unavailable
from holdfast.kube.events import EventRecorder
from holdfast.kube.informer import Informer
from holdfast.kube.lease import Elector
from holdfast.kube.manager import Manager
from holdfast.kube.objects import Key, key_of, resource_version_of

pytestmark = pytest.mark.api

Object = dict[str, Any]


@pytest.fixture
async def client(api_server: ApiServer) -> AsyncIterator[Client]:  # noqa: F811
    async with Client(load_kubeconfig(api_server.kubeconfig_path), field_manager="test") as client:
        await client.create(NAMESPACES, {"metadata": {"name": "demo"}})
        yield client


def config_map(name: str, **data: str) -> Object:
    return {"metadata": {"name": name, "namespace": "demo", "labels": {"made-by": "test"}}, "data": data}


async def test_an_object_lives_through_every_verb(client: Client):
    made = await client.create(CONFIGMAPS, config_map("a", x="1"))
    patched = await client.merge_patch(CONFIGMAPS, "a", "demo", {"data": {"y": "2"}})
    tested = await client.json_patch(
        CONFIGMAPS, "a", "demo", [{"op": "remove", "path": "/data/x"}], resource_version=resource_version_of(patched)
    )
    replaced = await client.replace(CONFIGMAPS, {**tested, "data": {"z": "3"}})
    assert (made["data"], tested["data"], replaced["data"]) == ({"x": "1"}, {"y": "2"}, {"z": "3"})
    assert [item["data"] for item in (await client.list(CONFIGMAPS, "demo", field_selector="metadata.name=a")).items] == [
        {"z": "3"}
    ]
    await client.delete(CONFIGMAPS, "a", "demo", uid=made["metadata"]["uid"])
    with pytest.raises(NotFound, match='configmaps "a" not found'):
        await client.get(CONFIGMAPS, "a", "demo")


async def test_apply_takes_back_the_fields_that_it_no_longer_gives(client: Client):
    await client.apply(CONFIGMAPS, config_map("a", x="1", y="2"))
    await client.merge_patch(CONFIGMAPS, "a", "demo", {"metadata": {"labels": {"by": "another"}}})
    applied = await client.apply(CONFIGMAPS, config_map("a", y="2"))
    assert applied["data"] == {"y": "2"}
    assert applied["metadata"]["labels"] == {"made-by": "test", "by": "another"}
    assert resource_version_of(await client.apply(CONFIGMAPS, config_map("a", y="2"))) == resource_version_of(applied)


async def test_each_refusal_has_its_own_error(client: Client):
    made = await client.create(CONFIGMAPS, config_map("a"))
    with pytest.raises(AlreadyExists):
        await client.create(CONFIGMAPS, config_map("a"))
    await client.merge_patch(CONFIGMAPS, "a", "demo", {"data": {"x": "1"}})
    with pytest.raises(Conflict):
        await client.merge_patch(CONFIGMAPS, "a", "demo", {"data": {"x": "2"}}, resource_version=resource_version_of(made))
    with pytest.raises(Conflict):
        await client.delete(CONFIGMAPS, "a", "demo", uid="another")
    with pytest.raises(NotFound, match="nowhere"):
        await client.create(CONFIGMAPS, {"metadata": {"name": "a", "namespace": "nowhere"}})
    with pytest.raises(Invalid, match=r"metadata\.name"):
        await client.create(CONFIGMAPS, config_map("Not A Name"))


async def test_a_dry_run_changes_nothing(client: Client):
    await client.create(CONFIGMAPS, config_map("a"), dry_run=True)
    await client.apply(CONFIGMAPS, config_map("b"), dry_run=True)
    assert {key_of(obj)[1] for obj in (await client.list(CONFIGMAPS, "demo")).items}.isdisjoint({"a", "b"})


async def test_a_list_in_pages_is_one_snapshot_that_a_watch_continues(client: Client):
    async with asyncio.TaskGroup() as group:
        for number in range(25):
            group.create_task(client.create(CONFIGMAPS, config_map(f"c{number:02}")))
    listing = await client.list(CONFIGMAPS, "demo", label_selector="made-by=test", limit=10)
    assert [item["metadata"]["name"] for item in listing.items] == [f"c{number:02}" for number in range(25)]
    await client.create(CONFIGMAPS, config_map("later"))
    async with (
        asyncio.timeout(5),
        aclosing(client.watch(CONFIGMAPS, "demo", resource_version=listing.resource_version)) as events,
    ):
        first = await anext(events)
    assert (first.type, first.object["metadata"]["name"]) == ("ADDED", "later")


@pytest.mark.own
async def test_a_version_from_before_the_server_started_is_gone(client: Client, api_server: ApiServer):  # noqa: F811
    await api_server.stop()
    await api_server.start()
    events = client.watch(CONFIGMAPS, "demo", resource_version="1")
    with pytest.raises(Gone):
        await anext(events)


async def test_a_service_account_token_works_and_a_wrong_one_does_not(client: Client, api_server: ApiServer):  # noqa: F811
    path = SERVICEACCOUNTS.path("demo", "default", "token")
    answer = await client.post_raw(path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    config = load_kubeconfig(api_server.kubeconfig_path)
    async with Client(msgspec.structs.replace(config, token=answer["status"]["token"]), field_manager="test") as other:
        with pytest.raises(Forbidden):
            await other.get(NAMESPACES, "demo")
    async with Client(msgspec.structs.replace(config, token="wrong"), field_manager="test") as stranger:
        with pytest.raises(Unauthorized):
            await stranger.get(NAMESPACES, "demo")


@pytest.mark.own
async def test_a_server_with_another_authority_is_not_trusted_and_not_asked_again(
    client: Client,
    api_server: ApiServer,  # noqa: F811
    tmp_path: Path,
):
    other = ApiServer(tmp_path / "other")
    await other.start()
    await other.stop()
    stranger = msgspec.structs.replace(client.config, ca_data=load_kubeconfig(other.kubeconfig_path).ca_data)
    async with Client(stranger, field_manager="test") as suspicious:
        with pytest.raises(Unavailable, match="certificate"):
            await suspicious.get(NAMESPACES, "demo")
        assert suspicious.sent["GET"] == 1


@pytest.mark.own
async def test_a_cache_and_its_controller_outlive_a_restart_of_the_server(client: Client, api_server: ApiServer):  # noqa: F811
    manager = Manager(client)
    informer = manager.informer(CONFIGMAPS, namespace="demo")
    seen: dict[Key, Object | None] = {}

    async def reconcile(key: Key) -> None:
        seen[key] = informer.get(*key)

    manager.add(Controller("test", reconcile)).watches(informer, lambda obj: [key_of(obj)])
    async with running(manager.run()):
        await manager.synced()
        await client.create(CONFIGMAPS, config_map("before"))
        await until(lambda: ("demo", "before") in seen)
        await api_server.stop()
        await api_server.start()
        await client.delete(CONFIGMAPS, "before", "demo")
        await client.create(CONFIGMAPS, config_map("after"))
        await until(lambda: bool(seen.get(("demo", "after"))) and seen[("demo", "before")] is None, within=10)


async def test_many_writers_and_a_cache_agree_in_the_end(client: Client):
    informer = Informer(client, CONFIGMAPS, namespace="demo")

    async def write(number: int) -> None:
        for round_ in range(5):
            await client.apply(CONFIGMAPS, config_map(f"c{number}", round=str(round_)))
        if number % 3 == 0:
            await client.delete(CONFIGMAPS, f"c{number}", "demo")

    async with running(informer.run()):
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(write(number))
        listing = await client.list(CONFIGMAPS, "demo")
        truth = {key_of(obj): resource_version_of(obj) for obj in listing.items}
        await until(lambda: {key_of(obj): resource_version_of(obj) for obj in informer.all()} == truth)
    assert {name for _, name in truth} >= {f"c{number}" for number in range(20) if number % 3}


async def test_one_of_two_candidates_leads_and_the_other_follows_when_it_goes(client: Client):
    one, two = (Elector(client, "engine", "demo", name, duration=3) for name in ("one", "two"))
    async with running(one.run()):
        await one.acquired()
        async with running(two.run()):
            await until(lambda: two._seen[0] == "one")
            assert not two.held
        lease = await client.get(LEASES, "engine", "demo")
        assert lease["spec"]["holderIdentity"] == "one"
    async with running(two.run()), asyncio.timeout(5):
        await two.acquired()
    assert two.epoch == 1


async def test_an_event_is_found_by_the_object_it_is_about(client: Client):
    about = await client.create(CONFIGMAPS, config_map("a"))
    recorder = EventRecorder(client, "test")
    recorder.emit({**about, "kind": "ConfigMap", "apiVersion": "v1"}, "Normal", "Looked", "it was looked at")
    recorder.emit({**about, "kind": "ConfigMap", "apiVersion": "v1"}, "Normal", "Looked", "it was looked at")
    await recorder.flush()
    found = await client.list(EVENTS, "demo", field_selector="involvedObject.name=a,involvedObject.kind=ConfigMap")
    assert [(event["reason"], event["count"]) for event in found.items] == [("Looked", 2)]


async def test_a_pod_that_waits_is_seen_by_its_field(client: Client):
    spec = {"containers": [{"name": "main", "image": "busybox", "command": ["true"]}], "schedulerName": "nobody"}
    await client.create(PODS, {"metadata": {"name": "p", "namespace": "demo"}, "spec": spec})
    pending = await client.list(PODS, field_selector="spec.nodeName=")
    assert [key_of(pod) for pod in pending.items] == [("demo", "p")]
    await client.post_raw(
        PODS.path("demo", "p", "binding"),
        {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "p", "namespace": "demo"},
            "target": {"kind": "Node", "name": "n1"},
        },
    )
    assert [key_of(pod) for pod in (await client.list(PODS, field_selector="spec.nodeName=n1")).items] == [("demo", "p")]
