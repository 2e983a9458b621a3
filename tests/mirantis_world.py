"""A small cluster with the engine on it, whose control plane is a real etcd: what the tests of the Mirantis API drive.

Take `world` as a fixture. The engine's clock can be set; Jobs run as real pods.
"""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from holdfast.cli.dialects import KINDS, resource_of
from holdfast.core.objects import Object
from holdfast.core.times import format_time
from holdfast.dialects.mirantis.dialect import Mirantis
from holdfast.embedded.apiserver import metadata
from holdfast.kube.resource import Resource
from tests import tools
from tests.engine_cluster import EngineCluster, status
from tests.etcd_server import Etcd, etcd_server

REST: dict[str, Resource] = {spec.kind: resource_of(spec) for spec in KINDS["mirantis"]}
ZONE = "Europe/Prague"
KEY_TEXT = "correct horse battery staple, twice!"
SECONDS = 25.0


class World(EngineCluster):
    """The cluster, its engine, and the machine's folders."""

    def __init__(self, directory: Path, etcd: Etcd) -> None:
        super().__init__(directory, Mirantis(ZONE))
        self.etcd, self.local = etcd, directory.parent / "srv-backup"

    async def live_at(self, moment: datetime) -> None:
        """Let the engine live at another time, as after a downtime."""
        await self.set_clock(moment - datetime.now(UTC))

    async def wipe(self) -> None:
        """Delete every object of the API, its Jobs, Secrets and events, and return to the present."""
        for key in await self.all("KeyEncryptionKey"):
            await self.forget(key["metadata"]["name"])
        names = "clusterbackupschedules,clusterbackups,jobs,secrets,events"
        await self.kubectl("delete", names, "--all", "--wait=true", "--timeout=20s", "-n", "default")
        names = "keyencryptionkeys,rclonecredentials,clusters.kaas.mirantis.com"
        await self.kubectl("delete", names, "--all", "--wait=true", "--timeout=20s", "-n", "default")
        shutil.rmtree(self.local, ignore_errors=True)
        if self.offset:
            await self.set_clock(timedelta())

    def cluster(self, name: str = "kaas-mgmt", **spec: Any) -> Object:
        annotations = {
            "backup.holdfast.dev/nodes": "holdfast.dev/node=sandbox",
            "backup.holdfast.dev/etcd": self.etcd.endpoint,
            "backup.holdfast.dev/pki": str(self.etcd.pki),
            "backup.holdfast.dev/manifests": str(self.etcd.manifests),
            "backup.holdfast.dev/local-folder": str(self.local),
        }
        return thing("Cluster", name, annotations=annotations, **spec)

    async def wait(self, kind: str, name: str, holds: Callable[[Object], bool]) -> Object:
        return await self.until(REST[kind], name, holds, seconds=SECONDS)

    async def ended(self, name: str) -> Object:
        found = await self.wait("ClusterBackup", name, lambda obj: status(obj).get("phase") in ("Completed", "Failed"))
        return status(found)

    async def get(self, kind: str, name: str) -> Object:
        return await self.client.get(REST[kind], name, "default")

    async def all(self, kind: str) -> list[Object]:
        return list((await self.client.list(REST[kind], "default")).items)

    async def forget(self, key: str) -> None:
        """Say that a key may be lost, whoever needs it."""
        await self.kubectl("annotate", "keyencryptionkey", key, f"holdfast.dev/forget-key={key}", "--overwrite")


async def due(world: World, name: str) -> datetime:
    """Wait until the schedule knows its next time, and return it."""
    found = await world.wait("ClusterBackupSchedule", name, lambda obj: "nextBackupAt" in status(obj))
    return datetime.fromisoformat(status(found)["nextBackupAt"])


async def pass_tick(world: World, name: str, *, after: timedelta = timedelta(seconds=1), total: int = 1) -> Object:
    """Let the clock stand just after the next due time, and return the status once that run has ended."""
    await world.live_at(await due(world, name) + after)
    found = await world.wait(
        "ClusterBackupSchedule",
        name,
        lambda obj: status(obj)["attempts"]["total"] == total and "inProgress" not in status(obj)["attempts"],
    )
    return status(found)


def thing(kind: str, name: str, *, annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    meta: Object = {"name": name, "namespace": "default", **({"annotations": annotations} if annotations else {})}
    return {"apiVersion": "kaas.mirantis.com/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


def backup(name: str, **parameters: Any) -> Object:
    spec: Object = {"targetCluster": "kaas-mgmt", **({"parameters": parameters} if parameters else {})}
    return thing("ClusterBackup", name, **spec)


def schedule(name: str, cron: str, **parameters: Any) -> Object:
    spec: Object = {"targetCluster": "kaas-mgmt", "schedule": cron, **({"parameters": parameters} if parameters else {})}
    return thing("ClusterBackupSchedule", name, **spec)


def credential(name: str, endpoint: str, secret: str, key_id: str, *, older: bool = False, remote: str = "swift") -> Object:
    config = {"type": "s3", "provider": "Other", "access_key_id": key_id, "endpoint": endpoint}
    given = {"secret": {"value": secret}} if older else {"value": secret}
    return thing(
        "RCloneCredential",
        name,
        remoteConfig=config,
        remoteName=remote,
        remoteConfigSecretKey="secret_access_key",
        remoteSecret=given,
    )


def open_with_openssl(encrypted: Path, dek: Path, key_text: str, target: Path) -> None:
    """Do by hand what the documentation says, with the stock program alone."""
    key, recovered = target.with_name("key.txt"), target.with_name("dek.txt")
    key.write_text(key_text)
    for source, secret, out in ((dek, key, recovered), (encrypted, recovered, target)):
        command = [tools.openssl(), "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-in", str(source), "-out", str(out)]
        done = subprocess.run([*command, "-pass", f"file:{secret}"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with etcd_server(tmp_path_factory.mktemp("etcd")) as server:
        server.fill(300)
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(tmp_path_factory: pytest.TempPathFactory, etcd: Etcd) -> AsyncIterator[World]:
    """One cluster for the tests of a module."""
    made = World(tmp_path_factory.mktemp("mirantis") / "data", etcd)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metadata, "stamp_now", lambda: format_time(made.now()))
        await made.start()
        try:
            yield made
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def world(plane: World) -> AsyncIterator[World]:
    """The cluster with its Cluster object and nothing else of the API, at this moment."""
    await plane.apply(plane.cluster())
    yield plane
    await plane.wipe()
