"""Memory and CPU limits of containers by cgroup, where this machine lets the node make one.

As root a controller of either cgroup version is used, each by itself. Elsewhere a limit can't be kept, and the pod says so in a
condition. RLIMIT_AS is no substitute for memory, since it counts addresses and stops programs that use little memory, so it
is set only when the pod asks for it by annotation.

A node holds a lock on its groups' folders for as long as it lives. A killed one leaves a folder without the lock, by
which the next node that starts knows it and removes it; the kernel itself refuses to remove a group that is in use.
"""

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

ANNOTATION = "holdfast.dev/limit-address-space"
"""A pod with the value `true` gets RLIMIT_AS where no cgroup can be used."""

MEMORY, CPU = "memory", "cpu"

Places = Sequence[tuple[int, Path]]
"""Where a controller may be: the cgroup version and its top folder."""

PLACES: Final[Mapping[str, Places]] = {
    MEMORY: ((1, Path("/sys/fs/cgroup/memory")), (2, Path("/sys/fs/cgroup"))),
    CPU: ((1, Path("/sys/fs/cgroup/cpu")), (2, Path("/sys/fs/cgroup"))),
}

_OURS = re.compile(r"holdfast-[0-9a-f]{12}")
_TRIES = 3
_PERIOD: Final = 100_000
_LEAST_QUOTA: Final = 1_000
"""Microseconds: the kernel's usual period, and the least share of it that it accepts."""

_log = logging.getLogger(__name__)


class Limiter(msgspec.Struct):
    """Makes one group per container below `root`, for one controller; without a root there are no limits.

    `version` is 1 or 2. `lock` is the open folder of the root, which says to others that its node lives.
    """

    controller: str
    root: Path | None = None
    version: int = 1
    lock: int = -1

    def place(self, name: str, amount: float) -> str:
        """Make a container's group with a limit (bytes, or cores); return the file by which a process joins it, or nothing."""
        if self.root is None:
            return ""
        group = self.root / name
        try:
            group.mkdir(parents=True, exist_ok=True)
            (self._bound_memory if self.controller == MEMORY else self._bound_cpu)(group, amount)
        except OSError:
            return ""
        return str(group / "cgroup.procs")

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

    def _bound_memory(self, group: Path, amount: float) -> None:
        if self.version == 1:
            (group / "memory.limit_in_bytes").write_text(str(int(amount)))
            with contextlib.suppress(OSError):
                (group / "memory.memsw.limit_in_bytes").write_text(str(int(amount)))
            return
        (group / "memory.max").write_text(str(int(amount)))
        with contextlib.suppress(OSError):
            (group / "memory.swap.max").write_text("0")

    def _bound_cpu(self, group: Path, amount: float) -> None:
        quota = max(_LEAST_QUOTA, int(amount * _PERIOD))
        if self.version == 1:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
            return
        (group / "cpu.max").write_text(f"{quota} {_PERIOD}")


class Limits(msgspec.Struct, frozen=True):
    """What a container may use at most: bytes of memory, cores of the processor; None where it says nothing."""

    memory: int | None = None
    cpu: float | None = None


class Limiters(msgspec.Struct, frozen=True):
    """The limits that this machine can keep."""

    memory: Limiter
    cpu: Limiter

    def wrapper(self, name: str, limits: Limits, *, address_space: bool = False) -> list[str]:
        """Return the command prefix that puts a container under its limits; empty when there is nothing to do or to be done.

        `address_space` asks for RLIMIT_AS where memory can't be limited otherwise.
        """
        prefix: list[str] = []
        files: list[str] = []
        if limits.memory is not None and self.memory.root is not None:
            files.append(self.memory.place(name, limits.memory))
        elif limits.memory is not None and address_space:
            prefix = ["/usr/bin/prlimit", f"--as={limits.memory}", "--"]
        if limits.cpu is not None:
            files.append(self.cpu.place(name, limits.cpu))
        return [*prefix, *enter(files)]

    def members(self, name: str) -> tuple[str, ...]:
        """Return the files by which a process joins a container's groups."""
        return tuple(dict.fromkeys(filter(None, (self.memory.members(name), self.cpu.members(name)))))

    def remove(self, name: str) -> None:
        """Remove a container's groups. Harmless when there are none."""
        for limiter in (self.memory, self.cpu):
            limiter.remove(name)

    def close(self) -> None:
        """Remove the node's own groups."""
        for limiter in (self.memory, self.cpu):
            limiter.close()


def enter(files: Iterable[str]) -> list[str]:
    """Return the command prefix that puts a process into groups by their files."""
    named = list(dict.fromkeys(filter(None, files)))
    if not named:
        return []
    joined = " && ".join(f'echo 0 > "${at}"' for at in range(len(named)))
    return ["/bin/sh", "-c", f'{joined} && shift {len(named) - 1} && exec "$@"', *named]


def find_limiters(name: str, places: Mapping[str, Places] = PLACES) -> Limiters:
    """Try what this machine allows, after the groups of killed nodes are gone. `name` tells apart two nodes on one machine."""
    for top in {top for found in places.values() for _, top in found} if os.geteuid() == 0 else ():
        remove_abandoned(top)
    return Limiters(_find(MEMORY, name, places.get(MEMORY, ())), _find(CPU, name, places.get(CPU, ())))


def _find(controller: str, name: str, places: Places) -> Limiter:
    if os.geteuid() != 0:
        return Limiter(controller)
    for version, top in places:
        limiter = Limiter(controller, top / f"holdfast-{name}", version)
        try:
            if version == 2 and controller not in (top / "cgroup.controllers").read_text().split():
                continue
            if _probe(limiter):
                return limiter
        except OSError as problem:
            _log.debug("no %s limits by %s: %s", controller, top, problem)
        limiter.close()
    return Limiter(controller)


def remove_abandoned(top: Path) -> list[str]:
    """Remove the groups of nodes that are gone: only ours by name, only unlocked ones, only what is empty."""
    with contextlib.suppress(OSError):
        found = sorted(path for path in top.iterdir() if _OURS.fullmatch(path.name) and path.is_dir())
        removed = [path.name for path in found if _remove_if_abandoned(path)]
        if removed:
            _log.info("removed %d groups that killed nodes left in %s", len(removed), top)
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


def _probe(limiter: Limiter) -> bool:
    """Make the node's own group and one in it, as a container would have."""
    root = limiter.root
    if root is None:
        return False
    limiter.lock = _own(root)
    if limiter.version == 2:
        (root / "cgroup.subtree_control").write_text(f"+{limiter.controller}")
    works = bool(limiter.place("probe", 64 << 20 if limiter.controller == MEMORY else 1))
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
