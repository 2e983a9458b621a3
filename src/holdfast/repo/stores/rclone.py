"""Every place that rclone knows: SFTP, Azure, Google, WebDAV, SMB, Backblaze, Swift, and what its user's config names.

Objects travel by restic's REST protocol (see `rest`); rclone is started at the first use and started again when it died.
An upload is not atomic everywhere: on servers with folders (SFTP, WebDAV, SMB, FTP, disks) a reader can see half of it, and a
cut connection can leave that half behind. There an object is written into `tmp/` and then renamed, which those servers do in
one step; object stores show an object whole or not at all. Durability is what the server gives: rclone asks no server to sync.
"""

import contextlib
import http.client
import itertools
import re
import secrets
import threading
from collections.abc import Mapping
from typing import NoReturn

import msgspec

from holdfast.repo.errors import (
    AccessDenied,
    BadCredentials,
    BadLocation,
    NoBucket,
    ObjectExists,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from holdfast.repo.store import CONFIG, Buffer
from holdfast.repo.stores.http import Answer, Connections, dial_unix
from holdfast.repo.stores.rclone_process import RcloneProcess, environment, find_rclone
from holdfast.repo.stores.remotes import Remote
from holdfast.repo.stores.rest import RestStore

SWEEP_AGE = "24h"
"""Age after which a file in `tmp/` can't belong to a living writer."""

_LOG_PATIENCE = 0.2
_REFUSALS: tuple[tuple[str, type[StoreError], str], ...] = (
    (
        "knownhosts|host key",
        AccessDenied,
        "the server shows another host key than the known one: find out why before you change it",
    ),
    ("unable to authenticate|failed to parse private key|bad username", BadCredentials, "check the credentials"),
    ("AuthenticationFailed|AuthorizationHeader|illegal base64|invalid_grant", BadCredentials, "check the credentials"),
    ("InvalidAccessKeyId|SignatureDoesNotMatch|NT_STATUS_LOGON|401 |530 ", BadCredentials, "check the credentials"),
    ("no space left|disk full|insufficient storage|507 |quota", StoreFull, "free some space or raise the quota"),
    ("ContainerNotFound|NoSuchBucket|bucket not found|container not found", NoBucket, "create it or correct its name"),
    ("permission denied|access ?denied|forbidden|403 |SSH_FX_PERMISSION", AccessDenied, "check what the account may do"),
    ("didn't find section|unknown backend", BadLocation, "check the name of the remote in rclone's config"),
)
"""What rclone or the place behind it says for good, by regular expression; anything else may pass."""

_PASSING = "connection refused|no such host|i/o timeout|timed out|reset by peer|EOF|network is|no route"


class _Failure(msgspec.Struct):
    error: str = ""


class _Features(msgspec.Struct, rename="pascal"):
    move: bool = False
    bucket_based: bool = False


class _FsInfo(msgspec.Struct, rename="pascal"):
    features: _Features


class RcloneStore(RestStore):
    """A store in a remote."""

    def __init__(self, remote: Remote, env: Mapping[str, str]) -> None:
        super().__init__(remote.location, Connections(remote.location, self._dial_objects), "/", {})
        self._remote, self._env = remote, env
        self._control = Connections(remote.location, self._dial_control)
        self._starting = threading.Lock()
        self._process: RcloneProcess | None = None
        self._renames: bool | None = None
        self._staged = False
        self._serial, self._nonce = itertools.count(), secrets.token_hex(8)

    def _dial_objects(self) -> http.client.HTTPConnection:
        return dial_unix(self._running().objects)

    def _dial_control(self) -> http.client.HTTPConnection:
        return dial_unix(self._running().control)

    def _running(self) -> RcloneProcess:
        with self._starting:
            if self._process is not None and self._process.alive:
                return self._process
            if self._process is not None:
                self._process.close()
                self._process = None
            program = find_rclone(self._env)
            settings = environment(self._env, self._remote.settings(program))
            process = RcloneProcess(program, self._remote.name, list(self._remote.flags), settings)
            try:
                process.wait_ready()
            except StoreError as error:
                self._explain(str(error), f"{self.location}: rclone can't open it")
            self._process = process
            return process

    def create(self) -> None:
        """Make the folders, or the bucket where the account may."""
        super().create()

    def put(self, path: str, data: Buffer) -> None:
        """Where the remote renames: write beside and rename. Elsewhere: one upload, which appears whole."""
        if not self._can_rename():
            super().put(path, data)
            return
        if path == CONFIG and self._has(path):
            raise ObjectExists(f"{self.location}: {path} exists: nothing that exists is overwritten")
        temporary = f"tmp/{self._nonce}-{next(self._serial)}"
        self._staged = True
        try:
            self._expect(self._ask("POST", temporary, body=data), f"write {path}")
            self._call("operations/movefile", f"write {path}", self._move(temporary, path))
        except BaseException:
            with contextlib.suppress(StoreError):
                self._ask("DELETE", temporary)
            raise

    def _move(self, source: str, target: str) -> dict[str, str]:
        name = self._remote.name
        return {"srcFs": name, "srcRemote": source, "dstFs": name, "dstRemote": target}

    def _can_rename(self) -> bool:
        if self._renames is None:
            body = self._call("operations/fsinfo", "ask what the remote can do", {"fs": self._remote.name})
            features = msgspec.json.decode(body, type=_FsInfo).features
            self._renames = features.move and not features.bucket_based
        return self._renames

    def _call(self, command: str, what: str, arguments: Mapping[str, object]) -> bytes:
        answer = self._control.request(
            "POST", f"/{command}", body=msgspec.json.encode(arguments), headers={"Content-Type": "application/json"}
        )
        if answer.status >= 300:
            with contextlib.suppress(msgspec.DecodeError):
                said = msgspec.json.decode(answer.body, type=_Failure).error
                self._explain(said, f"{self.location}: {what}")
            self._refused(answer, what)
        return answer.body

    def _refused(self, answer: Answer, what: str) -> NoReturn:
        """Rclone answers most failures with a bare 500 and says the rest in its log."""
        if answer.status < 500 or self._process is None:
            super()._refused(answer, what)
        about = what.rpartition(" ")[2]
        said = self._process.last_words(about, _LOG_PATIENCE) or self._process.last_words() or answer.text
        self._explain(said, f"{self.location}: {what}")

    def _explain(self, said: str, where: str) -> NoReturn:
        short = _shorten(said)
        passing = re.search(_PASSING, said, re.IGNORECASE)
        for pattern, kind, hint in _REFUSALS:
            if not passing and re.search(pattern, said, re.IGNORECASE):
                raise kind(f"{where}: {short}: {hint}") from None
        raise StoreUnavailable(f"{where}: {short}") from None

    def close(self) -> None:
        """Remove temporary files that no living writer can own any more, then end rclone."""
        with contextlib.suppress(StoreError):
            if self._staged and self._process is not None and self._process.alive:
                folder = f"{self._remote.name.rstrip('/')}/tmp"
                self._call("operations/delete", "sweep", {"fs": folder, "_filter": {"MinAge": SWEEP_AGE}})
        super().close()
        self._control.close()
        with self._starting:
            if self._process is not None:
                self._process.close()
                self._process = None


def _shorten(text: str) -> str:
    """One line without the parts of addresses in which a token could stand."""
    plain = re.sub(r"\?[^\s\"']+", "?...", re.sub(r"\s+", " ", text))
    return re.sub(r"//[^/@\s]*@", "//...@", plain).strip()[:300]
