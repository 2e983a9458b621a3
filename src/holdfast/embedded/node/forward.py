"""`kubectl port-forward`: connections into a pod's network, to whatever listens on its own 127.0.0.1.

Two forms are served, both as a kubelet does. Over SPDY each connection is a pair of streams, told apart by the headers
`streamtype` (data or error), `port` and `requestid`. Over a WebSocket (`v4.channel.k8s.io`, what the Python clients speak) each
port that the request names is one connection with two channels, data and error, both of which begin with the port as two
bytes, low one first.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import WSMsgType, web

from holdfast.embedded.node.network import namespace
from holdfast.embedded.spdy import Session, Stream

PROTOCOL: Final = "portforward.k8s.io"
SOCKET_PROTOCOL: Final = "v4.channel.k8s.io"
_CONNECT_SECONDS: Final = 10.0
_PIECE: Final = 1 << 16
_MOST_PAIRS: Final = 1024
"""Connections of one client that may wait for their second stream."""

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def port_of(text: str) -> int:
    """Read a port. Raises ValueError for anything but 1 to 65535."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ValueError(f"{text!r} is not a port: it must be a number from 1 to 65535")
    return int(text)


async def connect(network: int, port: int) -> Ends:
    """Connect to a port in a network namespace (negative: our own), by IPv4 or else IPv6. Raises OSError."""
    problem: OSError | None = None
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        made: socket.socket | None = None
        try:
            with namespace.inside(network):
                made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            async with asyncio.timeout(_CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(made, (host, port))
            return await asyncio.open_connection(sock=made)
        except OSError as error:
            problem = problem or error
            if made is not None:
                made.close()
    raise OSError(f"nothing listens on port {port} inside the pod: {problem}")


class Forwarder:
    """The forwarded connections of one SPDY client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, network: int) -> None:
        self._network = network
        self._pairs: dict[str, dict[str, Stream]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._session = Session(reader, writer, self._opened)

    async def run(self) -> None:
        """Serve until the client leaves. Raises ConnectionError when it breaks the protocol."""
        try:
            await self._session.run()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _opened(self, stream: Stream) -> bool:
        """Take in a stream, and begin once its pair is complete."""
        kind, request = stream.headers.get("streamtype", ""), stream.headers.get("requestid", "")
        if kind not in ("data", "error") or (request not in self._pairs and len(self._pairs) >= _MOST_PAIRS):
            return False
        pair = self._pairs.setdefault(request, {})
        if kind in pair:
            return False
        pair[kind] = stream
        if len(pair) == 2:
            del self._pairs[request]
            task = asyncio.create_task(self._forward(pair["data"], pair["error"]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return True

    async def _forward(self, data: Stream, error: Stream) -> None:
        with contextlib.suppress(ConnectionError):
            try:
                ends = await connect(self._network, port_of(data.headers.get("port", "")))
            except (OSError, ValueError) as problem:
                await error.write(str(problem).encode())
            else:
                await _joined(ends, data.read, data.write, data.close)
            await data.close()
            await error.close()


async def _joined(
    ends: Ends,
    read: Callable[[], Awaitable[bytes]],
    write: Callable[[bytes], Awaitable[None]],
    close: Callable[[], Awaitable[None]],
) -> None:
    """Pass bytes in both directions; each direction ends by itself, and the client's end ends both when the pod's is over."""
    reader, writer = ends

    async def inward() -> None:
        while data := await read():
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    inside = asyncio.create_task(inward())
    try:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                await write(data)
        await close()
    finally:
        inside.cancel()
        await asyncio.gather(inside, return_exceptions=True)
        writer.close()


async def serve_socket(client: web.WebSocketResponse, ports: Sequence[int], network: int) -> None:
    """Forward the ports that a WebSocket client named: two channels for each, until the client leaves."""
    waiting = [asyncio.Queue[bytes](64) for _ in ports]
    sending = asyncio.Lock()

    async def send(channel: int, data: bytes) -> None:
        async with sending:
            await client.send_bytes(bytes([channel]) + data)

    async def one(at: int, port: int) -> None:
        channel = 2 * at
        for number in (channel, channel + 1):
            await send(number, struct.pack("<H", port))
        try:
            ends = await connect(network, port)
        except OSError as problem:
            await send(channel + 1, str(problem).encode())
            return
        await _joined(ends, waiting[at].get, lambda data: send(channel, data), _nothing)

    tasks = [asyncio.create_task(one(at, port)) for at, port in enumerate(ports)]
    try:
        async for message in client:
            if message.type is not WSMsgType.BINARY:
                return
            at, is_error = divmod(message.data[0] if message.data else 1, 2)
            if not is_error and at < len(ports) and len(message.data) > 1:
                await waiting[at].put(message.data[1:])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _nothing() -> None:
    """A WebSocket has no word for the end of one channel."""
