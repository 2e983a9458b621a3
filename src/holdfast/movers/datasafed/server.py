"""The far side of `client.c`: carries out the command lines of other containers of this pod.

Each client is served by a fork of this process, with the client's own descriptors as its standard streams; files that the line
names are opened by the client, with its rights and in its file system, and handed over. A client that dies takes its fork with
it, and at the end of its input a fork asks whether the client is still there, so a push that was killed leaves nothing behind.
The server runs no second thread, since a fork copies one only.
"""

import contextlib
import errno
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, NoReturn

from holdfast.movers.datasafed.command import Streams, main
from holdfast.movers.datasafed.faults import DatasafedError

SOCKET = "datasafed.sock"
_BACKLOG = 64
_LONGEST = 1 << 22


class Server:
    """Listens on `<folder>/datasafed.sock`; `serve` handles what comes until `stop` says so."""

    def __init__(self, folder: Path) -> None:
        path = folder / SOCKET
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen(_BACKLOG)
        self._clients: dict[int, tuple[socket.socket, int]] = {}
        self._woken, waker = os.pipe()
        for handle in (self._woken, waker):
            os.set_blocking(handle, False)
        signal.set_wakeup_fd(waker)
        self._poll = select.poll()
        for handle in (self._listener.fileno(), self._woken):
            self._poll.register(handle, select.POLLIN)

    def serve(self, seconds: float) -> None:
        """Handle what happens within some seconds; returns earlier when something did, also a signal."""
        for handle, _ in self._poll.poll(seconds * 1000):
            if handle == self._listener.fileno():
                self._accept()
            elif handle == self._woken:
                os.read(self._woken, 512)
            else:
                self._gone(handle)
        self._reap()

    def close(self) -> None:
        """End every command that still runs, and listen no more."""
        for handle in list(self._clients):
            self._gone(handle)
        self._listener.close()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            self._listener.close()
            _handle(connection)
        self._clients[connection.fileno()] = (connection, child)
        self._poll.register(connection, select.POLLRDHUP | select.POLLHUP)

    def _gone(self, handle: int) -> None:
        """A client has closed its end: with an answer or without one, its fork has nothing more to do."""
        connection, child = self._clients.pop(handle)
        self._poll.unregister(connection)
        connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)

    def _reap(self) -> None:
        for handle, (_, child) in list(self._clients.items()):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(child, os.WNOHANG)[0]:
                    self._gone(handle)


def _handle(connection: socket.socket) -> NoReturn:
    """Carry out one request in a process of its own, and end it."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        _, files, _, _ = socket.recv_fds(connection, 1, 3)
        (length,) = struct.unpack(">I", _exactly(connection, 4))
        parts = _exactly(connection, min(length, _LONGEST)).decode(errors="surrogateescape").split("\0")[:-1]
        words = [part[1:] for part in parts if part.startswith("a")]
        given = (part[1:].partition("=") for part in parts if part.startswith("e"))
        own = {name: value for name, value in os.environ.items() if not name.startswith("DATASAFED_")}
        env = own | {name: value for name, _, value in given}
        for source, target in zip(files, (0, 1, 2), strict=True):
            os.dup2(source, target)
            os.close(source)
        streams = Streams(os.fdopen(0, "rb"), os.fdopen(1, "wb"), _opener(connection), lambda: _confirm(connection))
        sys.stderr = os.fdopen(2, "w")
        code = main(words, env, streams)
        sys.stderr.flush()
    except BaseException as error:
        with contextlib.suppress(Exception):
            print(f"Error: datasafed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        with contextlib.suppress(OSError):
            connection.sendall(f"x{code}\0".encode())
        os._exit(0)


def _confirm(connection: socket.socket) -> None:
    """Let the client say that it lives. One that was killed says nothing any more, even if it still has its end open."""
    try:
        connection.sendall(b"c\0")
        _exactly(connection, 1)
    except OSError as error:
        raise DatasafedError("who pushed it has been killed, so nothing is stored") from error


def _opener(connection: socket.socket) -> Callable[[str, str], IO[bytes]]:
    def open_file(path: str, mode: str) -> IO[bytes]:
        connection.sendall(f"{mode[0]}{path}\0".encode(errors="surrogateescape"))
        data, files, _, _ = socket.recv_fds(connection, 1, 1)
        if files:
            return os.fdopen(files[0], mode)
        if data != b"!":
            raise DatasafedError(f"{path}: it was not handed over")
        number = b""
        while not number.endswith(b"\0"):
            number += _exactly(connection, 1)
        raise DatasafedError(f"{path}: {os.strerror(int(number[:-1] or errno.EIO))}")

    return open_file


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        data = connection.recv(count)
        if not data:
            raise ConnectionError("the request was cut short")
        parts.append(data)
        count -= len(data)
    return b"".join(parts)
