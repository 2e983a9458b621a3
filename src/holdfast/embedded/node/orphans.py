"""Sandboxes that outlived the node that started them.

bubblewrap asks the kernel to end a sandbox with its parent, but a node that is killed between the fork and that request leaves
one running. A pod of an earlier node is reported as Failed, and others take that as proof that nothing of it writes any more
(repository locks, docs/adr/0007); so a node ends such sandboxes before it reports anything. They are known by their mounts:
a process in another mount namespace that has something of our own pods' folder mounted can only be ours.
"""

import contextlib
import logging
import os
import re
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

PATIENCE: Final = 5.0
"""Seconds that killed processes are given to be gone."""

_OCTAL: Final = re.compile(r"\\([0-7]{3})")


def end_orphans(pods: Path) -> int:
    """Kill every process of a sandbox that has something below `pods` mounted; return how many there were."""
    place = _place(pods)
    ended = 0
    for pid in _foreign():
        if not any(_within(mount, place) for mount in _mounts(pid)):
            continue
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                if not select.select([handle], [], [], PATIENCE)[0]:
                    log.warning("process %d of a pod that an earlier node started does not die", pid)
            finally:
                os.close(handle)
            ended += 1
    if ended:
        log.warning("ended %d processes of pods that an earlier node had started", ended)
    return ended


def _foreign() -> Iterator[int]:
    """Yield the processes that see other mounts than we do."""
    ours = os.readlink("/proc/self/ns/mnt")
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{entry.name}/ns/mnt") != ours:
                    yield int(entry.name)


def _mounts(pid: int | str) -> list[tuple[str, str, str]]:
    """Return (device, what is mounted within its file system, where) of every mount that a process sees."""
    try:
        lines = Path(f"/proc/{pid}/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    fields = (line.split(" ", 5) for line in lines)
    return [(found[2], _plain(found[3]), _plain(found[4])) for found in fields]


def _place(path: Path) -> tuple[str, str]:
    """Return a folder as (device, path within its file system): what it is called in every mount namespace."""
    wanted = str(path.resolve())
    over = [mount for mount in _mounts("self") if _below(wanted, mount[2])]
    device, root, where = max(over, key=lambda mount: len(mount[2]))
    return device, f"{root.rstrip('/')}/{wanted[len(where) :].lstrip('/')}"


def _within(mount: tuple[str, str, str], place: tuple[str, str]) -> bool:
    return mount[0] == place[0] and _below(mount[1], place[1])


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)
