"""`python -m holdfast.movers.forkserver [MODULE:FUNCTION] FD`: movers forked from one process that has everything imported.

A fresh interpreter needs 75 ms of work before a mover's first line; a fork needs about one. The server is given a connection
per program through the socket FD, forks at once and never reads from it: what belongs to one pod is read by the child that
becomes its program. That child enters the namespaces of a sandbox that the node has made, forks once more (a process changes
its pid namespace only by birth), and its child takes on the container's identity exactly as setpriv does for others.

The server runs no second thread, since a fork copies one only. It ends with the node.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

import msgspec

from holdfast.core.forks import Forked, ForkRequest

_PRELOADED: Final = ("antfly_backup", "backup", "entry", "restore", "retention", "storage")
_NAMESPACES: Final = ("ipc", "uts", "net", "pid", "mnt")
"""What a program shares with its sandbox; mnt comes last, since /proc is another one afterwards."""

_SET_DEATH_SIGNAL, _SET_DUMPABLE, _DROP_BOUND, _NO_NEW_PRIVILEGES, _AMBIENT, _AMBIENT_CLEAR = 1, 4, 24, 38, 47, 4
_CAPABILITY_VERSION: Final = 0x20080522
_libc: Final = ctypes.CDLL(None, use_errno=True)

Program = Callable[[list[str]], int]


def main(words: list[str]) -> int:
    """Serve on a socket; return in each program's process with that program's exit code."""
    control = socket.socket(fileno=int(words[-1]))
    program = _program(words[0] if len(words) > 1 else "holdfast.movers.entry:main")
    if len(os.listdir("/proc/self/task")) != 1:
        print("forkserver: something that was imported has started a thread, so nothing can be forked", file=sys.stderr)
        return 1
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    control.send(b"r")
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            return 0
        if os.fork():
            os.close(descriptors[0])
            continue
        control.close()
        return _serve(socket.socket(fileno=descriptors[0]), program)


def _program(name: str) -> Program:
    """Import everything that programs will need, and return the function they begin with."""
    for module in _PRELOADED:
        importlib.import_module(f"holdfast.movers.{module}")
    module, _, function = name.partition(":")
    return cast(Program, getattr(importlib.import_module(module), function))


def _serve(connection: socket.socket, program: Program) -> int:
    """Carry out one request. Returns the program's code in its own process; this process ends here."""
    _die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        request = msgspec.json.decode(_everything(connection), type=ForkRequest)
        opened = [os.open(f"/proc/{request.target}/fd/{number}", os.O_WRONLY) for number in (1, 2)]
        opened += [os.open(path, os.O_WRONLY) for path in request.groups_files]
        _enter(request)
        child = os.fork()
    except (OSError, msgspec.DecodeError) as problem:
        _say(connection, Forked(problem=f"{type(problem).__name__}: {problem}"))
        os._exit(1)
    if child == 0:
        connection.close()
        return _become(request, opened, program)
    for descriptor in opened:
        os.close(descriptor)
    _say(connection, Forked(pid=child))
    _, status = os.waitpid(child, 0)
    _say(connection, Forked(code=os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _enter(request: ForkRequest) -> None:
    """Go where the sandbox is. The pid namespace counts from the next fork on."""
    namespaces = [os.open(f"/proc/{request.target}/ns/{name}", os.O_RDONLY) for name in _NAMESPACES]
    for namespace in namespaces:
        _check(_libc.setns(namespace, 0))
        os.close(namespace)


def _become(request: ForkRequest, opened: list[int], program: Program) -> int:
    """Turn this process into the container's own, and run its program. `opened`: both outputs, and the files of its groups."""
    try:
        for group in opened[2:]:
            os.write(group, b"0")
        os.setsid()
        os.chdir(request.directory)
        os.umask(0o022)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (opened[0], 1), (opened[1], 2)):
            os.dup2(source, target)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.environ.clear()
        os.environ.update(request.environment)
        time.tzset()
        _drop(request)
        _die_with_parent()
    except OSError as problem:
        print(f"forkserver: the program can't be started: {problem}", file=sys.stderr, flush=True)
        return 126
    sys.argv = list(request.arguments)
    return program(sys.argv[1:])


def _drop(request: ForkRequest) -> None:
    """Take on user, groups and capabilities, and forbid new ones."""
    for number in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
        if number not in request.capabilities:
            _check(_libc.prctl(_DROP_BOUND, number, 0, 0, 0))
    _check(_libc.prctl(_AMBIENT, _AMBIENT_CLEAR, 0, 0, 0))
    os.setgroups(list(request.groups))
    os.setresgid(request.gid, request.gid, request.gid)
    os.setresuid(request.uid, request.uid, request.uid)
    mask = sum(1 << number for number in request.capabilities) if request.uid == 0 else 0
    words = [part for half in (mask & 0xFFFFFFFF, mask >> 32) for part in (half, half, 0)]
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)(*words)))
    _check(_libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _check(_libc.prctl(_SET_DUMPABLE, 1, 0, 0, 0))  # as after an exec: a program may open its own /proc/self/fd


def _die_with_parent() -> None:
    _check(_libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0))


def _everything(connection: socket.socket) -> bytes:
    """Read a request to its end."""
    found: list[bytes] = []
    while data := connection.recv(1 << 16):
        found.append(data)
    return b"".join(found)


def _say(connection: socket.socket, said: Forked) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(msgspec.json.encode(said) + b"\n")


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    _die_with_parent()
    sys.exit(main(sys.argv[1:]))
