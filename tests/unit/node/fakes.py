"""A node's surroundings without a server: a client on a dict, and a host whose waits are short."""

import asyncio
import base64
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from holdfast.core.objects import Object
from holdfast.embedded.node import machine
from holdfast.embedded.node.cgroups import find_limiters
from holdfast.embedded.node.forks import ForkServer
from holdfast.embedded.node.images import ImageTable, default_images
from holdfast.embedded.node.network.pods import PodNetwork
from holdfast.embedded.node.pod import PodRunner
from holdfast.embedded.node.podstatus import Verdict
from holdfast.embedded.node.settings import Host, Settings
from holdfast.kube.errors import NotFound
from holdfast.kube.resource import Resource

QUICK = Settings(crash_backoff=0.05, retry=0.02, retry_cap=0.1, shutdown=0.5)


class FakeClient:
    """What pods ask of a client, answered from memory; every status that was written is kept."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.statuses: list[Object] = []
        self.written = asyncio.Event()

    def put(self, kind: str, name: str, **fields: Any) -> None:
        self.objects[kind, "demo", name] = {"kind": kind, "metadata": {"name": name}, **fields}

    def secret(self, name: str, **values: str) -> None:
        self.put("Secret", name, data={key: base64.b64encode(value.encode()).decode() for key, value in values.items()})

    async def get(self, res: Resource, name: str, namespace: str | None = None) -> Object:
        found = self.objects.get((res.kind, namespace or "demo", name))
        if found is None:
            raise NotFound(404, "NotFound", f"{res.kind} {name} not found")
        return found

    async def merge_patch(self, res: Resource, name: str, namespace: str, body: Object, **options: Any) -> Object:
        self.statuses.append(body["status"])
        waiting, self.written = self.written, asyncio.Event()
        waiting.set()
        return body

    async def post_raw(self, path: str, body: Object) -> Object:
        return {"status": {"token": f"token-for-{path.split('/')[-2]}"}}

    async def until(self, holds: Callable[[Object], bool], seconds: float = 10) -> Object:
        async with asyncio.timeout(seconds):
            while not (self.statuses and holds(self.statuses[-1])):
                await self.written.wait()
        return self.statuses[-1]


class Silent:
    """An event recorder that remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def emit(self, obj: Object, type: str, reason: str, message: str, *, part: str = "") -> None:
        self.said.append((reason, message))


def host(
    client: FakeClient,
    path: Path,
    settings: Settings = QUICK,
    images: ImageTable | None = None,
    forks: Mapping[tuple[str, ...], ForkServer] | None = None,
) -> Host:
    found = machine.inspect()
    assert not found.problem, found.problem
    return Host(
        client=client,  # type: ignore[arg-type]
        events=Silent(),  # type: ignore[arg-type]
        name="here",
        settings=settings,
        tools=found.tools,
        images=images or default_images(),
        limiters=find_limiters(f"{os.getpid():012x}"),
        disk=path / "node",
        memory=path / "memory",
        ca=b"CERTIFICATE",
        capacity={"cpu": "2", "memory": "1048576Ki"},
        address="127.0.0.1",
        network=PodNetwork(None, "a test", ("127.0.0.1", 6443), "127.0.0.1"),
        forks=forks or {},
        starting=asyncio.Semaphore(8),
    )


def container(script: str = "true", name: str = "main", **fields: Any) -> Object:
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **fields}


def pod(*containers: Object, volumes: list[Object] | None = None, **spec: Any) -> Object:
    plain = {"restartPolicy": "Never", "automountServiceAccountToken": False, "nodeName": "here"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "demo", "uid": "uid-p", "labels": {"app": "x"}},
        "spec": {**plain, "containers": list(containers), "volumes": volumes or [], **spec},
    }


class Run:
    """One pod run to its end (or until stopped) and what it left behind."""

    def __init__(
        self,
        tmp_path: Path,
        obj: Object,
        client: FakeClient | None = None,
        settings: Settings = QUICK,
        images: ImageTable | None = None,
        forks: Mapping[tuple[str, ...], ForkServer] | None = None,
        again: Verdict | None = None,
    ) -> None:
        self.client = client or FakeClient()
        self.host = host(self.client, tmp_path, settings, images, forks)
        self.runner = PodRunner(self.host, obj, again=again)
        self.task = asyncio.create_task(self.runner.run())

    async def end(self, seconds: float = 20) -> Object:
        async with asyncio.timeout(seconds):
            await self.task
        self.host.limiters.close()
        return self.client.statuses[-1]

    def log(self, name: str = "main", restart: int | None = None) -> str:
        from holdfast.embedded.node import logs

        found = self.runner.container(name)
        assert found is not None
        return "\n".join(logs.last_lines(found.log_path(restart), 10_000))


def terminated(status: Object, name: str = "main") -> Object:
    found = next(each for each in status["containerStatuses"] if each["name"] == name)
    return found["state"]["terminated"]
