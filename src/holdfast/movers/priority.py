"""CPU and disk priority of a mover's process, as `nice` and `ionice` set them.

Users ask for them in runtime settings, which reach the pod as environment variables. A kernel that refuses one (a negative
adjustment needs a right that movers don't have) is no reason not to make the backup: the log says so, and the work goes on.
"""

import ctypes
import os
import platform
from collections.abc import Mapping
from typing import Final

from holdfast.movers.context import log

_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "s390x": 282, "ppc64le": 273}
"""Number of the system call `ioprio_set`, by machine: the C library has no function for it."""

_CLASS_SHIFT, _THIS_PROCESS = 13, 1


def settle_priority(environment: Mapping[str, str]) -> None:
    """Apply NICE_ADJUSTMENT, IONICE_CLASS and IONICE_CLASS_DATA to this process; values that make no sense are logged."""
    try:
        if adjustment := environment.get("NICE_ADJUSTMENT"):
            os.nice(int(adjustment))
        if kind := environment.get("IONICE_CLASS"):
            _ionice(int(kind), int(environment.get("IONICE_CLASS_DATA") or 4))
    except (OSError, ValueError) as error:
        log(f"priority not set: {error}")


def _ionice(kind: int, data: int) -> None:
    number = _IOPRIO_SET.get(platform.machine())
    if number is None:
        raise ValueError(f"ionice is not known on {platform.machine()}")
    library = ctypes.CDLL(None, use_errno=True)
    if library.syscall(number, _THIS_PROCESS, 0, (kind << _CLASS_SHIFT) | (data if kind in (1, 2) else 0)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"ionice class {kind}: {os.strerror(code)}")
