"""How fast the embedded API server answers: `python benchmarks/bench_apiserver.py [seconds per figure]`.

The server runs in a process of its own with uvloop, TLS and RBAC, every write with an fsync. The load comes from this process
over plain keep-alive connections with requests made in advance, so that the client costs little; beside each rate stands
the server's own processor time per request, which other work on the machine does not change much. Objects are
ConfigMaps of about 0.8 KB. `admin` is a member of system:masters, `account` a service account with a ClusterRole.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.embedded_fixture import Http, http_client

from holdfast.embedded.apiserver.server import ApiServer

MAPS = "/api/v1/namespaces/default/configmaps"
BODY = {"payload": "x" * 600}

SERVER = """
import asyncio, sys, uvloop
from pathlib import Path
from holdfast.embedded.apiserver.server import ApiServer

async def main():
    server = ApiServer(Path(sys.argv[1]))
    await server.start()
    print("ready", flush=True)
    await asyncio.Event().wait()

uvloop.run(main())
"""


class _Connection(asyncio.Protocol):
    """One keep-alive connection: one request at a time, the answer's status and body."""

    def __init__(self) -> None:
        self._got = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        at = self._got.find(b"Content-Length: ") + 16
        size = int(self._got[at : self._got.find(b"\r", at)])
        if len(self._got) >= end + 4 + size:
            answer, self._answer = self._answer, None
            answer.set_result((int(self._got[9:12]), bytes(self._got[end + 4 : end + 4 + size])))
            self._got.clear()

    async def ask(self, request: bytes) -> bytes:
        self._answer = asyncio.get_running_loop().create_future()
        assert self._transport is not None
        self._transport.write(request)
        code, body = await self._answer
        assert code < 300, body
        return body

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Watcher(asyncio.Protocol):
    """A connection on which a watch runs: counts the lines that come."""

    def __init__(self) -> None:
        self.lines = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.lines += data.count(b"}\n")

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


class _Bench:
    """The running server, as one identity."""

    def __init__(self, port: int, token: str, pid: int, seconds: float) -> None:
        self._port = port
        self._head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nUser-Agent: bench/1\r\n"
        self._pid = pid
        self._seconds = seconds
        self._tls = ssl.create_default_context()
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE

    def request(self, method: str, path: str, body: object = None, media: str = "application/json") -> bytes:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Type: {media}\r\nContent-Length: {len(data)}\r\n\r\n"
        return head.encode() + data

    async def connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(_Connection, "127.0.0.1", self._port, ssl=self._tls))[1]

    async def watch(self, revision: str) -> _Watcher:
        loop = asyncio.get_running_loop()
        made = (await loop.create_connection(_Watcher, "127.0.0.1", self._port, ssl=self._tls))[1]
        assert made.transport is not None
        made.transport.write(self.request("GET", f"{MAPS}?watch=true&resourceVersion={revision}"))
        return made

    def _spent(self) -> float:
        """Seconds of processor time that the server has used."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def measure(self, name: str, make: Callable[[int], bytes], workers: int) -> None:
        """Print requests per second, the median time of one, and what one costs the server."""
        connections = [await self.connect() for _ in range(workers)]
        times: list[float] = []
        end = time.perf_counter() + self._seconds

        async def work(at: int) -> None:
            while (start := time.perf_counter()) < end:
                await connections[at % workers].ask(make(at))
                times.append(time.perf_counter() - start)
                at += workers

        spent, start = self._spent(), time.perf_counter()
        await asyncio.gather(*(work(worker) for worker in range(workers)))
        rate, cost = len(times) / (time.perf_counter() - start), (self._spent() - spent) / len(times) * 1e6
        median = sorted(times)[len(times) // 2] * 1000
        print(f"{name:22} {workers:3} connections {rate:8.0f}/s   median {median:6.2f} ms   {cost:4.0f} us of the server")
        for connection in connections:
            connection.close()

    def _stamp(self, at: int) -> bytes:
        path = f"{MAPS}/r32-{at % 64}"
        return self.request("PATCH", path, {"data": {"at": f"{time.perf_counter_ns()}"}}, "application/merge-patch+json")

    async def figures(self) -> None:
        """Creates, reads and patches with one connection and with 32."""
        for workers in (1, 32):

            def create(at: int, run: int = workers) -> bytes:
                return self.request("POST", MAPS, {"metadata": {"name": f"r{run}-{at}"}, "data": BODY})

            def get(at: int, run: int = workers) -> bytes:
                return self.request("GET", f"{MAPS}/r{run}-{at % 64}")

            await self.measure("create", create, workers)
            await self.measure("get", get, workers)
        await self.measure("merge patch", self._stamp, 32)

    async def reads(self, name: str) -> None:
        """Reads alone, as another identity."""
        await self.measure(name, lambda at: self.request("GET", f"{MAPS}/r32-{at % 64}"), 32)

    async def lists(self, count: int) -> None:
        """The whole list of `count` objects, five times."""
        connection, path = await self.connect(), "/api/v1/namespaces/lists/configmaps"
        await connection.ask(self.request("POST", "/api/v1/namespaces", {"metadata": {"name": "lists"}}))
        fill = [await self.connect() for _ in range(32)]

        async def work(worker: int) -> None:
            for at in range(worker, count, len(fill)):
                await fill[worker].ask(self.request("POST", path, {"metadata": {"name": f"o{at}"}, "data": BODY}))

        await asyncio.gather(*(work(worker) for worker in range(len(fill))))
        spent, times, body = self._spent(), list[float](), b""
        for _ in range(5):
            start = time.perf_counter()
            body = await connection.ask(self.request("GET", path))
            times.append((time.perf_counter() - start) * 1000)
        each, cost = " ".join(f"{taken:.0f}" for taken in times), (self._spent() - spent) / len(times) * 1000
        print(f"list of {count}: {each} ms in turn, {cost:.0f} ms of the server each, {len(body) >> 20} MB")

    async def fan_out(self, http: Http, watchers: int) -> None:
        """Events delivered per second while 32 connections patch."""
        revision = (await http.ok("GET", f"{MAPS}?limit=1"))["metadata"]["resourceVersion"]
        following = [await self.watch(revision) for _ in range(watchers)]
        await asyncio.sleep(0.2)
        start = time.perf_counter()
        await self.measure(f"patch, {watchers} watchers", self._stamp, 32)
        delivered = sum(watcher.lines for watcher in following)
        print(f"{'':22} {delivered / (time.perf_counter() - start):.0f} events/s delivered")
        for watcher in following:
            watcher.close()

    async def idle(self, http: Http, watchers: int) -> None:
        """What idle watches cost in memory."""
        before = _resident(self._pid)
        revision = (await http.ok("GET", f"{MAPS}?limit=1"))["metadata"]["resourceVersion"]
        params = {"watch": "true", "resourceVersion": revision}
        responses = [await http.session.get(http.url + MAPS, params=params) for _ in range(watchers)]
        print(f"{watchers} idle watches: {_resident(self._pid) - before} MB more")
        for response in responses:
            response.close()


def _resident(pid: int) -> int:
    """Resident megabytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) >> 10


async def _account_token(http: Http) -> str:
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}]
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await http.ok("POST", f"{rbac}/clusterroles", {"metadata": {"name": "bench"}, "rules": rules})
    who = {"kind": "ServiceAccount", "name": "default", "namespace": "default"}
    role = {"kind": "ClusterRole", "name": "bench"}
    await http.ok("POST", f"{rbac}/clusterrolebindings", {"metadata": {"name": "bench"}, "roleRef": role, "subjects": [who]})
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    return (await http.ok("POST", path, {"spec": {}}))["status"]["token"]


async def _load(folder: Path, pid: int, seconds: float) -> None:
    server = ApiServer(folder)
    server.port = int((folder / "apiserver.port").read_text())
    async with http_client(server) as http:
        token = (folder / "pki" / "admin.token").read_text().strip()
        admin = _Bench(server.port, token, pid, seconds)
        await admin.figures()
        await _Bench(server.port, await _account_token(http), pid, seconds).reads("get by an account")
        for watchers in (1, 10):
            await admin.fan_out(http, watchers)
        await admin.idle(http, 1000)
        await admin.lists(10_000)


def _main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", SERVER, folder], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        print(
            f"start to first answer {time.perf_counter() - start:.2f} s, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
        )
        try:
            uvloop.run(_load(Path(folder), process.pid, seconds))
            time.sleep(2)
            print(f"resident two seconds after the last list: {_resident(process.pid)} MB")
        finally:
            process.terminate()
            process.wait()


_main(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0)
