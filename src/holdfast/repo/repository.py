"""An open repository: its store, its master key, its config, and the blobs it knows.

Reading follows the order that the format asks for: snapshots first, then the index, so that what a snapshot names is found.
Objects other than packs are checked against their name, which is the hash of their content. One instance may be used from
many threads for reading; each backup brings its own writer.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from holdfast.repo import config as config_module
from holdfast.repo import keys
from holdfast.repo.blob import MAX_BLOB_BYTES, blob_id, compress, decompress, open_blob
from holdfast.repo.config import Chunking, Config
from holdfast.repo.crypto import Key, native_key
from holdfast.repo.documents import refuse_large
from holdfast.repo.errors import Damaged, NoRepository, NoSnapshot, ObjectNotFound
from holdfast.repo.founding import Founding, opens
from holdfast.repo.index import BlobIndex, Location, new_index
from holdfast.repo.locks import REFRESH_SECONDS, Lock, hold
from holdfast.repo.snapshot import ANY, Filter, Snapshot, decode_snapshot
from holdfast.repo.store import CONFIG, Kind, Store, path_of

_ENCODING = b"\x02"

DamagedHook = Callable[[str, Damaged], None]
"""Is told of a snapshot that can't be read: its id, and why."""


class Repository:
    """Use `Repository.init` or `Repository.open`; a context manager that closes the store."""

    def __init__(self, store: Store, key: Key, config: Config, key_id: str = "") -> None:
        self.store, self.key, self.config = store, key, config
        self.key_id = key_id
        """The key file that the password opened; empty when that is not known."""
        self._index: BlobIndex | None = None
        self._patience, self._stop_waiting = 0.0, threading.Event()
        self.dead_hosts: frozenset[str] = frozenset()
        """Hosts known to have ended: their locks are removed when we take one."""

    @classmethod
    def init(
        cls,
        store: Store,
        password: str,
        *,
        chunker_like: "Repository | None" = None,
        chunking: Chunking = "auto",
    ) -> Self:
        """Make a new repository. Raises RepositoryExists when there is one, or what else `founding.Founding` says.

        `chunker_like` makes it cut as another repository does when both cut with the stock rule, so that a copy from there and
        a backup of the same files share their blobs; it implies the stock rule unless `chunking` says otherwise. `chunking` is
        how backups cut unless they say otherwise: see `chunking.py`.
        """
        if not password:
            raise NoRepository(f"{store.location}: an empty password protects nothing: set an encryption password")
        store.create()
        if chunker_like is not None and chunking == "auto":
            chunking = "stock"
        config = config_module.generate(chunker_like.config if chunker_like else None, chunking)
        key, key_id = Founding(store, password, config).run()
        return cls(store, key, config, key_id)

    @classmethod
    def open(cls, store: Store, password: str) -> Self:
        """Open a repository. Raises NoRepository, WrongPassword, UnsupportedVersion or a StoreError."""
        try:
            sealed = store.get(CONFIG)
        except ObjectNotFound as error:
            raise NoRepository(f"{store.location}: there is no repository here; initialise it first") from error
        key, key_id = keys.unlock(store, password, lambda key: opens(sealed, key))
        return cls(store, key, config_module.decode(sealed, key, store.location), key_id)

    def be_patient(self, seconds: float, stop: threading.Event) -> None:
        """Wait this long for every lock for which the caller says nothing else, or until `stop` is set."""
        self._patience, self._stop_waiting = seconds, stop

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Repository({self.store.location!r})"

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def lock(
        self,
        *,
        exclusive: bool = False,
        refresh_seconds: float = REFRESH_SECONDS,
        wait_seconds: float | None = None,
        stop: threading.Event | None = None,
    ) -> contextlib.AbstractContextManager[Lock]:
        """Hold a lock in a `with` block, waiting for others at most `wait_seconds` or until `stop` is set; see `locks`.

        Without `wait_seconds` it waits as `be_patient` said, else not at all.
        """
        lock = Lock(
            self.store,
            self.seal_json,
            self.load_json,
            exclusive=exclusive,
            refresh_seconds=refresh_seconds,
            dead=self.dead_hosts,
        )
        return hold(lock, self._patience if wait_seconds is None else wait_seconds, stop or self._stop_waiting)

    @property
    def chunker_secret(self) -> bytes:
        """What keys the chunker: as secret as the master key, and different for each repository."""
        return self.key.encrypt + self.config.chunker_polynomial.encode()

    def seal_json(self, document: bytes) -> bytes:
        """A JSON document in the form in which indexes, locks and snapshots are stored."""
        return self.key.seal(_ENCODING + compress(document))

    def load_json(self, path: str) -> bytes:
        """A stored JSON document. Raises Damaged when its content does not fit its name."""
        sealed = self.store.get(path)
        if hashlib.sha256(sealed).hexdigest() != path.rpartition("/")[2]:
            raise Damaged(f"{self.store.location}: the content of {path} does not fit its name: it is damaged")
        try:
            plain = self.key.open(sealed)
            if plain[:1] in (b"{", b"["):
                return plain
            if plain[:1] != _ENCODING:
                raise Damaged(f"it has the unknown encoding {plain[:1].hex()}")
            return decompress(memoryview(plain)[1:], MAX_BLOB_BYTES)
        except Damaged as error:
            raise Damaged(f"{self.store.location}: {path}: {error}") from error

    def put_json(self, kind: Kind, document: bytes) -> str:
        """Store a JSON document; returns its id."""
        sealed = self.seal_json(document)
        name = hashlib.sha256(sealed).hexdigest()
        self.store.put(path_of(kind, name), sealed)
        return name

    def snapshots(self, damaged: DamagedHook | None = None) -> list[Snapshot]:
        """All snapshots, oldest first. One that can't be read is told to `damaged` and left out; without it raises Damaged."""
        found: list[Snapshot] = []
        for entry in self.store.list("snapshots"):
            try:
                refuse_large(entry.size, MAX_BLOB_BYTES, f"{self.store.location}: snapshot {entry.name[:8]}")
                found.append(decode_snapshot(entry.name, self.load_json(path_of("snapshots", entry.name))))
            except ObjectNotFound:
                continue
            except Damaged as error:
                if damaged is None:
                    raise
                damaged(entry.name, error)
        return sorted(found, key=lambda snapshot: (snapshot.time, snapshot.id))

    def snapshot(self, ident: str, wanted: Filter = ANY, damaged: DamagedHook | None = None) -> Snapshot:
        """The snapshot that `ident` names: `latest` (the newest of those that are wanted), an id or the beginning of one.

        For `latest` all are read, those that are damaged as `snapshots` says. Raises NoSnapshot.
        """
        where = self.store.location
        if ident == "latest":
            every = [snapshot for snapshot in self.snapshots(damaged) if wanted.matches(snapshot)]
            if not every:
                which = "that fits the filters" if wanted != ANY else "in the repository"
                raise NoSnapshot(f"{where}: there is no snapshot {which}")
            return every[-1]
        name = self.snapshot_id(ident)
        return decode_snapshot(name, self.load_json(path_of("snapshots", name)))

    def snapshot_id(self, ident: str) -> str:
        """The full id that an id or the beginning of one stands for; the snapshot isn't looked at. Raises NoSnapshot."""
        where = self.store.location
        names = sorted(entry.name for entry in self.store.list("snapshots") if ident and entry.name.startswith(ident))
        if not names:
            raise NoSnapshot(f"{where}: there is no snapshot {ident!r}; list them with `holdfast repo snapshots`")
        if len(names) > 1:
            some = ", ".join(name[: len(ident) + 4] for name in names[:5])
            raise NoSnapshot(f"{where}: {len(names)} snapshots begin with {ident!r} ({some}): give more digits")
        return names[0]

    @property
    def index(self) -> BlobIndex:
        """The index, loaded at first use."""
        if self._index is None:
            self._index = self.load_index()
        return self._index

    def load_index(self, paths: Iterable[str] | None = None) -> BlobIndex:
        """Read all index objects anew, or those of `paths`, and keep them as `index`. Raises Damaged naming the object."""
        index, last = new_index(), [""]
        try:
            index.load(self._index_files(paths, last))
        except Damaged as error:
            raise Damaged(f"{self.store.location}: {last[0]}: {error}") from error
        self._index = index
        return index

    def _index_files(self, paths: Iterable[str] | None, last: list[str]) -> Iterator[bytes]:
        """The index objects; `last` holds the path of the one that was given last."""
        if paths is None:
            paths = self._index_paths(last)
        for path in paths:
            last[0] = path
            with contextlib.suppress(ObjectNotFound):
                yield self.load_json(path)

    def _index_paths(self, last: list[str]) -> Iterator[str]:
        for entry in self.store.list("index"):
            last[0] = path_of("index", entry.name)
            refuse_large(entry.size, MAX_BLOB_BYTES, "it")
            yield last[0]

    def read_pack(self, pack: bytes, offset: int, length: int) -> bytes:
        """A range of a pack. Raises ObjectNotFound, or Damaged when the store gives another number of bytes."""
        path = path_of("data", pack.hex())
        data = self.store.get(path, offset, length)
        if len(data) != length:
            raise Damaged(f"{self.store.location}: {path} gave {len(data)} bytes from {offset}, {length} were asked for")
        return data

    def load_blob(self, ident: bytes) -> bytes:
        """The plain bytes of a blob. Raises Damaged when it is missing or is not what its id says."""
        found = self.index.find(ident)
        if found is None:
            raise Damaged(f"{self.store.location}: blob {ident.hex()[:12]} is in no index; run `holdfast repo check`")
        pack = found.pack.hex()
        try:
            sealed = self.read_pack(found.pack, found.offset, found.length)
        except ObjectNotFound as error:
            raise Damaged(f"{self.store.location}: pack {pack[:12]} is missing; run `holdfast repo check`") from error
        return self.open_blob(ident, found, sealed)

    def open_blob(self, ident: bytes, at: Location, sealed: bytes | memoryview) -> bytes:
        """Open a blob that was read from `at`. Raises Damaged unless it hashes to `ident`."""
        native = native_key(self.key)
        try:
            if native is not None:
                return native.open_blob(sealed, at.raw_length, ident)
            plain = open_blob(self.key, sealed, at.raw_length)
            if blob_id(plain) != ident:
                raise Damaged("it holds other bytes than its id says")
            return plain
        except (Damaged, ValueError) as error:
            raise Damaged(blob_fault(self, ident, at, str(error))) from error


def blob_fault(repo: Repository, ident: bytes, at: "Location", why: str) -> str:
    """What is wrong with a blob, in words that name it and its place."""
    return f"{repo.store.location}: blob {ident.hex()[:12]} in pack {at.pack.hex()[:12]}: {why}"
