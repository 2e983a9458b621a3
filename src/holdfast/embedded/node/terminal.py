"""Pseudo terminals: for `kubectl exec -t`, and for containers with `tty: true`."""

import contextlib
import fcntl
import os
import struct
import termios
from typing import Final

_GET_PEER: Final = 0x5441
"""The ioctl TIOCGPTPEER: open the other side of a terminal without its path (ioctl_tty of Linux)."""

_SET_LOCK: Final = 0x40045431
"""The ioctl TIOCSPTLCK: (un)lock the other side."""

CONTROL: Final = ("/usr/bin/setsid", "--ctty")
"""The command prefix that makes standard input the controlling terminal of a new session."""


def open_terminal(pid: int = 0, owner: int = -1) -> tuple[int, int]:
    """Return (our side, the program's side) of a new terminal.

    With the `pid` of a process in a sandbox it is one of that sandbox, so that its name means something there, and belongs to
    the user `owner`. Where the kernel does not let us, and without a pid, it is one of the machine.
    """
    ours = -1
    try:
        if not pid:
            return os.openpty()
        ours = os.open(f"/proc/{pid}/root/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        fcntl.ioctl(ours, _SET_LOCK, struct.pack("i", 0))
        theirs = int(fcntl.ioctl(ours, _GET_PEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        if ours >= 0:
            os.close(ours)
        return os.openpty()
    with contextlib.suppress(OSError):
        os.fchown(theirs, owner, -1)
    return ours, theirs


def resize(terminal: int, width: int, height: int) -> None:
    """Tell a terminal its size in characters; the programs on it get SIGWINCH."""
    size = struct.pack("HHHH", *(max(0, min(number, 0xFFFF)) for number in (height, width)), 0, 0)
    with contextlib.suppress(OSError):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
