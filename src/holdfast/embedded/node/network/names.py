"""The name server of a node's pods: names of the cluster are answered here, all others by the machine's own servers.

DNS as RFC 1035 has it, over UDP and TCP, with one question per message as all resolvers send it.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from pathlib import Path

import msgspec

from holdfast.embedded.node.network.services import DOMAIN, LOOPBACK_NAME, Names

PORT = 53
TTL = 5
PATIENCE = 5.0
"""Seconds that a server of the machine is given to answer."""

MOST = 28
"""Addresses that fit into an answer of 512 bytes."""

_HEADER = struct.Struct("!6H")
_A, _CNAME, _AAAA, _ANY, _IN = 1, 5, 28, 255, 1
_OK, _SERVFAIL, _NXDOMAIN = 0, 2, 3
_RESPONSE, _AUTHORITATIVE, _RECURSION = 0x8000, 0x0400, 0x0080
_FIRST_NAME = b"\xc0\x0c"
"""A pointer to the name in the question."""

Resolve = Callable[[str, bool], Names | None]
"""Answers for a name of the cluster; the flag says that the machine asks and no pod."""


class Question(msgspec.Struct, frozen=True):
    """What is asked. `end` is where the question ends in its message."""

    id: int
    flags: int
    name: str
    kind: int
    end: int


class NameServer:
    """Serves on sockets that it is given; `close` closes them."""

    def __init__(self, resolve: Resolve, machine: str, upstream: Sequence[str] | None = None) -> None:
        self._resolve = resolve
        self._machine = machine
        self._upstream = upstream
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, datagrams: socket.socket, streams: socket.socket) -> None:
        """Begin to serve."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._asked), sock=datagrams)
        self._server = await asyncio.start_server(self._connected, sock=streams)

    def close(self) -> None:
        """Stop serving."""
        if self._transport is not None:
            self._transport.close()
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    async def answer(self, message: bytes, asker: str, *, stream: bool = False) -> bytes | None:
        """Return the answer to a message; None for one that is no question."""
        question = parse(message)
        if question is None:
            return None
        if question.name != LOOPBACK_NAME and not question.name.endswith(f".{DOMAIN}"):
            return await self._forwarded(message, question, stream=stream)
        found = self._resolve(question.name, asker == self._machine)
        if found is not None and found.alias:
            return await self._aliased(message, question, found.alias)
        return reply(message, question, found)

    def _asked(self, data: bytes, sender: tuple[str, int]) -> None:
        async def serve() -> None:
            answer = await self.answer(data, sender[0])
            if answer is not None and self._transport is not None:
                self._transport.sendto(answer, sender)

        task = asyncio.ensure_future(serve())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asker = writer.get_extra_info("peername")[0]
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            while True:
                async with asyncio.timeout(2 * PATIENCE):
                    message = await _framed(reader)
                    answer = await self.answer(message, asker, stream=True)
                    if answer is None:
                        break
                    writer.write(len(answer).to_bytes(2, "big") + answer)
                    await writer.drain()
        writer.close()

    async def _forwarded(self, message: bytes, question: Question, *, stream: bool) -> bytes:
        """Ask the machine's servers in turn."""
        servers = machine_servers() if self._upstream is None else self._upstream
        for server in servers:
            try:
                async with asyncio.timeout(PATIENCE):
                    return await (_over_tcp if stream else _over_udp)(server, message)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                continue
        return reply(message, question, None, failure=_SERVFAIL)

    async def _aliased(self, message: bytes, question: Question, alias: str) -> bytes:
        """Answer with what another name means to the machine."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(alias, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
        except OSError:
            return reply(message, question, None, failure=_SERVFAIL)
        addresses = tuple(dict.fromkeys(IPv4Address(each[4][0]) for each in found))
        return reply(message, question, Names(addresses, alias))


def parse(message: bytes) -> Question | None:
    """Read a query; None for anything else, such as an answer or a message that is cut off."""
    try:
        number, flags, questions, *_ = _HEADER.unpack_from(message)
        if flags & _RESPONSE or questions != 1:
            return None
        labels: list[str] = []
        place = _HEADER.size
        while length := message[place]:
            if length > 63:
                return None
            labels.append(message[place + 1 : place + 1 + length].decode("ascii").lower())
            place += 1 + length
        kind, _ = struct.unpack_from("!HH", message, place + 1)
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    return Question(number, flags, ".".join(labels), kind, place + 5)


def reply(message: bytes, question: Question, found: Names | None, *, failure: int = _NXDOMAIN) -> bytes:
    """Return the answer to a question: addresses, an empty answer for a name that has none, or a failure."""
    records: list[bytes] = []
    owner = _FIRST_NAME
    if found is not None and found.alias:
        target = b"".join(bytes([len(label)]) + label.encode() for label in found.alias.rstrip(".").split(".")) + b"\0"
        records.append(_FIRST_NAME + struct.pack("!HHIH", _CNAME, _IN, TTL, len(target)) + target)
        owner = target
    if found is not None and question.kind in (_A, _ANY):
        for address in found.addresses[:MOST]:
            records.append(owner + struct.pack("!HHIH", _A, _IN, TTL, 4) + address.packed)
    code = failure if found is None else _OK
    flags = _RESPONSE | _AUTHORITATIVE | question.flags & 0x0100 | _RECURSION | code
    head = _HEADER.pack(question.id, flags, 1, len(records), 0, 0)
    return head + message[_HEADER.size : question.end] + b"".join(records)


def machine_servers(path: Path = Path("/etc/resolv.conf")) -> list[str]:
    """Return the name servers that the machine itself asks."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return []
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, asked: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._asked = asked

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._asked(data, addr)


async def _over_udp(server: str, message: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def heard(data: bytes, _: tuple[str, int]) -> None:
        if not answer.done() and data[:2] == message[:2]:
            answer.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(heard), remote_addr=(server, PORT))
    try:
        transport.sendto(message)
        return await answer
    finally:
        transport.close()


async def _over_tcp(server: str, message: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server, PORT)
    try:
        writer.write(len(message).to_bytes(2, "big") + message)
        return await _framed(reader)
    finally:
        writer.close()


async def _framed(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
