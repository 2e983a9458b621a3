"""How long a container that keeps ending waits for its next start: 10 s, doubled up to 5 minutes, forgotten after 10 good ones.

The count lies beside the container's logs, so that a node which is killed again and again does not start a failing program
more often than one that lives.
"""

import contextlib
import time
from pathlib import Path

import msgspec

from holdfast.embedded.node.settings import Settings


class _Kept(msgspec.Struct):
    """What is remembered: failures in a row, and until when the present wait lasts, in seconds since 1970."""

    failures: int = 0
    until: float = 0.0


class Backoff:
    """The waits of one container, kept in the file at `path`."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path, self._settings = path, settings
        self._kept = _Kept()
        with contextlib.suppress(OSError, msgspec.DecodeError):  # none yet, or cut short by a crash: begin anew
            self._kept = msgspec.json.decode(path.read_bytes(), type=_Kept)

    def failed(self, seconds: float) -> float:
        """Note an end after a run of so many seconds; returns how long to wait for the next start."""
        settings, kept = self._settings, self._kept
        kept.failures = 1 if seconds >= settings.crash_backoff_reset else kept.failures + 1
        wait = min(settings.crash_backoff * 2 ** min(kept.failures - 1, 30), settings.crash_backoff_cap)
        kept.until = time.time() + wait
        with contextlib.suppress(OSError):  # a full disk costs the memory of it, not the container
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(msgspec.json.encode(kept))
        return wait

    def left(self) -> float:
        """Seconds that are left of a wait which the end of an earlier node has cut short; never more than the longest wait."""
        return min(max(self._kept.until - time.time(), 0.0), self._settings.crash_backoff_cap)
