"""Memory limits of containers by cgroup, where this machine lets the node make one.

As root a memory controller of either cgroup version is used. Elsewhere a limit can't be kept, and the pod says so in a
condition: RLIMIT_AS is no substitute, since it counts addresses and stops programs that use little memory, so it is
set only when the pod asks for it by annotation.

A node holds a lock on its group's folder for as long as it lives. A killed one leaves the folder without the lock, by
which the next node that starts knows it and removes it; the kernel itself refuses to remove a group that is in use.
"""

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

ANNOTATION = "holdfast.dev/limit-address-space"
"""A pod with the value `true` gets RLIMIT_AS where no cgroup can be used."""

PLACES = ((1, Path("/sys/fs/cgroup/memory")), (2, Path("/sys/fs/cgroup")))
"""Where a memory controller may be: the cgroup version and its top folder."""

_OURS = re.compile(r"holdfast-[0-9a-f]{12}")
_TRIES = 3

_log = logging.getLogger(__name__)


class MemoryLimiter(msgspec.Struct):
    """Makes one group per container below `root`; without a root there are no limits. `version` is 1 or 2.

    `lock` is the open folder of the root, which says to others that its node lives.
    """

    root: Path | None = None
    version: int = 1
    lock: int = -1

    def wrapper(self, name: str, limit: int, *, address_space: bool = False) -> list[str]:
        """Return the command prefix that puts a container under a limit in bytes; empty when that can't be done."""
        if self.root is None:
            return ["/usr/bin/prlimit", f"--as={limit}", "--"] if address_space else []
        group = self.root / name
        try:
            group.mkdir(parents=True, exist_ok=True)
            self._bound(group, limit)
        except OSError:
            return []
        return ["/bin/sh", "-c", 'echo 0 > "$0" && exec "$@"', str(group / "cgroup.procs")]

    def members(self, name: str) -> str:
        """Return the file by which a process joins a container's group; empty when there is no group."""
        path = self.root / name / "cgroup.procs" if self.root is not None else None
        return str(path) if path is not None and path.exists() else ""

    def killed(self, name: str) -> bool:
        """Whether the kernel killed something in the container's group for want of memory."""
        if self.root is None:
            return False
        file = "memory.oom_control" if self.version == 1 else "memory.events"
        with contextlib.suppress(OSError, ValueError):
            for line in (self.root / name / file).read_text().splitlines():
                word, _, count = line.partition(" ")
                if word == "oom_kill" and int(count) > 0:
                    return True
        return False

    def remove(self, name: str) -> None:
        """Remove a container's group. Harmless when there is none."""
        if self.root is not None:
            with contextlib.suppress(OSError):
                (self.root / name).rmdir()

    def close(self) -> None:
        """Remove the node's own group and give up its lock."""
        if self.root is not None:
            with contextlib.suppress(OSError):
                self.root.rmdir()
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def _bound(self, group: Path, limit: int) -> None:
        if self.version == 1:
            (group / "memory.limit_in_bytes").write_text(str(limit))
            with contextlib.suppress(OSError):
                (group / "memory.memsw.limit_in_bytes").write_text(str(limit))
            return
        (group / "memory.max").write_text(str(limit))
        with contextlib.suppress(OSError):
            (group / "memory.swap.max").write_text("0")


def find_limiter(name: str, places: Sequence[tuple[int, Path]] = PLACES) -> MemoryLimiter:
    """Try what this machine allows, after the groups of killed nodes are gone. `name` tells apart two nodes on one machine."""
    if os.geteuid() != 0:
        return MemoryLimiter()
    for _, top in places:
        remove_abandoned(top)
    for version, top in places:
        limiter = MemoryLimiter(top / f"holdfast-{name}", version)
        try:
            if version == 2 and "memory" not in (top / "cgroup.controllers").read_text().split():
                continue
            if _probe(limiter):
                return limiter
        except OSError as problem:
            _log.debug("no memory limits by %s: %s", top, problem)
        limiter.close()
    return MemoryLimiter()


def remove_abandoned(top: Path) -> list[str]:
    """Remove the groups of nodes that are gone: only ours by name, only unlocked ones, only what is empty."""
    with contextlib.suppress(OSError):
        found = sorted(path for path in top.iterdir() if _OURS.fullmatch(path.name) and path.is_dir())
        removed = [path.name for path in found if _remove_if_abandoned(path)]
        if removed:
            _log.info("removed %d memory groups that killed nodes left in %s", len(removed), top)
        return removed
    return []


def _remove_if_abandoned(root: Path) -> bool:
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for child in [path for path in root.iterdir() if path.is_dir()]:
            with contextlib.suppress(OSError):
                child.rmdir()
        root.rmdir()
        return True
    except OSError:
        return False
    finally:
        os.close(folder)


def _probe(limiter: MemoryLimiter) -> bool:
    """Make the node's own group and one in it, as a container would have."""
    root = limiter.root
    if root is None:
        return False
    limiter.lock = _own(root)
    if limiter.version == 2:
        (root / "cgroup.subtree_control").write_text("+memory")
    works = bool(limiter.wrapper("probe", 64 * 1024 * 1024))
    limiter.remove("probe")
    return works


def _own(root: Path) -> int:
    """Make a folder and lock it; once more when another node's cleaning took it in between."""
    for _ in range(_TRIES):
        root.mkdir(exist_ok=True)
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(folder, fcntl.LOCK_SH)
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(folder), os.stat(root)):
                return folder
        os.close(folder)
    raise OSError(f"{root} is removed again and again by another process")
