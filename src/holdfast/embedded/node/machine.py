"""What this machine lets a node do, tried out once at its start."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import msgspec

from holdfast.embedded.node import layout, process, sandbox
from holdfast.embedded.node.capabilities import NUMBERS
from holdfast.embedded.node.identity import ALL_CAPABILITIES
from holdfast.embedded.node.images import root_mounts
from holdfast.embedded.node.process import Tools
from holdfast.embedded.node.sandbox import Identity, Sandbox


class Machine(msgspec.Struct, frozen=True):
    """The tools found, and `problem`: why no sandbox can be made, for people; empty when one can."""

    tools: Tools
    problem: str = ""


@functools.cache
def inspect() -> Machine:
    """Find the tools and try one sandbox, once for all nodes of a process. Takes some milliseconds."""
    bwrap, nsenter = shutil.which("bwrap"), shutil.which("nsenter")
    if bwrap is None or nsenter is None:
        missing = "bwrap (package bubblewrap)" if bwrap is None else "nsenter (package util-linux)"
        return Machine(Tools(), f"pods can't run: {missing} is not installed")
    privileged = os.geteuid() == 0
    tools = Tools(bwrap, nsenter, privileged, _effective() if privileged else ALL_CAPABILITIES)
    said = process.try_once(_trial(privileged), tools)
    if not said.strip():
        return Machine(tools)
    hint = (
        ""
        if privileged
        else "; as an ordinary user this needs unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1)"
    )
    return Machine(tools, f"pods can't run: bubblewrap says {said.strip()!r}{hint}")


def memory_directory(disk: Path, name: str) -> Path:
    """Return where secrets of pods lie: on a tmpfs that only this user can enter, or else beside the pods."""
    candidates = [Path("/run"), Path(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent"), Path("/dev/shm")]
    for parent in candidates:
        if os.access(parent, os.W_OK | os.X_OK) and _is_tmpfs(parent):
            return parent / f"holdfast-{os.geteuid()}" / name
    return disk / "secrets"


def memory_bytes() -> int:
    """Return the machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _trial(privileged: bool) -> Sandbox:
    who = Identity(uid=65534, gid=65534) if privileged else Identity(uid=os.geteuid(), gid=os.getegid())
    mounts = tuple(layout.arrange(root_mounts(), []))
    return sandbox.Sandbox(command=("/bin/true",), environment={}, mounts=mounts, identity=who)


def _effective() -> frozenset[str]:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            mask = int(line.split()[1], 16)
            return frozenset(name for name, bit in NUMBERS.items() if mask >> bit & 1)
    return frozenset()


def _is_tmpfs(path: Path) -> bool:
    found = subprocess.run(["/usr/bin/stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True, check=False)
    return found.stdout.strip() in ("tmpfs", "ramfs")
