"""The subprotocols `v4.channel.k8s.io` and `v5.channel.k8s.io`: several streams in one WebSocket.

The first byte of a message is its channel: 0 stdin, 1 stdout, 2 stderr, 3 the final status, 4 the size of the terminal. In v5
the client closes its half of a channel with the byte 255 and the channel's number; v4 has no word for that.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final, Protocol

import msgspec
from aiohttp import WSMsgType, web

from holdfast.core.objects import Object
from holdfast.embedded.node.process import Exit

PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, STATUS, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

NUMBERS: Final = {"stdout": STDOUT, "stderr": STDERR}
"""The channels of what a program writes."""


class Size(msgspec.Struct, frozen=True, rename="pascal"):
    """The size of a terminal in characters."""

    width: int
    height: int


class Input(msgspec.Struct, frozen=True):
    """Bytes for the program's standard input."""

    data: bytes


class EndOfInput(msgspec.Struct, frozen=True):
    """Nothing more comes for standard input; the connection goes on."""


Message = Input | EndOfInput | Size


class Channels(Protocol):
    """What exec and attach need of a client's connection, whatever carries it."""

    async def send(self, channel: int, data: bytes) -> None:
        """Send bytes on a channel; waits while the client does not read. Raises ConnectionError when it has gone."""
        ...

    async def finish(self, status: Object) -> None:
        """Send the final status and close."""
        ...

    def messages(self) -> AsyncGenerator[Message]:
        """Yield what the client sends, until it leaves."""
        ...


class SocketChannels:
    """One WebSocket of a client that speaks the protocol."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._sending = asyncio.Lock()

    async def send(self, channel: int, data: bytes) -> None:
        """Send bytes on a channel; waits while the client does not read. Raises ConnectionError when it has gone."""
        async with self._sending:
            await self._socket.send_bytes(bytes([channel]) + data)

    async def finish(self, status: Object) -> None:
        """Send the final status and close."""
        await self.send(STATUS, msgspec.json.encode(status))
        await self._socket.close()

    async def messages(self) -> AsyncGenerator[Message]:
        """Yield what the client sends, until it leaves. What is no message of the protocol is passed over."""
        while True:
            message = await self._socket.receive()
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return
            data: bytes = message.data if message.type is WSMsgType.BINARY else message.data.encode()
            found = _parse(data)
            if found is not None:
                yield found


def _parse(data: bytes) -> Message | None:
    match data[:1]:
        case b"\x00":
            return Input(data[1:])
        case b"\x04":
            try:
                return msgspec.json.decode(data[1:], type=Size)
            except msgspec.DecodeError:
                return None
        case b"\xff" if data[1:] == b"\x00":
            return EndOfInput()
        case _:
            return None


def success() -> Object:
    """Return the status of a program that ended with code 0."""
    return {"metadata": {}, "status": "Success"}


def status_of(ended: Exit) -> Object:
    """Return the status of a program, as `kubectl exec` turns it into its own exit code."""
    if ended.code == 0:
        return success()
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: {ended.code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(ended.code)}]},
    }


def failure(message: str) -> Object:
    """Return the status of a program that could not be started."""
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}
