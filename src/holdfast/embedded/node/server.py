"""The node's own HTTPS endpoint, as the API server expects it of a kubelet: container logs, exec, attach and port-forward.

Streams come as WebSockets (what the embedded API server and clients of `v4.channel.k8s.io` speak) or over SPDY, as a real API
server speaks to its nodes.

Who may ask is for `callers`. The certificate is made at each start; its fingerprint stands on the Node object, by which the
embedded API server knows it.
"""

import asyncio
import contextlib
import datetime as dates
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from holdfast.core.objects import Object
from holdfast.core.times import parse_time
from holdfast.embedded.node import attachment, channels, execution, forward, logs, spdychannels
from holdfast.embedded.node.agent import Agent
from holdfast.embedded.node.callers import Callers, client_authority
from holdfast.embedded.node.certificate import make_certificate
from holdfast.embedded.node.channels import Channels, SocketChannels
from holdfast.embedded.node.container import ContainerRunner
from holdfast.embedded.node.execution import Streams
from holdfast.embedded.node.process import Process
from holdfast.embedded.node.settings import Host
from holdfast.embedded.node.spdychannels import SpdyChannels
from holdfast.embedded.read import items
from holdfast.embedded.upgrade import SPDY, Upgrade, UpgradeProtocol, Upgrades


class NodeServer:
    """Serves the agent's pods: their logs, and programs in them."""

    def __init__(self, host: Host, agent: Agent) -> None:
        self._host = host
        self._agent = agent
        self._callers = Callers(host.client, host.name)
        self._runner: web.AppRunner | None = None
        self._upgrades = Upgrades(self._upgraded)
        self._listener: asyncio.Server | None = None
        self.port = 0
        self.fingerprint = ""

    async def start(self) -> None:
        """Listen on a free port; `port` says which, and `fingerprint` with which certificate."""
        app = web.Application()
        app.router.add_get("/healthz", _healthy)
        app.router.add_get("/exec/{namespace}/{pod}/{container}", self._exec)
        app.router.add_get("/attach/{namespace}/{pod}/{container}", self._attach)
        app.router.add_get("/portForward/{namespace}/{pod}", self._forward)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        authority = await client_authority(self._host.client)
        made, server = make_certificate(self._host.memory, self._host.address, authority), self._runner.server
        assert server is not None
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: UpgradeProtocol(server, self._upgrades), self._host.address, 0, ssl=made.context, backlog=128
        )
        self.fingerprint = made.fingerprint
        self.port = int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the endpoint, every open log and every stream."""
        if self._listener is not None:
            self._listener.close()
        await self._upgrades.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _upgraded(self, asked: Upgrade) -> None:
        """Serve a request that leaves HTTP for SPDY."""
        try:
            await self._callers.require(asked.headers, asked.writer.get_extra_info("peercert"))
            match asked.path.strip("/").split("/"):
                case ["exec", ns, name, container] if asked.values("command"):
                    await self._stream_spdy(asked, ns, name, container, execution_of(asked.values("command")))
                case ["attach", ns, name, container]:
                    await self._stream_spdy(asked, ns, name, container, _attached)
                case ["portForward", ns, name]:
                    network = self._network(self._find(ns, name))
                    asked.accept(_agreed(asked, forward.PROTOCOL))
                    await forward.Forwarder(asked.reader, asked.writer, network).run()
                case _:
                    raise _refusal(400, f"{asked.path} is not served over {SPDY}, or it lacks its command")
        except web.HTTPException as refusal:
            asked.refuse(refusal.status, (refusal.text or refusal.reason).encode())

    async def _stream_spdy(self, asked: Upgrade, ns: str, name: str, container: str, serve: "Serve") -> None:
        found, process = self._running(self._find(ns, name), container)
        streams = _streams(dict(asked.query))
        asked.accept(_agreed(asked, spdychannels.PROTOCOL))
        channels = SpdyChannels(asked.reader, asked.writer, streams)
        try:
            await channels.open()
            await process.up()
            await serve(found, process, streams, channels)
            await asked.writer.drain()
        finally:
            await channels.close()

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        await self._callers.require(request.headers, request.get_extra_info("peercert"))
        pod, container = self._pod(request), request.match_info["container"]
        options = _options(request.query)
        path = self._path(pod, container, previous=request.query.get("previous") == "true")
        runner = self._agent.runner(str(pod["metadata"]["uid"]))
        found = runner.container(container) if runner else None
        live = found.log if found and found.log and found.log.path == path else None
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        with contextlib.suppress(ConnectionResetError):  # a reader may hang up at any time
            await answer.prepare(request)
            async for chunk in logs.read(path, options, live):
                await answer.write(chunk)
            await answer.write_eof()
        return answer

    def _pod(self, request: web.Request) -> Object:
        return self._find(request.match_info["namespace"], request.match_info["pod"])

    def _find(self, namespace: str, name: str) -> Object:
        pod = self._agent.find(namespace, name)
        if pod is None:
            raise web.HTTPNotFound(text=f'pod "{namespace}/{name}" does not run on node {self._host.name}')
        return pod

    def _network(self, pod: Object) -> int:
        """Where a running pod's ports are."""
        runner = self._agent.runner(str(pod["metadata"]["uid"]))
        if runner is None or runner.ended or runner.network is None:
            raise _refusal(400, f'pod "{pod["metadata"]["name"]}" is not running')
        return runner.network

    def _running(self, pod: Object, container: str) -> tuple[ContainerRunner, Process]:
        runner = self._agent.runner(str(pod["metadata"]["uid"]))
        found = runner.container(container) if runner else None
        process = found.process if found else None
        if found is None or process is None:
            raise _refusal(400, f'container "{container}" of pod "{pod["metadata"]["name"]}" is not running')
        return found, process

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        command = request.query.getall("command", [])
        if not command:
            raise _refusal(400, "a command is needed")
        return await self._stream(request, execution_of(command))

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, _attached)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        await self._callers.require(request.headers, request.get_extra_info("peercert"))
        network = self._network(self._pod(request))
        try:
            ports = [forward.port_of(text) for text in request.query.getall("port", [])]
        except ValueError as problem:
            raise _refusal(400, str(problem)) from None
        if not ports:
            raise _refusal(400, "the ports to forward are needed")
        socket = await _opened(request, (forward.SOCKET_PROTOCOL,))
        with contextlib.suppress(ConnectionError):
            await forward.serve_socket(socket, ports, network)
            await socket.close()
        return socket

    async def _stream(self, request: web.Request, serve: "Serve") -> web.StreamResponse:
        """Join a WebSocket to a running container."""
        await self._callers.require(request.headers, request.get_extra_info("peercert"))
        found, process = self._running(self._pod(request), request.match_info["container"])
        socket = await _opened(request, channels.PROTOCOLS)
        await process.up()
        with contextlib.suppress(ConnectionError):
            await serve(found, process, _streams(request.query), SocketChannels(socket))
        with contextlib.suppress(ConnectionError):
            await socket.close()
        return socket

    def _path(self, pod: Object, container: str, *, previous: bool) -> Path:
        """Return the log file that is asked for. Raises HTTP errors that say why there is none."""
        meta, spec = pod["metadata"], pod["spec"]
        known = [each["name"] for each in [*items(spec, "initContainers"), *spec["containers"]]]
        if container not in known:
            raise web.HTTPNotFound(text=f'pod "{meta["name"]}" has no container "{container}" (it has {", ".join(known)})')
        directory = self._host.disk / "pods" / str(meta["uid"]) / "containers" / container
        runs = sorted(int(path.stem) for path in directory.glob("*.log"))
        if previous:
            runs = runs[:-1]
        if runs:
            return directory / f"{runs[-1]}.log"
        if previous:
            raise web.HTTPBadRequest(text=f'container "{container}" of pod "{meta["name"]}" has no previous run')
        raise web.HTTPBadRequest(text=f'container "{container}" in pod "{meta["name"]}" is waiting to start')


Serve = Callable[[ContainerRunner, Process, Streams, Channels], Awaitable[None]]
"""Serves one client of a running container."""


def execution_of(command: Sequence[str]) -> Serve:
    """Return what runs a command in a container for a client."""

    async def serve(runner: ContainerRunner, process: Process, streams: Streams, client: Channels) -> None:
        await execution.execute(process, command, streams, client, runner.limit())

    return serve


async def _attached(runner: ContainerRunner, process: Process, streams: Streams, client: Channels) -> None:
    once = bool(runner.state.spec.get("stdinOnce"))
    await attachment.attach(process, runner.audience, streams, client, once=once)


async def _opened(request: web.Request, protocols: Sequence[str]) -> web.WebSocketResponse:
    """Open the WebSocket that a request asks for, or refuse it."""
    socket = web.WebSocketResponse(protocols=protocols, max_msg_size=0)
    if socket.can_prepare(request).protocol is None:
        raise _refusal(426, f"a WebSocket with one of the subprotocols {', '.join(protocols)} is needed")
    await socket.prepare(request)
    return socket


def _agreed(asked: Upgrade, protocol: str) -> str:
    """Return the subprotocol of a connection over SPDY; empty for a client that names none."""
    if asked.protocols and protocol not in asked.protocols:
        raise _refusal(400, f"none of the subprotocols {', '.join(asked.protocols)} is served over {SPDY}; there is {protocol}")
    return protocol if asked.protocols else ""


async def _healthy(request: web.Request) -> web.Response:
    del request
    return web.Response(text="ok")


def _streams(query: Mapping[str, str]) -> Streams:
    """Read which streams are wanted, by the names of a kubelet or by those of the API."""

    def flag(*names: str) -> bool:
        return any(query.get(name, "").lower() in ("1", "true") for name in names)

    tty = flag("tty")
    return Streams(
        stdin=flag("input", "stdin"), stdout=flag("output", "stdout"), stderr=flag("error", "stderr") and not tty, tty=tty
    )


def _refusal(code: int, text: str) -> web.HTTPException:
    """Return a refusal that can be read before an upgrade, too: WebSocket clients get to see headers only."""
    kind = {400: web.HTTPBadRequest, 426: web.HTTPUpgradeRequired}[code]
    return kind(text=text, headers={"X-Holdfast-Refusal": text})


def _options(query: Mapping[str, str]) -> logs.Options:
    since = None
    try:
        if query.get("sinceTime"):
            since = parse_time(query["sinceTime"])
        if query.get("sinceSeconds"):
            since = datetime.now(UTC) - dates.timedelta(seconds=int(query["sinceSeconds"]))
        return logs.Options(
            follow=query.get("follow") == "true",
            tail=_number(query, "tailLines"),
            since=since,
            timestamps=query.get("timestamps") == "true",
            limit_bytes=_number(query, "limitBytes"),
        )
    except (ValueError, OverflowError) as problem:
        raise web.HTTPBadRequest(text=f"bad log option: {problem}") from None


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text or int(text) < 0:
        return None
    return int(text)
