"""Starting our own steps from a fork server instead of a new interpreter.

The sandbox is made by bubblewrap as for any container, around a process that only waits. The server's child joins it there and
is the container's program: its output, its identity, its limits and its end are the same as of one that was executed. Whatever
keeps the server from serving makes the node execute the program as it would without one.
"""

import asyncio
import logging
import signal
import socket
import subprocess
from collections.abc import Sequence

import msgspec

from holdfast.core.forks import Forked, ForkRequest
from holdfast.embedded.node import process, sandbox
from holdfast.embedded.node.capabilities import NUMBERS
from holdfast.embedded.node.process import CLEAN_ENVIRONMENT, Output, Process, Tools, exit_of
from holdfast.embedded.node.sandbox import Sandbox

log = logging.getLogger(__name__)

WAITER = ("/usr/bin/sleep", "infinity")
"""What keeps the sandbox while the program runs in it."""

WARM_UP = 20.0
"""Seconds that a server has for its imports; programs are executed meanwhile."""


class Conversation:
    """What a fork server says of one program."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def next(self) -> Forked:
        """Return the next thing that is said; an empty one when the other side has gone."""
        try:
            line = await self._reader.readline()
        except OSError:
            line = b""
        return msgspec.json.decode(line, type=Forked) if line else Forked()

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


class ForkServer:
    """One server process, started when it is first needed and again when it has died."""

    def __init__(self, command: Sequence[str], *, usable: bool = True) -> None:
        self._command = tuple(command)
        self._usable = usable and bool(command)
        self._control: socket.socket | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        self._warming: asyncio.Task[None] | None = None

    def warm(self) -> bool:
        """Return whether it serves; when it does not yet, it is being started."""
        if not self._usable:
            return False
        if self._popen is not None and self._popen.poll() is not None:
            self._forget()
        if self._control is None and self._warming is None:
            self._warming = asyncio.create_task(self._start())
        return self._control is not None

    async def fork(self, request: ForkRequest) -> "Conversation":
        """Ask for a program. Raises OSError when the server has gone."""
        if self._control is None:
            raise OSError("the fork server does not run")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            socket.send_fds(self._control, [b"f"], [theirs.fileno()])
        ours.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        writer.write(msgspec.json.encode(request))
        await writer.drain()
        writer.write_eof()
        return Conversation(reader, writer)

    async def close(self) -> None:
        """End the server."""
        self._usable = False
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        popen = self._popen
        self._forget()
        if popen is not None:
            popen.kill()
            await asyncio.to_thread(popen.wait)

    async def _start(self) -> None:
        """Start the server and wait until it has imported everything."""
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setblocking(False)
        try:
            with theirs:
                self._popen = subprocess.Popen(  # noqa: ASYNC220 - returns as soon as the program is executed
                    [*self._command, str(theirs.fileno())],
                    env=CLEAN_ENVIRONMENT | {"PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"},
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            async with asyncio.timeout(WARM_UP):
                said = await asyncio.get_running_loop().sock_recv(control, 1)
            if said == b"r":
                self._control = control
                self._warming = None
                return
            problem = "it ended before it served"
        except (OSError, TimeoutError) as error:
            problem = f"{type(error).__name__} {error}"
        except asyncio.CancelledError:
            control.close()
            raise
        control.close()
        self._usable = False
        log.warning("the fork server can't be used, so steps start more slowly: %s", problem)

    def _forget(self) -> None:
        if self._control is not None:
            self._control.close()
        self._control = self._popen = self._warming = None


def suits(job: Sandbox, served: Sequence[str]) -> bool:
    """Whether a container is one that a server of the command `served` can be: nothing that only an exec can give."""
    steering = any(sandbox.unsafe(name) or (name.startswith("PYTHON") and name not in _KNOWN) for name in job.environment)
    return bool(served) and job.command == tuple(served) and not (steering or job.stdin or job.terminal)


_KNOWN = ("PYTHONDONTWRITEBYTECODE",)


async def start(
    server: ForkServer,
    job: Sandbox,
    tools: Tools,
    output: Output,
    *,
    wrapper: Sequence[str] = (),
    groups_files: tuple[str, ...] = (),
    network: int = -1,
) -> Process:
    """Start a container's program from a server, as `process.start` does by executing it."""
    waiting = msgspec.structs.replace(job, command=WAITER)
    made = await process.start(waiting, tools, output, wrapper=wrapper, network=network)
    await made.up()
    target = made.pid
    if not target:
        return made  # the sandbox could not be made, and has said why
    who = job.identity
    request = ForkRequest(
        target=target,
        arguments=job.command,
        environment=job.environment,
        directory=job.directory,
        uid=who.uid,
        gid=who.gid,
        groups=who.groups,
        capabilities=tuple(NUMBERS[name] for name in who.capabilities if name in NUMBERS),
        groups_files=groups_files,
    )
    try:
        said = await server.fork(request)
        first = await said.next()
    except BaseException:
        made.kill()
        raise
    if not first.pid:
        made.kill()
        await made.wait()
        raise OSError(f"the fork server refuses: {first.problem or 'it has gone'}")
    made.joined(first.pid, asyncio.create_task(_follow(said, made)))
    return made


async def _follow(said: Conversation, made: Process) -> None:
    """Wait for the program's end; the sandbox goes with it."""
    last = await said.next()
    said.close()
    made.conclude(exit_of(-signal.SIGKILL if last.code is None else last.code))
