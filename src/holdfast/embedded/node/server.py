"""The node's own HTTPS endpoint, as the API server expects it of a kubelet: container logs, exec and attach.

Whoever asks must bring a bearer token that the API server vouches for (TokenReview). The certificate is made at each
start; its fingerprint stands on the Node object, by which the embedded API server knows it.
"""

import contextlib
import datetime as dates
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from holdfast.core.objects import Object
from holdfast.core.times import parse_time
from holdfast.embedded.node import attachment, channels, execution, logs
from holdfast.embedded.node.agent import Agent
from holdfast.embedded.node.certificate import make_certificate
from holdfast.embedded.node.channels import Channels
from holdfast.embedded.node.container import ContainerRunner
from holdfast.embedded.node.execution import Streams
from holdfast.embedded.node.process import Process
from holdfast.embedded.node.settings import Host
from holdfast.embedded.read import items, mapping
from holdfast.kube.errors import ApiError

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
VOUCHED_SECONDS = 10.0
"""How long an accepted token is not asked about again."""


class NodeServer:
    """Serves the agent's pods: their logs, and programs in them."""

    def __init__(self, host: Host, agent: Agent) -> None:
        self._host = host
        self._agent = agent
        self._vouched: dict[bytes, float] = {}
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.fingerprint = ""

    async def start(self) -> None:
        """Listen on a free port; `port` says which, and `fingerprint` with which certificate."""
        app = web.Application()
        app.router.add_get("/healthz", _healthy)
        app.router.add_get("/exec/{namespace}/{pod}/{container}", self._exec)
        app.router.add_get("/attach/{namespace}/{pod}/{container}", self._attach)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        made = make_certificate(self._host.memory, self._host.address)
        site = web.TCPSite(self._runner, self._host.address, 0, ssl_context=made.context)
        await site.start()
        self.fingerprint = made.fingerprint
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the endpoint and every open log."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        await self._authenticate(request)
        pod, container = self._pod(request), request.match_info["container"]
        options = _options(request.query)
        path = self._path(pod, container, previous=request.query.get("previous") == "true")
        runner = self._agent.runner(str(pod["metadata"]["uid"]))
        found = runner.container(container) if runner else None
        live = found.log if found and found.log and found.log.path == path else None
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await answer.prepare(request)
        async for chunk in logs.read(path, options, live):
            await answer.write(chunk)
        await answer.write_eof()
        return answer

    def _pod(self, request: web.Request) -> Object:
        names = request.match_info
        pod = self._agent.find(names["namespace"], names["pod"])
        if pod is None:
            raise web.HTTPNotFound(text=f'pod "{names["namespace"]}/{names["pod"]}" does not run on node {self._host.name}')
        return pod

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        command = request.query.getall("command", [])

        async def serve(runner: ContainerRunner, process: Process, streams: Streams, client: Channels) -> None:
            await execution.execute(process, command, streams, client, runner.limit())

        if not command:
            raise _refusal(400, "a command is needed")
        return await self._stream(request, serve)

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        async def serve(runner: ContainerRunner, process: Process, streams: Streams, client: Channels) -> None:
            once = bool(runner.state.spec.get("stdinOnce"))
            await attachment.attach(process, runner.audience, streams, client, once=once)

        return await self._stream(request, serve)

    async def _stream(
        self, request: web.Request, serve: Callable[[ContainerRunner, Process, Streams, Channels], Awaitable[None]]
    ) -> web.StreamResponse:
        """Join a WebSocket to a running container."""
        await self._authenticate(request)
        pod, container = self._pod(request), request.match_info["container"]
        runner = self._agent.runner(str(pod["metadata"]["uid"]))
        found = runner.container(container) if runner else None
        process = found.process if found else None
        if found is None or process is None:
            raise _refusal(400, f'container "{container}" of pod "{pod["metadata"]["name"]}" is not running')
        socket = web.WebSocketResponse(protocols=channels.PROTOCOLS, max_msg_size=0)
        if socket.can_prepare(request).protocol is None:
            raise _refusal(426, f"a WebSocket with one of the subprotocols {', '.join(channels.PROTOCOLS)} is needed")
        await socket.prepare(request)
        await process.up()
        with contextlib.suppress(ConnectionError):
            await serve(found, process, _streams(request.query), Channels(socket))
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

    async def _authenticate(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise web.HTTPUnauthorized(text="a bearer token is needed")
        key, now = hashlib.sha256(token.strip().encode()).digest(), time.monotonic()
        self._vouched = {known: until for known, until in self._vouched.items() if until > now}
        if key in self._vouched:
            return
        review: Object = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token.strip()},
        }
        try:
            answer = await self._host.client.post_raw(TOKEN_REVIEWS, review)
        except ApiError as problem:
            raise web.HTTPServiceUnavailable(text=f"the API server can't vouch for the token now: {problem}") from None
        if not mapping(answer, "status").get("authenticated"):
            raise web.HTTPUnauthorized(text="the API server does not know this token")
        self._vouched[key] = now + VOUCHED_SECONDS


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
