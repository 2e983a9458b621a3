"""`holdfast agent`: makes this cluster one of another installation's kubeclusters.

It reports over HTTPS, with a key that is good for this cluster alone, every two seconds: how the cluster is, how the jobs stand
that it was given, the recovery points that they made. What comes back are jobs to carry out, with the documents they need;
those are laid down here, where the cluster's own operator finds them. Nothing is remembered but what lies in the API server, so
an agent that is killed goes on where it was, and two of them do no harm.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import logging
import ssl
from typing import Any, Final

import aiohttp
import msgspec

from holdfast.cli.agent_manifest import HOME, SETTINGS
from holdfast.cli.courier import Courier, Orders
from holdfast.cli.errors import HoldfastError
from holdfast.cli.service import add_kubeconfig, connect, serve
from holdfast.core.objects import Object
from holdfast.core.read import mapping
from holdfast.engine.grants import Grants
from holdfast.kube.builtin import SECRETS
from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig
from holdfast.kube.errors import ApiError
from holdfast.rest.agents import Connection

PATIENCE: Final = 30.0
"""Seconds that a report may take."""

LONGEST_PAUSE: Final = 30.0
_FIRST_PAUSE: Final = 1.0
_log = logging.getLogger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_kubeconfig(parser)


def run(arguments: argparse.Namespace) -> int:
    """Report until told to stop."""
    return serve(_report(connect(arguments)))


async def _report(config: ClusterConfig) -> None:
    pause = _FIRST_PAUSE
    async with Client(config, field_manager="holdfast-agent") as client:
        while True:
            try:
                async with Home(await connection_of(client)) as home:
                    courier = Courier(client, home.connection.cluster, Grants(client))
                    while True:
                        orders = await home.exchange(await courier.report())
                        await courier.carry_out(orders)
                        pause = _FIRST_PAUSE
                        await asyncio.sleep(orders.every)
            except (ApiError, HoldfastError, aiohttp.ClientError, TimeoutError, OSError) as error:
                _log.warning("will report again in %g s: %s", pause, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


async def connection_of(client: Client) -> Connection:
    """Read the connection from this cluster. Raises HoldfastError, ApiError."""
    secret = await client.get(SECRETS, SETTINGS, HOME)
    data = {name: base64.b64decode(value).decode() for name, value in mapping(secret, "data").items()}
    lacking = [name for name in ("url", "cluster", "key") if not data.get(name)]
    if lacking:
        raise HoldfastError(f"Secret {HOME}/{SETTINGS} has no key {lacking[0]}: apply what the agentURL serves again")
    return Connection(data["url"], data["cluster"], data["key"], data.get("ca.crt", ""))


class Home:
    """The REST API of the installation that this cluster belongs to."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        trust = ssl.create_default_context(cadata=connection.ca or None)
        headers = {"Authorization": f"Bearer {connection.key}"}
        limit = aiohttp.ClientTimeout(total=PATIENCE)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust), headers=headers, timeout=limit)

    async def __aenter__(self) -> Home:
        """Return it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        await self._session.close()

    async def exchange(self, report: Object) -> Orders:
        """Send a report and return the orders. Raises HoldfastError with the refusal."""
        url = f"{self.connection.url}/kubeclusters/{self.connection.cluster}/agent"
        async with self._session.post(
            url, data=msgspec.json.encode(report), headers={"Content-Type": "application/json"}
        ) as reply:
            body = await reply.read()
        if reply.status != 200:
            raise HoldfastError(f"{url} answers {reply.status}: {_said(body)}")
        return msgspec.json.decode(body, type=Orders)


def _said(body: bytes) -> str:
    try:
        found: Any = msgspec.json.decode(body)
        return str(found["_error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
