"""A small cluster with the engine of the KubeBlocks API on it: what the tests of that API drive. Jobs run as real pods.

Take `world` as a fixture; one cluster serves a whole module. The engine's clock can be set ahead.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from holdfast.cli.connection_password import sealer
from holdfast.cli.dialects import KINDS, resource_of, resources
from holdfast.cli.install import deploy_dir, manifests
from holdfast.core.objects import Object, kind_of
from holdfast.dialects.kubeblocks.dialect import KubeBlocks
from holdfast.kube.builtin import EVENTS
from holdfast.kube.resource import Resource
from tests.engine_cluster import EngineCluster, status

REST: dict[str, Resource] = {spec.kind: resource_of(spec) for spec in KINDS["kubeblocks"]}
GROUP = "dataprotection.kubeblocks.io"
SECONDS = 25.0
ENCRYPTION_KEY = "a key for tests"


class World(EngineCluster):
    """The cluster, and its engine."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, KubeBlocks(seal=sealer({"DP_ENCRYPTION_KEY": ENCRYPTION_KEY})))

    async def prepare(self) -> None:
        known = resources()
        for document in manifests(deploy_dir() / "addons"):
            if kind_of(document).kind in ("ClusterRole", "StorageProvider"):
                await self.client.apply(known[kind_of(document)], document)

    async def wait(
        self, kind: str, name: str, holds: Callable[[Object], bool], *, namespace: str = "default", seconds: float = SECONDS
    ) -> Object:
        """Wait until something holds of an object of the API, and return it."""
        return await self.until(REST[kind], name, holds, namespace=namespace, seconds=seconds)

    async def phase(self, kind: str, name: str, *phases: str, namespace: str = "default") -> Object:
        """Wait for a phase of an object of the API, and return its status."""
        found = await self.wait(kind, name, lambda obj: status(obj).get("phase") in phases, namespace=namespace)
        return status(found)

    async def told(self, name: str, words: str, *, namespace: str = "default") -> Object:
        """Wait for an event about an object whose message has these words, and return it."""
        async with asyncio.timeout(SECONDS):
            while True:
                for event in (await self.client.list(EVENTS, namespace)).items:
                    if event["involvedObject"]["name"] == name and words in event["message"]:
                        return event
                await asyncio.sleep(0.1)


def condition(found: Object, type_: str) -> Object:
    """Return a condition of a status; empty when it is not there."""
    return next((item for item in found.get("conditions") or () if item["type"] == type_), {})


def thing(
    kind: str, name: str, *, namespace: str = "", labels: Object | None = None, annotations: Object | None = None, **spec: Any
) -> Object:
    """Build an object of the API; cluster-scoped kinds get no namespace."""
    scoped = REST[kind].namespaced
    meta: Object = {"name": name, **({"namespace": namespace or "default"} if scoped else {})}
    meta |= {key: value for key, value in (("labels", labels), ("annotations", annotations)) if value}
    return {"apiVersion": f"{REST[kind].group}/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


def repo(name: str, provider: str = "pvc", *, default: bool = False, **spec: Any) -> Object:
    """Build a BackupRepo, by default on a volume of this cluster."""
    given = {"storageProviderRef": provider, "pvReclaimPolicy": "Delete", **spec}
    marks = {f"{GROUP}/is-default-repo": "true"} if default else None
    return thing("BackupRepo", name, annotations=marks, **given)


def secret(name: str, namespace: str = "default", **entries: str) -> Object:
    """Build a Secret."""
    meta: Object = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": entries}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    made = World(tmp_path_factory.mktemp("kubeblocks") / "data")
    await made.start()
    try:
        yield made
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await made.stop()
