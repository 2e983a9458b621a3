"""Streams and commands as snapshots, and lists of patterns and paths."""

import io
import os
import sys
from pathlib import Path

import pytest

from holdfast.repo.errors import SourceError
from holdfast.repo.lists import read_paths, read_patterns
from holdfast.repo.maintain import snapshots
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.stores.local import LocalStore
from holdfast.repo.stream import backup_command, backup_stream

pytestmark = pytest.mark.usefixtures("data_path")


class Dribble(io.RawIOBase):
    """A stream that gives a few bytes at a time, and may break."""

    def __init__(self, data: bytes, broken: bool = False) -> None:
        self._data, self._broken = io.BytesIO(data), broken

    def read(self, size: int = -1, /) -> bytes:
        data = self._data.read(min(size, 70_001))
        if not data and self._broken:
            raise ConnectionResetError("the other side is gone")
        return data


@pytest.mark.parametrize("size", [0, 10, 5 << 20])
def test_a_stream_becomes_a_file(repo: Repository, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    made = backup_stream(repo, "/db/dump.sql", Dribble(content), tags=["dump"])
    restore(repo, "latest", str(tmp_path / "out"))

    assert (made.files_new, made.bytes_processed) == (1, size)
    assert (tmp_path / "out" / "db" / "dump.sql").read_bytes() == content
    (snapshot,) = snapshots(repo)
    assert (snapshot.paths, snapshot.tags) == (("/db/dump.sql",), ("dump",))


def test_the_same_stream_again_adds_no_data_and_knows_its_parent(repo: Repository) -> None:
    content = os.urandom(3 << 20)
    first = backup_stream(repo, "dump", io.BytesIO(content))
    second = backup_stream(repo, "dump", io.BytesIO(content))

    assert second.parent == first.snapshot_id
    assert (second.files_new, second.files_changed) == (0, 1)
    assert second.added_raw < 1000


def test_a_stream_that_breaks_makes_no_snapshot(repo: Repository, store: LocalStore) -> None:
    with pytest.raises(ConnectionResetError):
        backup_stream(repo, "dump", Dribble(os.urandom(100_000), broken=True))

    assert snapshots(repo) == []
    assert list(store.list("locks")) == []


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_the_output_of_a_command_becomes_a_file(repo: Repository, tmp_path: Path) -> None:
    backup_command(repo, "out", python("import os; print(os.environ['WHO'] * 1000)"), env={**os.environ, "WHO": "abc"})
    restore(repo, "latest", str(tmp_path / "t"))

    assert (tmp_path / "t" / "out").read_text() == "abc" * 1000 + "\n"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys; sys.stdout.write('x' * 3_000_000); sys.exit(3)", "ended with status 3"),
        ("import os, sys; sys.stdout.write('half'); sys.stdout.flush(); os.kill(os.getpid(), 9)", "ended by signal 9"),
    ],
)
def test_a_command_that_fails_makes_no_snapshot(repo: Repository, store: LocalStore, program: str, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        backup_command(repo, "out", [*python(program), "--password=hunter2"])

    assert "hunter2" not in str(caught.value)
    assert snapshots(repo) == []
    assert list(store.list("locks")) == []


def test_what_can_not_be_stored_is_refused_before_anything_starts(repo: Repository, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="can't be started"):
        backup_command(repo, "out", ["/no/such/program"])
    with pytest.raises(SourceError, match="no command"):
        backup_command(repo, "out", [])
    for name in ("", "/", "a/../b"):
        with pytest.raises(SourceError, match="name of a file"):
            backup_stream(repo, name, io.BytesIO(b""))


def test_a_dry_run_of_a_stream_writes_nothing(repo: Repository, store: LocalStore) -> None:
    told = backup_stream(repo, "dump", io.BytesIO(bytes(range(256)) * 9000), dry_run=True)

    assert (told.snapshot_id, told.files_new) == ("", 1)
    assert told.added_raw >= 256 * 9000
    assert list(store.list("data")) == []


def test_patterns_come_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIND", "log")
    (tmp_path / "list").write_text("# old things\n*.bak\n\n  *.$KIND  \n$$KIND/${KIND}s\n*$NOT_SET_AT_ALL\n")

    assert read_patterns(str(tmp_path / "list")) == ["*.bak", "*.log", "$KIND/logs", "*"]
    with pytest.raises(SourceError, match="can't be read"):
        read_patterns(str(tmp_path / "missing"))


def test_paths_come_from_files(tmp_path: Path) -> None:
    for name in ("a1", "a2", "b", "c d", "*"):
        (tmp_path / name).touch()
    (tmp_path / "list").write_text(f"{tmp_path}/a?\n# no\n {tmp_path}/c d \n")
    (tmp_path / "plain").write_text(f"{tmp_path}/*\n#x\n")
    (tmp_path / "raw").write_bytes(b"/with\nbreak\0/other\0")

    assert read_paths(str(tmp_path / "list")) == [f"{tmp_path}/a1", f"{tmp_path}/a2", f"{tmp_path}/c d"]
    assert read_paths(str(tmp_path / "plain"), verbatim=True) == [f"{tmp_path}/*", "#x"]
    assert read_paths(str(tmp_path / "raw"), raw=True) == ["/with\nbreak", "/other"]
    (tmp_path / "list").write_text(f"{tmp_path}/nothing*\n")
    assert read_paths(str(tmp_path / "list")) == [f"{tmp_path}/nothing*"]
