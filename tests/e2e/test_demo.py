"""`holdfast demo` with less data: it proves what it says, notices one flipped bit, and leaves nothing behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.run, pytest.mark.timeout(300)]

HOLDFAST = str(Path(sys.executable).parent / "holdfast")


def demo(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [HOLDFAST, "demo", "--files", "1500", "--bytes", "20000000", "--directory", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)


def left_running(folder: Path) -> list[str]:
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if any(str(folder) in word for word in words):
                found.append(" ".join(words))
    return found


def test_the_demo_verifies_every_file_and_cleans_up(tmp_path: Path) -> None:
    done = demo(tmp_path / "work")

    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    verified = re.fullmatch(r"demo: verified ([\d ]+) files identical", lines[-1])
    assert verified is not None
    assert int(verified[1].replace(" ", "")) >= 1500
    assert sum("no errors were found" in line for line in lines) == 2
    assert sum(bool(re.search(r"-demo-repo-sample-backup-sts-demo-session-\d+ +\d+ ", line)) for line in lines) == 4
    assert "ValidationPassed True: Validation has been passed successfully." in done.stdout
    assert left_running(tmp_path) == []
    assert list((tmp_path / "work").iterdir()) == []


def test_the_demo_notices_one_flipped_bit(tmp_path: Path) -> None:
    done = demo(tmp_path / "work", HOLDFAST_DEMO_FLIP_BYTE="1")

    assert done.returncode == 1
    assert "flipped byte" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith("demo: FAILED Job compare: different hashes")
    assert left_running(tmp_path) == []
    assert list((tmp_path / "work").iterdir()) == []


def test_the_demo_says_when_there_is_no_room(tmp_path: Path) -> None:
    command = [HOLDFAST, "demo", "--bytes", str(10**18), "--directory", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stdout.startswith(f"demo: FAILED {tmp_path} has ")
