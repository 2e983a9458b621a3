"""exec and attach over SPDY, as a real API server asks a kubelet: `v4.channel.k8s.io` with a stream for each channel.

The client opens an error stream, and one each for what it wants of stdin, stdout, stderr and, on a terminal, resize; the header
`streamtype` says which is which. The final Status goes out on the error stream.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from holdfast.core.objects import Object
from holdfast.embedded.node.channels import RESIZE, STATUS, STDERR, STDIN, STDOUT, EndOfInput, Input, Message, Size
from holdfast.embedded.node.execution import Streams
from holdfast.embedded.spdy import Session, Stream

PROTOCOL: Final = "v4.channel.k8s.io"
ALL_SECONDS: Final = 30.0
"""How long a client may take to open the streams that it asked for."""

_NUMBERS: Final = {"error": STATUS, "stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "resize": RESIZE}


def _wanted(streams: Streams) -> set[int]:
    found = {STATUS}
    found |= {STDIN} if streams.stdin else set()
    found |= {STDOUT} if streams.stdout else set()
    found |= {STDERR} if streams.stderr else set()
    return found | ({RESIZE} if streams.tty else set())


class SpdyChannels:
    """One connection of a client; `open` before use. Says and hears the same as the channels of a WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, streams: Streams) -> None:
        self._missing = _wanted(streams)
        self._streams: dict[int, Stream] = {}
        self._complete = asyncio.Event()
        self._session = Session(reader, writer, self._opened)
        self._heard: asyncio.Queue[Message | None] = asyncio.Queue(1)
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Serve the connection, and wait for all streams. Raises ConnectionError when they do not come in time."""
        serving = asyncio.create_task(self._session.run())
        complete = asyncio.create_task(self._await_all())
        self._tasks = [serving, complete]
        await asyncio.wait(self._tasks, timeout=ALL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not self._complete.is_set():
            raise ConnectionError(f"the client has not opened all its streams within {ALL_SECONDS:.0f} seconds")
        for number, listen in ((STDIN, self._listen), (RESIZE, self._measure)):
            if number in self._streams:
                self._tasks.append(asyncio.create_task(listen(self._streams[number])))
        self._tasks.append(asyncio.create_task(self._leave(serving)))

    async def close(self) -> None:
        """Stop serving the connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def send(self, channel: int, data: bytes) -> None:
        """Send bytes on a channel; waits while the client does not read. Raises ConnectionError when it has gone."""
        stream = self._streams.get(channel)
        if stream is not None:
            await stream.write(data)

    async def finish(self, status: Object) -> None:
        """Send the final status and say that nothing more comes on any stream."""
        await self.send(STATUS, msgspec.json.encode(status))
        for number in (STDOUT, STDERR, STDIN, RESIZE, STATUS):
            if number in self._streams:
                await self._streams[number].close()

    async def messages(self) -> AsyncGenerator[Message]:
        """Yield what the client sends, until it leaves."""
        while (message := await self._heard.get()) is not None:
            yield message

    def _opened(self, stream: Stream) -> bool:
        number = _NUMBERS.get(stream.headers.get("streamtype", ""))
        if number is None or number not in self._missing:
            return False
        self._missing.discard(number)
        self._streams[number] = stream
        if not self._missing:
            self._complete.set()
        return True

    async def _await_all(self) -> None:
        await self._complete.wait()

    async def _leave(self, serving: "asyncio.Task[None]") -> None:
        await asyncio.wait([serving])
        await self._heard.put(None)

    async def _listen(self, stream: Stream) -> None:
        while data := await stream.read():
            await self._heard.put(Input(data))
        await self._heard.put(EndOfInput())

    async def _measure(self, stream: Stream) -> None:
        """Take sizes out of a stream of JSON documents, one a line or back to back."""
        text = b""
        while data := await stream.read():
            text += data
            while (end := text.find(b"}")) >= 0:
                line, text = text[: end + 1], text[end + 1 :]
                try:
                    await self._heard.put(msgspec.json.decode(line, type=Size))
                except msgspec.DecodeError:
                    continue
