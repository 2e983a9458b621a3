"""What a command gets to work with: its arguments, its output, and the repository that they name."""

import argparse
import contextlib
import importlib
import threading
from collections.abc import Generator, Mapping, Sequence

import msgspec

from holdfast.cli.errors import HoldfastError
from holdfast.cli.imports import importing
from holdfast.cli.repo import credentials
from holdfast.cli.repo.options import common_options
from holdfast.cli.repo.output import Output
from holdfast.repo.arrays import without_threads
from holdfast.repo.errors import Damaged
from holdfast.repo.repository import Repository
from holdfast.repo.snapshot import ANY, Filter, Snapshot, split_address
from holdfast.repo.store import Store
from holdfast.repo.stores import open_store
from holdfast.repo.stores.options import read_options


class Context:
    """One run of one command."""

    def __init__(self, arguments: argparse.Namespace, env: Mapping[str, str]) -> None:
        self.arguments = arguments
        self.options = common_options(arguments)
        self.env = env
        self.output = Output(json=self.options.json, quiet=self.options.quiet, verbose=self.options.verbose)
        self.password = ""
        """What opened the repository last; for the stock program, which has to open it too."""
        self.stop = threading.Event()
        """Set by the first signal."""
        self.passed_over = False
        """Whether a snapshot could not be read and others were taken; the exit code tells."""
        self.stops_itself = False
        """Whether the command looks at `stop`; any other is interrupted."""

    @property
    def source(self) -> credentials.Source:
        """Where the address and the password of the repository are given."""
        given = self.options
        return credentials.Source(
            repo=given.repo,
            repository_file=given.repository_file,
            password_file=given.password_file,
            password_command=given.password_command,
        )

    def variable(self, name: str) -> str:
        """HOLDFAST_<name>, else RESTIC_<name>, else nothing."""
        return next((self.env[prefix + name] for prefix in credentials.PREFIXES if self.env.get(prefix + name)), "")

    @property
    def settings(self) -> dict[str, str]:
        """What stores read their settings from: the environment, with the authorities that --cacert names."""
        authorities = self.options.cacert or self.variable("CACERT")
        return {**self.env, **({"RESTIC_CACERT": authorities} if authorities else {})}

    def store(self, source: credentials.Source | None = None) -> Store:
        """The store that the arguments or the environment name. Raises HoldfastError, BadLocation, BadRequest.

        Settings of S3 count where S3 is: the other repository of a copy may be elsewhere.
        """
        source = source or self.source
        url, given = credentials.location(source, self.env), dict(self.options.store_options)
        for name in given:
            if not source.infix and name.startswith("s3.") and not url.startswith("s3:"):
                raise HoldfastError(f"-o {name} is for repositories in S3, and {url} is none")
        limits = {"upload_rate": self.options.limit_upload, "download_rate": self.options.limit_download}
        options = msgspec.structs.replace(read_options(given, self.env), **limits)
        return open_store(url, self.settings, options)

    def open(self, source: credentials.Source | None = None) -> Repository:
        """The repository, to be closed by a `with`. Raises what `Repository.open` does."""
        source = source or self.source
        store = self.store(source)
        self.password = credentials.password(source, self.env, prompt=f"password for {store.location}")
        repo = Repository.open(store, self.password)
        repo.be_patient(self.options.retry_lock.total_seconds(), self.stop)
        if self.output.verbose:
            self.output.warn(f"opened repository {repo.config.id[:10]} at {store.location} with key {repo.key_id[:8]}")
        return repo

    def open_meanwhile(self, module: str) -> Repository:
        """As `open`, and import a module beside it: the key takes a processor for long, without the interpreter."""
        beside = threading.Thread(target=importlib.import_module, args=(module,), daemon=True)
        with importing(), without_threads():
            beside.start()
            try:
                return self.open()
            finally:
                beside.join()

    @contextlib.contextmanager
    def locked(self, repo: Repository, *, exclusive: bool = False) -> Generator[None]:
        """Hold a lock for the length of a `with` block, unless --no-lock says otherwise."""
        if self.options.no_lock:
            yield
            return
        with repo.lock(exclusive=exclusive):
            yield

    def insist_on_locks(self) -> None:
        """Refuse --no-lock for a command that others could be harmed by. Raises HoldfastError."""
        if self.options.no_lock:
            raise HoldfastError("--no-lock is for commands that only read: this one works under a lock")

    @contextlib.contextmanager
    def reading(self) -> Generator[Repository]:
        """The repository under a shared lock, for commands that read trees and blobs."""
        with self.open() as repo, self.locked(repo):
            yield repo

    def snapshot(self, repo: Repository, address: str, wanted: Filter = ANY) -> tuple[Snapshot, str]:
        """The snapshot and the subfolder of `id`, `latest` or `id:subfolder`. Raises NoSnapshot."""
        ident, subfolder = split_address(address)
        return repo.snapshot(ident, wanted, self._pass_over), subfolder

    def snapshots(self, repo: Repository, idents: Sequence[str], wanted: Filter = ANY) -> list[Snapshot]:
        """The snapshots with these ids, or without any all that are wanted; oldest first, each once."""
        if idents:
            named = {found.id: found for found in (repo.snapshot(ident, wanted, self._pass_over) for ident in idents)}
            return sorted(named.values(), key=lambda snapshot: (snapshot.time, snapshot.id))
        return [snapshot for snapshot in repo.snapshots(self._pass_over) if wanted.matches(snapshot)]

    def _pass_over(self, ident: str, error: Damaged) -> None:
        self.passed_over = True
        self.output.warn(f"snapshot {ident[:8]} is passed over: {error}")
