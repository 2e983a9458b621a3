"""`kubectl exec`, `attach`, `cp` and `port-forward`: a client's connection joined to one of the node that runs the pod.

The node speaks the subprotocols of Kubernetes itself, so this side only checks who may talk to whom and passes messages on,
each direction at the pace of its reader. The node is asked first: what it refuses, the client gets as an ordinary Status.
Clients come with a WebSocket, or with SPDY (see `podtunnel`).
"""

import contextlib
from collections.abc import Sequence
from typing import Final, Protocol

import aiohttp
from aiohttp import web
from yarl import URL

from holdfast.embedded.apiserver import podtunnel
from holdfast.embedded.apiserver.api import Api, Call
from holdfast.embedded.apiserver.errors import StatusError, bad_request
from holdfast.embedded.apiserver.objects import part
from holdfast.embedded.apiserver.podlog import LogProxy, refused, unanswered
from holdfast.embedded.apiserver.podnode import PodEnd, pod_end
from holdfast.embedded.upgrade import Upgrade

PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
"""The subprotocols that are served, the best first."""

NEEDS_SOCKET: Final = 426
"""What a node answers to a request that could be served but is no WebSocket (Upgrade Required)."""

CALLS: Final = ("exec", "attach", "portforward")
"""The subresources of a pod that are streams of both directions."""

_STREAMS: Final = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
"""A client's query parameters, and what a kubelet calls them."""


async def join(api: Api, logs: LogProxy, request: web.BaseRequest, call: Call) -> web.StreamResponse:
    """Serve one exec or attach until either side closes. Raises StatusError for what can't be begun."""
    end = pod_end(api, call)
    asked = list(request.query.items())
    _check(call, end, asked)
    query = _query(asked, call)
    url = URL(end.url(call.route.sub)).with_query(query)
    headers = {"Authorization": f"Bearer {api.auth.node_token()}"}
    if "websocket" not in request.headers.get("Upgrade", "").lower():
        raise await _told(logs, end, url, headers, call)
    chosen = _chosen(request, call)
    if chosen == podtunnel.TUNNEL:
        node = await podtunnel.dial(api, call, end, query, podtunnel.FORWARD)
        client = web.WebSocketResponse(protocols=(chosen,), max_msg_size=0)
        await client.prepare(request)
        await podtunnel.wrapped(client, node)
        return client
    try:
        upstream = await logs.session.ws_connect(
            url, headers=headers, protocols=(chosen,), ssl=end.node.pinned(), max_msg_size=0, autoclose=True
        )
    except aiohttp.WSServerHandshakeError as error:
        text = error.headers.get("X-Holdfast-Refusal", "") if error.headers else ""
        raise refused(error.status, text or f"the node refuses: {error.message}") from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise unanswered(call, error) from None
    client = web.WebSocketResponse(protocols=(chosen,), max_msg_size=0)
    try:
        await client.prepare(request)
        await _both(client, upstream)
    finally:
        await upstream.close()
        with contextlib.suppress(ConnectionError):
            await client.close()
    return client


async def join_spdy(api: Api, call: Call, asked: Upgrade) -> None:
    """Serve a client that speaks bare SPDY until either side closes. Raises StatusError for what can't be begun."""
    end = pod_end(api, call)
    _check(call, end, asked.query)
    wanted = podtunnel.FORWARD if call.route.sub == "portforward" else podtunnel.EXEC
    protocol = podtunnel.chosen(asked.protocols, wanted)
    node = await podtunnel.dial(api, call, end, _query(asked.query, call), wanted)
    await podtunnel.through(asked, node, protocol)


Pairs = Sequence[tuple[str, str]]
"""A query as it was sent: names and values, in order."""


def _check(call: Call, end: PodEnd, query: Pairs) -> None:
    """Refuse what needs no node to be refused."""
    phase = part(end.pod, "status").get("phase")
    if phase in ("Succeeded", "Failed"):
        what = "forward a port to" if call.route.sub == "portforward" else f"{call.route.sub} into a container in"
        raise bad_request(f"cannot {what} a completed pod; current phase is {phase}")
    if call.route.sub == "exec" and not any(name == "command" for name, _ in query):
        raise bad_request("you must specify at least one command for the container")


async def _told(logs: LogProxy, end: PodEnd, url: URL, headers: dict[str, str], call: Call) -> StatusError:
    """Return the refusal for a client that speaks no WebSocket: the node's own if it has one.

    kubectl comes here after any refusal of its WebSocket, and shows this answer instead of that one.
    """
    try:
        async with logs.session.get(url, headers=headers, ssl=end.node.pinned()) as answer:
            if answer.status != NEEDS_SOCKET:
                return refused(answer.status, (await answer.content.read(4096)).decode(errors="replace").strip())
    except (aiohttp.ClientError, TimeoutError) as error:
        return unanswered(call, error)
    return bad_request(
        f"{call.route.sub} is a stream: ask for it with a WebSocket ({', '.join(_served(call))}) or with an upgrade to SPDY/3.1"
    )


def _served(call: Call) -> Sequence[str]:
    return (podtunnel.TUNNEL, PROTOCOLS[1]) if call.route.sub == "portforward" else PROTOCOLS


def _chosen(request: web.BaseRequest, call: Call) -> str:
    asked: Sequence[str] = [word.strip() for word in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    for protocol in _served(call):
        if protocol in asked:
            return protocol
    raise bad_request(f"none of the WebSocket subprotocols {asked} is served; there are {', '.join(_served(call))}")


def _query(asked: Pairs, call: Call) -> list[tuple[str, str]]:
    """The query for the node, in a kubelet's words."""
    if call.route.sub == "portforward":
        listed = [word for name, value in asked if name == "ports" for word in value.split(",")]
        return [("port", word) for word in listed]
    found = [(name, value) for name, value in asked if name == "command" and call.route.sub == "exec"]
    return found + [(theirs, "1") for ours, theirs in _STREAMS.items() if call.query.flag(ours)]


class _End(Protocol):
    async def receive(self) -> aiohttp.WSMessage: ...
    async def send_bytes(self, data: bytes) -> None: ...


async def _both(client: web.WebSocketResponse, upstream: "aiohttp.ClientWebSocketResponse") -> None:
    """Pass messages in both directions until one side is done."""
    await podtunnel.first_of(_pass(client, upstream), _pass(upstream, client))


async def _pass(source: _End, target: _End) -> None:
    while True:
        message = await source.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            await target.send_bytes(message.data)
        elif message.type is aiohttp.WSMsgType.TEXT:
            await target.send_bytes(message.data.encode())
        else:
            return
