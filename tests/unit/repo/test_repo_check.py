import random
from pathlib import Path

import pytest

from holdfast.repo import check_packs
from holdfast.repo.backup import backup
from holdfast.repo.blob import blob_id
from holdfast.repo.check import check
from holdfast.repo.check_packs import windows
from holdfast.repo.errors import BadRequest
from holdfast.repo.findings import CheckProgress
from holdfast.repo.pack import PackEntry
from holdfast.repo.repository import Repository
from holdfast.repo.sample import sample
from holdfast.repo.store import path_of
from holdfast.repo.stores.local import LocalStore
from holdfast.repo.subset import Subset, parse_subset

pytestmark = pytest.mark.usefixtures("data_path")


def pack_of(repo: Repository, store: LocalStore, content: bytes) -> Path:
    repo.load_index()
    found = repo.index.find(blob_id(content))
    assert found is not None
    return store.root / path_of("data", found.pack.hex())


def damage(path: Path) -> None:
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)


def test_a_sound_repository_has_no_problems(repo: Repository, source: Path) -> None:
    backup(repo, [str(source)])
    result = check(repo, read_data=True)

    assert result.ok
    assert (result.snapshots, result.orphans) == (1, 0)
    assert result.bytes_read > 0


def test_a_missing_pack_is_named_with_what_it_hurts(repo: Repository, store: LocalStore, source: Path) -> None:
    hurt = backup(repo, [str(source)]).snapshot_id
    pack = pack_of(repo, store, (source / "file2").read_bytes())
    (source.parent / "other").mkdir()
    (source.parent / "other" / "new").write_text("in a pack of its own")
    fine = backup(repo, [str(source.parent / "other")]).snapshot_id
    pack.unlink()
    result = check(repo)

    assert hurt in result.hurt
    assert fine not in result.hurt
    assert any(pack.name[:12] in problem and "missing" in problem for problem in result.problems)
    assert result.findings[0].snapshots == (hurt,)
    assert all(path.startswith(f"{hurt[:8]}:{source}/") for path in result.findings[0].paths)


def test_a_changed_byte_is_found_by_reading_only(repo: Repository, store: LocalStore, source: Path) -> None:
    backup(repo, [str(source)])
    damage(pack_of(repo, store, (source / "file0").read_bytes()))

    assert check(repo).ok
    found = check(repo, read_data=True)
    assert not found.ok
    assert any("does not fit its name" in problem for problem in found.problems)


def test_a_short_pack_is_found_without_reading(repo: Repository, store: LocalStore, source: Path) -> None:
    backup(repo, [str(source)])
    pack = pack_of(repo, store, (source / "file0").read_bytes())
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[:100])

    assert any("cut short" in problem for problem in check(repo).problems)


def test_orphan_packs_are_counted_and_no_problem(repo: Repository, store: LocalStore, source: Path) -> None:
    backup(repo, [str(source)])
    store.put(path_of("data", "ab" * 32), b"left by a killed writer")

    assert check(repo).ok
    assert check(repo).orphans == 1


def test_indexes_of_an_interrupted_run_and_those_that_replace_others_are_read(
    repo: Repository, store: LocalStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)  # a relative path: the folders above, which others write in, are not in the trees
    backup(repo, [source.name])
    blobs = len(repo.load_index())
    (entry,) = store.list("index")
    old = repo.load_json(path_of("index", entry.name))
    repo.put_json("index", b'{"supersedes":["' + entry.name.encode() + b'"],' + old[1:])
    assert check(repo, read_data=True).ok
    store.delete(path_of("index", entry.name))

    assert check(repo, read_data=True).ok
    assert len(repo.load_index()) == blobs
    assert backup(repo, [source.name], parent="").added_raw == 0


def test_damage_names_the_snapshots_and_the_paths_that_it_hurts_and_no_others(
    repo: Repository, store: LocalStore, source: Path, tmp_path: Path
) -> None:
    first = backup(repo, [str(source)]).snapshot_id
    at = repo.index.find(blob_id((source / "below" / "file3").read_bytes()))
    assert at is not None
    (source / "below" / "file3").write_text("changed since")
    second = backup(repo, [str(source)]).snapshot_id
    path = store.root / path_of("data", at.pack.hex())
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[at.offset + 20] ^= 1
    path.write_bytes(data)
    found = check(repo, read_data=True)

    blob = next(finding for finding in found.findings if finding.kind == "blob")
    assert found.hurt == (first,)
    assert blob.snapshots == (first,)
    assert blob.paths == (f"{first[:8]}:{source}/below/file3",)
    assert second not in found.hurt


def test_a_snapshot_or_index_that_can_not_be_read_is_named_and_the_rest_is_checked(
    repo: Repository, store: LocalStore, source: Path
) -> None:
    lost = backup(repo, [str(source)]).snapshot_id
    (source / "new").write_text("one more")
    kept = backup(repo, [str(source)]).snapshot_id
    damage(store.root / "snapshots" / lost)
    index = sorted((store.root / "index").iterdir(), key=lambda path: path.stat().st_size)[0]
    damage(index)
    found = check(repo)

    assert {finding.id for finding in found.findings} >= {lost, index.name}
    assert lost in found.hurt
    assert found.snapshots == 2
    assert kept in found.hurt


def test_a_key_that_was_changed_is_found(repo: Repository, store: LocalStore, source: Path) -> None:
    backup(repo, [str(source)])
    key = next((store.root / "keys").iterdir())
    damage(key)

    assert [finding.id for finding in check(repo).findings] == [key.name]


def test_a_blob_in_two_packs_is_a_note_and_no_problem(repo: Repository, store: LocalStore, source: Path) -> None:
    backup(repo, [str(source)])
    kept = {path.name: path.read_bytes() for path in (store.root / "index").iterdir()}
    for name in kept:
        store.delete(f"index/{name}")
    backup(repo, [str(source)])
    for name, content in kept.items():
        store.put(f"index/{name}", content)
    found = check(repo, read_data=True)

    assert found.ok
    assert found.duplicates >= 10


def test_a_part_of_the_packs_is_read_and_the_parts_make_the_whole(repo: Repository, source: Path) -> None:
    backup(repo, [str(source)])
    whole = check(repo, read_data=True)
    parts = [check(repo, subset=parse_subset(f"{number}/3")) for number in (1, 2, 3)]

    assert whole.packs_read == whole.packs == sum(part.packs_read for part in parts)
    assert whole.bytes_read == sum(part.bytes_read for part in parts)
    assert check(repo, subset=parse_subset("1%")).packs_read == 1
    assert check(repo, subset=parse_subset("1")).packs_read == 1
    assert check(repo).packs_read == 0


def test_subsets_are_drawn_as_they_say_and_again_by_their_seed() -> None:
    rng = random.Random(3)
    packs = {rng.randbytes(32): rng.randrange(1, 1 << 20) for _ in range(500)}
    half = parse_subset("50%")
    budget = parse_subset("10M")

    assert len(half.choose(packs, 1)) == 250
    assert half.choose(packs, 1) == half.choose(packs, 1) != half.choose(packs, 2)
    assert (9 << 20) < sum(packs[pack] for pack in budget.choose(packs, 1)) <= 10 << 20
    assert parse_subset("2/5").choose(packs) == {pack for pack in packs if pack[0] % 5 == 1}


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "1/257", "0%", "101%", "-5", "5X", "0", "1/0", "x"])
def test_what_is_no_subset_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="does not say what to read"):
        parse_subset(text)


def test_windows_cover_a_pack_and_each_blob_lies_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_packs, "WINDOW_BYTES", 100)
    rng = random.Random(5)
    for _ in range(300):
        entries: list[PackEntry] = []
        at = rng.choice([0, 0, 250])
        for number in range(rng.randrange(8)):
            length = rng.randrange(32, 180)
            entries.append(PackEntry("data", bytes([number]) * 32, at, length, 0))
            at += length + rng.choice([0, 0, 0, 30, 400])
        size = at + rng.randrange(40, 300)
        end = 0
        seen: list[PackEntry] = []
        for start, length, within in windows(size, entries):
            assert start == end
            assert all(start <= entry.offset and entry.offset + entry.length <= start + length for entry in within)
            assert length <= 100 or len(within) == 1
            seen += within
            end = start + length
        assert end == size
        assert seen == entries


def test_progress_tells_bytes_and_trees(repo: Repository, source: Path) -> None:
    backup(repo, [str(source)])
    told: list[CheckProgress] = []
    done = check(repo, read_data=True, progress=told.append)

    read = [step for step in told if step.phase == "packs"]
    assert read[-1].bytes_done == read[-1].bytes_total == done.bytes_read
    assert told[-1].phase == "trees"
    assert told[-1].done == done.trees


def test_a_check_without_a_lock_writes_nothing(repo: Repository, store: LocalStore, source: Path) -> None:
    backup(repo, [str(source)])
    before = sorted((path, path.stat().st_mtime_ns) for path in store.root.rglob("*"))
    assert check(repo, read_data=True, lock=False).ok

    assert sorted((path, path.stat().st_mtime_ns) for path in store.root.rglob("*")) == before


def test_the_whole_is_not_a_subset() -> None:
    assert Subset("all").choose({b"a" * 32: 1, b"b" * 32: 2}) == {b"a" * 32, b"b" * 32}


def test_a_sample_reads_no_more_than_it_may_and_finds_nothing_in_a_sound_repository(repo: Repository, source: Path) -> None:
    assert sample(repo, 1 << 20).packs == 0
    for number in range(4):
        (source / "big").write_bytes(random.Random(number).randbytes(100_000))
        backup(repo, [str(source)])
    sizes = [entry.size for entry in repo.store.list("data")]
    found = sample(repo, max(sizes) + 1, seed=3)

    assert found.problems == ()
    assert 0 < found.packs < len(sizes)
    assert found.bytes <= max(sizes) + 1
    assert sample(repo, 1, seed=3).packs == 1


@pytest.mark.parametrize("where", ["blob", "header", "end"])
def test_a_sample_names_a_damaged_pack(repo: Repository, store: LocalStore, source: Path, where: str) -> None:
    backup(repo, [str(source)])
    pack = pack_of(repo, store, (source / "file2").read_bytes())
    if where == "blob":
        damage(pack)
    else:
        pack.chmod(0o600)
        data = pack.read_bytes()
        pack.write_bytes(data[:-1] if where == "end" else data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    found = sample(repo, 1 << 30)

    assert any(pack.name[:12] in problem for problem in found.problems)
