"""gRPC probes against a server made with the h2 library, which judges every frame that we send."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from holdfast.embedded.node.grpchealth import check

HEALTH = {"": 1, "db": 1, "starting": 2, "odd": 3}
Serve = Any


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer health checks as gRPC servers do: a message and trailers, or trailers alone."""
    connection: Any = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    connection.ping(b"are you?")
    asked: dict[int, tuple[dict[str, str], bytes]] = {}
    writer.write(connection.data_to_send())
    while data := await reader.read(65536):
        for event in connection.receive_data(data):
            match event:
                case h2.events.RequestReceived():
                    asked[event.stream_id] = (dict(event.headers), b"")
                case h2.events.DataReceived():
                    headers, body = asked[event.stream_id]
                    asked[event.stream_id] = (headers, body + event.data)
                case h2.events.StreamEnded():
                    answer(connection, event.stream_id, *asked[event.stream_id])
                case _:
                    pass
        writer.write(connection.data_to_send())
    writer.close()


def answer(connection: Any, stream: int, headers: dict[str, str], body: bytes) -> None:
    assert (headers[":method"], headers[":path"]) == ("POST", "/grpc.health.v1.Health/Check")
    assert (headers["te"], headers["content-type"]) == ("trailers", "application/grpc")
    compressed, length = struct.unpack(">BI", body[:5])
    assert (compressed, length) == (0, len(body) - 5)
    name = body[7:].decode()
    head = [(":status", "200"), ("content-type", "application/grpc")]
    if name not in HEALTH:
        connection.send_headers(stream, [*head, ("grpc-status", "5"), ("grpc-message", "unknown service")], end_stream=True)
        return
    message = bytes([8, HEALTH[name]])
    connection.send_headers(stream, head)
    for byte in struct.pack(">BI", 0, len(message)) + message:
        connection.send_data(stream, bytes([byte]))
    connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)


@contextlib.asynccontextmanager
async def listening(handler: Serve = serve) -> AsyncGenerator[int]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("service", ["", "db"])
async def test_a_service_that_serves_is_healthy(service: str) -> None:
    async with listening() as port:
        assert await check("127.0.0.1", port, service) == ""


@pytest.mark.parametrize(
    ("service", "why"), [("starting", "NOT_SERVING"), ("odd", "SERVICE_UNKNOWN"), ("none", "knows no such service")]
)
async def test_any_other_answer_says_what_it_is(service: str, why: str) -> None:
    async with listening() as port:
        assert why in await check("127.0.0.1", port, service)


async def test_a_server_that_is_no_grpc_server_is_not_healthy() -> None:
    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with listening(http) as port:
        assert "not HTTP/2" in await check("127.0.0.1", port, "")


async def test_a_server_that_hangs_up_is_not_healthy() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.close()

    async with listening(mute) as port:
        with contextlib.suppress(ConnectionError):
            assert "without an answer" in await check("127.0.0.1", port, "")
