"""A starting node ends what an earlier one left running, and nobody else's processes."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import tools

from holdfast.embedded.node.orphans import end_orphans


def sandbox(pods: Path) -> "subprocess.Popen[bytes]":
    """Start a sandbox with a file of a pod mounted, which nothing ends with its parent; return when it runs."""
    folder = pods / "uid" / "containers"
    folder.mkdir(parents=True)
    command = [tools.bwrap(), "--dev-bind", "/", "/", "--bind", str(folder), "/mnt", "--unshare-pid", "--proc", "/proc"]
    process = subprocess.Popen(
        [*command, "--", "sh", "-c", "echo up; exec sleep 300"], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list["subprocess.Popen[bytes]"]]:
    started = [sandbox(tmp_path / "a b" / "pods"), sandbox(tmp_path / "other" / "pods")]
    yield started
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_sandbox_of_the_own_pods_is_ended_and_another_nodes_lives(
    two: list["subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    ours, theirs = two

    assert end_orphans(tmp_path / "a b" / "pods") >= 1

    assert ours.wait(10) != 0
    assert theirs.poll() is None
    assert end_orphans(tmp_path / "a b" / "pods") == 0


def test_without_orphans_nothing_is_touched(two: list["subprocess.Popen[bytes]"], tmp_path: Path) -> None:
    (tmp_path / "mine" / "pods").mkdir(parents=True)
    assert end_orphans(tmp_path / "mine" / "pods") == 0
    assert all(process.poll() is None for process in two)
