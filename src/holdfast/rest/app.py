"""The life of the REST server: first organisation, caches, socket; one call to start, one to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Final, cast

import msgspec
from aiohttp import web

from holdfast.core.objects import Object
from holdfast.dialects.cloudcasa.kinds import (
    API_VERSION,
    KUBECLUSTER,
    LOCAL_CLUSTER,
    ORGANIZATION,
    ORGANIZATION_LABEL,
    local_cluster_id,
)
from holdfast.kube.builtin import NAMESPACES
from holdfast.kube.client import Client
from holdfast.kube.errors import AlreadyExists, NotFound
from holdfast.rest.access import Gatekeeper
from holdfast.rest.agents import AgentPages, Manifest
from holdfast.rest.objectstores import Objectstores, Probe
from holdfast.rest.server import Server
from holdfast.rest.state import RESOURCES, SecretRights, State
from holdfast.rest.sweep import Sweeper

REQUESTS_PER_SECOND: Final = 10_000.0
LOCAL_NAME: Final = "local"
_PAUSE: Final = 0.5

_log = logging.getLogger(__name__)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how to serve. Port 0 chooses one. Without TLS nothing is served: keys must not travel in clear.

    `manifest` writes what installs an agent, which trusts the certificates `ca` (PEM; empty: those of its system). As long as
    the server runs, so does `beside`, on the same documents.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext
    per_second: float = REQUESTS_PER_SECOND
    probe: Probe | None = None
    secrets: SecretRights
    manifest: Manifest
    ca: str = ""
    beside: Callable[[State, AgentPages], Coroutine[None, None, None]] | None = None


@contextlib.asynccontextmanager
async def serving(client: Client, options: Options) -> AsyncGenerator[int]:
    """Serve while the block runs; yields the port once every cache is filled."""
    await _served(client)
    await ensure_organization(client, ORGANIZATION, local=True)
    state = State(client, options.secrets)
    gate = Gatekeeper(state, client, per_second=options.per_second)
    agents = AgentPages(state, options.manifest, options.ca)
    server = Server(state, gate, Objectstores(state, options.probe), agents)
    front = web.Server(server.handle, access_log=None)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(state.manager.run()), group.create_task(Sweeper(state).run())]
        await state.manager.synced()
        if options.beside is not None:
            tasks.append(group.create_task(options.beside(state, agents)))
        loop = asyncio.get_running_loop()
        factory = cast(Callable[[], asyncio.Protocol], front)
        listener = await loop.create_server(factory, options.host, options.port, ssl=options.tls, backlog=512)
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()
            await front.shutdown(2.0)
            for task in tasks:
                task.cancel()


async def _served(client: Client) -> None:
    """Wait until the operator has installed our kinds."""
    while True:
        try:
            await client.list(RESOURCES[KUBECLUSTER], limit=1)
            return
        except NotFound:
            _log.info("waits until the operator has installed the kinds of %s", API_VERSION)
            await asyncio.sleep(_PAUSE)


async def ensure_organization(client: Client, organization: str, *, local: bool) -> None:
    """Make an organisation's namespace, and with `local` the document of the cluster that this API server is."""
    labels = {ORGANIZATION_LABEL: "true"}
    namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": organization, "labels": labels}}
    await client.apply(NAMESPACES, namespace)
    if not local:
        return
    resource = RESOURCES[KUBECLUSTER]
    cluster: Object = {
        "apiVersion": API_VERSION,
        "kind": KUBECLUSTER.kind,
        "metadata": {
            "name": local_cluster_id(organization),
            "namespace": organization,
            "annotations": {LOCAL_CLUSTER: "true"},
        },
        "spec": {"name": LOCAL_NAME, "description": "The cluster that Holdfast runs in."},
    }
    with contextlib.suppress(AlreadyExists):
        await client.create(resource, cluster)
