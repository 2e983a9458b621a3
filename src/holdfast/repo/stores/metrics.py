"""What a store was asked and how it answered: counts, bytes, seconds and errors of each operation, for reports and metrics."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec

from holdfast.repo.errors import ObjectNotFound, StoreError
from holdfast.repo.store import Store
from holdfast.repo.stores.wrapped import Operation, Request, T, WrappedStore


class OperationStatistics(msgspec.Struct, frozen=True):
    """Sums over all calls of one operation, retries included.

    `calls`; `bytes` sent by puts or received by gets; `seconds` spent waiting for the store, of all threads together;
    `errors` by the name of the error's class. An object that is not there is an answer and no error.
    """

    calls: int = 0
    bytes: int = 0
    seconds: float = 0.0
    errors: Mapping[str, int] = {}


class MeasuredStore(WrappedStore):
    """Counts; read the sums with `statistics`. `clock` gives seconds."""

    def __init__(self, inner: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(inner)
        self._clock, self._guard = clock, threading.Lock()
        self._calls, self._bytes, self._seconds = Counter[Operation](), Counter[Operation](), dict[Operation, float]()
        self._errors: dict[Operation, Counter[str]] = {}

    def _around(self, request: Request, action: Callable[[], T]) -> T:
        started, moved, failure = self._clock(), request.sends, ""
        try:
            done = action()
            moved += len(done) if isinstance(done, bytes) else 0
            return done
        except ObjectNotFound:
            raise
        except StoreError as error:
            moved, failure = 0, type(error).__name__
            raise
        finally:
            self._count(request.operation, moved, self._clock() - started, failure)

    def _count(self, operation: Operation, moved: int, seconds: float, failure: str) -> None:
        with self._guard:
            self._calls[operation] += 1
            self._bytes[operation] += moved
            self._seconds[operation] = self._seconds.get(operation, 0.0) + seconds
            if failure:
                self._errors.setdefault(operation, Counter())[failure] += 1

    def statistics(self) -> dict[Operation, OperationStatistics]:
        """The sums so far, of each operation that was called."""
        with self._guard:
            return {
                operation: OperationStatistics(
                    calls, self._bytes[operation], self._seconds[operation], dict(self._errors.get(operation, {}))
                )
                for operation, calls in self._calls.items()
            }
