"""What this process may do to files of others. Capabilities decide, not the user id: the root of a container often has few."""

import os
from pathlib import Path

CHOWN = 0
"""Give files to another owner."""

SYS_ADMIN = 21
"""Set attributes in the `trusted` namespace."""

SETFCAP = 31
"""Set file capabilities."""


def holds(capability: int) -> bool:
    """Whether a capability (its number in Linux) is effective in this process; without /proc root is taken to have all."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        mask = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    except (OSError, StopIteration, ValueError):
        return os.geteuid() == 0
    return bool(mask >> capability & 1)
