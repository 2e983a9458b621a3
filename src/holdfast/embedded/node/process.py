"""One sandboxed process: start, output, signals, end.

Plain Popen and a pidfd, so that a hundred containers need neither a hundred threads nor a particular event loop.
bubblewrap's first child is only a reaper: a TERM must go to the reaper's child, which is the container's command, and
a KILL to the reaper, with which the whole pid namespace goes. The info pipe is read to its end, since it comes in
several writes.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Generator, Sequence

import msgspec

from holdfast.embedded.node import descriptors
from holdfast.embedded.node import sandbox as sandboxes
from holdfast.embedded.node import terminal as terminals
from holdfast.embedded.node.network import namespace
from holdfast.embedded.node.sandbox import Sandbox

Output = Callable[[str, bytes], None]
"""Called with `stdout` or `stderr` and what the container wrote."""

NS_GET_USERNS = 0xB701
"""The ioctl that returns the user namespace which owns a namespace (nsfs of Linux)."""

INNER_PID = 2
"""The container's command as its sandbox sees it: the first child of bubblewrap's reaper."""

CLEAN_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class Tools(msgspec.Struct, frozen=True):
    """The programs of the machine that make a sandbox, whether the node is root, and which capabilities it can give."""

    bwrap: str = "/usr/bin/bwrap"
    nsenter: str = "/usr/bin/nsenter"
    privileged: bool = True
    capabilities: frozenset[str] = frozenset()


class Exit(msgspec.Struct, frozen=True):
    """How a process ended. `code` is 128 + signal after a signal."""

    code: int
    signal: int = 0


class Process:
    """A running sandbox. Made by `start`.

    `stdin` is our end of its standard input, `terminal` our side of its terminal; -1 where there is none.
    """

    def __init__(self, popen: "subprocess.Popen[bytes]", tools: Tools, job: Sandbox) -> None:
        self.sandbox = job
        self.stdin = -1
        self.terminal = -1
        self._popen = popen
        self._tools = tools
        self._reaper = 0
        self._joined = 0
        self._verdict: Exit | None = None
        self._following: asyncio.Task[None] | None = None
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._open_pipes = 0
        self._drained = asyncio.Event()

    @property
    def pid(self) -> int:
        """The container's own process as the machine sees it; 0 once it is gone."""
        try:
            with open(f"/proc/{self._reaper}/task/{self._reaper}/children") as file:
                return int(file.read().split()[0]) if self._reaper else 0
        except (OSError, IndexError):
            return 0

    @property
    def safe_environment(self) -> dict[str, str]:
        """The container's variables, without those that would steer the programs that enter it."""
        found = self.sandbox.environment
        return {name: value for name, value in found.items() if not sandboxes.unsafe(name)}

    async def wait(self) -> Exit:
        """Wait for the end, and until all output was handed over (at most a second later)."""
        found = await asyncio.shield(self._exit)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._drained.wait()
        return found

    def signal(self, number: int) -> None:
        """Signal the container's command. Nothing happens when it is gone."""
        if not self._exit.done() and (pid := self._joined or self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """End every process of the sandbox at once."""
        if self._exit.done():
            return
        for pid in (self._reaper, self._popen.pid):
            with contextlib.suppress(ProcessLookupError):
                if pid:
                    os.kill(pid, signal.SIGKILL)

    async def up(self) -> None:
        """Wait until the sandbox is made and the container's process is there, or over again."""
        while not self.pid and not self._exit.done():  # noqa: ASYNC110 - /proc tells nobody
            await asyncio.sleep(0.002)

    async def stop(self, grace: float) -> Exit:
        """Ask it to end, and kill it after `grace` seconds."""
        try:
            async with asyncio.timeout(max(grace, 0.0)):
                await self.up()
                self.signal(signal.SIGTERM)
                await asyncio.shield(self._exit)
        except TimeoutError:
            self.kill()
        return await self.wait()

    @contextlib.contextmanager
    def entrance(self, command: Sequence[str], *, terminal: bool = False) -> Generator[tuple[list[str], list[int]]]:
        """Give the command line that runs a command in the sandbox as who the container is, and descriptors to hand down.

        The command dies with the process that entered. With `terminal` it leads a session of its own on its standard input;
        that session is made inside, since a shell must be able to name its own group.
        Without root bubblewrap nests two user namespaces: the sandbox's mounts belong to the outer one, the container's
        user lives in the inner one, and one who enters must take both steps. A container that asks for root has one only.
        """
        pid, tools = self.pid, self._tools
        spaces = ["--mount", "--pid", "--ipc", "--uts", "--wd", *(["--net"] if tools.privileged else [])]
        control = terminals.CONTROL if terminal else ()
        within = ["--pdeathsig=KILL", *sandboxes.late(self.sandbox.environment), *command]
        identity = sandboxes.drop_privileges(self.sandbox.identity, privileged=tools.privileged)
        if tools.privileged:
            yield [tools.nsenter, "--target", str(pid), *spaces, "--", *control, *identity, *within], []
            return
        with open(f"/proc/{pid}/ns/mnt") as mounts:
            outer = fcntl.ioctl(mounts, NS_GET_USERNS)
        try:
            first = [
                tools.nsenter,
                "--target",
                str(pid),
                f"--user=/proc/self/fd/{outer}",
                "--preserve-credentials",
                *spaces,
                "--",
            ]
            second = ["/usr/bin/nsenter", f"--user=/proc/{INNER_PID}/ns/user", "--preserve-credentials", "--"]
            if os.path.samestat(os.fstat(outer), os.stat(f"/proc/{pid}/ns/user")):
                second = []
            yield [*first, *second, *control, *identity, "--bounding-set=-all", "--inh-caps=-all", *within], [outer]
        finally:
            os.close(outer)

    def end_input(self) -> None:
        """Close the container's standard input, unless it is a terminal."""
        if self.terminal < 0:
            descriptors.close(self.stdin)
            self.stdin = -1

    def attach(self, pidfd: int, pipes: Sequence[tuple[str, int]], output: Output) -> None:
        """Watch the process and its pipes on the running loop."""
        loop = asyncio.get_running_loop()
        self._open_pipes = len(pipes)
        for stream, pipe in pipes:
            loop.add_reader(pipe, self._readable, stream, pipe, output)
        loop.add_reader(pidfd, self._ended, pidfd)

    def started(self, reaper: int) -> None:
        """Note the pid of the reaper."""
        self._reaper = reaper

    def joined(self, pid: int, following: "asyncio.Task[None]") -> None:
        """Note that the container's program is a process which has joined the sandbox, and the task that waits for its end."""
        self._joined, self._following = pid, following

    def conclude(self, ended: Exit) -> None:
        """Note how a program that has joined the sandbox ended; the sandbox goes with it."""
        self._joined = 0
        self._verdict = ended
        self.kill()

    def _readable(self, stream: str, pipe: int, output: Output) -> None:
        try:
            data = os.read(pipe, 65536)
        except BlockingIOError:
            return
        except OSError:  # a terminal that nobody holds any more
            data = b""
        if data:
            output(stream, data)
            return
        asyncio.get_running_loop().remove_reader(pipe)
        if pipe == self.terminal:
            self.terminal = self.stdin = -1
        os.close(pipe)
        self._open_pipes -= 1
        if not self._open_pipes:
            self._drained.set()

    def _ended(self, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        self.end_input()
        code = self._popen.wait()
        self._exit.set_result(self._verdict or exit_of(code))


def exit_of(code: int) -> Exit:
    """Return how a process ended, from the code by which Python reports it (negative for a signal)."""
    if code < 0:
        return Exit(128 - code, -code)
    return Exit(code, code - 128 if 128 < code < 160 else 0)


async def start(job: Sandbox, tools: Tools, output: Output, *, wrapper: Sequence[str] = (), network: int = -1) -> Process:
    """Start a container. `wrapper` is put before bubblewrap's own command line (a cgroup, a limit), `network` is
    the descriptor of the network namespace that it is started in.

    A sandbox that can't be made ends at once with what bubblewrap said on `stderr`; nothing is raised for it.
    """
    arguments = _memory_file(sandboxes.encode(sandboxes.options(job, privileged=tools.privileged)))
    info_read, info_write = os.pipe()
    ends = _Ends(job)
    line = [*wrapper, tools.bwrap, "--args", str(arguments), "--info-fd", str(info_write), "--"]
    line += sandboxes.command(job, privileged=tools.privileged, gated=ends.gate >= 0)
    try:
        with namespace.inside(network):
            popen = subprocess.Popen(  # noqa: ASYNC220 - returns as soon as the program is executed
                line,
                env=CLEAN_ENVIRONMENT,
                stdin=ends.theirs[0],
                stdout=ends.theirs[1],
                stderr=ends.theirs[2],
                pass_fds=(arguments, info_write),
                start_new_session=True,
            )
    except OSError:
        descriptors.close(info_read, ends.gate, *ends.ours)
        raise
    finally:
        descriptors.close(arguments, info_write, *set(ends.theirs))
    process = Process(popen, tools, job)
    process.stdin, process.terminal = ends.stdin, ends.terminal
    process.attach(os.pidfd_open(popen.pid), ends.outputs, output)
    process.started(_reaper(await _read_all(info_read)))
    ends.open_gate()
    return process


class _Ends:
    """The streams of a container: the three that it gets, and our ends of them.

    One without standard input waits at a gate: by the time that bubblewrap tells its pid it has asked the kernel to end with
    us, and only then we let the container run. When we die before that, it reads the end of the pipe and never runs.
    """

    def __init__(self, job: Sandbox) -> None:
        self.stdin = self.terminal = self.gate = -1
        if job.terminal:
            ours, theirs = terminals.open_terminal()
            self.theirs = [theirs, theirs, theirs]
            self.stdin = self.terminal = ours
            self.outputs = [("stdout", ours)]
        else:
            reading, writing = os.pipe()
            self.stdin, self.gate = (writing, -1) if job.stdin else (-1, writing)
            (out, to_out), (err, to_err) = os.pipe(), os.pipe()
            self.theirs = [reading, to_out, to_err]
            self.outputs = [("stdout", out), ("stderr", err)]
        for each in self.ours:
            os.set_blocking(each, False)
        for each in set(self.theirs[1:]):  # so that the container may open its /dev/stdout by name
            with contextlib.suppress(OSError):
                os.fchown(each, job.identity.uid, -1)

    def open_gate(self) -> None:
        if self.gate >= 0:
            with contextlib.suppress(BrokenPipeError):  # bubblewrap has failed, and says why
                os.write(self.gate, b"\n")
            os.close(self.gate)

    @property
    def ours(self) -> set[int]:
        return {self.stdin, *(pipe for _, pipe in self.outputs)} - {-1}


def try_once(job: Sandbox, tools: Tools) -> str:
    """Run a short sandbox to its end and return what it and bubblewrap said."""
    arguments = _memory_file(sandboxes.encode(sandboxes.options(job, privileged=tools.privileged)))
    line = [tools.bwrap, "--args", str(arguments), "--", *sandboxes.command(job, privileged=tools.privileged)]
    try:
        found = subprocess.run(line, env=CLEAN_ENVIRONMENT, capture_output=True, pass_fds=(arguments,), timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return str(problem)
    finally:
        os.close(arguments)
    said = (found.stdout + found.stderr).decode(errors="replace")
    return said or ("" if found.returncode == 0 else f"exit code {found.returncode}")


def _memory_file(data: bytes) -> int:
    """Return a descriptor to read the data from. It never has a name, so nobody else can open it."""
    try:
        descriptor = os.memfd_create("holdfast-sandbox")
    except OSError:
        with tempfile.TemporaryFile(dir="/dev/shm") as file:
            descriptor = os.dup(file.fileno())
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


async def _read_all(descriptor: int) -> bytes:
    """Read a pipe to its end without blocking the loop, and close it."""
    loop = asyncio.get_running_loop()
    found: list[bytes] = []
    ended: asyncio.Future[None] = loop.create_future()

    def readable() -> None:
        data = os.read(descriptor, 4096)
        found.append(data)
        if not data:
            loop.remove_reader(descriptor)
            if not ended.done():
                ended.set_result(None)

    loop.add_reader(descriptor, readable)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return b"".join(found)


class _Info(msgspec.Struct, rename="kebab"):
    child_pid: int = 0


def _reaper(info: bytes) -> int:
    try:
        return msgspec.json.decode(info, type=_Info).child_pid
    except msgspec.DecodeError:
        return 0
