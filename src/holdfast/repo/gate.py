"""How many threads may do small things at once.

Work on small files is mostly work for the interpreter, and threads that do it together only fight for its lock: two are slower
than one. On a file system behind a network the same work is mostly waiting, and more threads are faster. The gate finds out: a
process that uses less than a core is waiting, so another thread is let in; one that uses a core is not, so one fewer is.
"""

import threading
import time
from types import TracebackType

_MEASURE_SECONDS = 0.2
_WAITING_BELOW = 0.7
_BUSY_ABOVE = 0.95


class Gate:
    """A context manager for threads: at most `most`, at first one, are inside."""

    def __init__(self, most: int) -> None:
        self._most, self._limit, self._inside = most, 1, 0
        self._changed = threading.Condition()
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def __enter__(self) -> None:
        with self._changed:
            while self._inside >= self._limit:
                self._changed.wait()
            self._inside += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._changed:
            self._inside -= 1
            wall, cpu = time.monotonic(), time.process_time()
            if wall - self._wall >= _MEASURE_SECONDS:
                self._limit = next_limit(self._limit, self._most, (cpu - self._cpu) / (wall - self._wall))
                self._wall, self._cpu = wall, cpu
            self._changed.notify_all()


def next_limit(limit: int, most: int, used: float) -> int:
    """One more, one fewer or as many threads, by the part of a core that was used."""
    if used < _WAITING_BELOW:
        return min(limit + 1, most)
    return max(limit - 1, 1) if used > _BUSY_ABOVE else limit
