"""Backup, restore and retention as movers: what a Job's report says, on a local store and in S3."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from tests import tools
from tests.movers_builders import (
    Run,
    credentials_dir,
    password_file,
    perform_call,
    repository,
    s3_server,
    source,
    volume_backup,
    volume_restore,
)

from holdfast.core.calls import Forget, Forgotten, Retention
from holdfast.repo.repository import Repository
from holdfast.repo.stores.local import LocalStore


def state(root: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            info = path.lstat()
            data = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            size = info.st_size if path.is_file() else 0
            found[str(path.relative_to(root))] = (info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, size, data)
    return found


def test_backup_into_two_repositories_and_restore_from_each(tmp_path: Path) -> None:
    data = source(tmp_path)
    first, second = repository(tmp_path, "first"), repository(tmp_path, "second")

    report = perform_call(volume_backup(first, second, paths=[data]))

    assert report.failure is None
    assert [result.repository for result in report.results] == ["first", "second"]
    for target, result in zip((first, second), report.results, strict=True):
        assert (result.files, result.integrity, result.component) == (5, True, "dump-pod-0")
        assert result.stored > 0
        assert result.repository_bytes >= result.stored
        assert result.finished >= result.started
        into = tmp_path / f"into-{target.name}"
        restored = perform_call(volume_restore(target, result.snapshot_ids, into))
        assert restored.failure is None
        assert restored.results[0].integrity
        assert state(into / data.relative_to("/")) == state(data)


def test_an_unchanged_volume_adds_next_to_nothing(tmp_path: Path) -> None:
    data, target = source(tmp_path), repository(tmp_path)
    first = perform_call(volume_backup(target, paths=[data])).results[0]

    second = perform_call(volume_backup(target, paths=[data])).results[0]

    assert second.files_unmodified == first.files
    assert second.added < 2000  # the folders above the path are part of the snapshot, and one of them holds the store
    assert second.snapshot_ids != first.snapshot_ids


def test_one_repository_that_fails_does_not_stop_the_other(tmp_path: Path) -> None:
    data, good = source(tmp_path), repository(tmp_path, "good")
    (tmp_path / "file").touch()
    bad = repository(tmp_path, "bad", str(tmp_path / "file" / "below"))

    report = perform_call(volume_backup(bad, good, paths=[data]))

    assert report.failure is not None
    assert report.results[0].failure == report.failure
    assert report.results[1].failure is None
    assert report.results[1].snapshot_ids


def test_wrong_password_names_the_secret(tmp_path: Path) -> None:
    data, target = source(tmp_path), repository(tmp_path)
    perform_call(volume_backup(target, paths=[data]))
    password_file(tmp_path, "another password")

    report = perform_call(volume_backup(target, paths=[data]))

    assert report.failure is not None
    assert report.failure.reason == "WrongPassword"
    assert "another password" not in str(report)


def test_a_repository_without_a_password_is_refused(tmp_path: Path) -> None:
    data, target = source(tmp_path), repository(tmp_path)
    password_file(tmp_path, "\n")

    report = perform_call(volume_backup(target, paths=[data]))

    assert report.failure is not None
    assert report.failure.reason == "NoPassword"


def test_a_path_that_is_missing_fails_with_its_name(tmp_path: Path) -> None:
    report = perform_call(volume_backup(repository(tmp_path), paths=[tmp_path / "nowhere"]))

    assert report.failure is not None
    assert report.failure.reason == "SourceUnreadable"
    assert "nowhere" in report.failure.message


def test_too_many_paths_are_refused_before_anything_is_stored(tmp_path: Path) -> None:
    report = perform_call(volume_backup(repository(tmp_path), paths=[tmp_path / str(number) for number in range(60)]))

    assert report.failure is not None
    assert report.failure.reason == "TooManyPaths"
    assert not (tmp_path / "store").exists()


def test_a_mover_that_is_told_to_stop_says_so_and_leaves_no_lock(tmp_path: Path) -> None:
    data, target, run = source(tmp_path), repository(tmp_path), Run()
    perform_call(volume_backup(target, paths=[data]))
    run.context.stop.set()

    report = run(volume_backup(target, paths=[data]))

    assert report.failure is not None
    assert report.failure.reason == "Terminated"
    assert list((tmp_path / "store" / "repo" / "locks").iterdir()) == []


def test_progress_ends_at_the_whole(tmp_path: Path) -> None:
    data, target, run = source(tmp_path), repository(tmp_path), Run()

    result = run(volume_backup(target, paths=[data])).results[0]

    last = run.progress[-1]
    assert (last.files_done, last.bytes_done) == (result.files, result.bytes)
    assert (last.repository, last.component) == ("repo", "dump-pod-0")


def test_a_damaged_pack_makes_the_restore_fail(tmp_path: Path) -> None:
    data, target = source(tmp_path), repository(tmp_path)
    ids = perform_call(volume_backup(target, paths=[data])).results[0].snapshot_ids
    for pack in (tmp_path / "store" / "repo" / "data").rglob("*"):
        if pack.is_file():
            pack.chmod(0o600)
            pack.write_bytes(bytes(byte ^ 1 for byte in pack.read_bytes()))

    report = perform_call(volume_restore(target, ids, tmp_path / "into"))

    assert report.failure is not None


def test_a_single_file_as_path_comes_back(tmp_path: Path) -> None:
    data, target = source(tmp_path), repository(tmp_path)
    ids = perform_call(volume_backup(target, paths=[data / "plain.txt"])).results[0].snapshot_ids

    report = perform_call(volume_restore(target, ids, tmp_path / "into"))

    assert report.failure is None
    assert (tmp_path / "into" / data.relative_to("/") / "plain.txt").read_text() == "hello\n"


def test_retention_forgets_prunes_and_leaves_a_clean_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(tools.restic()).parent}:{os.environ['PATH']}")
    data, target = source(tmp_path), repository(tmp_path)
    (data / "only-once").write_bytes(os.urandom(300_000))
    old = perform_call(volume_backup(target, paths=[data])).results[0]
    (data / "only-once").unlink()
    new = perform_call(volume_backup(target, paths=[data])).results[0]

    call = Retention((Forget(target, (Forgotten("old", old.snapshot_ids),)),))
    report = perform_call(call)
    again = perform_call(call)

    assert report.failure is None
    assert report.results[0].deleted == ("old",)
    assert report.results[0].repository_bytes < new.repository_bytes - 200_000
    assert (again.failure, again.results[0].deleted) == (None, ("old",))
    environment = {"RESTIC_PASSWORD_FILE": target.password_file, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    command = [tools.restic(), "-r", target.store.url, "--no-cache", "check", "--read-data"]
    subprocess.run(command, env=environment, check=True, capture_output=True)


def test_backup_and_restore_through_s3(tmp_path: Path) -> None:
    data = source(tmp_path)
    (tmp_path / "s3" / "bucket").mkdir(parents=True)
    with s3_server(tmp_path / "s3") as endpoint:
        keys = credentials_dir(tmp_path)
        target = repository(tmp_path, "cloud", f"s3:{endpoint}/bucket/demo/data", credentials=keys)

        ids = perform_call(volume_backup(target, paths=[data])).results[0].snapshot_ids
        restored = perform_call(volume_restore(target, ids, tmp_path / "into"))
        wrong = repository(tmp_path, "cloud", target.store.url, credentials=credentials_dir(tmp_path, secret="wrong"))
        refused = perform_call(volume_backup(wrong, paths=[data]))

    assert restored.failure is None
    assert state(tmp_path / "into" / data.relative_to("/")) == state(data)
    assert refused.failure is not None
    assert refused.failure.reason == "BadCredentials"


def test_a_backup_waits_for_a_prune_of_another_and_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    data, target = source(tmp_path), repository(tmp_path)
    perform_call(volume_backup(target, paths=[data]))
    call, stopped, patient = volume_backup(target, paths=[data]), Run(), Run()

    with (
        Repository.open(LocalStore(tmp_path / "store" / "repo"), "a password for tests") as other,
        ThreadPoolExecutor(2) as pool,
    ):
        with other.lock(exclusive=True):
            running, ended = pool.submit(patient, call), pool.submit(stopped, call)
            with pytest.raises(TimeoutError):
                ended.result(0.5)
            stopped.context.stop.set()
            told_to_stop = ended.result(30)
            assert not running.done()
        report = running.result(30)

    assert told_to_stop.failure is not None
    assert told_to_stop.failure.reason == "Terminated"
    assert report.failure is None


def test_a_sample_that_does_not_read_back_says_so_in_the_integrity_of_a_good_backup(tmp_path: Path) -> None:
    data, target = source(tmp_path), repository(tmp_path)
    first = msgspec.structs.replace(volume_backup(target, paths=[data]), sample=1 << 30)
    assert perform_call(first).results[0].integrity is True
    for pack in Path(target.store.url).glob("data/*/*"):
        pack.chmod(0o600)
        content = bytearray(pack.read_bytes())
        content[0] ^= 1
        pack.write_bytes(content)
        break
    (data / "plain.txt").write_text("changed\n")
    report = perform_call(first)

    assert report.failure is None
    assert report.results[0].integrity is False
    assert perform_call(volume_backup(target, paths=[data])).results[0].integrity is True
