"""A command in a running container, through the API server: the client's half of `kubectl exec`.

One WebSocket carries several streams: the first byte of each message is its channel, 1 for standard output, 2 for standard
error, 3 for the final status (Kubernetes' `v5.channel.k8s.io` and `v4.channel.k8s.io`). Nothing is sent, since no command here
reads its input. A connection that ends without the final status leaves the outcome unknown, which is an error of its own.
"""

from collections.abc import Callable, Sequence
from typing import Final

import aiohttp
import msgspec

from holdfast.kube.codec import CodecError, decode
from holdfast.kube.errors import unreachable
from holdfast.kube.objects import Object

EXEC_PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDOUT, STDERR, _STATUS = 1, 2, 3

Output = Callable[[int, bytes], None]
"""Called with the channel (`STDOUT` or `STDERR`) and what was written there, as it comes."""


class Ended(msgspec.Struct, frozen=True):
    """How a command ended. `code` is its exit code, or -1 when it could not be started; `message` is the server's."""

    code: int
    message: str = ""


def exec_query(command: Sequence[str], container: str) -> list[tuple[str, str]]:
    """Return the query of the request: the words of the command, and the streams that we want."""
    words = [("command", word) for word in command]
    return [*words, ("stdout", "true"), ("stderr", "true"), *([("container", container)] if container else [])]


async def follow(socket: aiohttp.ClientWebSocketResponse, asked: str, output: Output) -> Ended:
    """Hand on the output until the command has ended. Raises Unavailable when the connection ends before."""
    try:
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                data: bytes = message.data.encode()
            elif message.type is aiohttp.WSMsgType.BINARY:
                data = message.data
            else:
                raise unreachable(asked, socket.exception() or ConnectionError("the connection ended before the command did"))
            if data[:1] == bytes([_STATUS]):
                return _ended(data[1:], asked)
            if data[1:]:
                output(data[0], data[1:])
    finally:
        await socket.close()


def _ended(data: bytes, asked: str) -> Ended:
    try:
        status = decode(data)
    except CodecError as error:
        raise unreachable(asked, error) from None
    if status.get("status") == "Success":
        return Ended(0)
    details: Object = status.get("details") or {}
    causes: list[Object] = details.get("causes") or []
    code = next((str(cause.get("message")) for cause in causes if cause.get("reason") == "ExitCode"), "")
    return Ended(int(code) if code.isdigit() else -1, str(status.get("message") or status.get("reason") or ""))
