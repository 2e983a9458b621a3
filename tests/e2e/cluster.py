"""A whole small cluster in one event loop: API server, controllers and a node that runs real pods.

Take it as a fixture: `from tests.e2e.cluster import cluster`. The waits of controllers and node are short here.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest_asyncio
import yaml

from holdfast.core.objects import Object
from holdfast.embedded.apiserver.server import ApiServer
from holdfast.embedded.controllers import run as controllers
from holdfast.embedded.controllers.run import run_controllers
from holdfast.embedded.node.run import run_node
from holdfast.embedded.node.settings import Settings as NodeSettings
from holdfast.kube.builtin import JOBS, PODS
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.kube.errors import NotFound
from holdfast.kube.resource import Resource
from tests import tools

NODE = NodeSettings(crash_backoff=0.05, retry=0.05, retry_cap=0.2, shutdown=0.5)


class Cluster:
    """The parts of a cluster, each of which a test may stop and start again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server = ApiServer(directory)
        self.client: Client
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        await self.server.start()
        self.config = load_kubeconfig(self.server.kubeconfig_path)
        self.client = Client(self.config, field_manager="test")
        await self.start_controllers()
        await self.start_node()

    async def start_controllers(self, node_grace: float = 40) -> None:
        ready = asyncio.Event()
        settings = controllers.Settings(job_backoff=0.05, node_grace=node_grace)
        work = run_controllers(self.client, self.directory, settings=settings, ready=ready)
        await self._begin("controllers", work, ready)

    async def start_node(self, settings: NodeSettings = NODE) -> None:
        ready = asyncio.Event()
        work = run_node(self.client, self.config, self.directory / "node", "here", settings=settings, ready=ready)
        await self._begin("node", work, ready)

    async def stop_part(self, name: str) -> None:
        task = self._tasks.pop(name)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def stop(self) -> None:
        for name in ("node", "controllers"):
            if name in self._tasks:
                await self.stop_part(name)
        await self.client.close()
        await self.server.stop()

    async def _begin(self, name: str, work: Any, ready: asyncio.Event) -> None:
        task = self._tasks[name] = asyncio.create_task(work)
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED, timeout=10)
        waiting.cancel()
        if task.done():
            await task
        assert ready.is_set(), f"{name} did not become ready"

    async def apply(self, *objects: Object | str) -> None:
        """Apply objects, or YAML text of several, with kubectl."""
        texts = [each if isinstance(each, str) else yaml.safe_dump(each) for each in objects]
        await self.kubectl("apply", "-f", "-", stdin="\n---\n".join(texts))

    async def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Run stock kubectl and return its output; with `check` a failure raises, else errors are part of the output."""
        process = await asyncio.create_subprocess_exec(
            tools.kubectl(),
            *arguments,
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory), "KUBECONFIG": str(self.server.kubeconfig_path)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate(stdin.encode())
        if check and process.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {out.decode()}")
        return out.decode()

    async def until(
        self, res: Resource, name: str, holds: Callable[[Object], bool], *, namespace: str = "default", seconds: float = 20
    ) -> Object:
        """Wait until an object is there and something holds of it."""
        listing = await self.client.list(res, namespace if res.namespaced else None, field_selector=f"metadata.name={name}")
        if listing.items and holds(listing.items[0]):
            return listing.items[0]
        last: Object = listing.items[0] if listing.items else {}
        try:
            async with asyncio.timeout(seconds):
                events = self.client.watch(
                    res,
                    namespace if res.namespaced else None,
                    resource_version=listing.resource_version,
                    field_selector=f"metadata.name={name}",
                )
                async with contextlib.aclosing(events):
                    async for event in events:
                        last = event.object
                        if event.type in ("ADDED", "MODIFIED") and holds(last):
                            return last
        except TimeoutError:
            pass
        raise AssertionError(f"{res} {name} did not get there: {msgspec.json.encode(last).decode()}")

    async def gone(self, res: Resource, name: str, *, namespace: str = "default", seconds: float = 20) -> None:
        """Wait until an object is gone."""
        async with asyncio.timeout(seconds):
            while True:
                listing = await self.client.list(
                    res, namespace if res.namespaced else None, field_selector=f"metadata.name={name}"
                )
                if not listing.items:
                    return
                events = self.client.watch(
                    res,
                    namespace if res.namespaced else None,
                    resource_version=listing.resource_version,
                    field_selector=f"metadata.name={name}",
                )
                async with contextlib.aclosing(events):
                    async for event in events:
                        if event.type == "DELETED":
                            break

    async def pods(self, job: str, namespace: str = "default") -> list[Object]:
        """Return the pods of a Job."""
        return (await self.client.list(PODS, namespace, label_selector=f"job-name={job}")).items

    async def finished(self, job: str, seconds: float = 20) -> Object:
        """Wait for the end of a Job and return it."""
        return await self.until(JOBS, job, lambda each: ended_as(each) != "", seconds=seconds)

    async def log(self, pod: str, container: str = "", namespace: str = "default") -> str:
        """Read a log through the API."""
        chunks = [chunk async for chunk in self.client.logs(namespace, pod, container)]
        return b"".join(chunks).decode()

    async def exists(self, res: Resource, name: str, namespace: str = "default") -> bool:
        try:
            await self.client.get(res, name, namespace if res.namespaced else None)
        except NotFound:
            return False
        return True


def running(command: str) -> bool:
    """Whether any process of this machine has exactly this command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace") == command:
                return True
    return False


async def eventually(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that nobody announces, such as a file that a pod writes."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.01)


def ended_as(job: Object) -> str:
    """Return Complete, the reason of a failure, or an empty text for a Job that goes on."""
    for each in job.get("status", {}).get("conditions") or []:
        if each["status"] == "True" and each["type"] in ("Complete", "Failed"):
            return "Complete" if each["type"] == "Complete" else str(each["reason"])
    return ""


def job(name: str, script: str, **fields: Any) -> Object:
    """Build a Job of one container that runs a shell script; `pod` and `container` add to those."""
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", script], **fields.pop("container", {})}
    spec = {"restartPolicy": "Never", "containers": [container], **fields.pop("pod", {})}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": {"spec": spec}, **fields},
    }


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A running cluster on an empty directory."""
    made = Cluster(tmp_path / "data")
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
