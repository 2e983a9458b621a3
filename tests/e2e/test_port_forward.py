"""`kubectl port-forward` to pods that run, in every form that clients speak, and exec over SPDY."""

import asyncio
import contextlib
import os
import re
import ssl
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yaml

from holdfast.kube.builtin import PODS
from tests import tools
from tests.e2e.cluster import Cluster
from tests.e2e.test_pods import phase, pod

pytestmark = [pytest.mark.run, pytest.mark.asyncio(loop_scope="module")]

ECHO = (
    "import socketserver\n"
    "class H(socketserver.StreamRequestHandler):\n"
    "    def handle(self):\n"
    "        for line in self.rfile: self.wfile.write(line.upper())\n"
    "        self.wfile.write(b'bye')\n"
    "class S(socketserver.ThreadingTCPServer): request_queue_size = 64\n"
    "S(('127.0.0.1', 7007), H).serve_forever()\n"
)
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "echo"},
    "spec": {"selector": {"app": "echo"}, "ports": [{"port": 80, "targetPort": 7007}]},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def echo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A cluster with a pod that sends back in capitals what it gets on port 7007 of its own loopback."""
    found = Cluster(tmp_path_factory.mktemp("forward"))
    try:
        await found.start()
        ready = {"readinessProbe": {"exec": {"command": ["/bin/sh", "-c", "grep -q :1B5F /proc/net/tcp"]}, "periodSeconds": 1}}
        container = {"command": ["/usr/bin/python3", "-c", ECHO], "ports": [{"containerPort": 7007}], **ready}
        wanted = pod("echo", "", container=container)
        wanted["metadata"]["labels"] = {"app": "echo"}
        await found.apply(wanted, SERVICE)
        await found.kubectl("wait", "--for=condition=Ready", "pod/echo", "--timeout=20s")
        yield found
    finally:
        await found.stop()


@contextlib.asynccontextmanager
async def forwarded(cluster: Cluster, *what: str, **environment: str) -> AsyncGenerator[int]:
    """Run `kubectl port-forward` and give the local port that it chose."""
    process = await asyncio.create_subprocess_exec(
        tools.kubectl(),
        "port-forward",
        "--address=127.0.0.1",
        *what,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(cluster.directory),
            "KUBECONFIG": str(cluster.server.kubeconfig_path),
            **environment,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            said = (await process.stdout.readline()).decode()
        found = re.search(r"127\.0\.0\.1:(\d+)", said)
        assert found, said + (await process.stdout.read()).decode()
        yield int(found[1])
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def conversation(port: int, data: bytes) -> bytes:
    """Send, close our half, and return everything that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    await writer.drain()
    writer.write_eof()
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("target", ["pod/echo :7007", "svc/echo :80"])
@pytest.mark.parametrize("websockets", ["true", "false"])
async def test_connections_reach_the_pods_own_loopback(echo: Cluster, target: str, websockets: str) -> None:
    async with forwarded(echo, *target.split(), KUBECTL_PORT_FORWARD_WEBSOCKETS=websockets) as port:
        assert await conversation(port, b"hello\n") == b"HELLO\nbye"
        lines = b"".join(b"%06d some words that are sent\n" % number for number in range(30_000))
        answers = await asyncio.gather(*(conversation(port, lines) for _ in range(4)), conversation(port, b"short\n"))
    assert answers == [lines.upper() + b"bye"] * 4 + [b"SHORT\nbye"]


async def test_a_port_where_nobody_listens_fails_and_the_forward_goes_on(echo: Cluster) -> None:
    async with forwarded(echo, "pod/echo", ":7007", ":7008") as port:
        assert await conversation(port, b"a\n") == b"A\nbye"
        assert await conversation(port, b"b\n") == b"B\nbye"
    async with forwarded(echo, "pod/echo", ":7008") as port:
        assert await conversation(port, b"a\n") == b""


async def test_a_plain_websocket_forwards_two_ports_at_once(echo: Cluster) -> None:
    context = ssl.create_default_context(cadata=echo.config.ca_data)
    token = yaml.safe_load(echo.server.kubeconfig_path.read_text())["users"][0]["user"]["token"]
    url = f"{echo.server.url}/api/v1/namespaces/default/pods/echo/portforward?ports=7007&ports=7008"
    heard: dict[int, bytes] = {}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.ws_connect(url, protocols=("v4.channel.k8s.io",), ssl=context) as client,
        asyncio.timeout(20),
    ):
        await client.send_bytes(b"\x00over a socket\n")
        while not (heard.get(0, b"").endswith(b"SOCKET\n") and len(heard.get(3, b"")) > 2):
            data = await client.receive_bytes()
            heard[data[0]] = heard.get(data[0], b"") + data[1:]
    assert heard[0] == struct.pack("<H", 7007) + b"OVER A SOCKET\n"
    assert heard[1] == struct.pack("<H", 7007)
    assert heard[2] == struct.pack("<H", 7008)
    assert b"nothing listens on port 7008" in heard[3]


async def test_kubectls_tunnel_is_spdy_inside_of_a_websocket(echo: Cluster) -> None:
    context = ssl.create_default_context(cadata=echo.config.ca_data)
    token = yaml.safe_load(echo.server.kubeconfig_path.read_text())["users"][0]["user"]["token"]
    url, ping = f"{echo.server.url}/api/v1/namespaces/default/pods/echo/portforward", struct.pack(">III", 0x80030006, 4, 1)
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.ws_connect(url, protocols=("SPDY/3.1+portforward.k8s.io",), ssl=context) as client,
        asyncio.timeout(20),
    ):
        await client.send_bytes(ping)
        assert await client.receive_bytes() == ping


async def test_exec_and_attach_work_over_spdy_too(echo: Cluster, tmp_path: Path) -> None:
    async def kubectl(*arguments: str, stdin: bytes = b"") -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            tools.kubectl(),
            *arguments,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "KUBECONFIG": str(echo.server.kubeconfig_path),
                "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false",
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(20):
            out, _ = await process.communicate(stdin)
        assert process.returncode is not None
        return process.returncode, out.decode()

    code, said = await kubectl("exec", "echo", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (code, {"out", "err"} <= set(said.split())) == (7, True)
    code, said = await kubectl("exec", "-i", "echo", "--", "sh", "-c", "cat; echo end", stdin=b"typed\n" * 20_000)
    assert (code, said) == (0, "typed\n" * 20_000 + "end\n")
    (tmp_path / "big").write_bytes(os.urandom(3_000_000))
    assert (await kubectl("cp", str(tmp_path / "big"), "echo:/tmp/big"))[0] == 0
    assert (await kubectl("cp", "echo:/tmp/big", str(tmp_path / "back")))[0] == 0
    assert (tmp_path / "back").read_bytes() == (tmp_path / "big").read_bytes()


async def test_refusals_say_why(echo: Cluster) -> None:
    await echo.apply(pod("over", "exit 0"))
    await echo.until(PODS, "over", phase("Succeeded"))
    for name, why in (("over", "completed pod"), ("none", 'pods "none" not found')):
        said = await echo.kubectl("port-forward", f"pod/{name}", ":80", check=False)
        assert why in said or "not running" in said, said
    path = f"{echo.server.url}/api/v1/namespaces/default/pods/echo/portforward"
    context = ssl.create_default_context(cadata=echo.config.ca_data)
    upgrade = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    async with aiohttp.ClientSession() as session, session.post(path, headers=upgrade, ssl=context) as answer:
        assert answer.status == 401
