"""The CloudCasa API for tests: an API server with our kinds, the REST server on it, and a client; pods and engine if wanted."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from holdfast.cli.agent_manifest import agent_manifest
from holdfast.cli.apiserver import admission, backup_roles, sealers
from holdfast.cli.dialects import resources
from holdfast.cli.install import install
from holdfast.cli.joblogs import JobLogs
from holdfast.core.objects import Object
from holdfast.dialects.cloudcasa.dialect import CloudCasa
from holdfast.dialects.cloudcasa.kinds import APIKEY, ORGANIZATION, local_cluster_id
from holdfast.embedded.apiserver.pki import ensure_server_certificate
from holdfast.embedded.apiserver.server import ApiServer
from holdfast.embedded.controllers.run import Settings, run_controllers
from holdfast.embedded.node.run import run_node
from holdfast.engine.grants import Grants
from holdfast.engine.scope import Whole
from holdfast.engine.shell import Engine
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.kube.events import EventRecorder
from holdfast.movers.fills import movers
from holdfast.rest import keys
from holdfast.rest.app import Options, serving
from holdfast.rest.objectstores import Probe
from holdfast.rest.state import RESOURCES
from tests.e2e.cluster import NODE

LOCAL = local_cluster_id(ORGANIZATION)


@dataclass
class Reply:
    """One answer."""

    code: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def issues(self) -> dict[str, Any]:
        return self.body["_issues"]


class Rest:
    """A client of the REST API with one key."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        self.session, self.url, self.key = session, url, key

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request. Header names are written with underscores."""
        given = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        target = path if path.startswith("https:") else self.url + path
        async with self.session.request(method, target, data=data, headers=given) as response:
            text = await response.text()
            return Reply(response.status, json.loads(text) if text else None, dict(response.headers))

    async def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request that must succeed; returns the document."""
        reply = await self.call(method, path, body, **headers)
        assert reply.code < 300, f"{method} {path}: {reply.code} {reply.body}"
        return reply.body

    async def find(self, plural: str, where: Object, **query: str) -> list[Object]:
        """Return the documents that match."""
        reply = await self.session.get(
            f"{self.url}/{plural}",
            params={"where": json.dumps(where), **query},
            headers={"Authorization": f"Bearer {self.key}"},
        )
        async with reply:
            assert reply.status == 200, await reply.text()
            return (await reply.json())["_items"]

    async def ended(self, job: str, seconds: float = 60) -> Object:
        """Poll, as clients do, until a job has ended."""
        async with asyncio.timeout(seconds):
            while not (document := await self.ok("GET", f"/jobs/{job}")).get("terminal"):  # noqa: ASYNC110 - as clients do
                await asyncio.sleep(0.05)
        return document

    async def policy(self, name: str = "nightly", cron: str = "30 0 * * MON,FRI", **fields: Any) -> str:
        schedule = {"retainDays": 7, "schedule": {"cronSpec": cron}}
        return (await self.ok("POST", "/policies", {"name": name, "schedules": [schedule], **fields}))["_id"]

    async def backup(self, name: str = "backup", **fields: Any) -> str:
        body = {"name": name, "cluster": LOCAL, "trigger_type": "ADHOC", "source": {"all_namespaces": True}, **fields}
        return (await self.ok("POST", "/kubebackups", body))["_id"]

    async def offload(self, backup: str, name: str = "copy", **fields: Any) -> str:
        body = {"name": name, "trigger_type": "ADHOC", "backupdef": backup, **fields}
        return (await self.ok("POST", "/kubeoffloads", body))["_id"]

    async def run(self, plural: str, ident: str, days: int = 15, **fields: Any) -> str:
        """Run a definition; returns the job's id."""
        body = {"retention": {"retainDays": days}, **fields} if plural != "kuberestores" else None
        return (await self.ok("POST", f"/{plural}/{ident}/action/run", body))["status"]["jobid"]


@dataclass
class World:
    """What runs."""

    server: ApiServer
    client: Client
    rest: Rest
    directory: Path
    start_engine: Callable[[], Awaitable[asyncio.Task[None]]]
    engine: asyncio.Task[None] | None = None

    async def crash(self) -> None:
        """Stop the engine wherever it is, and start another one."""
        assert self.engine is not None
        self.engine.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.engine
        self.engine = await self.start_engine()

    async def key(self, *roles: str, organization: str = ORGANIZATION, expires: int | None = None) -> Rest:
        """Return a client with a key of its own."""
        made = keys.make(organization, f"test {roles}", list(roles), expires)
        obj = await self.client.create(RESOURCES[APIKEY], made.object)
        rest = Rest(self.rest.session, self.rest.url, made.key)
        async with asyncio.timeout(5):
            while (await rest.call("GET", "/jobs")).code == 401 and not keys.expired(obj, 4e9):  # noqa: ASYNC110 - a watch brings it
                await asyncio.sleep(0.01)
        return rest


@contextlib.asynccontextmanager
async def world(
    directory: Path, *, pods: bool = False, engine: bool | None = None, probe: Probe | None = None, per_second: float = 1e6
) -> AsyncGenerator[World]:
    """Run an API server and the REST server; with `engine` also what carries jobs out, with `pods` what runs pods (and
    an engine, unless that is declined)."""
    dialect = CloudCasa()
    server = ApiServer(
        directory, admission=admission(dialect.handlers), roles=backup_roles(), sealers=sealers(dialect.handlers)
    )
    async with contextlib.AsyncExitStack() as stack:
        await server.start()
        stack.push_async_callback(server.stop)
        config = load_kubeconfig(server.kubeconfig_path)
        client = await stack.enter_async_context(Client(config, field_manager="test", max_in_flight=128))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks: list[asyncio.Task[None]] = []
        await install(client)
        if pods:
            ready = asyncio.Event()
            tasks.append(
                group.create_task(run_controllers(client, directory, settings=Settings(job_backoff=0.05), ready=ready))
            )
            await ready.wait()
            ready = asyncio.Event()
            tasks.append(group.create_task(run_node(client, config, directory / "node", "here", settings=NODE, ready=ready)))
            await ready.wait()

        async def start_engine() -> asyncio.Task[None]:
            recorder = EventRecorder(client, component="test")
            made = Engine(client, [dialect], movers(), resources(), image="holdfast:test", recorder=recorder)
            logs = JobLogs(client, made.manager, Whole())

            async def engine_and_logs() -> None:
                async with asyncio.TaskGroup() as both:
                    both.create_task(made.run())
                    both.create_task(logs.run())

            task = asyncio.create_task(engine_and_logs())
            await made.manager.synced()
            return task

        _, certificate, key = ensure_server_certificate(directory / "pki", ("127.0.0.1",))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        options = Options(tls=context, probe=probe, per_second=per_second, secrets=Grants(client), manifest=agent_manifest)
        port = await stack.enter_async_context(serving(client, options))
        trust = ssl.create_default_context(cafile=str(directory / "pki" / "ca.crt"))
        connector = aiohttp.TCPConnector(ssl=trust, limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        found = World(server, client, Rest(session, f"https://127.0.0.1:{port}/api/v1", ""), directory, start_engine)
        found.engine = await start_engine() if (pods if engine is None else engine) else None
        found.rest = await found.key("admin")
        try:
            yield found
        finally:
            for task in [*([found.engine] if found.engine else []), *reversed(tasks)]:
                task.cancel()
            if found.engine:
                await asyncio.gather(found.engine, return_exceptions=True)
