"""Plain HTTP/1.1 over connections that are kept open and shared by all threads of a store.

A connection is lent to one request at a time and comes back when its answer was read whole; one that the server has closed
meanwhile is noticed before it is used again. What may pass by itself (refused, cut, timed out, an answer cut short) is raised
as `StoreUnavailable`, so that the caller's retries decide. Certificates that nobody trusts are an error at once.
"""

import http.client
import select
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from holdfast.repo.errors import BadLocation, StoreError, StoreUnavailable
from holdfast.repo.store import Buffer

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 300.0
"""How long a server may be silent: it answers a write only when its own back end has the data."""

IDLE_CONNECTIONS = 64


class Answer(msgspec.Struct, frozen=True):
    """What a server said. Names of headers are in small letters."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The first line of the body, at most 300 characters, for messages."""
        return self.body[:1000].decode(errors="replace").strip().partition("\n")[0][:300]

    @property
    def retry_after(self) -> float | None:
        """The seconds of a Retry-After header; None without one, or for the form that names a date."""
        given = self.headers.get("retry-after", "").strip()
        return float(given) if given.isdigit() else None


class _UnixConnection(http.client.HTTPConnection):
    """A connection to a socket in the file system."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(CONNECT_SECONDS)
        self.sock.connect(self._path)


def dial_unix(path: str) -> http.client.HTTPConnection:
    """A new connection to a unix socket, not yet open."""
    return _UnixConnection(path)


def dial(scheme: str, netloc: str, context: ssl.SSLContext) -> http.client.HTTPConnection:
    """A new connection to a host, not yet open."""
    if scheme == "https":
        return http.client.HTTPSConnection(netloc, timeout=CONNECT_SECONDS, context=context)
    return http.client.HTTPConnection(netloc, timeout=CONNECT_SECONDS)


def tls_context(ca: bytes = b"", *, insecure: bool = False) -> ssl.SSLContext:
    """What is trusted: the system's authorities and those of `ca` (PEM), or with `insecure` anybody. Raises BadLocation."""
    context = ssl.create_default_context()
    if ca:
        try:
            context.load_verify_locations(cadata=ca.decode("ascii", "replace"))
        except ssl.SSLError as error:
            raise BadLocation(f"the CA file holds no certificate in PEM: {error.reason or error}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def read_ca(env: Mapping[str, str]) -> bytes:
    """The CA bundle that RESTIC_CACERT or AWS_CA_BUNDLE names; empty without one. Raises BadLocation."""
    path = env.get("RESTIC_CACERT") or env.get("AWS_CA_BUNDLE") or ""
    try:
        return Path(path).read_bytes() if path else b""
    except OSError as error:
        raise BadLocation(f"the CA file {path} can't be read: {error.strerror}") from error


def is_on(env: Mapping[str, str], name: str) -> bool:
    """Whether a variable says yes."""
    return env.get(name, "").strip().lower() in ("1", "true", "yes")


class Connections:
    """Open connections to one server; `where` names it in messages, `dial` makes another connection."""

    def __init__(self, where: str, dial: Callable[[], http.client.HTTPConnection]) -> None:
        self._where, self._dial = where, dial
        self._idle: list[http.client.HTTPConnection] = []
        self._guard = threading.Lock()

    def request(
        self, method: str, target: str, *, body: Buffer | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request and read its answer whole. Raises StoreUnavailable, or StoreError for an untrusted server."""
        connection = self._take()
        try:
            answer = self._exchange(connection, method, target, body, headers or {})
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise StoreError(
                f"{self._where}: the certificate is not trusted ({error.verify_message}): name its CA with RESTIC_CACERT"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise StoreUnavailable(f"{self._where}: {_plain(error)}") from None
        except BaseException:
            connection.close()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            connection.close()
        else:
            self._give(connection)
        return answer

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        body: Buffer | None,
        headers: Mapping[str, str],
    ) -> Answer:
        """A server that refuses a body before it has read it may close its end while we still send: its answer counts."""
        if connection.sock is None:
            connection.connect()
        if connection.sock is not None:
            connection.sock.settimeout(ANSWER_SECONDS)
        refused: OSError | None = None
        try:
            connection.request(method, target, body=None if body is None else memoryview(body), headers=dict(headers))
        except (BrokenPipeError, ConnectionResetError) as error:
            refused = error
        try:
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise refused or error from None
        data = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, response.reason, found, data)

    def _take(self) -> http.client.HTTPConnection:
        while True:
            with self._guard:
                if not self._idle:
                    return self._dial()
                connection = self._idle.pop()
            if not _is_stale(connection):
                return connection
            connection.close()

    def _give(self, connection: http.client.HTTPConnection) -> None:
        with self._guard:
            if connection.sock is not None and len(self._idle) < IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what is idle. Requests that are under way end by themselves."""
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def _is_stale(connection: http.client.HTTPConnection) -> bool:
    """An idle connection with something to read was closed by the server, or is out of step: neither is of use."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _plain(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return f"the answer was cut short after {len(error.partial)} bytes"
    if isinstance(error, TimeoutError):
        return "timed out"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__
