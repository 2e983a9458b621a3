"""What every mover is given beside its arguments: a way to say how far it is, and a way to hear that it shall stop.

A mover is ended by SIGTERM (the pod is deleted, its deadline passed, the node goes down). It then stops at the next safe
point, gives its locks back and still reports; the grace period of the pod is the time it has for that.
"""

import signal
import sys
import threading
from collections.abc import Callable

import msgspec

from holdfast.core.report import Failure, Progress


class MoverError(Exception):
    """A failure that a mover finds by itself. Becomes the report's `failure`."""

    def __init__(self, reason: str, message: str, hint: str = "", *, again: bool = False) -> None:
        super().__init__(message)
        self.failure = Failure(reason, message, hint, again)


class Context(msgspec.Struct, frozen=True):
    """Hands progress out and the wish to stop in."""

    progress: Callable[[Progress], None]
    stop: threading.Event

    def check(self) -> None:
        """Raise MoverError when the mover was told to stop."""
        if self.stop.is_set():
            raise stopped()


def stopped() -> MoverError:
    """Return the failure of a mover that was ended from outside."""
    return MoverError("Terminated", "the pod was told to stop before the work was done", "run it again")


def log(text: str) -> None:
    """Write one line of ordinary log."""
    print(text, flush=True)


def stop_on_signals(stop: threading.Event) -> None:
    """Turn SIGTERM and SIGINT into the wish to stop."""

    def note(number: int, _frame: object) -> None:
        stop.set()
        print(f"stopping: received {signal.Signals(number).name}", file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, note)
