"""Connections that leave HTTP: a request with `Upgrade: SPDY/3.1` is taken out of aiohttp's hands, with its transport.

aiohttp knows WebSockets only. Whoever serves upgrades uses `UpgradeProtocol` for its connections.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict, CIMultiDictProxy

SPDY: Final = "SPDY/3.1"
PROTOCOL_HEADER: Final = "X-Stream-Protocol-Version"
"""How a client names the subprotocols that it knows, and a server the one it chose."""

_WANTED: Final = re.compile(rb"\r\nupgrade:[ \t]*spdy/3\.1[ \t]*\r\n", re.IGNORECASE)
_LINE: Final = re.compile(r"([A-Z]+) (/[!-~]*) HTTP/1\.1")
_FIELD: Final = re.compile(r"([!#-'*+.0-9A-Z^-z|~-]+):[ \t]*([\x20-\x7e\t]*)")
_LONGEST_HEAD: Final = 16384


class Upgrade(NamedTuple):
    """A request that asks to leave HTTP. The path is unescaped; `target` is path and query as they were sent."""

    method: str
    target: str
    path: str
    query: list[tuple[str, str]]
    headers: "CIMultiDictProxy[str]"
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def value(self, key: str) -> str:
        """The first value of a query parameter, or empty."""
        return next((value for name, value in self.query if name == key), "")

    def values(self, key: str) -> list[str]:
        """All values of a query parameter."""
        return [value for name, value in self.query if name == key]

    @property
    def protocols(self) -> list[str]:
        """The subprotocols that the client knows, its favourite first."""
        listed = ",".join(self.headers.getall(PROTOCOL_HEADER, []))
        return [word.strip() for word in listed.split(",") if word.strip()]

    def accept(self, protocol: str) -> None:
        """Switch: from now on both sides speak SPDY."""
        chosen = f"{PROTOCOL_HEADER}: {protocol}\r\n" if protocol else ""
        self.writer.write(
            f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {SPDY}\r\n{chosen}\r\n".encode()
        )

    def refuse(self, code: int, body: bytes, media: str = "text/plain") -> None:
        """Answer as HTTP does; the connection ends with that."""
        head = f"HTTP/1.1 {code} Refused\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.writer.write(head.encode() + body)


class Upgrades:
    """The upgraded connections of one server. `serve` owns the streams; they are closed when it returns."""

    def __init__(self, serve: Callable[[Upgrade], Awaitable[None]]) -> None:
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, upgrade: Upgrade) -> None:
        """Serve a connection from now on."""
        task = asyncio.create_task(self._run(upgrade))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End every upgraded connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, upgrade: Upgrade) -> None:
        try:
            await self._serve(upgrade)
        except ConnectionError:
            pass
        finally:
            upgrade.writer.close()


class UpgradeProtocol(RequestHandler):
    """One HTTP connection that may become something else. Only one hand has it at a time."""

    __slots__ = ("_fed", "_mark", "_piecemeal", "_upgrades")

    def __init__(self, server: web.Server, upgrades: Upgrades) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), access_log=None)  # pyright: ignore[reportArgumentType]
        self._upgrades = upgrades
        self._fed = self._piecemeal = False
        self._mark: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        """Take out a request for an upgrade, hand on everything else."""
        if not self.is_idle():
            self._piecemeal = True
        elif b"spdy" in data.lower() and self._leave(data):
            return
        self._fed, self._mark = True, self._waiter
        super().data_received(data)

    def is_idle(self) -> bool:
        """Whether aiohttp has answered all that it was given: it waits anew, no longer as it did when it was given that.

        A connection on which bytes came while it had not can't be told any more, and stays with aiohttp for good.
        """
        if not self._fed:
            return True
        waits_anew = self._waiter is not None and self._waiter is not self._mark and not self._waiter.done()
        return waits_anew and not self._piecemeal

    def _leave(self, data: bytes) -> bool:
        """Take the transport along, if the bytes begin with a request for an upgrade."""
        end = data.find(b"\r\n\r\n", 0, _LONGEST_HEAD)
        if end < 0 or self.transport is None or not _WANTED.search(data, 0, end + 2):
            return False
        line, *fields = data[:end].decode("latin-1").split("\r\n")
        found, pairs = _LINE.fullmatch(line), [_FIELD.fullmatch(field) for field in fields]
        if found is None or None in pairs:
            return False
        headers = CIMultiDictProxy(CIMultiDict((pair[1], pair[2].strip()) for pair in pairs if pair))
        if headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers:
            return False
        reader, writer = self._streams(data[end + 4 :])
        url = urlsplit(found[2])
        query = parse_qsl(url.query, keep_blank_values=True)
        self._upgrades.begin(Upgrade(found[1], found[2], unquote(url.path), query, headers, reader, writer))
        return True

    def _streams(self, rest: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Give the transport to a pair of streams, and let aiohttp believe that the connection is gone."""
        transport, loop = self.transport, asyncio.get_running_loop()
        assert transport is not None
        self.transport = None
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if rest:
            reader.feed_data(rest)
        super().connection_lost(None)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
