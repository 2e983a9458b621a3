"""The one gRPC call that a probe makes: `grpc.health.v1.Health/Check`, in plain HTTP/2 (RFC 9113, gRPC's HTTP/2 protocol).

A call is three frames there and a message of two bytes back, so neither a gRPC library nor a decoder of header compression is
needed: a healthy answer is a message whose field 1 says 1 (SERVING), and whatever ends the call without it is not healthy.
"""

import asyncio
import struct
from typing import Final

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
_ACK, _END_STREAM, _END_HEADERS, _PADDED = 0x1, 0x1, 0x4, 0x8
_LONGEST: Final = 1 << 16
_SERVING: Final = 1
_NAMES: Final = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


def _frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def _field(name: str, value: str) -> bytes:
    """One header as a literal that nobody indexes; texts are shorter than 127 bytes."""
    return b"\0" + b"".join(bytes([len(text.encode())]) + text.encode() for text in (name, value))


def _request(host: str, service: str) -> bytes:
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": host,
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "holdfast-node",
    }
    asked = service.encode()[:120]
    message = b"\x0a" + bytes([len(asked)]) + asked if asked else b""
    headers = b"".join(_field(name, value) for name, value in fields.items())
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0)
        + _frame(_HEADERS, _END_HEADERS, 1, headers)
        + _frame(_DATA, _END_STREAM, 1, struct.pack(">BI", 0, len(message)) + message)
    )


async def check(address: str, port: int, service: str) -> str:
    """Ask a server for the health of a service (empty: its own). Return what is wrong, or an empty text. Raises OSError."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(_request(f"{address}:{port}", service))
        return await _answer(reader, writer)
    except asyncio.IncompleteReadError:
        return "the server closed the connection without an answer"
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    message = b""
    while True:
        head = await reader.readexactly(9)
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        if length > _LONGEST:
            return f"the answer is not HTTP/2: a frame of {length} bytes"
        body = await reader.readexactly(length)
        if kind in (_SETTINGS, _PING) and not flags & _ACK:
            writer.write(_frame(kind, _ACK, 0, body if kind == _PING else b""))
        elif kind == _DATA:
            message += body[1 : len(body) - body[0]] if flags & _PADDED and body else body
            if len(message) >= 5 and len(message) >= 5 + int.from_bytes(message[1:5], "big"):
                return _verdict(message[5:])
        elif kind in (_RST_STREAM, _GOAWAY):
            return "the server refused the call"
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            return "the server knows no such service, or no health checks at all"


def _verdict(message: bytes) -> str:
    """Read a HealthCheckResponse: field 1 is the status; one that is left out is 0."""
    status = message[1] if message[:1] == b"\x08" and len(message) > 1 else 0
    return "" if status == _SERVING else f"the service is {_NAMES.get(status, status)}"
