"""A client of the public HTTP API of an Antfly server (root `/db/v1`), as far as backups need it.

What matters to callers is what is known when a call goes wrong, so there are three errors: it was certainly not delivered
(`NotDelivered`; a call that only reads counts as such whenever its answer is lost), it may have been and nobody answered
(`NoAnswer`), the server refused it (`Refused`). A call may take hours; it ends at once when the mover is told to stop, and at
its own deadline. The token never appears in a message.
"""

import http.client
import select
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from holdfast.core.calls import AntflyServer
from holdfast.movers.context import Context, MoverError, log

T = TypeVar("T")

ROOT: Final = "/db/v1"
CONNECT_SECONDS: Final = 10.0
SHORT: Final = 30.0
"""Seconds for a call that only reads."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds between two tries of a call that the server did not take on."""

TOKEN_KEY: Final = "ANTFLY_TOKEN"

_LISTEN: Final = 0.25
_LARGEST: Final = 64 << 20
_NOT_BEGUN: Final = (429, 503)
"""Answers by which a server says that it did not take the request on."""

_LOST_ON_THE_WAY: Final = (502, 504)
"""Answers of a proxy that lost the server: it may be working on the request."""


class AntflyError(Exception):
    """A call that brought no result. The text names the call and what happened."""


class NotDelivered(AntflyError):
    """The server did not take the call on, or it only reads: it may be repeated."""


class NoAnswer(AntflyError):
    """The call was sent, and its outcome is not known."""


class Refused(AntflyError):
    """The server answered with an error: `status` is HTTP's, `said` the server's own words."""

    def __init__(self, call: str, status: int, said: str) -> None:
        super().__init__(f"{call} was answered with {status}: {said}")
        self.status, self.said = status, said


class TableOutcome(msgspec.Struct, frozen=True):
    """What became of one table. `status` of a backup: completed, failed, skipped; of a restore: triggered, skipped, failed."""

    name: str
    status: str
    error: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """The answer to a backup (`completed`, `partial`, `failed`) or a restore (`triggered`, `partial`, `failed`)."""

    status: str
    tables: tuple[TableOutcome, ...] = ()
    backup_id: str = ""


class Listed(msgspec.Struct, frozen=True):
    """One backup of the listing. `tables` are those that are completely in it."""

    backup_id: str
    timestamp: str = ""
    tables: tuple[str, ...] | None = None
    location: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The tables; a server without any says null."""
        return self.tables or ()


class _Listing(msgspec.Struct, frozen=True):
    backups: tuple[Listed, ...] | None = None


class Storage(msgspec.Struct, frozen=True):
    """How much a table holds; `bytes` on disk."""

    empty: bool = False
    bytes: int = msgspec.field(name="disk_usage", default=0)


class Table(msgspec.Struct, frozen=True):
    """One table as the server shows it."""

    name: str
    shards: Mapping[str, Any] | None = None
    storage: Storage = msgspec.field(name="storage_status", default=Storage())

    @property
    def loaded(self) -> bool:
        """Whether it has shards and data in them."""
        return bool(self.shards) and not self.storage.empty


class Health(msgspec.Struct, frozen=True):
    """The server's own verdict: `health` is `healthy` when all is well."""

    health: str
    message: str | None = None


class Client:
    """Calls of one mover to one server; one at a time, each on a connection of its own."""

    def __init__(self, server: AntflyServer, context: Context) -> None:
        """Raise MoverError for a URL that is none."""
        try:
            parts = urlsplit(server.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        if parts.scheme not in ("http", "https") or not host:
            raise MoverError("BadEndpoint", f"{server.url!r} of AntflyCluster {server.cluster} is not an http or https URL")
        self._host, self._port, self._secure = host, port, parts.scheme == "https"
        self._base = parts.path.rstrip("/") + ROOT
        self._token = _token(server.token_file)
        self._context = context
        self.name = f"AntflyCluster {server.cluster} at {server.url}"

    def health(self) -> Health:
        """Ask the server how it is."""
        return self._call("GET", "/status", Health, within=SHORT)

    def tables(self) -> tuple[str, ...]:
        """Return the names of all tables."""
        return tuple(table.name for table in self._call("GET", "/tables", tuple[Table, ...] | None, within=SHORT) or ())

    def table(self, name: str) -> Table | None:
        """Return one table; None when there is none of that name."""
        try:
            return self._call("GET", f"/tables/{quote(name, safe='')}", Table, within=SHORT)
        except Refused as refusal:
            if refusal.status == http.client.NOT_FOUND:
                return None
            raise

    def backups(self, location: str) -> tuple[Listed, ...]:
        """Return the backups at a location, in the server's order."""
        return self._call("GET", f"/backups?{urlencode({'location': location})}", _Listing, within=SHORT).backups or ()

    def find(self, location: str, backup_id: str) -> Listed | None:
        """Return one backup of a location."""
        return next((found for found in self.backups(location) if found.backup_id == backup_id), None)

    def backup(self, backup_id: str, location: str, tables: Sequence[str], *, within: float) -> Outcome:
        """Make a backup and wait for its end, `within` seconds."""
        return self._call("POST", "/backup", Outcome, _request(backup_id, location, tables), within=within)

    def restore(self, backup_id: str, location: str, tables: Sequence[str], mode: str, *, within: float) -> Outcome:
        """Start a restore; the answer says what was started, not what is done."""
        body = _request(backup_id, location, tables) | {"restore_mode": mode}
        return self._call("POST", "/restore", Outcome, body, within=within)

    def _call(self, method: str, path: str, answer: Any, body: Mapping[str, Any] | None = None, *, within: float) -> Any:
        what = f"{method} {ROOT}{path.partition('?')[0]}"
        until = time.monotonic() + within
        connection = self._connect(what, min(CONNECT_SECONDS, within))
        try:
            status, data = self._exchange(connection, what, method, path, body, until)
        except NoAnswer as error:
            if method == "GET":  # it only reads, so it may be asked again
                raise NotDelivered(str(error)) from error
            raise
        finally:
            connection.close()
        if status // 100 == 2:
            return _decode(what, data, answer)
        said = _error(data)
        if status in _NOT_BEGUN:
            raise NotDelivered(f"{what} was put off with {status}: {said}")
        if status in _LOST_ON_THE_WAY:
            lost = NotDelivered if method == "GET" else NoAnswer
            raise lost(f"{what} was answered with {status} by a proxy: {said}")
        raise Refused(what, status, said)

    def _connect(self, what: str, within: float) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=within)
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            raise MoverError("BadCertificate", f"{self.name}: {error.verify_message}") from error
        except OSError as error:
            raise NotDelivered(f"{what}: {self.name} can't be reached: {error.strerror or error}") from error
        return connection

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        what: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        until: float,
    ) -> tuple[int, bytes]:
        headers = {"Accept": "application/json", "Connection": "close"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(body)
        try:
            connection.request(method, self._base + path, data, headers)
            self._listen(connection, what, until)
            response = connection.getresponse()
            return response.status, response.read(_LARGEST)
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"{what}: the connection to {self.name} broke: {_words(error)}") from error

    def _listen(self, connection: http.client.HTTPConnection, what: str, until: float) -> None:
        """Wait for the first byte of the answer."""
        while not select.select([connection.sock], [], [], _LISTEN)[0]:
            self._context.check()
            if time.monotonic() >= until:
                raise NoAnswer(f"{what}: {self.name} had not answered when the time for it was over")


def patiently(call: Callable[[], T], context: Context, seconds: float) -> T:
    """Return what `call` returns, repeating it for `seconds` while the server does not take it on.

    Raises NotDelivered when the time is over, and what else the call raises, at once.
    """
    until, pause = time.monotonic() + seconds, FIRST_PAUSE
    while True:
        try:
            return call()
        except NotDelivered as error:
            left = until - time.monotonic()
            if left <= 0:
                raise
            log(f"{error}; trying again")
            context.stop.wait(min(pause, left))
            context.check()
            pause = min(pause * 2, LONGEST_PAUSE)


def mover_error(error: AntflyError) -> MoverError:
    """Return the failure that a mover reports for an error that it can do nothing about."""
    match error:
        case NotDelivered():
            hint = "check that the AntflyCluster runs and that its Service is the one that its publicAPI names"
            return MoverError("ServerUnavailable", str(error), hint, again=True)
        case Refused(status=http.client.UNAUTHORIZED | http.client.FORBIDDEN):
            hint = f"put a token with admin permission under {TOKEN_KEY} into the Secret that credentialsSecret names"
            return MoverError("AccessDenied", str(error), hint)
        case Refused():
            return MoverError("Refused", str(error))
        case _:
            return MoverError("NoAnswer", str(error), "the log of the Antfly server says more")


def _request(backup_id: str, location: str, tables: Sequence[str]) -> dict[str, Any]:
    body: dict[str, Any] = {"backup_id": backup_id, "location": location}
    return {**body, "table_names": list(tables)} if tables else body


def _token(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text().strip()
    except FileNotFoundError:
        return ""


def _decode(what: str, data: bytes, answer: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NoAnswer(f"{what}: the answer is not what the API documents: {error}") from error


def _error(data: bytes) -> str:
    """Return the `error` of an answer, or the beginning of whatever it is."""
    try:
        found = msgspec.json.decode(data, type=dict[str, Any]).get("error")
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    return str(found) if found else " ".join(data[:300].decode(errors="replace").split()) or "no explanation"


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
