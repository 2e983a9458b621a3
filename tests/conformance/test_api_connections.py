"""Connections as bytes: whatever way requests are cut, joined or bent, each gets its answer and nobody else's."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from holdfast.embedded.apiserver.server import ApiServer

pytestmark = [pytest.mark.api, pytest.mark.own, pytest.mark.asyncio(loop_scope="module")]

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiServer]:
    made = ApiServer(tmp_path_factory.mktemp("connections"))
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


class Raw:
    """One connection, spoken to in bytes."""

    def __init__(self, server: ApiServer) -> None:
        self._port = server.port
        token = (server.data_dir / "pki" / "admin.token").read_text().strip()
        self.fields = f"Host: x\r\nAuthorization: Bearer {token}\r\n"

    async def __aenter__(self) -> "Raw":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=context)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    def request(self, method: str, path: str, body: object = None, extra: str = "") -> bytes:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\n{self.fields}{extra}Content-Length: {len(data)}\r\n\r\n"
        return head.encode() + data

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(0.01)

    async def answer(self) -> tuple[int, Any]:
        async with asyncio.timeout(20):
            head = await self._reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            return int(head.split()[1]), json.loads(await self._reader.readexactly(size) or b"null")

    async def code(self) -> int:
        """The code of an answer after which the connection may end."""
        async with asyncio.timeout(20):
            return int((await self._reader.readuntil(b"\r\n\r\n")).split()[1])

    async def names(self, count: int) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        for _ in range(count):
            code, body = await self.answer()
            found.append((code, body.get("metadata", {}).get("name") or body.get("reason")))
        return found


def config_map(name: str, size: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"text": "x" * size}}


async def test_requests_in_one_piece_are_answered_in_order(server: ApiServer) -> None:
    async with Raw(server) as raw:
        writes = [raw.request("POST", MAPS, config_map(f"piped{number}")) for number in range(5)]
        await raw.send(b"".join(writes) + raw.request("GET", f"{MAPS}/piped3"))
        assert await raw.names(6) == [(201, f"piped{number}") for number in range(5)] + [(200, "piped3")]


async def test_requests_that_follow_before_the_answer_wait_for_their_turn(server: ApiServer) -> None:
    async with Raw(server) as raw:
        expected: list[tuple[int, str]] = []
        for number in range(20):
            raw._writer.write(raw.request("POST", MAPS, config_map(f"eager{number}")))
            raw._writer.write(raw.request("GET", f"{MAPS}/eager{number}"))
            await asyncio.sleep(0)
            expected += [(201, f"eager{number}"), (200, f"eager{number}")]
        assert await raw.names(40) == expected


async def test_a_request_may_come_byte_by_byte_and_others_after_it(server: ApiServer) -> None:
    async with Raw(server) as raw:
        first = raw.request("POST", MAPS, config_map("slow", 100_000))
        await raw.send(first[:7], first[7:60], first[60:700], first[700:50_000], first[50_000:])
        assert (await raw.names(1)) == [(201, "slow")]
        await raw.send(raw.request("GET", f"{MAPS}/slow"))
        assert (await raw.names(1)) == [(200, "slow")]
        second = raw.request("GET", f"{MAPS}/slow")
        await raw.send(raw.request("GET", f"{MAPS}/none") + second[:40], second[40:])
        assert (await raw.names(2)) == [(404, "NotFound"), (200, "slow")]


async def test_quick_and_long_requests_alternate(server: ApiServer) -> None:
    async with Raw(server) as raw:
        for _ in range(3):
            await raw.send(raw.request("GET", "/api/v1/namespaces/default"))
            await raw.send(raw.request("GET", "/apis"))
            await raw.send(raw.request("GET", f"{MAPS}?labelSelector=a%3Db"))
            assert (await raw.names(1)) == [(200, "default")]
            assert (await raw.answer())[1]["kind"] == "APIGroupList"
            assert (await raw.answer())[1]["kind"] == "ConfigMapList"


TWO_READINGS = {
    "lengths": "Content-Length: 5\r\n",
    "tokens": "Authorization: Bearer x\r\n",
    "hosts": "Host: y\r\n",
    "chunks": "Transfer-Encoding: chunked\r\n",
    "name": "Bad Name: x\r\n",
}


@pytest.mark.parametrize("what", TWO_READINGS)
async def test_a_request_with_two_readings_is_refused_or_has_the_first(server: ApiServer, what: str) -> None:
    async with Raw(server) as raw:
        await raw.send(raw.request("POST", MAPS, config_map(f"two-{what}"), TWO_READINGS[what]))
        code = await raw.code()
    async with Raw(server) as raw:
        await raw.send(raw.request("GET", f"{MAPS}/two-{what}"))
        assert (code, await raw.code()) in ((201, 200), (400, 404))


async def test_who_asks_is_judged_on_every_request_of_a_connection(server: ApiServer) -> None:
    async with Raw(server) as raw:
        await raw.send(raw.request("GET", "/api/v1/namespaces/default"))
        assert (await raw.answer())[0] == 200
        raw.fields = "Host: x\r\nAuthorization: Bearer wrong\r\n"
        await raw.send(raw.request("GET", "/api/v1/namespaces/default"))
        assert (await raw.answer())[0] == 401
        raw.fields = "Host: x\r\n"
        await raw.send(raw.request("GET", "/api/v1/namespaces/default"))
        assert (await raw.answer())[0] == 401


async def test_a_client_that_leaves_before_its_answer_harms_nobody(server: ApiServer) -> None:
    for number in range(5):
        async with Raw(server) as raw:
            await raw.send(raw.request("POST", MAPS, config_map(f"left{number}")))
    async with Raw(server) as raw:
        await raw.send(raw.request("GET", f"{MAPS}/left0"))
        assert (await raw.names(1)) == [(200, "left0")]
