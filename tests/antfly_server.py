"""A stand-in for an Antfly server: the documented calls for backups, on a folder, as strict as the real one.

What it refuses, the real one refuses, and its weaknesses are there too: a restore that begins to drop before it has read,
an answer of 200 when every table failed. `faults` makes tables fail, calls slow, and connections break; every request is kept
in `requests`. As a program: `python -m tests.antfly_server FOLDER --port 8080 --table users=3 --bucket my-bucket`.

`s3://bucket/path` lies in `FOLDER/s3/bucket/path`; `file://` must lie below FOLDER or an allowed folder.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import re
import struct
import threading
import time
import uuid
import zlib
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import zstandard

_IDENT = re.compile(r"[A-Za-z0-9._-]+")
_MODES = ("fail_if_exists", "skip_if_exists", "overwrite")
_VERSION = "0.9.0-stand-in"


@dataclass
class Faults:
    """What goes wrong, until a test changes it."""

    tables: dict[str, str] = field(default_factory=dict)
    """Tables whose backup fails, with the error."""
    restores: dict[str, str] = field(default_factory=dict)
    """Tables that refuse to be restored, with the error."""
    slow: float = 0.0
    """Seconds that a backup takes."""
    load: float = 0.0
    """Seconds until the data of a restored table is there."""
    never_loads: tuple[str, ...] = ()
    """Tables that are re-created by a restore and stay empty."""
    hang_up: bool = False
    """Whether the answer to a backup is lost, while the backup goes on."""
    lost_reads: int = 0
    """How many calls that only read break off before one is answered, as while a server restarts."""
    answer: int = 0
    """A status with which backups are answered instead, with nothing done."""
    manifest: str = ""
    """An error by which the cluster manifest can't be written."""
    health: str = "healthy"


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class AntflyServer:
    """The state of a server, and its HTTP front."""

    def __init__(self, folder: Path, *, token: str = "", port: int = 0, allowed: tuple[Path, ...] = ()) -> None:
        self.folder, self.token, self.allowed = folder, token, (folder, *allowed)
        self.faults = Faults()
        self.requests: list[dict[str, Any]] = []
        self.running = 0
        """Backups in progress."""
        (folder / "tables").mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._http.daemon_threads = True
        self.port: int = self._http.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def serving(self) -> Generator[AntflyServer]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()

    def serve_forever(self) -> None:
        self._http.serve_forever()

    # what a test does to it

    def create(self, table: str, documents: int = 2, *, shards: int = 1) -> None:
        """Make a table with some documents."""
        docs = {f"{table}:{number}": {"n": number} for number in range(documents)}
        self._write(table, {"docs": docs, "shards": [_shard(table, number) for number in range(shards)]})

    def put(self, table: str, key: str, value: Any) -> None:
        content = self.read(table)
        content["docs"][key] = value
        self._write(table, content)

    def lose(self, table: str) -> None:
        """Lose a table, as a disaster would."""
        self._path(table).unlink()

    def bucket(self, name: str) -> Path:
        path = self.folder / "s3" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def documents(self, table: str) -> dict[str, Any]:
        return self.read(table)["docs"]

    def names(self) -> list[str]:
        return sorted(unquote(path.stem) for path in (self.folder / "tables").glob("*.json"))

    def asked(self, path: str) -> list[dict[str, Any]]:
        """The bodies of the requests to a path such as `/backup`."""
        return [each["body"] for each in self.requests if each["path"] == f"/db/v1{path}"]

    # the calls

    def call(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        parts = path.removeprefix("/db/v1/").split("/")
        match method, parts:
            case "GET", ["status"]:
                health = self.faults.health
                message = None if health == "healthy" else "one store is down"
                return 200, {"health": health, "message": message, "auth_enabled": bool(self.token), "swarm_mode": True}
            case "GET", ["tables"]:
                return 200, [self._shown(name) for name in self.names()]
            case "GET", ["tables", name]:
                return 200, self._shown(unquote(name))
            case "GET", ["backups"]:
                return 200, {"backups": self._listing(query.get("location", [""])[0]) or None}
            case "POST", ["backup"]:
                return 200, self._backup(_body(body, {"table_names", "format"}))
            case "POST", ["restore"]:
                return 202, self._restore(_body(body, {"table_names", "restore_mode"}))
            case _:
                raise Refusal(404, f"{method} {path}: no such endpoint")

    def _backup(self, body: dict[str, Any]) -> dict[str, Any]:
        faults, ident, location = self.faults, body["backup_id"], body["location"]
        if faults.answer:
            raise Refusal(faults.answer, "not now")
        if body.get("format", "portable") not in ("portable", "native"):
            raise Refusal(400, f"invalid format {body['format']!r}")
        names: list[str] = body.get("table_names") or self.names()
        if not names:
            raise Refusal(400, "no tables to backup")
        target = self._place(location)
        with self._lock:
            self.running += 1
        try:
            time.sleep(faults.slow)
            results = [self._backup_table(name, ident, target) for name in names]
        finally:
            with self._lock:
                self.running -= 1
        if faults.manifest:
            raise Refusal(500, faults.manifest)
        manifest = {
            "backup_id": ident,
            "timestamp": datetime.now(UTC).isoformat(),
            "antfly_version": _VERSION,
            "format": "portable",
            "tables": [
                {**result, "backup_location": location, "shard_count": len(self.read(result["name"])["shards"])}
                if result["status"] == "completed"
                else {**result, "backup_location": location, "shard_count": 0}
                for result in results
            ],
        }
        (target / f"{ident}-cluster-metadata.json").write_text(json.dumps(manifest))
        return {"backup_id": ident, "tables": results, "status": _summary(results, "completed")}

    def _backup_table(self, name: str, ident: str, target: Path) -> dict[str, Any]:
        error = self.faults.tables.get(name, "")
        if not error and not self._path(name).is_file():
            error = f"table {name} not found"
        if not error and (not _IDENT.fullmatch(ident) or ".." in ident):
            error = f"invalid backup id {ident!r}"
        if error:
            return {"name": name, "status": "failed", "error": error}
        content = self.read(name)
        for number, shard in enumerate(content["shards"]):
            part = {
                key: value for at, (key, value) in enumerate(content["docs"].items()) if at % len(content["shards"]) == number
            }
            (target / f"{ident}-{shard}.afb").write_bytes(afb(part))
        meta = {"table": name, "backup_id": ident, "shards": content["shards"]}
        (target / f"{name}-{ident}-metadata.json").write_text(json.dumps(meta))
        return {"name": name, "status": "completed"}

    def _restore(self, body: dict[str, Any]) -> dict[str, Any]:
        ident, target, mode = body["backup_id"], self._place(body["location"]), body.get("restore_mode") or _MODES[0]
        if mode not in _MODES:
            raise Refusal(400, f"invalid restore_mode {mode!r}")
        try:
            manifest = json.loads((target / f"{ident}-cluster-metadata.json").read_text())
        except (OSError, ValueError) as error:
            raise Refusal(500, f"failed to read cluster backup metadata: {error}") from error
        complete = [table["name"] for table in manifest["tables"] if table["status"] == "completed"]
        names: list[str] = body.get("table_names") or complete
        for name in names:
            if name not in complete:
                raise Refusal(400, f"table {name} not found in backup {ident}")
        results: list[dict[str, Any]] = []
        for name in names:
            exists = self._path(name).is_file()
            if exists and mode == "fail_if_exists":
                raise Refusal(400, f"table {name} already exists")
            if exists and mode == "skip_if_exists":
                results.append({"name": name, "status": "skipped"})
                continue
            if exists:
                self._path(name).unlink()
            results.append(self._load(name, ident, target))
        return {"tables": results, "status": _summary(results, "triggered")}

    def _load(self, name: str, ident: str, target: Path) -> dict[str, Any]:
        if name in self.faults.restores:
            return {"name": name, "status": "failed", "error": self.faults.restores[name]}
        try:
            meta = json.loads((target / f"{name}-{ident}-metadata.json").read_text())
            documents: dict[str, Any] = {}
            for shard in meta["shards"]:
                documents |= afb_documents((target / f"{ident}-{shard}.afb").read_bytes())
        except (OSError, ValueError) as error:
            return {"name": name, "status": "failed", "error": f"failed to read table backup metadata: {error}"}
        self._write(name, {"docs": {}, "shards": []})

        def load() -> None:
            self._write(name, {"docs": documents, "shards": meta["shards"]})

        if name not in self.faults.never_loads:
            timer = threading.Timer(self.faults.load, load)
            timer.daemon = True
            timer.start()
        return {"name": name, "status": "triggered"}

    def _listing(self, location: str) -> list[dict[str, Any]]:
        if not location:
            raise Refusal(400, "location is required")
        found: list[dict[str, Any]] = []
        for path in sorted(self._place(location).glob("*-cluster-metadata.json")):
            manifest = json.loads(path.read_text())
            tables = [table["name"] for table in manifest["tables"] if table["status"] == "completed"]
            keys = ("backup_id", "timestamp", "antfly_version", "format")
            found.append({key: manifest[key] for key in keys} | {"tables": tables, "location": location})
        return found

    def _place(self, location: str) -> Path:
        scheme, _, rest = location.partition("://")
        if scheme == "s3":
            bucket, _, path = rest.partition("/")
            home = self.folder / "s3" / bucket
            if not bucket or not home.is_dir():
                raise Refusal(500, f"bucket {bucket!r} does not exist")
            target = home / path
        elif scheme == "file":
            target = Path(rest)
            if not any(target.is_relative_to(base) for base in self.allowed):
                raise Refusal(500, f"path {rest} is not within an allowed backup directory")
        else:
            raise Refusal(400, f"unsupported backup location {location!r}")
        target.mkdir(parents=True, exist_ok=True)
        return target

    def _shown(self, name: str) -> dict[str, Any]:
        if not self._path(name).is_file():
            raise Refusal(404, f"table {name} not found")
        content = self.read(name)
        size = len(json.dumps(content["docs"])) if content["docs"] else 0
        storage = {"empty": not content["docs"], "disk_usage": size}
        return {"name": name, "shards": {shard: {} for shard in content["shards"]}, "indexes": {}, "storage_status": storage}

    def _path(self, table: str) -> Path:
        return self.folder / "tables" / f"{table.replace('/', '%2F')}.json"

    def read(self, table: str) -> dict[str, Any]:
        return json.loads(self._path(table).read_text())

    def _write(self, table: str, content: dict[str, Any]) -> None:
        temporary = self._path(table).with_suffix(f".{uuid.uuid4().hex}")
        temporary.write_text(json.dumps(content))
        temporary.replace(self._path(table))


def afb(documents: dict[str, Any]) -> bytes:
    """A portable backup of one shard: a header of 64 bytes, one data block, a footer."""
    payload = zstandard.compress(json.dumps(documents).encode())
    head = struct.pack("<8sHHQ16sQQ8x", b"AFBSTAND", 1, 0, time.time_ns(), uuid.uuid4().bytes, len(documents), 1)
    head += struct.pack("<I", zlib.crc32(head))
    block = struct.pack("<BBI", 1, 1, len(payload)) + payload + struct.pack("<I", zlib.crc32(payload))
    return head + block + struct.pack("<BBIQ", 2, 0, 8, len(documents))


def afb_documents(data: bytes) -> dict[str, Any]:
    """Read such a file. Raises ValueError when it is damaged."""
    if len(data) < 78 or data[:8] != b"AFBSTAND" or struct.unpack("<I", data[60:64])[0] != zlib.crc32(data[:60]):
        raise ValueError("bad header")
    length = struct.unpack("<BBI", data[64:70])[2]
    payload = data[70 : 70 + length]
    if len(data) < 74 + length or struct.unpack("<I", data[70 + length : 74 + length])[0] != zlib.crc32(payload):
        raise ValueError("checksum mismatch")
    return json.loads(zstandard.decompress(payload))


def _body(body: Any, optional: set[str]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Refusal(400, "invalid JSON")
    unknown = set(body) - {"backup_id", "location"} - optional
    if unknown:
        raise Refusal(400, f"unknown field {sorted(unknown)[0]!r}")
    for name in ("backup_id", "location"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise Refusal(400, f"{name} is required")
    names = body.get("table_names")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise Refusal(400, "table_names must be a list of strings")
    return body


def _summary(results: list[dict[str, Any]], good: str) -> str:
    bad = [result for result in results if result["status"] == "failed"]
    return good if not bad else "failed" if len(bad) == len(results) else "partial"


def _shard(table: str, number: int) -> str:
    return hashlib.sha256(f"{table}/{number}".encode()).hexdigest()[:16]


def _handler(server: AntflyServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body: Any = None
            with contextlib.suppress(ValueError):
                body = json.loads(data) if data else None
            authorization = self.headers.get("Authorization", "")
            server.requests.append({"method": self.command, "path": parts.path, "body": body, "authorization": authorization})
            if self.command == "GET" and server.faults.lost_reads > 0:
                server.faults.lost_reads -= 1
                self.close_connection = True
                return
            try:
                if server.token and authorization != f"Bearer {server.token}":
                    raise Refusal(401, "unauthorized")
                status, answer = server.call(self.command, parts.path, parse_qs(parts.query), body)
            except Refusal as refusal:
                status, answer = refusal.status, {"error": str(refusal)}
            if server.faults.hang_up and parts.path.endswith("/backup"):
                self.close_connection = True
                return
            text = json.dumps(answer).encode()
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        do_GET = do_POST = do_DELETE = _answer

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description="a stand-in for an Antfly server")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", default="")
    parser.add_argument("--table", action="append", default=[], help="NAME=DOCUMENTS, made when it is missing")
    parser.add_argument("--bucket", action="append", default=[])
    parser.add_argument("--fail-table", action="append", default=[], help="NAME=ERROR")
    given = parser.parse_args()
    server = AntflyServer(given.folder.resolve(), token=given.token, port=given.port)
    for name in given.bucket:
        server.bucket(name)
    for word in given.table:
        name, _, count = word.partition("=")
        if name not in server.names():
            server.create(name, int(count or 2))
    server.faults.tables = dict(word.split("=", 1) for word in given.fail_table)
    print(server.url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
