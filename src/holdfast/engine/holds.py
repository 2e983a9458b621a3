"""What a key waits for that no event announces: a Secret that is not watched, a Job that the server refused.

Each hold has its message, for the status, and a time after which it is tried again, twice as late each time. Holds are
memory of this process only: after a restart everything is tried once, at once.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from holdfast.engine.interest import Key

FIRST: Final = 1.0
LONGEST: Final = 30.0


class Holds:
    """Holds by key and subject. A subject is a Job's name, or `secrets`."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._entries: dict[tuple[Key, str], tuple[str, float, int]] = {}

    def hold(self, key: Key, subject: str, message: str) -> None:
        """Hold a subject back, longer than the time before."""
        _, _, attempts = self._entries.get((key, subject), ("", 0.0, 0))
        until = self._monotonic() + min(FIRST * 2**attempts, LONGEST)
        self._entries[key, subject] = (message, until, min(attempts + 1, 10))

    def message(self, key: Key, subject: str) -> str:
        """Return why a subject is held now; empty when it may be tried."""
        message, until, _ = self._entries.get((key, subject), ("", 0.0, 0))
        return message if self._monotonic() < until else ""

    def messages(self, key: Key) -> Mapping[str, str]:
        """Return why subjects of a key are held now."""
        now = self._monotonic()
        return {
            subject: message for (held, subject), (message, until, _) in self._entries.items() if held == key and now < until
        }

    def release(self, key: Key, subject: str) -> None:
        """Forget a subject that went well."""
        self._entries.pop((key, subject), None)

    def forget(self, key: Key) -> None:
        """Forget everything about a key that is gone."""
        for entry in [entry for entry in self._entries if entry[0] == key]:
            del self._entries[entry]

    def next_try(self, key: Key) -> float | None:
        """Return in how many seconds the first hold of a key ends; None without one."""
        now = self._monotonic()
        ends = [until - now for (held, _), (_, until, _) in self._entries.items() if held == key and until > now]
        return min(ends, default=None)
