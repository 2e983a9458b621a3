"""SPDY 3.1 as kubectl and API servers speak it to a kubelet: many streams with headers in one upgraded connection.

Written from the SPDY draft (draft-mbelshe-httpbis-spdy-00). Streams are opened by the other side only, which is all that exec,
attach and port-forward need. Kubernetes' implementations have no flow control of their own and ignore WINDOW_UPDATE; so do
we: what a stream does not read holds up the connection, by TCP.
"""

import asyncio
import struct
import zlib
from collections.abc import Callable
from typing import Final

_VERSION: Final = 0x8003
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 1, 2, 3, 4, 6, 7
_FIN: Final = 0x01
_HEAD: Final = struct.Struct(">II")
_LONGEST: Final = 1 << 20
_PIECE: Final = 1 << 15
_MOST_STREAMS: Final = 1024
_BACKLOG: Final = 32
"""Frames that a stream may hold unread before the connection waits for its reader."""
_PROTOCOL_ERROR, _REFUSED = 1, 3

_WORDS: Final = """
options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization
cache-control connection content-base content-encoding content-language content-length content-location content-md5
content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range
if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after
server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status
"""
_MORE_WORDS: Final = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_TAIL: Final = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
_DICTIONARY: Final = (
    b"".join(struct.pack(">I", len(word)) + word.encode() for word in (*_WORDS.split(), *_MORE_WORDS)) + _TAIL.encode()
)
"""What both sides' compression starts from (section 2.6.10.1 of the draft)."""

Headers = dict[str, str]


class SpdyError(ConnectionError):
    """The other side breaks the protocol; the connection can't go on."""


class _Packer:
    """Header blocks of one connection: each direction is one zlib stream, flushed after each block."""

    def __init__(self) -> None:
        self._packing = zlib.compressobj(zdict=_DICTIONARY)
        self._unpacking = zlib.decompressobj(zdict=_DICTIONARY)

    def pack(self, headers: Headers) -> bytes:
        plain = struct.pack(">I", len(headers))
        for text in (text for pair in headers.items() for text in pair):
            plain += struct.pack(">I", len(text.encode())) + text.encode()
        return self._packing.compress(plain) + self._packing.flush(zlib.Z_SYNC_FLUSH)

    def unpack(self, block: bytes) -> Headers:
        try:
            plain = self._unpacking.decompress(block, _LONGEST)
            texts: list[str] = []
            at = 4
            for _ in range(2 * struct.unpack_from(">I", plain)[0]):
                length = struct.unpack_from(">I", plain, at)[0]
                if at + 4 + length > len(plain):
                    raise SpdyError("a header is longer than its block")
                texts.append(plain[at + 4 : at + 4 + length].decode("latin-1"))
                at += 4 + length
        except (zlib.error, struct.error) as error:
            raise SpdyError(f"a block of headers can't be read: {error}") from None
        return {name.lower(): value for name, value in zip(texts[::2], texts[1::2], strict=True)}


class Stream:
    """One stream that the other side opened, with its headers (names in lower case)."""

    def __init__(self, session: "Session", number: int, headers: Headers) -> None:
        self.headers = headers
        self._session = session
        self._number = number
        self._got: asyncio.Queue[bytes] = asyncio.Queue(_BACKLOG)
        self._at_end = False
        self.is_closed = False

    async def read(self) -> bytes:
        """The next bytes; empty once the other side has closed its half or the connection is gone."""
        if self._at_end:
            return b""
        data = await self._got.get()
        self._at_end = not data
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the connection is not read. Raises ConnectionError when it is gone."""
        for at in range(0, len(data), _PIECE):
            await self._session.send(self._number, data[at : at + _PIECE])

    async def close(self) -> None:
        """Say that nothing more is sent."""
        if not self.is_closed:
            self.is_closed = True
            await self._session.send(self._number, b"", last=True)

    async def take(self, data: bytes) -> None:
        """Take in what came; for the session only."""
        await self._got.put(data)

    def cut(self) -> None:
        """Let the reader see the end, whether or not there is room."""
        if self._got.full():
            self._got.get_nowait()
        self._got.put_nowait(b"")


class Session:
    """One connection. `opened` is called with each new stream, and says whether it is wanted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, opened: Callable[[Stream], bool]) -> None:
        self._reader = reader
        self._writer = writer
        self._opened = opened
        self._headers = _Packer()
        self._streams: dict[int, Stream] = {}

    async def run(self) -> None:
        """Serve until the other side leaves. Raises SpdyError when it breaks the protocol."""
        try:
            while True:
                first, second = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
                flags, length = second >> 24, second & 0xFFFFFF
                if length > _LONGEST:
                    raise SpdyError(f"a frame of {length} bytes is longer than {_LONGEST}")
                body = await self._reader.readexactly(length)
                if first >> 31:
                    if first >> 16 != _VERSION:
                        raise SpdyError(f"frames of SPDY version {first >> 16 & 0x7FFF}, not 3")
                    if not await self._control(first & 0xFFFF, flags, body):
                        return
                else:
                    await self._data(first, flags, body)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            if isinstance(error, SpdyError):
                raise
        finally:
            for stream in self._streams.values():
                stream.cut()

    async def send(self, number: int, data: bytes, *, last: bool = False) -> None:
        """Send data on a stream; waits while the connection is not read."""
        self._writer.write(_HEAD.pack(number, (_FIN if last else 0) << 24 | len(data)) + data)
        await self._writer.drain()

    def _send_control(self, kind: int, body: bytes) -> None:
        self._writer.write(_HEAD.pack(_VERSION << 16 | kind, len(body)) + body)

    async def _control(self, kind: int, flags: int, body: bytes) -> bool:
        """Carry out a control frame; False when the other side says goodbye."""
        if kind == _SYN_STREAM and len(body) >= 10:
            await self._open(struct.unpack_from(">I", body)[0] & 0x7FFFFFFF, flags, body[10:])
        elif kind == _PING:
            self._send_control(_PING, body)
        elif kind == _RST_STREAM and len(body) >= 4:
            stream = self._streams.pop(struct.unpack_from(">I", body)[0] & 0x7FFFFFFF, None)
            if stream is not None:
                stream.cut()
        return kind != _GOAWAY

    async def _open(self, number: int, flags: int, block: bytes) -> None:
        headers = self._headers.unpack(block)
        if number in self._streams or not number % 2:
            self._send_control(_RST_STREAM, struct.pack(">II", number, _PROTOCOL_ERROR))
            return
        stream = Stream(self, number, headers)
        if len(self._streams) >= _MOST_STREAMS or not self._opened(stream):
            self._send_control(_RST_STREAM, struct.pack(">II", number, _REFUSED))
            return
        self._streams[number] = stream
        self._send_control(_SYN_REPLY, struct.pack(">I", number) + self._headers.pack({}))
        if flags & _FIN:
            await stream.take(b"")

    async def _data(self, number: int, flags: int, body: bytes) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        if body:
            await stream.take(body)
        if flags & _FIN:
            self._streams.pop(number)
            await stream.take(b"")
