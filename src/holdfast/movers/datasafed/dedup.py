"""Files in a deduplicating, compressed and encrypted repository: what `useKopia` asks for, in a format that stock tools read.

Each file is a snapshot of its own under its path, in a repository of restic's format where DATASAFED_KOPIA_REPO_ROOT
says; all backups below one policy's folder share it, and what they have in common is stored once. Deleting forgets snapshots;
deleting a folder also gives the space back. A push that was killed has no snapshot. Folders are what paths say: there are no
empty ones.
"""

import contextlib
import os
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, cast

from holdfast.movers.datasafed.faults import DatasafedError, NotThere
from holdfast.movers.datasafed.paths import clean
from holdfast.movers.datasafed.places import BLOCK, Item
from holdfast.movers.datasafed.settings import KOPIA_PASSWORD, KOPIA_ROOT, Settings, storage_of
from holdfast.repo.browse import Trees
from holdfast.repo.dump import dump
from holdfast.repo.errors import MissingProgram, NoRepository, RepositoryError, RepositoryExists
from holdfast.repo.maintain import forget
from holdfast.repo.prune import Access, prune
from holdfast.repo.repository import Repository
from holdfast.repo.snapshot import Snapshot
from holdfast.repo.stores import open_store
from holdfast.repo.stream import backup_stream

HOST: Final = "datasafed"
TAG: Final = "datasafed"
PATIENCE: Final = 600.0
"""Seconds for which a locked repository is waited for."""


class DedupPlace:
    """A place in the repository of the settings; it is made at the first push."""

    def __init__(self, settings: Settings) -> None:
        if not settings.kopia_password:
            raise DatasafedError(f"{KOPIA_ROOT} is set but {KOPIA_PASSWORD} is empty: nothing is stored without a password")
        self._url, self._env = _location(settings)
        self._password = settings.kopia_password

    def write(self, path: str, blocks: Iterable[bytes], size: int | None = None) -> None:
        """Store a stream as a new snapshot, then forget the older ones of this path."""
        with self._repository(make=True) as repo:
            old = [snapshot.id for snapshot in _of(repo, path)]
            backup_stream(repo, path, _Reader(blocks), host=HOST, tags=[TAG])
            forget(repo, old)

    def read(self, path: str) -> Iterator[bytes]:
        """Read a file through a pipe: the repository writes, we read."""
        if self.find(path) is None:
            raise NotThere(f"can't read {path}: it does not exist in the repository")
        with self._repository() as repo:
            found = _of(repo, path)[-1]
            repo.load_index()
            yield from _piped(repo, found.tree, f"/{path}")

    def find(self, path: str) -> Item | None:
        """Look at a file."""
        return next((item for item in self._items() if item.path == path), None)

    def list(self, path: str, *, recursive: bool = False) -> Iterator[Item]:
        """List what paths of files say about a folder."""
        head = f"{path}/" if path else ""
        folders: dict[str, float] = {}
        files = [item for item in self._items() if item.path.startswith(head)]
        if not files and path:
            raise NotThere(f"can't list {path}: it does not exist in the repository")
        for item in files:
            parts = item.path.removeprefix(head).split("/")
            for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
                folder = head + "/".join(parts[:depth])
                folders[folder] = max(folders.get(folder, 0.0), item.modified)
            if recursive or len(parts) == 1:
                yield item
        for folder, modified in folders.items():
            yield Item(folder, 0, modified, is_folder=True)

    def delete(self, path: str) -> None:
        """Forget a file."""
        with contextlib.suppress(NotThere), self._repository() as repo:
            forget(repo, [snapshot.id for snapshot in _of(repo, path)])

    def delete_tree(self, path: str) -> None:
        """Forget every file of a folder, and give their space back."""
        head = f"/{path}/" if path else "/"
        with contextlib.suppress(NotThere), self._repository() as repo:
            gone = [each.id for each in repo.snapshots() if TAG in each.tags and each.paths and each.paths[0].startswith(head)]
            if forget(repo, gone):
                with contextlib.suppress(MissingProgram):
                    prune(repo, Access(self._url, dict(self._env), self._password), wait_seconds=PATIENCE)

    def make_folder(self, path: str) -> None:
        """Do nothing: a folder is there once a file is in it."""

    def remove_folder(self, path: str) -> None:
        """Refuse a folder with content; an empty one is not there anyway."""
        with contextlib.suppress(NotThere):
            if next(self.list(path), None) is not None:
                raise DatasafedError(f"can't remove {path or '/'}: it is not empty")

    def _items(self) -> Sequence[Item]:
        with contextlib.suppress(NotThere), self._repository() as repo:
            newest = {each.paths[0]: each for each in repo.snapshots() if TAG in each.tags and each.paths}
            return [_item(path, each) for path, each in newest.items()]
        return []

    @contextlib.contextmanager
    def _repository(self, *, make: bool = False) -> Generator[Repository]:
        try:
            yield self._open(make=make)
        except NoRepository as error:
            raise NotThere(f"there is nothing in the repository yet: {error}") from error
        except RepositoryError as error:
            raise DatasafedError(str(error)) from error

    def _open(self, *, make: bool) -> Repository:
        store = open_store(self._url, self._env)
        try:
            repo = Repository.open(store, self._password)
        except NoRepository:
            if not make:
                raise
            with contextlib.suppress(RepositoryExists):
                return Repository.init(store, self._password)
            repo = Repository.open(store, self._password)
        repo.be_patient(PATIENCE, threading.Event())
        return repo


class _Reader:
    """Blocks as something to read from."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks, self._rest = iter(blocks), b""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._rest = block
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def _piped(repo: Repository, tree: str, path: str) -> Iterator[bytes]:
    """Yield a file's content while a thread writes it."""
    source, sink = os.pipe()
    faults: list[BaseException] = []

    def write() -> None:
        with os.fdopen(sink, "wb") as out:
            try:
                dump(repo, Trees(repo), tree, path, cast(IO[bytes], out))
            except BaseException as fault:
                faults.append(fault)

    thread = threading.Thread(target=write, name="datasafed-dump", daemon=True)
    thread.start()
    with os.fdopen(source, "rb", buffering=0) as out:
        while data := out.read(BLOCK):
            yield data
    thread.join()
    if faults:
        raise faults[0]


def _of(repo: Repository, path: str) -> list[Snapshot]:
    """Return the snapshots of a path, oldest first."""
    return [each for each in repo.snapshots() if TAG in each.tags and each.paths == (f"/{path}",)]


def _item(path: str, snapshot: Snapshot) -> Item:
    size = snapshot.summary.total_bytes_processed if snapshot.summary else 0
    return Item(path.lstrip("/"), size, snapshot.time.timestamp())


def _location(settings: Settings) -> tuple[str, Mapping[str, str]]:
    """Return the repository's URL, and the environment that reaches it. Raises DatasafedError for a remote of another kind."""
    root = clean(settings.kopia_root)
    if settings.local:
        return str(Path(settings.local) / root), {}
    options, folder = storage_of(settings)
    if options["type"] != "s3":
        raise DatasafedError(f"useKopia stores in a mounted repository or in S3, not in {options['type']}: switch it off")
    endpoint = options.get("endpoint") or f"https://s3.{options.get('region', 'us-east-1')}.amazonaws.com"
    if "://" not in endpoint:
        endpoint = f"https://{endpoint}"
    env = {
        "AWS_ACCESS_KEY_ID": options.get("access_key_id", ""),
        "AWS_SECRET_ACCESS_KEY": options.get("secret_access_key", ""),
        "AWS_SESSION_TOKEN": options.get("session_token", ""),
        "AWS_DEFAULT_REGION": options.get("region", ""),
        "AWS_S3_ADDRESSING_STYLE": "virtual" if options.get("force_path_style") == "false" else "path",
    }
    return f"s3:{endpoint}/{folder.strip('/')}/{root}", {key: value for key, value in env.items() if value}
