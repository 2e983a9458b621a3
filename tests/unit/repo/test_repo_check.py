from pathlib import Path

from holdfast.repo.backup import backup
from holdfast.repo.blob import blob_id
from holdfast.repo.check import check
from holdfast.repo.repository import Repository
from holdfast.repo.store import path_of
from holdfast.repo.stores.local import LocalStore


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
    assert any(problem.endswith(blob_id((source / "file2").read_bytes()).hex()[:12]) for problem in result.problems)


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
    repo: Repository, store: LocalStore, source: Path
) -> None:
    backup(repo, [str(source)])
    blobs = len(repo.load_index())
    (entry,) = store.list("index")
    old = repo.load_json(path_of("index", entry.name))
    repo.put_json("index", b'{"supersedes":["' + entry.name.encode() + b'"],' + old[1:])
    assert check(repo, read_data=True).ok
    store.delete(path_of("index", entry.name))

    assert check(repo, read_data=True).ok
    assert len(repo.load_index()) == blobs
    assert backup(repo, [str(source)], parent="").added_raw == 0
