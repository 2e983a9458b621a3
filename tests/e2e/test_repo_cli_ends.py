"""How `holdfast repo` ends when it is stopped, when its reader goes away, when the disk is full: in order, without a lock."""

import contextlib
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

from tests.repo_program import HOLDFAST, environment, init_cheap, ours, stock
from tests.repo_trees import PASSWORD

SECONDS = 30


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a snapshot whose listing and whose archive are larger than a pipe holds, and a large source."""
    home = tmp_path_factory.mktemp("ends")
    init_cheap(str(home / "r"))
    (home / "many").mkdir()
    for number in range(2000):
        (home / "many" / f"file-{number:04}").write_text(f"{number}")
    (home / "many" / "large").write_bytes(os.urandom(3 << 20))
    ours(str(home / "r"), home)("backup", str(home / "many"))
    (home / "bulk").write_bytes(os.urandom(150 << 20))
    return home


@contextlib.contextmanager
def started(
    home: Path, words: Sequence[str], url: str = "", stdin: int = subprocess.DEVNULL
) -> Generator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [HOLDFAST, "repo", *words],
        env=environment(url or str(home / "r"), home),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
        if process.stdin is not None:
            process.stdin.close()


def first_output(process: subprocess.Popen[bytes]) -> bytes:
    """Wait until the process has printed something; it blocks soon, since nobody reads on."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], SECONDS)[0], "nothing was printed"
    return os.read(process.stdout.fileno(), 100)


def locks(home: Path) -> list[str]:
    return os.listdir(home / "r" / "locks")


def await_lock(home: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not locks(home):
        assert time.monotonic() < deadline, "no lock was taken"
        time.sleep(0.002)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [("ls", "latest", "--json"), ("dump", "latest", "/")])
def test_a_signal_ends_a_reader_in_order(words: tuple[str, ...], number: signal.Signals, home: Path) -> None:
    with started(home, words) as process:
        first_output(process)
        assert len(locks(home)) == 1
        process.send_signal(number)
        assert process.wait(SECONDS) == 130
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    assert locks(home) == []


@pytest.mark.parametrize("words", [("ls", "latest", "--json"), ("dump", "latest", "/"), ("find", "file-*")])
def test_a_reader_of_the_output_that_goes_away_ends_it_quietly(words: tuple[str, ...], home: Path) -> None:
    with started(home, words) as process:
        first_output(process)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(SECONDS) == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert locks(home) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_backup_in_order_and_nothing_looks_like_a_snapshot(number: signal.Signals, home: Path) -> None:
    before = ours(str(home / "r"), home).json("snapshots")
    with started(home, ("backup", str(home / "bulk"), "--json")) as process:
        await_lock(home)
        process.send_signal(number)
        assert process.wait(SECONDS) == 130
        assert process.stderr is not None
        assert json.loads(process.stderr.read())["code"] == 130
    assert locks(home) == []
    assert ours(str(home / "r"), home).json("snapshots") == before


def test_a_killed_backup_leaves_a_lock_that_the_next_one_knows_to_be_dead(home: Path) -> None:
    with started(home, ("backup", str(home / "bulk"))) as process:
        await_lock(home)
        process.kill()
        process.wait(SECONDS)
    assert len(locks(home)) == 1
    program = ours(str(home / "r"), home)
    assert "left 0" in program("unlock")
    assert program.json("check")["num_errors"] == 0


@pytest.mark.parametrize("closed", ["0", "1", "2"])
def test_a_backup_needs_no_standard_streams(closed: str, home: Path) -> None:
    command = ["bash", "-c", f'exec "$0" repo backup "$1" {closed}>&-', HOLDFAST, str(home / "many")]
    done = subprocess.run(command, env=environment(str(home / "r"), home), capture_output=True, timeout=SECONDS, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    stock(str(home / "r"), home)("check", "--read-data")


def test_a_full_disk_is_a_message_and_code_1(home: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(disk)], check=True)
    try:
        init_cheap(str(disk / "r"))
        program = ours(str(disk / "r"), home)
        said = program.fails(1, "backup", str(home / "bulk"))
        assert "No space left on device" in said
        assert "free some space" in said
        assert os.listdir(disk / "r" / "locks") == []
        assert program.json("snapshots") == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_no_half_of_a_dump(home: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
    try:
        said = ours(str(home / "r"), home).fails(1, "dump", "latest", "/", "-t", str(disk / "all.tar"))
        assert "No space left on device" in said
        assert os.listdir(disk) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert locks(home) == []


def test_a_full_disk_ends_a_restore_and_a_copy_at_once(home: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)], check=True)
    try:
        said = ours(str(home / "r"), home).fails(1, "restore", "latest", "--target", str(disk / "t"))
        assert "No space left on device: stopped, the target is incomplete; free some space" in said
        shutil.rmtree(disk / "t")
        init_cheap(str(disk / "r"))
        source = {"RESTIC_FROM_REPOSITORY": str(home / "r"), "RESTIC_FROM_PASSWORD": PASSWORD}
        said = ours(str(disk / "r"), home).fails(1, "copy", **source)
        assert "No space left on device" in said
        assert ours(str(disk / "r"), home).json("snapshots") == []
        assert os.listdir(disk / "r" / "locks") == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert locks(home) == []


def test_the_question_of_the_stock_program_whether_we_live_does_not_end_us(home: Path) -> None:
    with started(home, ("ls", "latest", "--json")) as process:
        first_output(process)
        judge = stock(str(home / "r"), home)
        judge("unlock")
        assert len(locks(home)) == 1
        process.send_signal(signal.SIGHUP)
        said, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        assert said.count(b"\n") > 2000
    assert locks(home) == []


def test_an_interrupted_stream_makes_no_snapshot(home: Path) -> None:
    program = ours(str(home / "r"), home)
    before = program.json("snapshots")
    for words in (("--stdin",), ("--stdin-from-command", "--", "sleep", "100")):
        with started(home, ("backup", *words), stdin=subprocess.PIPE) as process:
            await_lock(home)
            process.send_signal(signal.SIGINT)
            assert process.wait(SECONDS) == 130, words
    assert locks(home) == []
    assert program.json("snapshots") == before


@pytest.mark.parametrize(("answers", "code", "said"), [(("pass 1", "pass 1"), 0, "made repository"), (("a", "b"), 1, "differ")])
def test_a_terminal_is_asked_for_a_new_password_twice_and_shows_none(
    answers: tuple[str, str], code: int, said: str, tmp_path: Path
) -> None:
    env = environment(str(tmp_path / "new"), tmp_path)
    del env["RESTIC_PASSWORD"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(HOLDFAST, [HOLDFAST, "repo", "init"], env)
    try:
        shown = ""
        for answer, prompt in zip(answers, ("enter password", "again: "), strict=True):
            while not shown.endswith(": ") or prompt not in shown:
                shown += _typed(terminal)
            os.write(terminal, f"{answer}\n".encode())
        while more := _typed(terminal):
            shown += more
    finally:
        os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == code
    assert said in shown
    assert not any(answer in shown for answer in answers if len(answer) > 1)
    assert (tmp_path / "new" / "config").exists() == (code == 0)


def _typed(terminal: int) -> str:
    """What the program shows next; nothing once it has ended."""
    assert select.select([terminal], [], [], SECONDS)[0], "the terminal stays silent"
    try:
        return os.read(terminal, 1000).decode()
    except OSError:
        return ""
