"""Hooks over HTTP and to plain ports.

Nothing of a secret header or body appears in the log or the report, and neither does a URL's query, which may hold a token.
A redirect is an answer like any other: it is not followed, so that a header meant for one host reaches no second one.
"""

import contextlib
import http.client
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from holdfast.core.cluster_calls import HttpRequest, TcpConnect
from holdfast.core.report import ItemResult, Report
from holdfast.movers.attempts import tried
from holdfast.movers.context import Context, MoverError, log, stopped

T = TypeVar("T")

_LISTEN: Final = 0.1
_SHOWN: Final = 400
"""Bytes of an answer that a failure quotes."""


def request(call: HttpRequest, context: Context) -> Report:
    """Send the request until it is answered as expected."""
    url = urlsplit(call.url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise MoverError("BadArguments", f"{_shown(url)} is no http or https URL", "write it as http://host:port/path")
    what = f"{call.method} {_shown(url)}"
    status = tried(
        what,
        call.attempts,
        call.delay,
        context,
        lambda: _bounded(what, call.timeout, context, lambda: _request(call, url, what)),
    )
    log(f"{what} was answered with {status}")
    return Report(HttpRequest.MOVER, items=(ItemResult(url.netloc.rpartition("@")[2], str(status)),))


def connect(call: TcpConnect, context: Context) -> Report:
    """Connect until it works once."""
    what = f"{call.host}:{call.port}"
    tried(what, call.attempts, call.delay, context, lambda: _bounded(what, call.timeout, context, lambda: _connect(call, what)))
    log(f"{what} is open")
    return Report(TcpConnect.MOVER, items=(ItemResult(what, "open"),))


def _connect(call: TcpConnect, what: str) -> None:
    try:
        socket.create_connection((call.host, call.port), call.timeout).close()
    except OSError as error:
        raise MoverError("NotOpen", f"no connection to {what}: {_words(error)}") from error


def _request(call: HttpRequest, url: SplitResult, what: str) -> int:
    headers = dict(call.headers) | {name: _secret(path) for name, path in call.secret_headers.items()}
    body = Path(call.body_file).read_bytes() if call.body_file else call.body.encode()
    connection = _connection(call, url)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        connection.request(call.method, path, body or None, headers)
        answer = connection.getresponse()
        said = answer.read(_SHOWN).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise MoverError("Timeout" if isinstance(error, TimeoutError) else "NoAnswer", f"{what}: {_words(error)}") from error
    finally:
        connection.close()
    if not call.least <= answer.status <= call.most:
        words = " ".join(said.split())
        expected = f"{call.least} to {call.most} was expected"
        raise MoverError("BadStatus", f"{what} was answered with {answer.status}, {expected}{f': {words}' if words else ''}")
    return answer.status


def _connection(call: HttpRequest, url: SplitResult) -> http.client.HTTPConnection:
    host = url.hostname or ""
    if url.scheme == "http":
        return http.client.HTTPConnection(host, url.port, timeout=call.timeout)
    context = ssl.create_default_context(cafile=call.ca_file or None)
    if call.insecure_tls:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, url.port, timeout=call.timeout, context=context)


def _bounded(what: str, seconds: float, context: Context, work: Callable[[], T]) -> T:
    """Run blocking work beside us, so that its time and the wish to stop end it; it is left behind then.

    A socket's own timeout counts from byte to byte, and a server that drips must not hold us.
    """
    until = time.monotonic() + seconds + _LISTEN
    done: queue.SimpleQueue[Callable[[], T]] = queue.SimpleQueue()

    def run() -> None:
        try:
            result = work()
        except Exception as error:
            failed = error

            def fail() -> T:
                raise failed

            done.put(fail)
        else:
            done.put(lambda: result)

    threading.Thread(target=run, daemon=True).start()
    while True:
        with contextlib.suppress(queue.Empty):
            return done.get(timeout=_LISTEN)()
        if context.stop.is_set():
            raise stopped()
        if time.monotonic() > until:
            raise MoverError("Timeout", f"{what}: no complete answer within {seconds:g} s")


def _secret(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise MoverError("NotFound", f"can't read {path}: {error.strerror}", "the Secret must have this key") from error


def _shown(url: SplitResult) -> str:
    """Return a URL without what may be secret in it: user, password and query."""
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
