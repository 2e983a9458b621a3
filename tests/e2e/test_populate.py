"""A claim that names an object of a dialect: a pod waits for it and then reads what was filled in, never less."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from holdfast.core.kinds import CLAIM
from holdfast.core.objects import Kind, Object
from holdfast.core.plan import Desired, Plan, Problems, RunKind, Step
from holdfast.core.populate import scratch_name
from holdfast.core.ports import Handler, View
from holdfast.engine.shell import Engine
from holdfast.kube.builtin import PODS, PVCS, PVS, STORAGECLASSES
from holdfast.kube.client import Client
from holdfast.kube.events import EventRecorder
from tests.conformance.engine_world import RESOURCES, THING, THINGS, ThingDialect, install
from tests.e2e.cluster import Cluster, cluster, job
from tests.e2e.test_pods import phase, pod

__all__ = ["cluster"]
pytestmark = pytest.mark.run


class Filling:
    """Fills a claim with the text of a Thing, by a Job that writes half of it first."""

    source = THING

    def fill(self, claim: Object, source: Object, scratch: str, view: View, now: datetime) -> Desired | Problems:
        text = source["spec"]["text"]
        script = f"echo half > /data/f; sleep 0.2; echo {text} > /data/f"
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": scratch}}]
        made = job(f"fill-{claim['metadata']['name']}", script, pod={"volumes": volumes})
        made["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        made["metadata"]["namespace"] = claim["metadata"]["namespace"]
        return Desired(runs=(Plan(name="fill", kind=RunKind.RESTORE, steps=(Step(name="fill", child=made),)),))


class Filled(ThingDialect):
    populators = (Filling(),)
    handlers: Sequence[Handler]
    watched: Sequence[Kind] = (CLAIM, *ThingDialect.watched)


@asynccontextmanager
async def engine(cluster: Cluster) -> AsyncIterator[None]:
    resources = {THING: THINGS, Kind("", "PersistentVolume"): PVS}
    async with Client(cluster.config, field_manager="engine") as client:
        recorder = EventRecorder(client, "engine")
        running = Engine(client, [Filled()], {}, {**resources, **RESOURCES}, image="x", recorder=recorder)
        task = asyncio.create_task(running.run())
        try:
            async with asyncio.timeout(10):
                await running.manager.synced()
            yield
            await recorder.flush()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await recorder.close()


def claim(name: str, storage_class: str = "standard") -> Object:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": "1Gi"}},
        "dataSourceRef": {"apiGroup": THING.group, "kind": "Thing", "name": "words"},
    }
    meta = {"name": name, "namespace": "demo"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def reader(name: str, of: str) -> Object:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": of}}]
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    made = pod(name, "cat /data/f", volumes=volumes, container=mounts)
    made["metadata"]["namespace"] = "demo"
    return made


async def test_a_claim_is_bound_when_its_volume_is_full(cluster: Cluster) -> None:
    await install(cluster.client)
    late = {"kind": "StorageClass", "apiVersion": "storage.k8s.io/v1", "metadata": {"name": "late"}}
    late |= {"provisioner": "holdfast.dev/local", "volumeBindingMode": "WaitForFirstConsumer"}
    await cluster.client.create(STORAGECLASSES, late)
    await cluster.apply(claim("data"), reader("reader", "data"), claim("lazy", "late"))
    async with engine(cluster):
        events = await cluster.kubectl("get", "events", "-n", "demo", "-o", "name")
        assert "Populated" not in events
        words = {"metadata": {"name": "words", "namespace": "demo"}, "spec": {"text": "all-of-it"}}
        await cluster.client.create(THINGS, words)
        await cluster.until(PODS, "reader", phase("Succeeded"), namespace="demo")
        assert await cluster.log("reader", namespace="demo") == "all-of-it\n"
        bound = await cluster.client.get(PVCS, "data", "demo")
        await cluster.gone(PVCS, scratch_name(bound), namespace="demo")
        volume = await cluster.client.get(PVS, bound["spec"]["volumeName"])
        assert (volume["status"]["phase"], volume["spec"]["claimRef"]["name"]) == ("Bound", "data")

        lazy = await cluster.client.get(PVCS, "lazy", "demo")
        assert not await cluster.exists(PVCS, scratch_name(lazy), "demo")
        await cluster.apply(reader("second", "lazy"))
        await cluster.until(PODS, "second", phase("Succeeded"), namespace="demo")
        assert await cluster.log("second", namespace="demo") == "all-of-it\n"
    assert "Populated" in await cluster.kubectl("get", "events", "-n", "demo")
