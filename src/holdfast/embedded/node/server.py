"""The node's own HTTPS endpoint, as the API server expects it of a kubelet: container logs.

Whoever asks must bring a bearer token that the API server vouches for (TokenReview). The certificate is made at each
start and vouched for by nobody, which is what API servers accept of kubelets.
"""

import datetime as dates
import hashlib
import ipaddress
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast.core.objects import Object
from holdfast.core.times import parse_time
from holdfast.embedded.node import logs
from holdfast.embedded.node.agent import Agent
from holdfast.embedded.node.settings import Host
from holdfast.embedded.read import items, mapping
from holdfast.kube.errors import ApiError

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
VOUCHED_SECONDS = 10.0
"""How long an accepted token is not asked about again."""


class NodeServer:
    """Serves logs of the agent's pods."""

    def __init__(self, host: Host, agent: Agent) -> None:
        self._host = host
        self._agent = agent
        self._vouched: dict[bytes, float] = {}
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port; `port` says which."""
        app = web.Application()
        app.router.add_get("/healthz", _healthy)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host.address, 0, ssl_context=_tls(self._host.memory, self._host.address))
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the endpoint and every open log."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        await self._authenticate(request)
        names = request.match_info
        pod = self._agent.find(names["namespace"], names["pod"])
        if pod is None:
            raise web.HTTPNotFound(text=f'pod "{names["namespace"]}/{names["pod"]}" does not run on node {self._host.name}')
        container = names["container"]
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


def _tls(directory: Path, address: str) -> ssl.SSLContext:
    """Make a key and a certificate for this start."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "holdfast-node")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dates.timedelta(hours=1))
        .not_valid_after(now + dates.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = directory / "server.pem"
    path.touch(mode=0o600)
    path.write_bytes(encoded + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    path.unlink()
    return context
