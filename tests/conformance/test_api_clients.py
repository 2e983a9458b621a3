"""Four client libraries that people use, each against the server as it comes: create, read, patch, apply, watch, delete."""

import asyncio
import base64
import threading
from pathlib import Path
from typing import Any

import kopf
import kr8s.asyncio
import kubernetes
import lightkube
import pytest
from kr8s.asyncio.objects import ConfigMap as Kr8sConfigMap
from kr8s.asyncio.objects import new_class
from kubernetes.client.exceptions import ApiException
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Secret
from lightkube.types import CascadeType, PatchType
from tests.api_samples import WIDGET_CRD, config_map, pod
from tests.embedded_fixture import Http, api_server, http, until  # noqa: F401

from holdfast.embedded.apiserver.server import ApiServer

pytestmark = pytest.mark.api

WIDGETS = "/apis/example.dev/v1/namespaces/default/widgets"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def widget(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "example.dev/v1", "kind": "Widget", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def _official(kubeconfig: Path) -> list[str]:
    """The official client, which is synchronous."""
    api = kubernetes.config.new_client_from_config(str(kubeconfig))
    core = kubernetes.client.CoreV1Api(api)
    made = core.create_namespaced_config_map("default", config_map("a", x="1"))
    made.data["x"] = "2"
    core.replace_namespaced_config_map("a", "default", made)
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("a", "default", made)
    assert stale.value.status == 409
    core.patch_namespaced_config_map("a", "default", {"data": {"y": "1"}})
    dynamic = kubernetes.dynamic.DynamicClient(api)
    maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", **config_map("a", z="1")}
    applied = maps.server_side_apply(body=body, name="a", namespace="default", field_manager="official")
    assert dict(applied.data) == {"x": "2", "y": "1", "z": "1"}
    review = kubernetes.client.V1SelfSubjectReview()
    assert kubernetes.client.AuthenticationV1Api(api).create_self_subject_review(review).status.user_info.username
    assert core.create_namespaced_pod("default", pod("p")).status.phase == "Pending"
    assert core.delete_namespaced_pod("p", "default").metadata.name == "p"
    watch, seen = kubernetes.watch.Watch(), list[str]()
    revision = core.list_namespaced_config_map("default").metadata.resource_version
    core.delete_namespaced_config_map("a", "default")
    for event in watch.stream(core.list_namespaced_config_map, "default", resource_version=revision, timeout_seconds=10):
        seen.append(f"{event['type']} {event['object'].metadata.name}")
        watch.stop()
    api.close()
    return seen


async def test_the_official_client(api_server: ApiServer):  # noqa: F811
    assert await asyncio.to_thread(_official, api_server.kubeconfig_path) == ["DELETED a"]


async def test_lightkube(api_server: ApiServer):  # noqa: F811
    config = lightkube.KubeConfig.from_file(api_server.kubeconfig_path)
    client = lightkube.AsyncClient(config=config, field_manager="lightkube")
    made = await client.create(ConfigMap(metadata=ObjectMeta(name="a", namespace="default"), data={"x": "1"}))
    await client.patch(ConfigMap, "a", {"data": {"y": "1"}}, patch_type=PatchType.MERGE)
    with pytest.raises(ApiError, match="modified"):
        await client.replace(made)
    both = await client.apply(ConfigMap(metadata=ObjectMeta(name="a", namespace="default"), data={"z": "1"}))
    assert both.data == {"x": "1", "y": "1", "z": "1"}
    await client.create(Secret(metadata=ObjectMeta(name="s", namespace="default"), stringData={"k": "v"}))
    await client.patch(Secret, "s", {"stringData": {"k": "w"}}, patch_type=PatchType.STRATEGIC)
    assert base64.b64decode((await client.get(Secret, "s")).data["k"]) == b"w"
    names = [item.metadata.name async for item in client.list(ConfigMap, chunk_size=1)]
    assert names == ["a", "kube-root-ca.crt"]
    async for type_, obj in client.watch(ConfigMap, resource_version="0"):
        if (type_, obj.metadata.name) == ("ADDED", "a"):
            await client.delete(ConfigMap, "a", cascade=CascadeType.BACKGROUND)
        if type_ == "DELETED":
            break
    with pytest.raises(ApiError, match='configmaps "a" not found'):
        await client.get(ConfigMap, "a")
    await client.close()


async def test_kr8s(api_server: ApiServer, http: Http):  # noqa: F811
    await http.ok("POST", CRDS, WIDGET_CRD)
    api = await kr8s.asyncio.api(kubeconfig=str(api_server.kubeconfig_path))
    assert (await api.version())["major"] == "1"
    assert await api.whoami() == "kubernetes-admin"
    made = await Kr8sConfigMap({**config_map("a", x="1"), "metadata": {"name": "a", "namespace": "default"}}, api=api)
    await made.create()
    await made.patch({"data": {"y": "1"}})
    await made.label({"on": "yes"})
    found = [item async for item in api.get("configmaps", namespace="default", label_selector="on=yes")]
    assert [dict(item.data) for item in found] == [{"x": "1", "y": "1"}]
    kind = new_class("Widget", version="example.dev/v1", namespaced=True, scalable=True, scalable_spec="size")
    mine = await kind(widget("w", size=1), api=api)
    await mine.create()
    await mine.scale(3)
    await mine.refresh()
    assert mine.spec.size == 3
    async for type_, obj in api.watch("configmaps", namespace="default"):
        if (type_, obj.name) == ("ADDED", "a"):
            await made.delete()
        if type_ == "DELETED":
            break
    assert not await made.exists()
    await mine.delete()


async def test_kopf(api_server: ApiServer, http: Http, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    """An operator with its finalizer, its handlers and its patches of status, in a thread of its own."""
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig_path))
    await http.ok("POST", CRDS, WIDGET_CRD)
    registry, done = kopf.OperatorRegistry(), list[str]()
    ready, stop = threading.Event(), threading.Event()

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> Any:
        return kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.create("example.dev", "v1", "widgets", registry=registry)
    def create(name: str, spec: Any, patch: Any, **_: Any) -> None:
        patch.status["phase"] = f"made {spec['size']}"
        done.append(f"create {name}")

    @kopf.on.update("example.dev", "v1", "widgets", field="spec.size", registry=registry)
    def update(new: Any, **_: Any) -> None:
        done.append(f"size {new}")

    @kopf.on.delete("example.dev", "v1", "widgets", registry=registry)
    def delete(name: str, **_: Any) -> None:
        done.append(f"delete {name}")

    def work() -> None:
        settings = kopf.OperatorSettings()
        settings.posting.enabled = False
        operator = kopf.operator(
            registry=registry, settings=settings, standalone=True, namespaces=["default"], ready_flag=ready, stop_flag=stop
        )
        asyncio.run(operator)

    operating = asyncio.create_task(asyncio.to_thread(work))
    try:
        await until(lambda: asyncio.to_thread(ready.wait, 5), seconds=20)
        await http.ok("POST", WIDGETS, widget("w", size=1))

        async def phase() -> Any:
            return (await http.ok("GET", f"{WIDGETS}/w")).get("status", {}).get("phase")

        assert await until(phase, seconds=20) == "made 1"
        await http.patch(f"{WIDGETS}/w", {"spec": {"size": 2}})
        await until(lambda: _has(done, "size 2"), seconds=20)
        await http.ok("DELETE", f"{WIDGETS}/w")
        await until(lambda: _gone(http, f"{WIDGETS}/w"), seconds=20)
    finally:
        stop.set()
        await operating
    assert done == ["create w", "size 2", "delete w"]


async def _has(done: list[str], what: str) -> bool:
    return what in done


async def _gone(http: Http, path: str) -> bool:  # noqa: F811
    return (await http.call("GET", path)).code == 404
