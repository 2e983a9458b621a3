"""What tests of CloudCasa runs share: an application with data, an objectstore, and what a run leaves behind."""

import asyncio

import yaml

from holdfast.core.labels import OWNER_UID
from holdfast.core.objects import Object
from holdfast.dialects.cloudcasa.kinds import KUBEJOB, ORGANIZATION, OUTLIVES, POINT
from holdfast.kube.builtin import JOBS, NAMESPACES, PODS, PVCS, ROLEBINDINGS, SECRETS, SERVICEACCOUNTS, VOLUMESNAPSHOTS
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
    for resource in (JOBS, PVCS, VOLUMESNAPSHOTS, SECRETS, SERVICEACCOUNTS, ROLEBINDINGS):
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
