"""A second program in a running container: its streams, its terminal, its end.

It enters the namespaces of the container's own process as who the container is, with its environment, below its memory limit.
When its client goes away its process group is killed, and what runs on its terminal is told so by SIGHUP: nothing that was
started by `kubectl exec` outlives the connection unless it goes out of its way to.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence

import msgspec

from holdfast.embedded.node import descriptors, terminal
from holdfast.embedded.node.channels import NUMBERS, STDOUT, Channels, EndOfInput, Input, Size, failure, status_of
from holdfast.embedded.node.process import CLEAN_ENVIRONMENT, Exit, Process, exit_of

DRAIN = 1.0
"""Seconds without output after the program's end, when somebody it started still holds its output."""


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """Which streams a client wants. On a terminal stdout and stderr are one."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class Program:
    """The program and our ends of its streams."""

    def __init__(self, process: asyncio.subprocess.Process, stdin: int, outputs: Sequence[tuple[int, int]], tty: int) -> None:
        self.process = process
        self.outputs = outputs
        self._stdin = stdin
        self._tty = tty
        self._moved = 0
        self._sending = 0

    async def feed(self, channels: Channels) -> None:
        """Carry out what the client sends, until it leaves."""
        async for message in channels.messages():
            match message:
                case Input(data):
                    with contextlib.suppress(OSError):  # a program need not read its input
                        await descriptors.pour(self._stdin, data)
                case EndOfInput():
                    self._end_input()
                case Size(width, height):
                    terminal.resize(self._tty, width, height)

    async def drain(self, channels: Channels, channel: int, descriptor: int) -> None:
        """Send one output to its end."""
        async for data in descriptors.chunks(descriptor):
            self._sending += 1
            await channels.send(channel, data)
            self._sending -= 1
            self._moved += 1

    async def settle(self, draining: "Sequence[asyncio.Task[None]]") -> None:
        """Wait until all output is sent. Somebody who still holds it open, and says nothing, does not hold us up."""
        before = -1
        while (self._sending or self._moved != before) and any(not task.done() for task in draining):
            before = self._moved
            await asyncio.wait(draining, timeout=DRAIN)

    def kill(self) -> None:
        """Kill the program and what it started in its own process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close our ends of its streams."""
        descriptors.close(*{self._stdin, self._tty, *(descriptor for _, descriptor in self.outputs)})

    def _end_input(self) -> None:
        if self._tty < 0:
            descriptors.close(self._stdin)
            self._stdin = -1


async def execute(
    process: Process, command: Sequence[str], streams: Streams, channels: Channels, wrapper: Sequence[str] = ()
) -> None:
    """Run a command in a container for a client, and send its exit status. Raises ConnectionError when the client goes."""
    try:
        program = await start(process, command, streams, wrapper)
    except OSError as problem:
        await channels.finish(failure(f"the command can't be started: {problem}"))
        return
    feeding = asyncio.create_task(program.feed(channels))
    draining = [asyncio.create_task(program.drain(channels, *output)) for output in program.outputs]
    ending = asyncio.create_task(program.process.wait())
    try:
        await asyncio.wait([feeding, ending], return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            return
        await program.settle(draining)
        await channels.finish(status_of(exit_of(ending.result())))
    finally:
        program.kill()
        for task in (feeding, *draining):
            task.cancel()
        await asyncio.gather(feeding, *draining, return_exceptions=True)
        program.close()
        await ending


async def run(process: Process, command: Sequence[str], wrapper: Sequence[str] = ()) -> Exit:
    """Run a command beside the container's own and return how it ended; it is killed when the caller gives up."""
    await process.up()
    program = await start(process, command, Streams(), wrapper)
    try:
        return exit_of(await program.process.wait())
    finally:
        program.kill()
        program.close()
        await program.process.wait()


async def start(process: Process, command: Sequence[str], streams: Streams, wrapper: Sequence[str] = ()) -> Program:
    """Start a command in a container. `wrapper` comes before it outside the sandbox (a cgroup). Raises OSError."""
    environment = CLEAN_ENVIRONMENT | process.safe_environment | ({"TERM": "xterm"} if streams.tty else {})
    given: list[int] = []
    try:
        if streams.tty:
            ours, theirs = terminal.open_terminal(process.pid, process.sandbox.identity.uid)
            given = [theirs, theirs, theirs]
            stdin, outputs, tty = ours, [(STDOUT, ours)], ours
        else:
            stdin, outputs = _pipes(streams, given)
            tty = -1
        for descriptor in {stdin, *(each for _, each in outputs)} - {-1}:
            os.set_blocking(descriptor, False)
        with process.entrance(command, terminal=tty >= 0) as (line, handed):
            child = await asyncio.create_subprocess_exec(
                *wrapper,
                *line,
                env=environment,
                stdin=given[0],
                stdout=given[1],
                stderr=given[2],
                pass_fds=handed,
                start_new_session=True,
            )
    finally:
        descriptors.close(*set(given))
    return Program(child, stdin, outputs, tty)


def _pipes(streams: Streams, given: list[int]) -> tuple[int, list[tuple[int, int]]]:
    """Make the pipes that are wanted; what is not wanted is /dev/null. Fills `given` with the program's three ends."""
    stdin = -1
    if streams.stdin:
        reading, stdin = os.pipe()
        given.append(reading)
    else:
        given.append(os.open(os.devnull, os.O_RDONLY))
    outputs: list[tuple[int, int]] = []
    for name, number in NUMBERS.items():
        if getattr(streams, name):
            reading, writing = os.pipe()
            outputs.append((number, reading))
            given.append(writing)
        else:
            given.append(os.open(os.devnull, os.O_WRONLY))
    return stdin, outputs
