"""All objects, in one SQLite file. An acknowledged write is on disk before anyone hears of it.

Writers hand in an operation: a function that reads through a transaction, decides, and buffers its puts and deletes. Every
operation that waits while a commit is under way joins the next one (group commit), and the commit with its fsync runs
in a thread, so that the loop goes on serving reads and watches. One revision counter orders everything. Readers use
their own connection and never see what is not committed.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import msgspec

from holdfast.embedded.apiserver.errors import StatusError
from holdfast.embedded.apiserver.objects import Object, part, parts
from holdfast.embedded.apiserver.wire import encode_object
from holdfast.kube.codec import decode, decode_any, encode

T = TypeVar("T")

_log = logging.getLogger(__name__)

_SCHEMA_VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS obj (res TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL, rv INTEGER NOT NULL,
  uid TEXT NOT NULL, labels BLOB NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS obj_key ON obj (res, ns, name);
CREATE INDEX IF NOT EXISTS obj_uid ON obj (uid);
CREATE TABLE IF NOT EXISTS owner (uid TEXT NOT NULL, res TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL,
  PRIMARY KEY (uid, res, ns, name)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS owner_of ON owner (res, ns, name);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('rv', 1);
"""


class Key(NamedTuple):
    """Where an object lives: `group/plural`, namespace (empty for cluster scope), name."""

    res: str
    ns: str
    name: str


class Record(msgspec.Struct, frozen=True, gc=False):
    """A stored object: its place, revision, uid, labels, and the bytes as served."""

    key: Key
    rv: int
    uid: str
    labels: dict[str, str]
    data: bytes

    def object(self) -> Object:
        """A fresh decoded copy."""
        return decode(self.data)


class Change(msgspec.Struct, frozen=True):
    """One committed change. `new` of a deletion holds the last state with the revision of the deletion."""

    type: str
    new: Record
    old: Record | None


class Page(msgspec.Struct, frozen=True):
    """Part of a list, the revision it was read at, and the key to go on after (None at the end)."""

    records: list[Record]
    rv: int
    after: Key | None


class Bodies(NamedTuple):
    """Like a Page, of the stored bytes alone."""

    bodies: list[bytes]
    rv: int
    after: Key | None


_Row = tuple[str, str, str, int, str, bytes, bytes]
_COLUMNS = "res, ns, name, rv, uid, labels, data"


def _record(row: _Row) -> Record:
    labels = cast(dict[str, str], decode_any(row[5])) if row[5] != b"{}" else {}
    return Record(Key(row[0], row[1], row[2]), row[3], row[4], labels, row[6])


def _fetch(db: sqlite3.Connection, where: str, args: tuple[object, ...]) -> list[Record]:
    rows = cast(Iterable[_Row], db.execute(f"SELECT {_COLUMNS} FROM obj WHERE {where}", args))
    return [_record(row) for row in rows]


def _range(res: str, ns: str, after: Key | None) -> tuple[str, tuple[object, ...]]:
    """The condition for a resource's objects, of one namespace or all, behind a key."""
    where, args = ("res=? AND ns=?", (res, ns)) if ns else ("res=?", (res,))
    if after is None:
        return where, args
    return f"{where} AND (ns, name) > (?, ?)", (*args, after.ns, after.name)


class Transaction:
    """What an operation sees: the state with all earlier operations of its batch, and its own buffered writes."""

    def __init__(self, store: "Store", db: sqlite3.Connection, rv: int, *, dry_run: bool = False) -> None:
        self._store = store
        self._db = db
        self.rv = rv
        self.dry_run = dry_run
        self.changes: list[Change] = []
        self._seen: dict[Key, Record | None] = {}

    def get(self, key: Key) -> Record | None:
        """The object at `key`, or None."""
        if key not in self._seen:
            self._seen[key] = self._store.pending(key)
        return self._seen[key]

    def objects(self, res: str, ns: str | None = None, *, label: tuple[str, str] | None = None) -> list[Record]:
        """All objects of a resource as the batch found them, without this operation's own writes; with a label only those.

        A label is looked for in the labels as they are stored, so that an object that lacks it is never decoded.
        """
        where, args = "res=?", (res,)
        if ns is not None:
            where, args = f"{where} AND ns=?", (*args, ns)
        if label is not None:
            where, args = f"{where} AND instr(labels, ?) > 0", (*args, encode(dict([label]))[1:-1])
        return _fetch(self._db, where, args)

    def contents(self, ns: str, limit: int = 1) -> list[Record]:
        """Some objects of a namespace, of any kind."""
        return _fetch(self._db, "ns=? LIMIT ?", (ns, limit))

    def dependents(self, uid: str) -> list[Record]:
        """Objects that name `uid` as an owner."""
        return _dependents(self._db, uid)

    def has_uid(self, uid: str) -> bool:
        """Whether an object of that uid exists."""
        return _has_uid(self._db, uid)

    def put(self, key: Key, obj: Object) -> Record:
        """Store `obj`; sets its resourceVersion in place. A dry run keeps the present revision."""
        old, meta = self.get(key), obj["metadata"]
        if self.dry_run:
            rv = old.rv if old else 0
            meta.pop("resourceVersion", None)
        else:
            self.rv = rv = self.rv + 1
        if rv:
            meta["resourceVersion"] = str(rv)
        new = Record(key, rv, meta["uid"], dict(part(meta, "labels")), encode_object(obj))
        self._note(Change("ADDED" if old is None else "MODIFIED", new, old), new)
        return new

    def delete(self, record: Record) -> Record:
        """Remove the object; the returned last state carries the revision of the deletion."""
        self.rv += 1
        obj = record.object()
        obj["metadata"]["resourceVersion"] = str(self.rv)
        last = Record(record.key, self.rv, record.uid, record.labels, encode_object(obj))
        self._note(Change("DELETED", last, record), None)
        return last

    def _note(self, change: Change, now: Record | None) -> None:
        self.changes.append(change)
        self._seen[change.new.key] = now


def _has_uid(db: sqlite3.Connection, uid: str) -> bool:
    return db.execute("SELECT 1 FROM obj WHERE uid=? LIMIT 1", (uid,)).fetchone() is not None


def _dependents(db: sqlite3.Connection, uid: str) -> list[Record]:
    where = "(res, ns, name) IN (SELECT res, ns, name FROM owner WHERE uid=?)"
    return _fetch(db, where, (uid,))


def _owners(record: Record) -> set[str]:
    if b'"ownerReferences"' not in record.data:
        return set()
    refs = parts(record.object()["metadata"], "ownerReferences")
    return {ref["uid"] for ref in refs}


def _write(db: sqlite3.Connection, change: Change) -> None:
    new, key = change.new, change.new.key
    if change.type == "DELETED":
        db.execute("DELETE FROM obj WHERE res=? AND ns=? AND name=?", key)
        db.execute("DELETE FROM owner WHERE res=? AND ns=? AND name=?", key)
        return
    labels = encode(new.labels)
    if change.type == "ADDED":
        db.execute(f"INSERT INTO obj ({_COLUMNS}) VALUES (?,?,?,?,?,?,?)", (*key, new.rv, new.uid, labels, new.data))
    else:
        db.execute(
            "UPDATE obj SET rv=?, uid=?, labels=?, data=? WHERE res=? AND ns=? AND name=?",
            (new.rv, new.uid, labels, new.data, *key),
        )
    owners = _owners(new)
    if change.old is not None:
        before = _owners(change.old)
        if before == owners:
            return
        db.execute("DELETE FROM owner WHERE res=? AND ns=? AND name=?", key)
    db.executemany("INSERT OR IGNORE INTO owner VALUES (?,?,?,?)", [(uid, *key) for uid in owners])


class _Hot:
    """The records that were used last, at most so many bytes: most requests are about what was just written."""

    def __init__(self, max_bytes: int = 8 << 20) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._records: dict[Key, Record] = {}

    def get(self, key: Key) -> Record | None:
        return self._records.get(key)

    def put(self, record: Record) -> None:
        self.drop(record.key)
        self._records[record.key] = record
        self._bytes += len(record.data)
        if self._bytes > self._max_bytes:
            for key in list(self._records)[: len(self._records) // 2 + 1]:
                self.drop(key)

    def drop(self, key: Key) -> None:
        gone = self._records.pop(key, None)
        if gone is not None:
            self._bytes -= len(gone.data)


class _Waiting(NamedTuple):
    run: Callable[[Transaction], object]
    future: "asyncio.Future[object]"
    dry_run: bool


class Store:
    """Open with the file's path; `listeners` are called in commit order, on the loop, before writers are answered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch(mode=0o600)
        self._db = self._connect()
        self._db.executescript(_TABLES)
        self._check_version()
        self._reader = self._connect()
        self.rv: int = self._db.execute("SELECT value FROM meta WHERE key='rv'").fetchone()[0]
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._hot = _Hot()
        self._batch: dict[Key, Record | None] = {}
        self._waiting: list[_Waiting] = []
        self._draining: asyncio.Task[None] | None = None
        self.listeners: list[Callable[[list[Change]], None]] = []

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA busy_timeout=5000")
        db.execute("PRAGMA cache_size=-16384")
        return db

    def _check_version(self) -> None:
        found: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, _SCHEMA_VERSION):
            raise RuntimeError(f"{self._path} has layout {found}, this program knows {_SCHEMA_VERSION}: use the newer holdfast")
        self._db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")

    async def close(self) -> None:
        """Finish what waits, then close the file."""
        while self._draining is not None:
            await asyncio.wait([self._draining])
        self._thread.shutdown()
        self._reader.close()
        self._db.close()

    # Reads: committed state only.

    def get(self, key: Key) -> Record | None:
        """The object at `key`, or None."""
        record = self._hot.get(key)
        if record is None and (found := _fetch(self._reader, "res=? AND ns=? AND name=?", key)):
            record = found[0]
            self._hot.put(record)
        return record

    def pending(self, key: Key) -> Record | None:
        """The object at `key` as the batch that is being made leaves it; for transactions only."""
        if key in self._batch:
            return self._batch[key]
        return self.get(key)

    def count(self, res: str, ns: str, after: Key) -> int:
        """How many objects of a resource come after a key; `ns` empty means all namespaces."""
        where, args = _range(res, ns, after)
        return self._reader.execute(f"SELECT count(*) FROM obj WHERE {where}", args).fetchone()[0]

    def has_reached(self, rv: int) -> bool:
        """Whether a revision is committed. What a reader saw may be on disk a moment before `rv` moves on."""
        return rv <= self.rv or rv <= self._reader.execute("SELECT value FROM meta WHERE key='rv'").fetchone()[0]

    def page(self, res: str, ns: str = "", limit: int = 0, after: Key | None = None) -> Page:
        """Objects of a resource in key order; `ns` empty means all namespaces, `limit` 0 means all."""
        rows, rv = self._rows(_COLUMNS, res, ns, limit, after)
        records = [_record(cast(_Row, row)) for row in rows]
        if limit and len(records) > limit:
            return Page(records[:limit], rv, records[limit - 1].key)
        return Page(records, rv, None)

    def bodies(self, res: str, ns: str = "", limit: int = 0, after: Key | None = None) -> Bodies:
        """The same as `page` for a list that needs nothing but the bytes, at a third of the time."""
        rows, rv = self._rows("data, ns, name" if limit else "data", res, ns, limit, after)
        bodies = cast(list[bytes], [row[0] for row in rows])
        if limit and len(bodies) > limit:
            _, last_ns, last_name = cast(tuple[bytes, str, str], rows[limit - 1])
            return Bodies(bodies[:limit], rv, Key(res, last_ns, last_name))
        return Bodies(bodies, rv, None)

    def _rows(self, columns: str, res: str, ns: str, limit: int, after: Key | None) -> tuple[list[tuple[object, ...]], int]:
        """Rows of one moment, one more than `limit` when there are more, and the revision of that moment."""
        where, args = _range(res, ns, after)
        query = f"SELECT {columns} FROM obj WHERE {where} ORDER BY ns, name"
        if limit:
            query, args = f"{query} LIMIT ?", (*args, limit + 1)
        self._reader.execute("BEGIN")
        try:
            rv: int = self._reader.execute("SELECT value FROM meta WHERE key='rv'").fetchone()[0]
            return self._reader.execute(query, args).fetchall(), rv
        finally:
            self._reader.execute("COMMIT")

    def dependents(self, uid: str) -> list[Record]:
        """Objects that name `uid` as an owner."""
        return _dependents(self._reader, uid)

    def by_uid(self, uid: str) -> Record | None:
        """The object of that uid, or None."""
        found = _fetch(self._reader, "uid=?", (uid,))
        return found[0] if found else None

    def contents(self, ns: str, limit: int) -> list[Record]:
        """Some objects of a namespace, of any kind; what is being deleted already comes last."""
        return _fetch(self._reader, "ns=? ORDER BY instr(data, '\"deletionTimestamp\"') > 0 LIMIT ?", (ns, limit))

    def owned(self) -> list[str]:
        """Every uid that some object names as its owner."""
        return [row[0] for row in self._reader.execute("SELECT DISTINCT uid FROM owner")]

    # Writes.

    async def write(self, run: Callable[[Transaction], T], *, dry_run: bool = False) -> T:
        """Run an operation and return its result once it is on disk. What it raises is raised here, and nothing is kept."""
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(run, future, dry_run))
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return cast(T, await future)

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._commit(batch)
        finally:
            self._draining = None

    async def _commit(self, batch: list[_Waiting]) -> None:
        answers: list[tuple[asyncio.Future[object], object]] = []
        changes: list[Change] = []
        self._db.execute("BEGIN IMMEDIATE")
        rv = self.rv
        try:
            for waiting in batch:
                rv = self._apply(waiting, rv, answers, changes)
            if rv != self.rv:
                self._db.execute("UPDATE meta SET value=? WHERE key='rv'", (rv,))
                await asyncio.get_running_loop().run_in_executor(self._thread, self._db.execute, "COMMIT")
            else:
                self._db.execute("COMMIT")
        except Exception as error:
            self._undo(batch, error)
            return
        self.rv = rv
        self._remember(changes)
        self._tell(changes)
        for future, answer in answers:
            if not future.done():
                future.set_result(answer)

    def _remember(self, changes: list[Change]) -> None:
        """What is committed is what readers see from now on."""
        self._batch.clear()
        for change in changes:
            if change.type == "DELETED":
                self._hot.drop(change.new.key)
            else:
                self._hot.put(change.new)

    def _apply(
        self, waiting: _Waiting, rv: int, answers: list[tuple["asyncio.Future[object]", object]], changes: list[Change]
    ) -> int:
        """Run one operation and write what it buffered; returns the revision after it."""
        transaction = Transaction(self, self._db, rv, dry_run=waiting.dry_run)
        try:
            answer = waiting.run(transaction)
        except sqlite3.Error:
            raise
        except Exception as error:
            if not waiting.future.done():
                waiting.future.set_exception(error)
            return rv
        answers.append((waiting.future, answer))
        if waiting.dry_run:
            return rv
        for change in transaction.changes:
            _write(self._db, change)
            changes.append(change)
            self._batch[change.new.key] = None if change.type == "DELETED" else change.new
        return transaction.rv

    def _tell(self, changes: list[Change]) -> None:
        """A listener that fails must not keep the others, or the writers, from hearing of what is committed."""
        for listener in self.listeners:
            try:
                listener(changes)
            except Exception:
                _log.exception("a listener failed on %d committed changes", len(changes))

    def _undo(self, batch: list[_Waiting], error: Exception) -> None:
        _log.error("a commit of %d operations failed: %r", len(batch), error)
        self._batch.clear()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        message = f"the database {self._path.name} could not be written: {error}; free some space and try again"
        for waiting in batch:
            if not waiting.future.done():
                waiting.future.set_exception(StatusError(500, "InternalError", message))
