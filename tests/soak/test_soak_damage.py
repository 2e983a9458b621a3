"""Every object of a repository damaged in every way: `check` finds and names it, and nothing wrong is restored as right."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.repo import writer
from holdfast.repo.backup import backup
from holdfast.repo.check import check
from holdfast.repo.errors import RepositoryError
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from tests.repo_memory import MemoryStore
from tests.repo_trees import PASSWORD, differences
from tests.soak.scale import KILLS, SEED
from tests.soak.scenes import make_tree

POSITIONS = 40 * KILLS or 3
pytestmark = pytest.mark.timeout(20_000 if KILLS else 120)


def flip(rng: random.Random, data: bytes) -> bytes:
    at, bit = rng.randrange(len(data)), rng.randrange(8)
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def flip_first(rng: random.Random, data: bytes) -> bytes:
    return bytes([data[0] ^ 1 << rng.randrange(8)]) + data[1:]


def flip_last(rng: random.Random, data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1 << rng.randrange(8)])


def cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def append(rng: random.Random, data: bytes) -> bytes:
    return data + rng.randbytes(rng.randint(1, 50))


def blank(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return (data[:at] + bytes(512) + data[at + 512 :])[: len(data)]


def swap_halves(_: random.Random, data: bytes) -> bytes:
    return data[len(data) // 2 :] + data[: len(data) // 2]


DAMAGES: list[Callable[[random.Random, bytes], bytes]] = [flip, flip_first, flip_last, cut, append, blank, swap_halves]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("damage") / "source"
    make_tree(root, SEED)
    return root


@pytest.fixture(scope="module")
def sound(source: Path) -> Iterator[MemoryStore]:
    """A repository of a few packs with one snapshot."""
    store = MemoryStore()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "PACK_BYTES", 300 << 10)
        repo = Repository.init(store, PASSWORD)
        assert not backup(repo, [str(source)]).partial
    return store


def paths(store: MemoryStore, kind: str) -> list[str]:
    return sorted(path for path in store.objects if path.partition("/")[0] == kind)


def damaged(store: MemoryStore, path: str, content: bytes | None) -> MemoryStore:
    hurt = store.clone()
    if content is None:
        del hurt.objects[path]
    else:
        hurt.objects[path] = content
    return hurt


def check_says(store: MemoryStore) -> str:
    """What a full check finds, or how it fails; empty when all is well."""
    try:
        found = check(Repository.open(store, PASSWORD), read_data=True)
    except RepositoryError as error:
        return str(error)
    assert found.ok == (not found.problems)
    return "\n".join(found.problems)


def restore_is_honest(store: MemoryStore, source: Path, out: Path) -> None:
    """A restore that reports no fault brought back exactly the source."""
    shutil.rmtree(out, ignore_errors=True)
    try:
        done = restore(Repository.open(store, PASSWORD), "latest", str(out), subfolder=str(source))
    except RepositoryError:
        return
    assert done.partial or differences(source, out) == []


@pytest.mark.parametrize("kind", ["config", "keys", "snapshots", "index", "data"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_named_and_never_restored(
    kind: str, damage: Callable[[random.Random, bytes], bytes], sound: MemoryStore, source: Path, tmp_path: Path
) -> None:
    rng = random.Random(f"{SEED}{kind}{damage.__name__}")
    for path in rng.sample(paths(sound, kind), len(paths(sound, kind)) if KILLS else 1):
        for _ in range(POSITIONS):
            content = damage(rng, sound.objects[path])
            if content == sound.objects[path]:
                continue
            hurt = damaged(sound, path, content)
            name = path.rpartition("/")[2]
            said = check_says(hurt)
            assert name[:8] in said or path in said, (path, said)
            restore_is_honest(hurt, source, tmp_path / "out")


@pytest.mark.parametrize("kind", ["config", "keys", "index", "data"])
def test_a_missing_object_is_found(kind: str, sound: MemoryStore, source: Path, tmp_path: Path) -> None:
    for path in paths(sound, kind):
        hurt = damaged(sound, path, None)
        assert check_says(hurt) != "", path
        restore_is_honest(hurt, source, tmp_path / "out")


def test_packs_in_each_others_place_are_found(sound: MemoryStore, source: Path, tmp_path: Path) -> None:
    one, two = paths(sound, "data")[:2]
    hurt = sound.clone()
    hurt.objects[one], hurt.objects[two] = hurt.objects[two], hurt.objects[one]

    said = check_says(hurt)
    assert one.rpartition("/")[2][:8] in said
    assert two.rpartition("/")[2][:8] in said
    restore_is_honest(hurt, source, tmp_path / "out")


def test_a_sound_repository_passes(sound: MemoryStore, source: Path, tmp_path: Path) -> None:
    """Otherwise the other tests would prove nothing."""
    assert check_says(sound) == ""
    done = restore(Repository.open(sound, PASSWORD), "latest", str(tmp_path / "out"), subfolder=str(source))
    assert not done.partial
    assert differences(source, tmp_path / "out") == []
