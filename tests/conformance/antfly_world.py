"""The Antfly dialect on a real API server: engine, CRDs and clusters, and Jobs that end as a test says.

No node runs. A test starts a Job as the CronJob controller or `kubectl create job --from` would, and ends it by the report that
a mover would leave.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import yaml
from tests.antfly_server import AntflyServer
from tests.movers_builders import perform_call

from holdfast.cli.dialects import resource_of, resources
from holdfast.cli.install import install
from holdfast.core.calls import Call, decode_call
from holdfast.core.objects import Object
from holdfast.core.report import Failure, ItemResult, Report
from holdfast.dialects.antfly.dialect import Antfly
from holdfast.dialects.antfly.types import KINDS
from holdfast.engine.shell import Engine
from holdfast.kube.builtin import CRONJOBS, JOBS, NAMESPACES, PODS
from holdfast.kube.client import Client
from holdfast.kube.errors import ApiError, NotFound
from holdfast.kube.events import EventRecorder
from holdfast.movers.fills import movers

BACKUPS, RESTORES, CLUSTERS = (resource_of(spec) for spec in KINDS)
NAMESPACE = "production"


def backup(name: str = "daily-backup", **spec: Any) -> Object:
    """The page's basic sample, with fields replaced."""
    document = yaml.safe_load("""
apiVersion: antfly.io/v1
kind: AntflyBackup
metadata: {namespace: production}
spec:
  clusterRef: {name: my-cluster}
  schedule: "0 2 * * *"
  destination: {location: s3://my-bucket/antfly-backups, credentialsSecret: {name: backup-credentials}}
""")
    document["metadata"]["name"] = name
    document["spec"] |= spec
    return document


def restore(name: str = "bring-back", **spec: Any) -> Object:
    source = {"backupId": "daily-backup-20261121020000-1a2b3c4d", "location": "s3://my-bucket/antfly-backups"}
    return {
        "apiVersion": "antfly.io/v1",
        "kind": "AntflyRestore",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"clusterRef": {"name": "my-cluster"}, "source": source, **spec},
    }


class AntflyWorld:
    """What a test does and sees."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def cluster(self, name: str = "my-cluster", namespace: str = NAMESPACE, **spec: Any) -> None:
        meta = {"name": name, "namespace": namespace}
        await self.client.create(CLUSTERS, {"metadata": meta, "spec": {"image": "antfly:1", **spec}})

    async def status(self, name: str = "daily-backup", resource: Any = BACKUPS) -> Object:
        return (await self.client.get(resource, name, NAMESPACE)).get("status") or {}

    async def cron_job(self, name: str = "daily-backup-cron") -> Object:
        return await self.client.get(CRONJOBS, name, NAMESPACE)

    async def until(
        self, holds: Callable[[Object], object], name: str = "daily-backup", resource: Any = BACKUPS, seconds: float = 10
    ) -> Object:
        """Wait until something holds of a status, and return it."""
        last: Object = {}
        try:
            async with asyncio.timeout(seconds):
                while not holds(last := await self.status(name, resource)):  # noqa: ASYNC110 - another client writes it
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{name} does not get there: {last}") from None
        return last

    async def phase(self, phase: str, name: str = "daily-backup", resource: Any = BACKUPS) -> Object:
        return await self.until(lambda status: status.get("phase") == phase, name, resource)

    async def refused(self, document: Object, resource: Any = BACKUPS) -> str:
        """Create an object that the server refuses, and return its words."""
        try:
            await self.client.create(resource, document)
        except ApiError as error:
            return str(error)
        raise AssertionError("was accepted")

    async def start(self, name: str, cron: str = "daily-backup-cron", *, due: str = "") -> Object:
        """Make a Job from a CronJob."""
        made = await self.cron_job(cron)
        template = copy.deepcopy(made["spec"]["jobTemplate"])
        reference = {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "name": cron,
            "uid": made["metadata"]["uid"],
            "controller": True,
        }
        meta = {**template["metadata"], "name": name, "namespace": NAMESPACE, "ownerReferences": [reference]}
        if due:
            await self.client.merge_patch(
                CRONJOBS, cron, NAMESPACE, {"status": {"lastScheduleTime": due}}, subresource="status"
            )
        return await self.client.create(JOBS, {"metadata": meta, "spec": template["spec"]})

    async def end(self, job: str, *tables: str, at: str, failure: Failure | None = None, failed: tuple[str, ...] = ()) -> None:
        """End a Job with a report."""
        items = (
            *(ItemResult(name, "Completed") for name in tables),
            *(ItemResult(name, "Failed", "no leader") for name in failed),
        )
        report = Report("antfly-backup", (), failure, items)
        found = await self.client.get(JOBS, job, NAMESPACE)
        reference = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": found["metadata"]["uid"], "controller": True}
        pod = {"metadata": {"name": f"{job}-x", "namespace": NAMESPACE, "ownerReferences": [reference]}}
        container = {"name": "main", "image": "x"}
        await self.client.create(PODS, {**pod, "spec": {"containers": [container], "restartPolicy": "Never"}})
        text = msgspec.json.encode(report).decode()
        ended = {"exitCode": int(failure is not None), "message": text}
        state = {"name": "main", "ready": False, "restartCount": 0, "image": "x", "imageID": "", "state": {"terminated": ended}}
        status = {"phase": "Failed" if failure else "Succeeded", "containerStatuses": [state]}
        await self.client.merge_patch(PODS, f"{job}-x", NAMESPACE, {"status": status}, subresource="status")
        verdict = {"type": "Failed", "reason": "PodFailurePolicy"} if failure else {"type": "Complete", "reason": "Done"}
        verdict |= {"status": "True", "lastTransitionTime": at, "lastProbeTime": at, "message": ""}
        body: Object = {"startTime": at, "conditions": [verdict]}
        if not failure:
            body["completionTime"] = at
        await self.client.merge_patch(JOBS, job, NAMESPACE, {"status": body}, subresource="status")


def call_of(template: Object) -> Call:
    """Return what the mover of a Job or of a CronJob's template is told."""
    spec = template["spec"].get("jobTemplate", template)["spec"]
    env = {item["name"]: item.get("value", "") for item in spec["template"]["spec"]["containers"][0]["env"]}
    found = msgspec.json.decode(env["HOLDFAST_CALL"])
    return decode_call(found["mover"], found["arguments"])


def carried_out(call: Call, server: AntflyServer) -> Report:
    """Carry a call out against a server at another address than the one it names."""
    here = msgspec.structs.replace(call.server, url=server.url)  # type: ignore[attr-defined]
    return perform_call(msgspec.structs.replace(call, server=here))


@asynccontextmanager
async def antfly_world(client: Client) -> AsyncIterator[AntflyWorld]:
    """Install everything and run the engine until the block ends."""
    await install(client)
    try:
        await client.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    except ApiError:
        await client.get(NAMESPACES, NAMESPACE)
    async with Client(client.config, field_manager="holdfast") as own:
        recorder = EventRecorder(own, "holdfast")
        engine = Engine(own, [Antfly()], movers(), resources(), image="holdfast:test", recorder=recorder)
        task = asyncio.create_task(engine.run())
        try:
            async with asyncio.timeout(10):
                await engine.manager.synced()
            yield AntflyWorld(client)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await recorder.close()


async def gone(client: Client, resource: Any, name: str) -> bool:
    try:
        await client.get(resource, name, NAMESPACE)
    except NotFound:
        return True
    return False
