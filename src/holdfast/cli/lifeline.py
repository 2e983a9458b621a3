"""Children that never outlive us: each asks the kernel to kill it when its parent dies, before it runs a program."""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> Callable[[], None]:
    """Return what a child does between fork and exec (`preexec_fn`).

    The request outlives the exec. A parent that died before it could be made is noticed by the child's having another one.
    """
    parent, prctl = os.getpid(), ctypes.CDLL(None, use_errno=True).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare
