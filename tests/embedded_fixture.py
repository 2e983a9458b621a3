"""A fresh embedded API server for a test, and two ways to talk to it: real kubectl, and plain HTTP.

Import the fixture by name (`from tests.embedded_fixture import api_server`) and take it as an argument. The server runs in the
test's own loop, so kubectl is awaited, never called.
"""

import asyncio
import json
import os
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
import yaml

from holdfast.embedded.apiserver.server import ApiServer
from holdfast.kube.config import load_kubeconfig
from tests import tools
from tests.given_cluster import Given, given

Object = dict[str, Any]


@pytest_asyncio.fixture
async def api_server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    """The embedded server, fresh; or the cluster that the environment names, cleared afterwards."""
    if (cluster := given()) is not None:
        async with http_client(cluster) as http:
            await cluster.remember(http)
            yield cluster  # pyright: ignore[reportReturnType] - tests that need more of a server are marked `own`
            await cluster.clear(http)
        return
    server = ApiServer(tmp_path / "api")
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@dataclass
class Ran:
    code: int
    out: str
    err: str


@dataclass
class Kubectl:
    """Runs kubectl with the server's own kubeconfig."""

    kubeconfig: Path
    program: str = ""

    def environment(self) -> dict[str, str]:
        home = str(self.kubeconfig.parent)
        return {"PATH": os.environ["PATH"], "KUBECONFIG": str(self.kubeconfig), "HOME": home}

    async def start(self, *args: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            self.program or tools.kubectl(), *args, stdin=pipe, stdout=pipe, stderr=pipe, env=self.environment()
        )

    async def run(self, *args: str, stdin: str = "", seconds: float = 30) -> Ran:
        process = await self.start(*args)
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(stdin.encode())
        return Ran(process.returncode or 0, out.decode(), err.decode())

    async def ok(self, *args: str, stdin: str = "") -> str:
        ran = await self.run(*args, stdin=stdin)
        assert ran.code == 0, f"kubectl {' '.join(args)}: {ran.err}{ran.out}"
        return ran.out

    async def apply(self, *objects: Object, args: tuple[str, ...] = ()) -> str:
        return await self.ok("apply", *args, "-f", "-", stdin=yaml.safe_dump_all(objects))

    async def refused(self, *objects: Object, args: tuple[str, ...] = ()) -> str:
        ran = await self.run("apply", *args, "-f", "-", stdin=yaml.safe_dump_all(objects))
        assert ran.code != 0, ran.out
        return ran.err


@dataclass
class Reply:
    code: int
    body: Any
    headers: dict[str, str]


class Http:
    """Plain requests with the admin's token."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> Reply:
        headers = {"Content-Type": "application/json", **more.pop("headers", {})}
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        async with self.session.request(method, self.url + path, data=data, headers=headers, **more) as response:
            text = await response.read()
            kind = response.headers.get("Content-Type", "")
            answer = json.loads(text) if kind.startswith("application/json") else text.decode()
            return Reply(response.status, answer, dict(response.headers))

    async def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        reply = await self.call(method, path, body, **more)
        assert reply.code < 300, reply.body
        return reply.body

    async def patch(self, path: str, body: Any, kind: str = "merge-patch+json", **more: Any) -> Reply:
        return await self.call("PATCH", path, body, headers={"Content-Type": f"application/{kind}"}, **more)

    @asynccontextmanager
    async def watch(self, path: str, **params: str) -> AsyncIterator["Events"]:
        async with self.session.get(self.url + path, params={"watch": "true", **params}) as response:
            assert response.status == 200, await response.text()
            yield Events(response)


class Events:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self, seconds: float = 5) -> tuple[str, Object]:
        async with asyncio.timeout(seconds):
            line = await self.response.content.readline()
        assert line, "the watch ended"
        event = json.loads(line)
        return event["type"], event["object"]

    async def named(self, count: int) -> list[tuple[str, str]]:
        found = [await self.next() for _ in range(count)]
        return [(type_, obj["metadata"]["name"]) for type_, obj in found]

    async def ended(self, seconds: float = 5) -> bool:
        async with asyncio.timeout(seconds):
            return await self.response.content.read() == b""


@asynccontextmanager
async def http_client(server: ApiServer | Given, token: str | None = None) -> AsyncIterator[Http]:
    """Plain HTTP as the kubeconfig's user, as the holder of a token, or (empty token) as nobody."""
    config = load_kubeconfig(server.kubeconfig_path)
    token = config.token if token is None else token
    context = ssl.create_default_context(cadata=config.ca_data or None)
    if config.client_certificate:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(config.client_certificate + "\n" + config.client_key)
            file.flush()
            context.load_cert_chain(file.name)
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        yield Http(session, config.server)


@pytest_asyncio.fixture
async def http(api_server: ApiServer) -> AsyncIterator[Http]:
    async with http_client(api_server) as client:
        yield client


@pytest_asyncio.fixture
async def kubectl(api_server: ApiServer, tmp_path: Path) -> Kubectl:
    """kubectl with a kubeconfig of its own: `kubectl config` changes it."""
    own = tmp_path / "kubeconfig"
    own.write_bytes(api_server.kubeconfig_path.read_bytes())
    return Kubectl(own)


async def until(check: Any, seconds: float = 5) -> Any:
    """Await `check()` until it is true; fails at the deadline."""
    async with asyncio.timeout(seconds):
        while not (found := await check()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found
