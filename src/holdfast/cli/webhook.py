"""`holdfast webhook`: the dialects' own judgement at `kubectl apply`, for clusters that want it; nothing else needs it.

It judges with the same `validate` as the embedded server and as reconcile, from caches of its own, so every replica gives the
same answers. What it refuses would end as a condition anyway: hence the failure policy Ignore, and no outage mode.
"""

import argparse
import asyncio
import base64
import contextlib
import logging
import ssl
import tempfile
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from holdfast.cli import certificates
from holdfast.cli.apiserver import Judge, judges
from holdfast.cli.choice import choose
from holdfast.cli.dialects import KINDS, resources
from holdfast.cli.errors import HoldfastError
from holdfast.cli.service import add_kubeconfig, announce, connect, serve
from holdfast.core.objects import Object
from holdfast.engine.cache import Cache
from holdfast.engine.shell import watched_kinds
from holdfast.kube.builtin import SECRETS, VALIDATINGWEBHOOKS
from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig
from holdfast.kube.errors import AlreadyExists, Conflict, NotFound
from holdfast.kube.manager import Manager

NAME: Final = "holdfast-webhook"
"""The Secret of the certificates, the Service, and the ValidatingWebhookConfiguration."""

_LARGEST: Final = 8 << 20
_LOOK_AGAIN: Final = 3600.0
"""Seconds between looks at the certificate's age, for which there is no event."""

_log = logging.getLogger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_kubeconfig(parser)
    parser.add_argument("--listen", default="0.0.0.0:9443", help="serve on HOST:PORT (default: %(default)s)")
    parser.add_argument("--namespace", default="holdfast-system", help="of its Service and Secret (default: %(default)s)")
    parser.add_argument("--api", action="append", default=[], choices=tuple(KINDS), help="judge this API only (repeatable)")


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    return serve(_run(arguments, connect(arguments)))


async def _run(arguments: argparse.Namespace, config: ClusterConfig) -> None:
    ready = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(announce(ready, arguments.ready_fd))
        client = await stack.enter_async_context(Client(config, field_manager="holdfast-webhook"))
        dialects = (await choose(client, arguments.api)).dialects
        manager, known = Manager(client), resources()
        cache = Cache({kind: manager.informer(known[kind], may_lack=True) for kind in watched_kinds(dialects)})
        keeper = Keeper(client, arguments.namespace)
        async with asyncio.TaskGroup() as group:
            group.create_task(manager.run())
            await manager.synced()
            context = await keeper.context()
            handlers = [handler for dialect in dialects for handler in dialect.handlers]
            await stack.enter_async_context(_served(arguments.listen, context, judges(handlers), cache))
            ready.set()
            group.create_task(keeper.keep(context))


class Keeper:
    """The certificates of all replicas: in one Secret, made and renewed by whoever sees first that it is time."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client, self._namespace = client, namespace
        self._names = (f"{NAME}.{namespace}.svc", f"{NAME}.{namespace}.svc.cluster.local")

    async def context(self) -> ssl.SSLContext:
        """Return the TLS settings to serve with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _load(context, await self._bundle())
        return context

    async def keep(self, context: ssl.SSLContext) -> None:
        """Tell the API server whom to trust; renew, and take over what another replica has renewed, until cancelled.

        Only begun once this replica serves: the API server is never sent to a door that is shut.
        """
        while True:
            bundle = await self._bundle()
            _load(context, bundle)
            await self._publish(bundle.authority)
            await asyncio.sleep(_LOOK_AGAIN)

    async def _bundle(self) -> certificates.Bundle:
        """Return the certificates of the Secret; made or renewed there first, if it is time."""
        while True:
            present = await self._present()
            bundle = certificates.decode(present.get("data") or {}) if present else None
            renewed = certificates.renewed(bundle, self._names, datetime.now(UTC))
            if bundle is not None and renewed is bundle:
                return bundle
            try:
                await self._store(present, renewed)
            except (AlreadyExists, Conflict):
                continue  # another replica was first: take what it made
            return renewed

    async def _present(self) -> Object | None:
        try:
            return await self._client.get(SECRETS, NAME, self._namespace)
        except NotFound:
            return None

    async def _store(self, present: Object | None, bundle: certificates.Bundle) -> None:
        data = certificates.encode(bundle)
        if present is None:
            meta: Object = {"name": NAME, "namespace": self._namespace}
            await self._client.create(SECRETS, {"metadata": meta, "type": "kubernetes.io/tls", "data": data})
            return
        version: str = present["metadata"]["resourceVersion"]
        await self._client.merge_patch(SECRETS, NAME, self._namespace, {"data": data}, resource_version=version)

    async def _publish(self, authority: bytes) -> None:
        """Tell the API server which authority our certificate is of."""
        present = await self._client.get(VALIDATINGWEBHOOKS, NAME)
        bundle = base64.b64encode(authority).decode()
        hooks: list[Object] = present.get("webhooks") or []
        if all(hook["clientConfig"].get("caBundle") == bundle for hook in hooks):
            return
        told = [{**hook, "clientConfig": {**hook["clientConfig"], "caBundle": bundle}} for hook in hooks]
        version: str = present["metadata"]["resourceVersion"]
        await self._client.merge_patch(VALIDATINGWEBHOOKS, NAME, None, {"webhooks": told}, resource_version=version)
        _log.info("told the API server to trust the certificate of %s", NAME)


def _load(context: ssl.SSLContext, bundle: certificates.Bundle) -> None:
    """Serve with this certificate from now on. OpenSSL reads files only: they live in a private folder for a moment."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
        key.touch(mode=0o600)
        certificate.write_bytes(bundle.certificate)
        key.write_bytes(bundle.key)
        context.load_cert_chain(certificate, key)


def review(asked: Mapping[str, Any], found: Mapping[tuple[str, str], Judge], cache: Cache) -> Object:
    """Answer one AdmissionReview (admission.k8s.io/v1). What cannot be judged is allowed, with a warning."""
    request = asked["request"]
    answer: Object = {"uid": request["uid"], "allowed": True}
    judge = found.get((request["kind"]["group"], request["kind"]["kind"]))
    if judge is not None and request["operation"] in ("CREATE", "UPDATE"):
        try:
            problems = judge(request["object"], request.get("oldObject"), cache)
        except Exception:
            _log.exception("%s %s could not be judged", request["kind"]["kind"], request.get("name", ""))
            problems, answer["warnings"] = [], ["holdfast could not judge this object; its conditions will tell"]
        if problems:
            status = {"code": 422, "reason": "Invalid", "message": "; ".join(problems)}
            answer |= {"allowed": False, "status": status}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}


@contextlib.asynccontextmanager
async def _served(
    address: str, context: ssl.SSLContext, found: Mapping[tuple[str, str], Judge], cache: Cache
) -> AsyncGenerator[None]:
    async def answer(request: web.Request) -> web.Response:
        try:
            body = review(msgspec.json.decode(await request.read()), found, cache)
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            return web.Response(status=400, text=f"this is no AdmissionReview: {error}\n")
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    application = web.Application(client_max_size=_LARGEST)
    application.router.add_post("/validate", answer)
    application.router.add_get("/livez", alive)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    host, _, port = address.rpartition(":")
    try:
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port), ssl_context=context).start()
        except (OSError, ValueError) as error:
            raise HoldfastError(f"--listen {address} can't be served: {error}") from error
        yield
    finally:
        await runner.cleanup()
