"""A control plane of `holdfast up` for tests: its commands, kubectl on it, and the processes it consists of."""

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests import tools

HOLDFAST = str(Path(sys.executable).parent / "holdfast")
BOUND = 30.0


class Plane:
    """A data directory and the commands on it."""

    def __init__(self, folder: Path) -> None:
        self.data = folder
        self.kubeconfig = folder / "admin.kubeconfig"

    def run(self, command: str, *words: str) -> "subprocess.CompletedProcess[str]":
        whole = [HOLDFAST, command, "--data-dir", str(self.data), *words]
        return subprocess.run(whole, capture_output=True, text=True, timeout=90, check=False)

    def up(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return self.run("up", "--detach", *words)

    def down(self) -> "subprocess.CompletedProcess[str]":
        return self.run("down")

    def apply(self, text: str) -> None:
        assert self.kubectl("apply", "-f", "-", text=text).endswith("created\n")

    def kubectl(self, *words: str, text: str = "") -> str:
        command = [tools.kubectl(), "--kubeconfig", str(self.kubeconfig), *words]
        environment = os.environ | {"KUBECACHEDIR": str(self.data.with_suffix(".cache"))}
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, env=environment, check=False)
        return done.stdout if not done.returncode else done.stderr

    def processes(self) -> list[int]:
        """The pids of everything that was started on this data directory."""
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                except OSError:
                    continue
                if b"holdfast.cli.main" in words and any(str(self.data).encode() in word for word in words) and state != "Z":
                    found.append(int(entry.name))
        return found

    def outlive_nobody(self) -> None:
        """Wait for the end of everything that was started on this data directory."""
        deadline = time.monotonic() + BOUND
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                ending = os.pidfd_open(pid)
                left = max(0.0, deadline - time.monotonic())
                ended, _, _ = select.select([ending], [], [], left)
                os.close(ending)
                assert ended, f"process {pid} outlives its supervisor"

    def pid_of(self, part: str) -> int:
        for pid in self.processes():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended since it was listed
                if part.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return pid
        raise AssertionError(f"no {part} runs")


def eventually(what: Callable[[], bool], text: str, seconds: float = BOUND) -> None:
    """Look until it holds: for what other programs show, and announce to nobody."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, text
        time.sleep(0.05)
