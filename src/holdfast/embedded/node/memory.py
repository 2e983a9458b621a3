"""Memory limits of containers by cgroup, where this machine lets the node make one.

As root a memory controller of either cgroup version is used. Elsewhere a limit can't be kept, and the pod says so in a
condition: RLIMIT_AS is no substitute, since it counts addresses and stops programs that use little memory, so it is
set only when the pod asks for it by annotation.
"""

import contextlib
import os
from pathlib import Path

import msgspec

ANNOTATION = "holdfast.dev/limit-address-space"
"""A pod with the value `true` gets RLIMIT_AS where no cgroup can be used."""

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")


class MemoryLimiter(msgspec.Struct, frozen=True):
    """Makes one group per container below `root`; without a root there are no limits. `version` is 1 or 2."""

    root: Path | None = None
    version: int = 1

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
        """Remove the node's own group."""
        if self.root is not None:
            with contextlib.suppress(OSError):
                self.root.rmdir()

    def _bound(self, group: Path, limit: int) -> None:
        if self.version == 1:
            (group / "memory.limit_in_bytes").write_text(str(limit))
            with contextlib.suppress(OSError):
                (group / "memory.memsw.limit_in_bytes").write_text(str(limit))
            return
        (group / "memory.max").write_text(str(limit))
        with contextlib.suppress(OSError):
            (group / "memory.swap.max").write_text("0")


def find_limiter(name: str) -> MemoryLimiter:
    """Try what this machine allows. `name` tells apart two nodes on one machine."""
    if os.geteuid() != 0:
        return MemoryLimiter()
    for version, top in ((1, _V1), (2, _V2)):
        root = top / f"holdfast-{name}"
        limiter = MemoryLimiter(root, version)
        try:
            if version == 2 and "memory" not in (top / "cgroup.controllers").read_text().split():
                continue
            root.mkdir(exist_ok=True)
            if version == 2:
                (root / "cgroup.subtree_control").write_text("+memory")
            if limiter.wrapper("probe", 64 * 1024 * 1024):
                limiter.remove("probe")
                return limiter
        except OSError:
            limiter.close()
    return MemoryLimiter()
