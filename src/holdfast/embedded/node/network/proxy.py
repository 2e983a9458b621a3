"""TCP from pods to the world: taken by the node, and made again from the machine.

The machine forwards no packets and translates no addresses for its pods. A rule hands their connections to this proxy, which
asks the kernel where they were meant to go and goes there itself, as slirp does for virtual machines.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from ipaddress import IPv4Address
from typing import Final

from holdfast.embedded.node.network.subnet import Subnet

log = logging.getLogger(__name__)

_ORIGINAL: Final = 80
"""The option SO_ORIGINAL_DST of netfilter_ipv4.h."""

CONNECT: Final = 15.0
"""Seconds that a far end is given to accept."""

CHUNK: Final = 1 << 18


class Proxy:
    """Accepts on one socket. `api` is host and port of the API server."""

    def __init__(self, listener: socket.socket, subnet: Subnet, api: tuple[str, int]) -> None:
        self._listener = listener
        self._subnet = subnet
        self._api = api
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    async def run(self) -> None:
        """Serve until cancelled, then break off every connection."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                accepted, _ = await loop.sock_accept(self._listener)
                task = asyncio.create_task(self._serve(accepted))
                self._serving.add(task)
                task.add_done_callback(self._serving.discard)
        finally:
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            self._listener.close()

    def target(self, address: IPv4Address, port: int) -> tuple[str, int]:
        """Return where a connection to an address goes."""
        if address == self._subnet.api:
            return self._api
        if address == self._subnet.loopback:
            return "127.0.0.1", port
        return str(address), port

    async def _serve(self, accepted: socket.socket) -> None:
        near_reader, near = await asyncio.open_connection(sock=accepted, limit=CHUNK)
        try:
            host, port = self.target(*meant(accepted))
            async with asyncio.timeout(CONNECT):
                far_reader, far = await asyncio.open_connection(host, port, limit=CHUNK)
        except (OSError, TimeoutError):
            near.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pour(near_reader, far))
                group.create_task(_pour(far_reader, near))
        except* OSError:
            far.transport.abort()
            near.transport.abort()
        finally:
            far.close()
            near.close()


def meant(accepted: socket.socket) -> tuple[IPv4Address, int]:
    """Return where a connection was meant to go before a rule handed it to us. Raises OSError."""
    port, packed = struct.unpack("!2xH4s8x", accepted.getsockopt(socket.SOL_IP, _ORIGINAL, 16))
    return IPv4Address(packed), port


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass on what comes, and then that nothing more comes."""
    while data := await source.read(CHUNK):
        target.write(data)
        await target.drain()
    with contextlib.suppress(OSError):
        target.write_eof()
