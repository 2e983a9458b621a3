"""`kubectl attach`: the streams of the container's own process, for as long as a client listens.

Each client hears what is written from now on; the log has what was before. A client that does not read is cut off, since the
container must not wait for it.
"""

import asyncio
import contextlib
from collections.abc import Generator

from holdfast.embedded.node import descriptors, terminal
from holdfast.embedded.node.channels import NUMBERS, STDOUT, Channels, EndOfInput, Input, Size, failure, success
from holdfast.embedded.node.execution import Streams
from holdfast.embedded.node.process import Process

BACKLOG = 256
"""Writes of a container that a slow client may lag behind; each is 64 KiB at most."""

Heard = tuple[str, bytes] | None
"""What was written on which stream; None once nothing more comes."""


class Audience:
    """Everybody who is attached to one container."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Heard]] = set()

    @property
    def empty(self) -> bool:
        """Whether nobody is attached."""
        return not self._queues

    def say(self, stream: str, data: bytes) -> None:
        """Let everybody hear what the container wrote."""
        for queue in list(self._queues):
            if queue.qsize() >= BACKLOG:
                self._queues.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait((stream, data))

    def end(self) -> None:
        """Tell everybody that the container's run has ended."""
        for queue in self._queues:
            queue.put_nowait(None)

    @contextlib.contextmanager
    def listening(self) -> "Generator[asyncio.Queue[Heard]]":
        """Give a queue of what is written from now on."""
        queue: asyncio.Queue[Heard] = asyncio.Queue()
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)


async def attach(process: Process, audience: Audience, streams: Streams, channels: Channels, *, once: bool) -> None:
    """Join a client to a running container. With `once` the container's input ends when the client's does (`stdinOnce`)."""
    if streams.stdin and process.stdin < 0:
        await channels.finish(failure("the container has no standard input: its spec needs stdin: true"))
        return
    with audience.listening() as queue:
        feeding = asyncio.create_task(_feed(process, streams, channels, once=once))
        hearing = asyncio.create_task(_hear(queue, streams, channels))
        try:
            await asyncio.wait([feeding, hearing], return_when=asyncio.FIRST_COMPLETED)
            if hearing.done() and not hearing.cancelled() and hearing.exception() is None:
                await channels.finish(success())
        finally:
            for task in (feeding, hearing):
                task.cancel()
            await asyncio.gather(feeding, hearing, return_exceptions=True)


async def _hear(queue: "asyncio.Queue[Heard]", streams: Streams, channels: Channels) -> None:
    wanted = {name: number for name, number in NUMBERS.items() if getattr(streams, name) or (number == STDOUT and streams.tty)}
    while (heard := await queue.get()) is not None:
        name, data = heard
        if name in wanted:
            await channels.send(wanted[name], data)


async def _feed(process: Process, streams: Streams, channels: Channels, *, once: bool) -> None:
    """Carry out what the client sends, until it leaves."""
    try:
        async for message in channels.messages():
            match message:
                case Input(data) if streams.stdin:
                    with contextlib.suppress(OSError):
                        await descriptors.pour(process.stdin, data)
                case EndOfInput() if once:
                    process.end_input()
                case Size(width, height):
                    terminal.resize(process.terminal, width, height)
                case _:
                    pass
    finally:
        if once and streams.stdin:
            process.end_input()
