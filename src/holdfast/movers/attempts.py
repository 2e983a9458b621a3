"""Tries of a hook: so many of them, with a pause between two, ended at once when the mover is told to stop."""

from collections.abc import Callable
from typing import TypeVar

from holdfast.movers.context import Context, MoverError, log, stopped

T = TypeVar("T")

FINAL = frozenset({"Terminated", "NotAllowed", "NotFound", "AnotherPod", "BadArguments"})
"""Reasons that another try does not change."""


def tried(what: str, attempts: int, delay: float, context: Context, attempt: Callable[[], T]) -> T:
    """Call `attempt` until it raises no MoverError, at most `attempts` times; the last one's error says how many there were."""
    for number in range(1, max(attempts, 1) + 1):
        context.check()
        try:
            return attempt()
        except MoverError as error:
            found = error.failure
            if found.reason in FINAL or attempts <= 1:
                raise
            if number >= attempts:
                raise MoverError(found.reason, f"{found.message} (try {number} of {attempts})", found.hint) from error
            log(f"{what}: try {number} of {attempts} failed: {found.message}")
        if context.stop.wait(delay):
            raise stopped()
    raise AssertionError("unreachable: the last try returns or raises")
