"""Manifests of a cluster into a repository or a folder, and back into the same or another cluster."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.embedded_fixture import Kubectl, api_server, kubectl, until
from tests.movers_builders import Run, repository

from holdfast.core.access import RBAC, manifests_access
from holdfast.core.calls import RepositoryTarget
from holdfast.core.cluster_calls import ManifestsBackup, ManifestsRestore
from holdfast.core.manifests import Changes, Selection
from holdfast.core.objects import Object
from holdfast.core.report import Report
from holdfast.embedded.apiserver.server import ApiServer
from holdfast.kube.builtin import CONFIGMAPS, NAMESPACES, PVCS, SECRETS, SERVICES
from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig, load_kubeconfig
from holdfast.kube.errors import NotFound
from holdfast.kube.resource import Resource
from holdfast.movers.cluster import Cluster
from holdfast.movers.context import MoverError
from holdfast.movers.manifests_backup import run as backup
from holdfast.movers.manifests_backup import save
from holdfast.movers.manifests_restore import make

__all__ = ["api_server", "kubectl"]
pytestmark = pytest.mark.api

WIDGETS = Resource("shop.example", "v1", "Widget", "widgets")
ROLES = Path(__file__).resolve().parents[2] / "deploy" / "addons" / "holdfast"


@pytest.fixture
def config(api_server: ApiServer) -> ClusterConfig:
    return load_kubeconfig(api_server.kubeconfig_path)


@pytest.fixture
async def client(config: ClusterConfig) -> AsyncIterator[Client]:
    async with Client(config, field_manager="test") as found:
        yield found


async def saving(config: ClusterConfig, call: ManifestsBackup) -> Report:
    def work() -> Report:
        with Cluster(config) as cluster:
            return save(cluster, call, Run().context)

    return await asyncio.to_thread(work)


async def making(config: ClusterConfig, call: ManifestsRestore) -> Report:
    def work() -> Report:
        with Cluster(config) as cluster:
            return make(cluster, call, Run().context)

    return await asyncio.to_thread(work)


def thing(kind: str, name: str, namespace: str = "demo", *, version: str = "v1", labels: Any = None, **fields: Any) -> Object:
    meta: Object = {"name": name} | ({"namespace": namespace} if namespace else {}) | ({"labels": labels} if labels else {})
    return {"apiVersion": version, "kind": kind, "metadata": meta, **fields}


def definition() -> Object:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": "shop.example",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "listKind": "WidgetList", "plural": "widgets", "singular": "widget"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }
    return thing("CustomResourceDefinition", "widgets.shop.example", "", version="apiextensions.k8s.io/v1", spec=spec)


def world() -> list[Object]:
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}
    return [
        thing("Namespace", "demo", "", labels={"team": "shop"}),
        thing("ConfigMap", "settings", data={"colour": "blue"}, labels={"app": "web", "tier": "front"}),
        thing("ConfigMap", "other", data={"colour": "red"}, labels={"app": "db"}),
        thing("Secret", "keys", type="Opaque", stringData={"token": "a-very-secret-word"}),
        thing("Service", "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]}),
        thing("PersistentVolumeClaim", "data", spec=claim),
        definition(),
    ]


async def populate(kubectl: Kubectl) -> None:
    await kubectl.apply(*world())
    await kubectl.ok("wait", "--for=condition=Established", "crd/widgets.shop.example", "--timeout=10s")
    await kubectl.apply(thing("Widget", "one", version="shop.example/v1", spec={"size": 3}))


async def empty(kubectl: Kubectl, client: Client) -> None:
    """Delete what `populate` has made."""
    await kubectl.ok("delete", "crd", "widgets.shop.example", "--wait=false")
    await kubectl.ok("delete", "namespace", "demo", "--wait=false")

    async def gone() -> bool:
        return "demo" not in {item["metadata"]["name"] for item in (await client.list(NAMESPACES)).items}

    await until(gone, 20)


def everything(target: RepositoryTarget, **more: Any) -> ManifestsBackup:
    return ManifestsBackup(Selection(namespaces=("demo",), cluster_resources=True, **more), target, host="h")


def kinds(report: Report) -> dict[str, str]:
    return {item.name: item.status for item in report.items}


def roles() -> list[Object]:
    """The shipped roles of both movers."""
    return [yaml.safe_load(path.read_text()) for path in sorted(ROLES.glob("role-manifests-*.yaml"))]


def all_bytes(folder: str) -> bytes:
    return b"".join(path.read_bytes() for path in Path(folder).rglob("*") if path.is_file())


def in_place(folder: Path) -> dict[str, Object]:
    return {str(path.relative_to(folder)): yaml.safe_load(path.read_text()) for path in folder.rglob("*.yaml")}


async def test_a_namespace_comes_back_from_the_repository_as_it_was(
    config: ClusterConfig, client: Client, kubectl: Kubectl, tmp_path: Path
) -> None:
    await populate(kubectl)
    target = repository(tmp_path)
    saved = await saving(config, everything(target, exclude_resources=("clusterroles", "clusterrolebindings", "leases")))
    assert saved.failure is None
    assert kinds(saved)["configmaps"] == "3"  # with the CA that every namespace has
    assert kinds(saved)["widgets.shop.example"] == "1"
    assert (saved.results[0].integrity, saved.results[0].component) == (True, "dump-pod-0")
    assert b"a-very-secret-word" not in all_bytes(target.store.url)

    await empty(kubectl, client)
    call = ManifestsRestore(repository=target, snapshot_id=saved.results[0].snapshot_ids[0])
    made = await making(config, call)
    assert made.failure is None, made.failure
    assert kinds(made)["widgets.shop.example"] == "1 created"
    assert kinds(made)["secrets"] == "1 created"
    settings = await client.get(CONFIGMAPS, "settings", "demo")
    assert (settings["data"], settings["metadata"]["labels"]["tier"]) == ({"colour": "blue"}, "front")
    assert (await client.get(SECRETS, "keys", "demo"))["data"] == {"token": "YS12ZXJ5LXNlY3JldC13b3Jk"}
    assert (await client.get(WIDGETS, "one", "demo"))["spec"] == {"size": 3}
    assert (await client.get(NAMESPACES, "demo"))["metadata"]["labels"]["team"] == "shop"

    again = await making(config, call)
    assert again.failure is None
    assert kinds(again)["widgets.shop.example"] == "1 exists"


async def test_an_object_that_exists_is_changed_only_when_that_is_asked_for(
    config: ClusterConfig, client: Client, kubectl: Kubectl, tmp_path: Path
) -> None:
    await populate(kubectl)
    call = ManifestsBackup(Selection(namespaces=("demo",), resources=("configmaps",)), folder=str(tmp_path / "out"))
    await saving(config, call)
    await kubectl.ok("patch", "configmap", "settings", "-n", "demo", "--type=merge", "-p", '{"data":{"colour":"green"}}')

    restore = ManifestsRestore(folder=call.folder)
    await making(config, restore)
    assert (await client.get(CONFIGMAPS, "settings", "demo"))["data"] == {"colour": "green"}
    report = await making(config, ManifestsRestore(folder=call.folder, override=True))
    assert kinds(report) == {"configmaps": "2 updated, 1 left out"}
    assert (await client.get(CONFIGMAPS, "settings", "demo"))["data"] == {"colour": "blue"}


async def test_files_lie_where_they_are_documented_and_labels_choose(
    config: ClusterConfig, kubectl: Kubectl, tmp_path: Path
) -> None:
    await populate(kubectl)
    chosen = Selection(all_labels=("app=web", "tier:front"))
    await saving(config, ManifestsBackup(chosen, folder=str(tmp_path / "and")))
    assert set(in_place(tmp_path / "and")) == {"manifests/configmaps/namespaces/demo/settings.yaml"}
    either = Selection(any_labels=("app=db", "tier"), resources=("configmaps", "widgets.shop.example"))
    await saving(config, ManifestsBackup(either, folder=str(tmp_path / "or")))
    found = in_place(tmp_path / "or")
    assert set(found) == {f"manifests/configmaps/namespaces/demo/{name}.yaml" for name in ("settings", "other")}
    document = found["manifests/configmaps/namespaces/demo/other.yaml"]
    assert (document["kind"], document["data"]) == ("ConfigMap", {"colour": "red"})
    assert "managedFields" not in document["metadata"]
    cluster = Selection(resources=("widgets", "customresourcedefinitions"), cluster_resources=True)
    await saving(config, ManifestsBackup(cluster, folder=str(tmp_path / "all")))
    assert set(in_place(tmp_path / "all")) == {
        "manifests/customresourcedefinitions.apiextensions.k8s.io/cluster/widgets.shop.example.yaml",
        "manifests/widgets.shop.example/namespaces/demo/one.yaml",
    }


async def test_objects_go_to_another_namespace_with_another_storage_class(
    config: ClusterConfig, client: Client, kubectl: Kubectl, tmp_path: Path
) -> None:
    await populate(kubectl)
    target = repository(tmp_path)
    saved = await saving(config, ManifestsBackup(Selection(namespaces=("demo",)), target))
    changes = Changes({"demo": "copy"}, {"fast": "slow"})
    report = await making(config, ManifestsRestore(repository=target, snapshot_id="latest", changes=changes))
    assert report.failure is None
    assert len(saved.results[0].snapshot_ids) == 1
    claim = await client.get(PVCS, "data", "copy")
    assert (claim["spec"]["storageClassName"], "volumeName" in claim["spec"]) == ("slow", False)
    service = await client.get(SERVICES, "web", "copy")
    assert service["spec"]["clusterIP"] != (await client.get(SERVICES, "web", "demo"))["spec"]["clusterIP"]
    assert (await client.get(WIDGETS, "one", "copy"))["spec"] == {"size": 3}


async def test_one_object_that_fails_is_named_and_the_others_come_back(
    config: ClusterConfig, client: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "manifests" / "configmaps" / "namespaces" / "demo"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(thing("ConfigMap", name, data={"x": 1 if name == "a" else "1"})))
    (folder / "lies.yaml").write_text(yaml.safe_dump(thing("ConfigMap", "elsewhere", "kube-system", data={})))
    (tmp_path / "manifests" / "gadgets.x.y" / "namespaces" / "demo").mkdir(parents=True)
    gadget = tmp_path / "manifests" / "gadgets.x.y" / "namespaces" / "demo" / "g.yaml"
    gadget.write_text(yaml.safe_dump(thing("Gadget", "g", version="x.y/v1")))

    report = await making(config, ManifestsRestore(folder=str(tmp_path)))

    assert report.failure is not None
    assert report.failure.message.startswith("3 objects could not be made: ")
    failed = {item.name: item.message for item in report.items if item.message}
    assert "belongs elsewhere" in failed["configmaps/namespaces/demo/lies.yaml"]
    assert "the cluster serves no gadgets.x.y" in failed["gadgets.x.y demo/g"]
    assert "configmaps demo/a" in failed
    assert kinds(report)["configmaps"] == "1 created, 1 failed"
    assert (await client.get(CONFIGMAPS, "b", "demo"))["data"] == {"x": "1"}
    with pytest.raises(NotFound):
        await client.get(CONFIGMAPS, "elsewhere", "kube-system")


async def test_what_the_account_may_not_read_makes_it_a_failure_that_says_so(
    config: ClusterConfig, client: Client, kubectl: Kubectl, tmp_path: Path
) -> None:
    await populate(kubectl)
    rules = [{"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ["list"]}]
    await kubectl.apply(thing("ClusterRole", "holdfast-manifests-read", "", version=f"{RBAC}/v1", rules=rules))
    await kubectl.apply(*(child.object for child in manifests_access("reader", "demo")))
    token = (await kubectl.ok("create", "token", "reader", "-n", "demo")).strip()
    limited = ClusterConfig(server=config.server, ca_data=config.ca_data, token=token)

    wanted = Selection(namespaces=("demo",), resources=("configmaps", "secrets"))
    report = await saving(limited, ManifestsBackup(wanted, folder=str(tmp_path / "out")))

    assert report.failure is not None
    assert report.failure.reason == "PartialBackup"
    assert "secrets" in report.failure.message
    assert report.results[0].files == 3


async def test_the_accounts_of_the_movers_can_do_their_work(
    config: ClusterConfig, client: Client, kubectl: Kubectl, tmp_path: Path
) -> None:
    await populate(kubectl)
    target = repository(tmp_path)
    await kubectl.apply(*roles())
    for name, write in (("reader", False), ("writer", True)):
        await kubectl.apply(*(child.object for child in manifests_access(name, "default", write=write)))
    tokens = {name: (await kubectl.ok("create", "token", name)).strip() for name in ("reader", "writer")}
    as_account = {
        name: ClusterConfig(server=config.server, ca_data=config.ca_data, token=token) for name, token in tokens.items()
    }
    assert (await saving(as_account["reader"], everything(target))).failure is None
    await kubectl.ok("delete", "configmap", "settings", "-n", "demo")
    report = await making(as_account["writer"], ManifestsRestore(repository=target, snapshot_id="latest"))
    assert report.failure is None, report.failure
    assert (await client.get(CONFIGMAPS, "settings", "demo"))["data"] == {"colour": "blue"}


async def test_single_objects_are_saved_with_the_accounts_and_roles_of_their_pods(
    config: ClusterConfig, kubectl: Kubectl, tmp_path: Path
) -> None:
    await populate(kubectl)
    pod = {"serviceAccountName": "runner", "containers": [{"name": "c", "image": "i"}]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod}
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    binding = {
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "looker"},
        "subjects": [{"kind": "ServiceAccount", "name": "runner", "namespace": "demo"}],
    }
    await kubectl.apply(
        thing("ServiceAccount", "runner"),
        thing("Deployment", "web", version="apps/v1", spec=spec),
        thing("Role", "looker", version=f"{RBAC}/v1", rules=rules),
        thing("RoleBinding", "looks", version=f"{RBAC}/v1", **binding),
    )
    call = ManifestsBackup(objects=("deployments.apps/demo/web",), rbac=True, folder=str(tmp_path))
    assert (await saving(config, call)).failure is None
    assert set(in_place(tmp_path / "manifests")) == {
        "deployments.apps/namespaces/demo/web.yaml",
        "serviceaccounts/namespaces/demo/runner.yaml",
        f"rolebindings.{RBAC}/namespaces/demo/looks.yaml",
        f"roles.{RBAC}/namespaces/demo/looker.yaml",
    }


def test_a_call_that_names_no_place_or_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MoverError, match="either into a repository, a folder or an archive"):
        backup(ManifestsBackup(), Run().context)
    with pytest.raises(MoverError, match="either into a repository, a folder or an archive"):
        backup(ManifestsBackup(repository=repository(tmp_path), folder="/x"), Run().context)
