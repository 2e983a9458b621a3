"""A repository behind a server that speaks restic's REST protocol: rest-server, or rclone.

`rest:https://host:8000/path/`, or `rest:http+unix:///run/rest.socket:/path/`. User and password come from
RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD. The protocol is version 2: objects by kind and name, listings with sizes. What a
`put` promises beyond the protocol is the server's: rest-server writes beside and renames; of rclone see `rclone`.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import NoReturn
from urllib.parse import quote, urlsplit

import msgspec

from holdfast.repo.errors import (
    AccessDenied,
    BadCredentials,
    BadLocation,
    Damaged,
    ObjectExists,
    ObjectNotFound,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from holdfast.repo.store import CONFIG, Buffer, Entry, Kind, is_id
from holdfast.repo.stores.http import Answer, Connections, dial, dial_unix, is_on, read_ca, tls_context

_V2 = "application/vnd.x.restic.rest.v2"
_FULL = (413, 507)
_HEADERS = {"Content-Type": "application/octet-stream"}


def open_rest(url: str, env: Mapping[str, str]) -> "RestStore":
    """The store of a REST URL. Raises BadLocation."""
    address = url.removeprefix("rest:")
    parts = urlsplit(address)
    shown = url if parts.username is None and parts.password is None else "rest:..."
    if parts.username is not None or parts.password is not None:
        raise BadLocation(f"{shown}: user and password go into RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD, not into the URL")
    headers: dict[str, str] = {}
    if user := env.get("RESTIC_REST_USERNAME"):
        pair = f"{user}:{env.get('RESTIC_REST_PASSWORD', '')}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
    if parts.scheme == "http+unix":
        socket, _, base = parts.path.partition(":")
        if not socket:
            raise BadLocation(f"{url!r} names no socket: write rest:http+unix:///<socket>:/<path>/")
        return RestStore(url, Connections(url, lambda: dial_unix(socket)), base, headers)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise BadLocation(f"{url!r} is not a REST repository: write rest:https://<host>[:<port>]/[<path>/]")
    context = tls_context(read_ca(env), insecure=is_on(env, "RESTIC_INSECURE_TLS"))
    connections = Connections(url, lambda: dial(parts.scheme, parts.netloc, context))
    return RestStore(url, connections, parts.path, headers)


class RestStore:
    """A store below the path `base` of a server."""

    def __init__(self, where: str, connections: Connections, base: str, headers: Mapping[str, str]) -> None:
        self._where, self._connections, self._headers = where, connections, headers
        self._base = f"/{base.strip('/')}/".replace("//", "/")

    @property
    def location(self) -> str:
        """The URL, which holds no credentials."""
        return self._where

    def create(self) -> None:
        """Let the server make the folders."""
        self._expect(self._ask("POST", "?create=true"), "create the repository")

    def put(self, path: str, data: Buffer) -> None:
        """One POST. A server that refuses because the object is there is asked for its size."""
        if path == CONFIG and self._has(path):
            raise self._exists(path)
        answer = self._ask("POST", _target(path), body=data, headers=_HEADERS)
        if answer.status in (403, 409) and self._has(path):
            if path != CONFIG and self.size(path) == memoryview(data).nbytes:
                return
            raise self._exists(path)
        self._expect(answer, f"write {path}")

    def _exists(self, path: str) -> ObjectExists:
        return ObjectExists(f"{self.location}: {path} exists: nothing that exists is overwritten")

    def _has(self, path: str) -> bool:
        try:
            self.size(path)
        except ObjectNotFound:
            return False
        return True

    def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """A GET, for a part with a Range; a server that sends the whole object all the same is cut to size."""
        if length == 0:
            return b""
        partial = offset > 0 or length is not None
        end = "" if length is None else offset + length - 1
        answer = self._ask("GET", _target(path), headers={"Range": f"bytes={offset}-{end}"} if partial else {})
        if answer.status == 416:
            raise Damaged(f"{self.location}: {path} ends before byte {offset}: it was cut short")
        self._expect(answer, f"read {path}")
        data = answer.body
        if partial and answer.status == 200:
            data = data[offset:] if length is None else data[offset : offset + length]
        if length is not None and len(data) != length:
            raise Damaged(
                f"{self.location}: {path} gave {len(data)} bytes from {offset}, {length} were expected: it was cut short"
            )
        return data

    def list(self, kind: Kind) -> Iterator[Entry]:
        """One GET of the folder; the answer comes in one piece."""
        answer = self._ask("GET", f"{kind}/", headers={"Accept": _V2})
        if answer.status == 404:
            return
        self._expect(answer, f"list {kind}")
        try:
            entries = msgspec.json.decode(answer.body or b"null", type=list[Entry] | None)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{self.location}: list {kind}: the server speaks another version of the protocol: {error}"
            ) from None
        yield from (entry for entry in entries or () if is_id(entry.name))

    def size(self, path: str) -> int:
        """A HEAD request."""
        answer = self._ask("HEAD", _target(path))
        self._expect(answer, f"look at {path}")
        return int(answer.headers.get("content-length", "0"))

    def delete(self, path: str) -> None:
        """A DELETE; servers that do not say whether there was something are asked first."""
        self.size(path)
        self._expect(self._ask("DELETE", _target(path)), f"delete {path}")

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def _ask(self, method: str, target: str, *, body: Buffer | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        return self._connections.request(method, self._base + target, body=body, headers={**self._headers, **(headers or {})})

    def _expect(self, answer: Answer, what: str) -> None:
        if answer.status >= 300:
            self._refused(answer, what)

    def _refused(self, answer: Answer, what: str) -> NoReturn:
        where = f"{self.location}: {what}"
        said = f"{answer.status} {answer.text or answer.reason}"
        if answer.status == 404:
            raise ObjectNotFound(f"{where}: no such object")
        if answer.status == 401:
            raise BadCredentials(
                f"{where}: the server refuses the user or the password: check RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD"
            )
        if answer.status == 403:
            raise AccessDenied(f"{where}: the server forbids it ({said})")
        if answer.status in _FULL:
            raise StoreFull(f"{where}: the server has no room left ({said})")
        if answer.status >= 500 or answer.status in (408, 425, 429):
            raise StoreUnavailable(f"{where}: the server answers {said}", retry_after=answer.retry_after)
        raise StoreError(f"{where}: the server answers {said}")


def _target(path: str) -> str:
    """The protocol leaves the two digits between `data` and a pack's name to the server."""
    kind, _, name = path.partition("/")
    return quote(f"data/{name.rpartition('/')[2]}" if kind == "data" else path)
