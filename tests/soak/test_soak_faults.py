"""Every call to a store fails in every way: before its effect, after it, for a moment or for good, or with half of the data.

A fault that passes must not show. One that stays ends in an error of ours and leaves a repository in which all that was there
is sound, and in which the same operation then succeeds. Data that comes back short is never taken for whole.
"""

import itertools
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.repo import writer
from holdfast.repo.backup import backup
from holdfast.repo.check import check
from holdfast.repo.copy import copy
from holdfast.repo.errors import AccessDenied, RepositoryError, StoreUnavailable
from holdfast.repo.maintain import forget
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.store import Store
from holdfast.repo.stores.faults import FaultyStore, after, before
from holdfast.repo.stores.retry import RetryingStore
from tests.repo_memory import MemoryStore
from tests.repo_trees import PASSWORD, differences
from tests.soak.scale import KILLS, SEED
from tests.soak.scenes import change_tree, make_tree

SAMPLE = 4
pytestmark = pytest.mark.timeout(20_000 if KILLS else 120)


class World:
    """A source, a repository with one snapshot of an older state of it, and another repository to copy to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.source, self.older = folder, folder / "source", folder / "older"
        make_tree(self.source, SEED)
        self.store, self.other = MemoryStore(), MemoryStore()
        Repository.init(self.other, PASSWORD)
        self.first = backup(Repository.init(self.store, PASSWORD), [str(self.source)]).snapshot_id
        shutil.copytree(self.source, self.older, symlinks=True)
        (self.older / "folder 0" / "text again").unlink()
        (self.older / "folder 0" / "text again").hardlink_to(self.older / "text")
        shutil.copystat(self.source / "folder 0", self.older / "folder 0")
        change_tree(self.source, SEED)

    def restored(self, store: Store, snapshot: str) -> bool:
        """Whether a snapshot restores, and then to what it should be; a restore that is wrong and does not say so fails."""
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        done = restore(Repository.open(store, PASSWORD), snapshot, str(out), subfolder=str(self.source))
        expected = self.older if snapshot == self.first else self.source
        assert done.partial or differences(expected, out) == []
        return not done.partial


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "PACK_BYTES", 300 << 10)
        patch.setattr(writer, "INDEX_SECONDS", 0.0)
        yield World(tmp_path_factory.mktemp("faults"))


def do_backup(world: World, store: Store, _: MemoryStore) -> bool:
    return not backup(Repository.open(store, PASSWORD), [str(world.source)]).partial


def do_restore(world: World, store: Store, _: MemoryStore) -> bool:
    return world.restored(store, world.first)


def do_copy_from(world: World, store: Store, other: MemoryStore) -> bool:
    return not copy(Repository.open(store, PASSWORD), Repository.open(other, PASSWORD)).failures


def do_copy_to(world: World, store: Store, other: MemoryStore) -> bool:
    """Here the store that fails is the target, and what is copied comes from the other one."""
    return not copy(Repository.open(other, PASSWORD), Repository.open(store, PASSWORD)).failures


def do_check(world: World, store: Store, _: MemoryStore) -> bool:
    return check(Repository.open(store, PASSWORD), read_data=True).ok


def do_forget(world: World, store: Store, _: MemoryStore) -> bool:
    forget(Repository.open(store, PASSWORD), [world.first])
    return True


Operation = Callable[[World, Store, MemoryStore], bool]
OPERATIONS: list[Operation] = [do_backup, do_restore, do_copy_from, do_copy_to, do_check, do_forget]


def stores_of(world: World, operation: Operation) -> tuple[MemoryStore, MemoryStore]:
    """Copies of the repository that fails and of the other one."""
    pair = world.store.clone(), world.other.clone()
    return pair[::-1] if operation is do_copy_to else pair


class At:
    """The effect for the `number`-th call of any kind, from 0, and with `lasting` for all that follow; counts the calls."""

    def __init__(self, number: int = -1, effect: Any = None, *, lasting: bool = False) -> None:
        self._number, self._effect, self._lasting = number, effect, lasting
        self._calls = itertools.count()

    def __call__(self, _operation: str, _path: str) -> Any:
        now = next(self._calls)
        hit = now == self._number or (self._lasting and now > self._number)
        return self._effect if hit else None

    @property
    def calls(self) -> int:
        return next(self._calls)


def numbers(world: World, operation: Operation) -> list[int]:
    """The calls of an undisturbed run: all in a soak, else some."""
    store, other = stores_of(world, operation)
    undisturbed = At()
    assert operation(world, FaultyStore(store, undisturbed), other)
    total = undisturbed.calls
    assert total > 5
    return [*range(total)] if KILLS else sorted(random.Random(f"{SEED}{operation.__name__}").sample(range(total), SAMPLE))


def sound(world: World, store: MemoryStore, operation: Operation) -> None:
    """What was there before is whole, for whoever comes next: locks of dead processes are not the point here."""
    left = store.clone()
    for path in [path for path in left.objects if path.startswith("locks/")]:
        del left.objects[path]
    found = check(Repository.open(left, PASSWORD), read_data=True)
    assert found.ok, found.problems
    if operation not in (do_forget, do_copy_to):
        assert world.restored(left, world.first)


@pytest.mark.parametrize("effect", [before, after])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_fault_that_passes_does_not_show(world: World, operation: Operation, effect: Callable[[Any], Any]) -> None:
    for number in numbers(world, operation):
        store, other = stores_of(world, operation)
        faulty = FaultyStore(store, At(number, effect(StoreUnavailable("connection reset"))))
        assert operation(world, RetryingStore(faulty, pause=lambda _: None), other), number
        sound(world, store, operation)


@pytest.mark.parametrize("effect", [before, after])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_fault_that_stays_is_told_and_does_no_harm(
    world: World, operation: Operation, lasting: bool, effect: Callable[[Any], Any]
) -> None:
    for number in numbers(world, operation):
        store, other = stores_of(world, operation)
        broken = FaultyStore(store, At(number, effect(AccessDenied("not allowed")), lasting=lasting))
        try:
            went_well, said = operation(world, broken, other), ""
        except RepositoryError as error:
            went_well, said = False, str(error)
        assert went_well or not said or "not allowed" in said, said
        sound(world, store, operation)
        if not went_well:
            assert operation(world, store, other)
            sound(world, store, operation)


def half(request: Any, action: Callable[[], Any]) -> Any:
    """Give only the first half of what was read."""
    found = action()
    return found[: len(found) // 2] if isinstance(found, bytes) else found


@pytest.mark.parametrize("operation", OPERATIONS)
def test_data_that_comes_back_short_is_never_taken_for_whole(world: World, operation: Operation) -> None:
    for number in numbers(world, operation):
        store, other = stores_of(world, operation)
        try:
            operation(world, FaultyStore(store, At(number, half)), other)
        except RepositoryError:
            assert operation(world, store, other)
        sound(world, store, operation)
