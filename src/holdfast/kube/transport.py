"""One HTTP connection pool to one API server: bounded, patient, and careful about what it repeats.

Three kinds of requests exist. `SAFE` ones may be repeated whatever happened: reads, deletes, applies. `NAMED` writes
change nothing when repeated, because a name or a resourceVersion makes the second one fail: the caller sees
AlreadyExists or Conflict and reads again. `ONCE` writes are repeated only when the server cannot have seen them: it
refused the connection, or answered 429. Streams (watches, logs) take no slot, since they live for minutes.
"""

import asyncio
import enum
import logging
import random
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from holdfast.kube.auth import credentials_of
from holdfast.kube.config import ClusterConfig
from holdfast.kube.errors import ApiError, TooManyRequests, Unauthorized, Unavailable, error_of, unreachable
from holdfast.kube.tls import ssl_context

ATTEMPTS: Final = 5
BACKOFF: Final = 0.1
BACKOFF_LIMIT: Final = 2.0
RETRY_AFTER_LIMIT: Final = 30.0
REQUEST_TIMEOUT: Final = 60.0
CONNECT_TIMEOUT: Final = 10.0

_UNARY: Final = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT, sock_connect=CONNECT_TIMEOUT)

_log = logging.getLogger(__name__)

Gate = Callable[[], None]
"""Called before each attempt of a write; raises when we may not write now, such as without the lease."""


Socket = aiohttp.ClientWebSocketResponse
"""A WebSocket to the API server."""


class Repeat(enum.Enum):
    """When a request may be sent again."""

    SAFE = "safe"
    NAMED = "named"
    ONCE = "once"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: bytes | None = None
    content_type: str = "application/json"
    accept: str = "application/json"
    repeat: Repeat = Repeat.SAFE

    @property
    def asked(self) -> str:
        """What is asked, for messages."""
        return f"{self.method} {self.path}"


class Transport:
    """Requests to one API server. Not usable before the event loop runs."""

    def __init__(self, config: ClusterConfig, *, max_in_flight: int, user_agent: str):
        self._config = config
        self._credentials = credentials_of(config)
        self._slots = asyncio.Semaphore(max_in_flight)
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None
        self._warned: set[str] = set()
        self.sent: Counter[str] = Counter()

    async def close(self) -> None:
        """Close all connections; streams end."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(self, call: Call, gate: Gate | None = None) -> bytes:
        """Send a request and return the answer's body. Raises ApiError when the server refuses, or stays unreachable."""
        lost = False
        refreshed = False
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(call, gate)
            except Unauthorized:
                if refreshed or not self._credentials.forget():
                    raise
                refreshed = True
            except (Unavailable, TooManyRequests) as error:
                if attempt >= ATTEMPTS or not _may_repeat(call, error):
                    raise
                lost = lost or (isinstance(error, Unavailable) and error.reason != "Refused")
                await asyncio.sleep(_pause(attempt, error))
            except ApiError as error:
                error.repeated = lost
                raise

    async def _attempt(self, call: Call, gate: Gate | None) -> bytes:
        headers = await self._headers(call)
        async with self._slots:
            if gate is not None:
                gate()
            response = await self._send(call, headers, _UNARY)
            body = await _body(call, response)
        self._note_warnings(response)
        if response.status >= 400:
            raise error_of(response.status, body, call.asked, retry_after=_retry_after(response))
        return body

    async def stream(self, call: Call, *, read_timeout: float | None) -> aiohttp.ClientResponse:
        """Open a long answer, which the caller must release. Raises ApiError when refused.

        There is one attempt, since only the caller knows where to go on.
        """
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=read_timeout)
        response = await self._send(call, await self._headers(call), limits)
        if response.status < 400:
            return response
        if response.status == 401:
            self._credentials.forget()
        raise error_of(response.status, await _body(call, response), call.asked, retry_after=_retry_after(response))

    async def websocket(self, call: Call, protocols: Sequence[str], query: Sequence[tuple[str, str]]) -> Socket:
        """Open a WebSocket with one of these subprotocols, which the caller must close.

        Raises ApiError when refused, in the words of an ordinary answer: a failed handshake has no room for any.
        """
        session, path = self._connect(), f"{call.path}?{urlencode(query)}"
        try:
            return await session.ws_connect(
                URL(self._config.server + path, encoded=True),
                protocols=protocols,
                headers=await self._headers(call),
                max_msg_size=0,
            )
        except aiohttp.WSServerHandshakeError as error:
            await self.request(msgspec.structs.replace(call, path=path))
            raise error_of(error.status, error.message.encode(), call.asked) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _no_answer(call, error) from error

    async def _send(self, call: Call, headers: CIMultiDict[str], limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        session = self._connect()
        self.sent[call.method] += 1
        url = URL(self._config.server + call.path + ("?" + urlencode(call.query) if call.query else ""), encoded=True)
        try:
            return await session.request(
                call.method, url, data=call.body, headers=headers, timeout=limits, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _no_answer(call, error) from error

    def _connect(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl_context(self._config)
            connector = aiohttp.TCPConnector(limit=0, ssl=context, keepalive_timeout=30)
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers={"User-Agent": self._user_agent},
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=self._config.proxy_url or None,
            )
            # aiohttp repeats idempotent requests by itself, past our gate and without a word; there is no public switch.
            setattr(self._session, "_retry_connection", False)  # noqa: B010
        return self._session

    async def _headers(self, call: Call) -> CIMultiDict[str]:
        headers = CIMultiDict[str](Accept=call.accept)
        authorization = await self._credentials.header()
        if authorization:
            headers["Authorization"] = authorization
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        if self._config.impersonate:
            headers["Impersonate-User"] = self._config.impersonate
        for group in self._config.impersonate_groups:
            headers.add("Impersonate-Group", group)
        return headers

    def _note_warnings(self, response: aiohttp.ClientResponse) -> None:
        for text in response.headers.getall("Warning", ()):
            if text not in self._warned and len(self._warned) < 1000:
                self._warned.add(text)
                _log.warning("API server warns on %s %s: %s", response.method, response.url.path, text)


async def _body(call: Call, response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.read()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _no_answer(call, error) from error
    finally:
        response.release()


def _no_answer(call: Call, error: BaseException) -> Unavailable:
    result = unreachable(call.asked, error)
    if isinstance(error, aiohttp.ClientConnectorError):
        result.reason = "Refused"
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError)):
        result.reason = "Certificate"
    return result


def _may_repeat(call: Call, error: ApiError) -> bool:
    if isinstance(error, TooManyRequests) or error.reason == "Refused":
        return True
    if error.reason == "Certificate":
        return False
    if error.status in (0, 502, 503, 504):
        return call.repeat is not Repeat.ONCE
    return call.repeat is Repeat.SAFE


def _pause(attempt: int, error: ApiError) -> float:
    if error.retry_after is not None:
        return min(error.retry_after, RETRY_AFTER_LIMIT) * random.uniform(1.0, 1.1)
    return min(BACKOFF * 2 ** (attempt - 1), BACKOFF_LIMIT) * random.uniform(0.5, 1.0)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Read Retry-After in seconds; the date form is not used by Kubernetes."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None
