"""SPDY to a node: what speaks it is passed through byte by byte, this side only checks who may talk to whom.

kubectl's port-forward wraps SPDY into a WebSocket, kubectl before 1.30 speaks it bare; either way the node is at the other end,
as a kubelet would be. The node's certificate is compared before the token is sent.
"""

import asyncio
import hashlib
import ssl
from collections.abc import Coroutine, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

import aiohttp
from aiohttp import web

from holdfast.embedded.apiserver.api import Api, Call
from holdfast.embedded.apiserver.errors import bad_request
from holdfast.embedded.apiserver.podlog import refused, unanswered
from holdfast.embedded.apiserver.podnode import CONNECT_SECONDS, PodEnd
from holdfast.embedded.upgrade import PROTOCOL_HEADER, SPDY, Upgrade

TUNNEL: Final = "SPDY/3.1+portforward.k8s.io"
"""The WebSocket subprotocol of kubectl's port-forward: its messages are the bytes of an SPDY connection."""

FORWARD: Final = "portforward.k8s.io"
"""The subprotocol of port-forward over SPDY."""

EXEC: Final = "v4.channel.k8s.io"
"""The subprotocol of exec and attach over SPDY: the newest that both kubectl and kubelets know there."""

_PIECE: Final = 1 << 16


class Wire(NamedTuple):
    """One side of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


def _pinned() -> ssl.SSLContext:
    """TLS without names and authorities: the certificate itself is compared."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def dial(api: Api, call: Call, end: PodEnd, query: Sequence[tuple[str, str]], protocol: str) -> Wire:
    """Reach the node and switch to SPDY. Raises StatusError: the node's own refusal, or 502."""
    url = urlsplit(end.url(call.route.sub))
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            wire = Wire(*await asyncio.open_connection(url.hostname, url.port, ssl=_pinned()))
            try:
                await _switch(api, wire, end, f"{url.path}?{urlencode(query)}", protocol)
            except BaseException:
                wire.writer.close()
                raise
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise unanswered(call, error) from None
    except aiohttp.ClientError as error:
        raise unanswered(call, error) from None
    return wire


async def _switch(api: Api, wire: Wire, end: PodEnd, target: str, protocol: str) -> None:
    tls: ssl.SSLObject = wire.writer.get_extra_info("ssl_object")
    shown = hashlib.sha256(tls.getpeercert(binary_form=True) or b"").digest()
    if shown != end.node.fingerprint:
        raise aiohttp.ServerFingerprintMismatch(end.node.fingerprint, shown, "node", 0)
    lines = (
        f"POST {target} HTTP/1.1",
        "Host: node",
        f"Authorization: Bearer {api.auth.node_token()}",
        "Connection: Upgrade",
        f"Upgrade: {SPDY}",
        f"{PROTOCOL_HEADER}: {protocol}",
        "Content-Length: 0",
        "\r\n",
    )
    wire.writer.write("\r\n".join(lines).encode())
    head = await wire.reader.readuntil(b"\r\n\r\n")
    code = int(head.split(b" ", 2)[1])
    if code != 101:
        raise refused(code, (await wire.reader.read(4096)).decode(errors="replace").strip())


async def through(asked: Upgrade, node: Wire, protocol: str) -> None:
    """Join a client that speaks bare SPDY to the node, until either side closes."""
    asked.accept(protocol)
    client = Wire(asked.reader, asked.writer)
    try:
        await first_of(_copy(client, node), _copy(node, client))
    finally:
        node.writer.close()


async def wrapped(client: web.WebSocketResponse, node: Wire) -> None:
    """Join a client that wraps SPDY into a WebSocket to the node, until either side closes."""
    try:
        await first_of(_unwrap(client, node), _wrap(node, client))
    finally:
        node.writer.close()


def chosen(offered: Sequence[str], protocol: str) -> str:
    """The subprotocol of a bare SPDY connection; 400 when the client does not know it."""
    if offered and protocol not in offered:
        raise bad_request(f"none of the subprotocols {', '.join(offered)} is served over {SPDY}; there is {protocol}")
    return protocol if offered else ""


async def first_of(*ways: Coroutine[Any, Any, None]) -> None:
    """Run the directions of a connection until one of them is done; the others end with it."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(source: Wire, target: Wire) -> None:
    while data := await source.reader.read(_PIECE):
        target.writer.write(data)
        await target.writer.drain()


async def _unwrap(client: web.WebSocketResponse, node: Wire) -> None:
    async for message in client:
        if message.type is not aiohttp.WSMsgType.BINARY:
            return
        node.writer.write(message.data)
        await node.writer.drain()


async def _wrap(node: Wire, client: web.WebSocketResponse) -> None:
    while data := await node.reader.read(_PIECE):
        await client.send_bytes(data)
