"""A repository against a plain model: a dict of snapshots, each a dict of files, under a clock of the test's own.

Backups, forgets, prunes by the stock program, restores, damage to nothing, and writers that die at any call to the store, in
any order: what the model holds must restore exactly, and the repository must be sound after every step that died.
"""

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import seed, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests import tools
from tests.repo_trees import PASSWORD
from tests.soak.scale import KILLS, SEED

from holdfast.repo import writer
from holdfast.repo.backup import backup
from holdfast.repo.check import check
from holdfast.repo.errors import RepositoryError, StoreError
from holdfast.repo.maintain import forget
from holdfast.repo.prune import PruneOptions, prune
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.stock import Access
from holdfast.repo.stores.faults import FaultyStore
from holdfast.repo.stores.local import LocalStore
from holdfast.repo.unlock import unlock

NAMES = some.sampled_from(["a", "b", "folder/a", "folder/b", "folder/below/c", "\udcff odd"])
CONTENTS = some.builds(
    lambda size, fill: os.urandom(size) if fill < 0 else bytes([fill]) * size,
    some.sampled_from([0, 1, 5_000, 200_000, 700_000]),
    some.integers(-1, 2),
)


class Dead(StoreError):
    """What every call to the store raises once the process is dead."""


def dying(calls_left: int) -> Callable[[str, str], None]:
    """A fault that lets so many calls pass, and none after them."""
    calls = itertools.count()

    def fault(_operation: str, _path: str) -> None:
        if next(calls) >= calls_left:
            raise Dead("the process is dead")

    return fault


class RepositoryMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-model-", dir=base))
        self.source = self.folder / "source"
        self.source.mkdir()
        self.store = LocalStore(self.folder / "repository")
        Repository.init(self.store, PASSWORD)
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.files: dict[str, bytes] = {}
        self.snapshots: dict[str, dict[str, bytes]] = {}

    def open(self, calls_left: int = -1) -> Repository:
        """Open as another process would, with a store that dies after so many calls when there is a number."""
        return Repository.open(FaultyStore(self.store, dying(calls_left)) if calls_left >= 0 else self.store, PASSWORD)

    def tick(self) -> datetime:
        self.now += timedelta(minutes=7)
        return self.now

    def bury(self) -> None:
        """Remove the locks of a writer that died, as somebody who knows that it is gone does."""
        unlock(self.open(), remove_all=True)

    @rule(name=NAMES, content=CONTENTS)
    def write(self, name: str, content: bytes) -> None:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.files[name] = content

    @precondition(lambda self: self.files)
    @rule(data=some.data())
    def remove(self, data: some.DataObject) -> None:
        name = data.draw(some.sampled_from(sorted(self.files)))
        (self.source / name).unlink()
        del self.files[name]

    @rule()
    def back_up(self) -> None:
        done = backup(self.open(), [str(self.source)], host="model", time=self.tick())
        assert not done.partial
        assert done.snapshot_id not in self.snapshots
        self.snapshots[done.snapshot_id] = dict(self.files)

    @rule(calls=some.integers(0, 40))
    def back_up_and_die(self, calls: int) -> None:
        try:
            done = backup(self.open(calls), [str(self.source)], host="model", time=self.tick())
            self.snapshots[done.snapshot_id] = dict(self.files)
        except RepositoryError:
            stored = {entry.name for entry in self.store.list("snapshots")} - self.snapshots.keys()
            assert len(stored) <= 1
            self.snapshots.update({ident: dict(self.files) for ident in stored})
        self.bury()
        assert check(self.open(), read_data=True).ok

    @precondition(lambda self: self.snapshots)
    @rule(data=some.data(), calls=some.one_of(some.none(), some.integers(0, 20)))
    def forget_some(self, data: some.DataObject, calls: int | None) -> None:
        chosen = data.draw(some.lists(some.sampled_from(sorted(self.snapshots)), min_size=1, unique=True))
        with contextlib.suppress(Dead):
            forget(self.open(-1 if calls is None else calls), chosen)
        left = {entry.name for entry in self.store.list("snapshots")}
        assert left >= self.snapshots.keys() - set(chosen)
        assert calls is not None or left.isdisjoint(chosen)
        self.snapshots = {ident: files for ident, files in self.snapshots.items() if ident in left}
        self.bury()

    @precondition(lambda self: self.snapshots)
    @rule()
    def prune(self) -> None:
        access = Access(url=str(self.store.root), env={}, password=PASSWORD)
        done = prune(self.open(), access, options=PruneOptions(max_unused="0"), program=tools.newest_restic())
        assert done.verified
        assert check(self.open()).orphans == 0

    @precondition(lambda self: self.snapshots)
    @rule(data=some.data())
    def restore_one(self, data: some.DataObject) -> None:
        self.restores(data.draw(some.sampled_from(sorted(self.snapshots))))

    def restores(self, ident: str) -> None:
        out = self.folder / "out"
        done = restore(self.open(), ident, str(out), subfolder=str(self.source))
        assert not done.partial, done.errors
        found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        assert found == self.snapshots[ident]
        shutil.rmtree(out)

    @rule()
    def list_all(self) -> None:
        listed = self.open().snapshots()
        assert {snapshot.id for snapshot in listed} == self.snapshots.keys()
        assert listed == sorted(listed, key=lambda snapshot: snapshot.time)

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        try:
            assert check(self.open(), read_data=True).ok
            for ident in self.snapshots:
                self.restores(ident)
        finally:
            shutil.rmtree(self.folder)


@pytest.mark.timeout(20_000 if KILLS else 120)
def test_a_repository_keeps_what_the_model_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PACK_BYTES", 128 << 10)
    monkeypatch.setattr(writer, "INDEX_SECONDS", 0.0)
    case = RepositoryMachine.TestCase
    case.settings = settings(max_examples=60 * KILLS or 10, stateful_step_count=20, deadline=None, database=None)
    seed(SEED)(case.runTest)
    case().runTest()
