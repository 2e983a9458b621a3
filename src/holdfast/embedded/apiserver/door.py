"""The quick way in: a whole, plain request is answered where its bytes arrive, everything else goes through aiohttp.

A request costs aiohttp two tasks, a parser, header maps and a response object, which is more than the answer itself
costs. Clients repeat their headers word for word, so a block of headers is read strictly once and known by its bytes from
then on. What is not plain (a body in pieces, an upgrade, an escaped path, a header twice, bytes behind the request) and
what becomes a stream is handed on unread. One connection is in one hand at a time: bytes that come while a quick answer
is made wait.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol
from urllib.parse import parse_qsl

from aiohttp import web

from holdfast.embedded.apiserver.errors import StatusError
from holdfast.embedded.apiserver.heap import LARGE, Heap
from holdfast.embedded.apiserver.request import JSON, Head, Query
from holdfast.embedded.upgrade import UpgradeProtocol, Upgrades
from holdfast.kube.codec import encode

_log = logging.getLogger(__name__)

_LINE: Final = re.compile(rb"(GET|POST|PUT|PATCH|DELETE) (/[!$&-.0-;=@-Z_a-z~/]*)(?:\?([!$%&-;=?@-Z_a-z~]*))? HTTP/1\.1")
_FIELD: Final = re.compile(r"([A-Za-z0-9-]+):[ \t]*([\x20-\x7e]*)")
_ONCE: Final = frozenset({"host", "authorization", "accept", "content-type", "content-length", "user-agent"})
_NOT_PLAIN: Final = ("transfer-encoding", "content-encoding", "expect", "upgrade", "trailer", "te", "impersonate-")
_KNOWN_HEADS, _KNOWN_SIZE = 2048, 2048
_LONGEST_HEAD: Final = 8192
_WHOLE: Final = 1 << 16
"""Up to so many bytes head and body go out as one piece: copying costs less than a second record."""


class Reply(NamedTuple):
    """An answer that is no stream. `warnings` go out as Warning headers, seconds to wait for another try as Retry-After."""

    code: int
    body: bytes
    media: str = JSON
    warnings: Sequence[str] = ()
    retry_after: int = 0


class Ask(NamedTuple):
    """A whole request: its path is not escaped."""

    method: str
    path: str
    query: Query
    head: Head
    body: bytes


class Desk(Protocol):
    """Who answers: at once, later, or not at all (None), when the request must go the long way."""

    def quick(self, ask: Ask) -> Reply | Awaitable[Reply] | None:
        """Answer a request. May raise StatusError: nothing was done then, and the long way will say the same."""
        ...


def quoted_warning(text: str) -> str:
    """The value of a Warning header."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'299 - "{quoted}"'


class _Block(NamedTuple):
    """A block of headers that was read: what it says, and the length of the body it announces."""

    head: Head
    length: int


class Reading:
    """Takes requests apart, and remembers the blocks of headers it has seen: what all connections share."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Block | None] = {}
        self.heap = Heap()

    def take(self, data: bytes) -> Ask | None:
        """The request that the bytes are; None when they are not exactly one plain request."""
        end = data.find(b"\r\n\r\n", 0, _LONGEST_HEAD)
        first = data.find(b"\r\n")
        if end < 0 or (line := _LINE.fullmatch(data, 0, first)) is None:
            return None
        raw = data[first:end]
        block = self._known.get(raw, _UNREAD)
        if block is _UNREAD:
            block = self._learn(raw)
        if block is None or len(data) != end + 4 + block.length:
            return None
        method, path, query = line.groups()
        if b"/." in path or (method == b"GET" and block.length):
            return None
        asked = _query(query.decode()) if query else _NO_QUERY
        return Ask(method.decode(), path.decode(), asked, block.head, data[end + 4 :])

    def _learn(self, raw: bytes) -> _Block | None:
        if len(self._known) >= _KNOWN_HEADS:
            self._known.clear()
        found = _read(raw)
        if len(raw) <= _KNOWN_SIZE:
            self._known[raw] = found
        return found


_UNREAD: Final = _Block(Head(), -1)
_NO_QUERY: Final = Query({})


def _query(text: str) -> Query:
    """The query's values; of a key that is given twice the first counts."""
    return Query(dict(reversed(parse_qsl(text, keep_blank_values=True))))


def _read(raw: bytes) -> _Block | None:
    """A block of headers, from the line end before it; None when it says anything that needs more than an answer."""
    fields: dict[str, str] = {}
    for line in raw.decode("latin-1").split("\r\n")[1:]:
        found = _FIELD.fullmatch(line)
        if found is None:
            return None
        name, value = found[1].lower(), found[2].strip()
        if name.startswith(_NOT_PLAIN) or (name in _ONCE and name in fields):
            return None
        fields[name] = value
    length = fields.get("content-length", "0")
    if "host" not in fields or not length.isdecimal() or len(length) > 9:
        return None
    if fields.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    media = fields.get("content-type", "").partition(";")[0].strip().lower()
    head = Head(fields.get("authorization", ""), fields.get("accept", ""), media, fields.get("user-agent", ""))
    return _Block(head, int(length))


class _Clock:
    """The Date header, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def text(self) -> str:
        now = int(time.time())
        if now != self._second:
            self._second, self._text = now, formatdate(now, usegmt=True)
        return self._text


_clock = _Clock()
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


def _head(reply: Reply) -> bytes:
    lines = [
        f"HTTP/1.1 {reply.code} {_PHRASES.get(reply.code, 'Unknown')}",
        f"Content-Type: {reply.media}",
        "Cache-Control: no-cache, private",
        f"Content-Length: {len(reply.body)}",
        f"Date: {_clock.text()}",
        *(f"Warning: {quoted_warning(text)}" for text in reply.warnings),
        *((f"Retry-After: {reply.retry_after}",) if reply.retry_after else ()),
        "\r\n",
    ]
    return "\r\n".join(lines).encode(errors="replace")


class Door(UpgradeProtocol):
    """The protocol of one connection."""

    __slots__ = ("_answering", "_desk", "_held", "_reading")

    def __init__(self, server: web.Server, upgrades: Upgrades, desk: Desk, reading: Reading) -> None:
        super().__init__(server, upgrades)
        self._desk = desk
        self._reading = reading
        self._answering: asyncio.Task[None] | None = None
        self._held = b""

    def data_received(self, data: bytes) -> None:
        """Answer a plain request, hand on everything else."""
        if self._answering is not None:
            self._held += data
            if self.transport is not None:
                self.transport.pause_reading()
        elif self._paused or not self.is_idle() or not self._quick(data):
            super().data_received(data)

    def _quick(self, data: bytes) -> bool:
        """Answer, or begin to; False when the bytes must go the long way."""
        ask = self._reading.take(data)
        if ask is None or self._force_close or self._close:
            return False
        try:
            found = self._desk.quick(ask)
        except StatusError:
            return False
        except Exception:
            _log.exception("%s %s failed", ask.method, ask.path)
            return False
        if found is None:
            return False
        if isinstance(found, Reply):
            self._send(found)
        else:
            self._answering = self._loop.create_task(self._later(ask, found))
        return True

    async def _later(self, ask: Ask, answer: Awaitable[Reply]) -> None:
        try:
            try:
                reply = await answer
            except StatusError as error:
                reply = Reply(error.code, encode(error.status()), retry_after=error.retry_after)
            except Exception:
                _log.exception("%s %s failed", ask.method, ask.path)
                reply = Reply(500, encode(unexpected().status()))
            self._send(reply)
        finally:
            self._answering = None
        held, self._held = self._held, b""
        if held and self.transport is not None:
            self.transport.resume_reading()
            self.data_received(held)

    def _send(self, reply: Reply) -> None:
        transport = self.transport
        if transport is None:
            return
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if len(reply.body) <= _WHOLE:
            transport.write(_head(reply) + reply.body)
        else:
            transport.writelines((_head(reply), reply.body))
        if len(reply.body) >= LARGE:
            self._reading.heap.trim_soon()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's own signature
        """Let a quick answer that is under way go out, then close."""
        if self._answering is not None:
            await asyncio.wait([self._answering], timeout=timeout)
        await super().shutdown(timeout)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget what came too late. A write that has begun is carried out."""
        self._held = b""
        super().connection_lost(exc)


def unexpected() -> StatusError:
    """500 for an error of ours."""
    return StatusError(500, "InternalError", "the server met an error it did not expect; its log says more")
