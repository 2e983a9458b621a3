"""What tests of CloudCasa runs share: an application with data, an objectstore, and what a run leaves behind."""

import asyncio
from dataclasses import dataclass
from typing import Any

import yaml

from holdfast.core.labels import OWNER_UID
from holdfast.core.objects import Object
from holdfast.dialects.cloudcasa.kinds import KUBEJOB, ORGANIZATION, OUTLIVES, POINT
from holdfast.kube.builtin import (
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    CRDS,
    JOBS,
    NAMESPACES,
    PODS,
    PVCS,
    ROLEBINDINGS,
    SECRETS,
    SERVICEACCOUNTS,
    VOLUMESNAPSHOTS,
)
from holdfast.kube.errors import NotFound
from holdfast.kube.resource import Resource
from holdfast.rest.state import RESOURCES
from tests.cloudcasa_world import World
from tests.movers_builders import KEY, SECRET

APP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer, labels: {app: writer}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    command: [sh, -c, "echo hello > /data/greeting; sleep 600"]
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
"""

KINDS = {
    "ConfigMap": Resource("", "v1", "ConfigMap", "configmaps"),
    "PersistentVolumeClaim": PVCS,
    "Pod": PODS,
}


async def store(found: World, endpoint: str, **credentials: str) -> Object:
    access = {"endpoint": endpoint, "credentials": {"access_key": KEY, "secret_key": SECRET, **credentials}}
    body = {"name": "store", "provider_type": "aws", "bucket_name": "copies", "region": "us-east-1", "s3provider": access}
    return await found.rest.ok("POST", "/objectstores", body)


async def app(found: World, namespace: str) -> None:
    """Run a writer in a namespace of its own and wait until it has written."""
    await found.client.create(NAMESPACES, {"metadata": {"name": namespace}})
    for obj in yaml.safe_load_all(APP):
        obj["metadata"]["namespace"] = namespace
        await found.client.create(KINDS[obj["kind"]], obj)
    async with asyncio.timeout(30):
        while not await greeting(found, namespace):  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.05)


async def greeting(found: World, namespace: str, file: str = "greeting") -> str:
    """Return what the file in a namespace's volume says; empty while there is none."""
    try:
        claim = await found.client.get(PVCS, "data", namespace)
    except NotFound:
        return ""
    path = found.directory / "volumes" / claim["spec"].get("volumeName", "none") / file
    return path.read_text() if path.is_file() else ""


async def hook(found: World, name: str, kind: str, command: str) -> str:
    """Define a command for the writers."""
    rule = {"labels": {"app": "writer"}, "target": [{"command": command}]}
    return (await found.rest.ok("POST", "/kubehooks", {"name": name, "hook_type": kind, "hook": [rule]}))["_id"]


async def left(found: World, job: str) -> list[str]:
    """Return what a job made for itself and is still there: neither what it restored, nor snapshots that a point holds."""
    obj = await found.client.get(RESOURCES[KUBEJOB], job, ORGANIZATION)
    selector = f"{OWNER_UID}={obj['metadata']['uid']}"
    held = [point["_id"] for point in await found.rest.find("backupinstances", {"type": "SNAPSHOT"})]
    names: list[str] = []
    for resource in (JOBS, PVCS, VOLUMESNAPSHOTS, SECRETS, SERVICEACCOUNTS, ROLEBINDINGS, CLUSTERROLEBINDINGS):
        for each in (await found.client.list(resource, label_selector=selector)).items:
            kept = OUTLIVES in each["metadata"].get("annotations", {}) or each["metadata"]["labels"].get(POINT) in held
            names += [] if kept else [f"{resource.plural}/{each['metadata']['name']}"]
    return names


async def cleaned(found: World, job: str) -> None:
    async with asyncio.timeout(10):
        while await left(found, job):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def points(found: World, backup: str) -> list[str]:
    return sorted(point["type"] for point in await found.rest.find("backupinstances", {"backupdef": backup, "state": "READY"}))


@dataclass
class Shared:
    """What has no namespace: what an application uses, and what others do."""

    widgets: Resource
    mine: list[tuple[Resource, str]]
    others: list[tuple[Resource, str]]


async def shared(found: World, namespace: str) -> Shared:
    """Give an application a label on its namespace, a custom resource, and rights; others have a kind and rights as well."""
    client = found.client
    await client.merge_patch(NAMESPACES, namespace, None, {"metadata": {"labels": {"team": "shop"}}})
    for kind in ("Widget", "Gadget"):
        await client.create(CRDS, definition(kind))
    widgets = Resource("shop.example", "v1", "Widget", "widgets")
    one = {"apiVersion": "shop.example/v1", "kind": "Widget", "metadata": {"name": "one", "namespace": namespace}}
    async with asyncio.timeout(10):
        while not await _made(found, widgets, {**one, "spec": {"size": 3}}):  # noqa: ASYNC110 - served a little later
            await asyncio.sleep(0.05)
    rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]
    for name in ("reads", "inside", "foreign"):
        await client.create(CLUSTERROLES, {"metadata": {"name": name}, "rules": rules})
    for name, role, place in (("shop-reads", "reads", namespace), ("foreign-reads", "foreign", "default")):
        await client.create(CLUSTERROLEBINDINGS, binding(name, role, place))
    await client.create(ROLEBINDINGS, binding("inside", "inside", namespace, namespace))
    mine = [(CRDS, "widgets.shop.example"), (CLUSTERROLEBINDINGS, "shop-reads"), (CLUSTERROLES, "reads")]
    others = [(CRDS, "gadgets.shop.example"), (CLUSTERROLEBINDINGS, "foreign-reads"), (CLUSTERROLES, "foreign")]
    return Shared(widgets, mine, others)


def definition(kind: str) -> Object:
    """Return the definition of a custom resource in namespaces."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    plural = f"{kind.lower()}s"
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
    spec = {"group": "shop.example", "scope": "Namespaced", "names": names, "versions": versions}
    return {"metadata": {"name": f"{plural}.shop.example"}, "spec": spec}


def binding(name: str, role: str, account: str, namespace: str = "") -> Object:
    """Return a binding of a ClusterRole to the default account of a namespace: in one namespace, or in all."""
    meta: dict[str, Any] = {"name": name, **({"namespace": namespace} if namespace else {})}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": account}]
    return {"metadata": meta, "roleRef": reference, "subjects": subjects}


async def present(found: World, resource: Resource, name: str) -> bool:
    """Whether an object without a namespace is there."""
    try:
        await found.client.get(resource, name)
    except NotFound:
        return False
    return True


async def _made(found: World, resource: Resource, obj: Object) -> bool:
    try:
        await found.client.create(resource, obj)
    except NotFound:
        return False
    return True
