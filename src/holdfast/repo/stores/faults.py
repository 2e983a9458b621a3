"""A store that fails on purpose, so that tests can see what everything above makes of it.

A fault is asked before each operation, with its name and path: it may raise, which is then the operation's outcome; answer
None, which lets it pass; or answer an effect, which carries it out in some broken way. `nth` aims a fault at one call.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from holdfast.repo.errors import StoreError, StoreFull
from holdfast.repo.store import Store
from holdfast.repo.stores.wrapped import Request, T, WrappedStore

Effect: TypeAlias = Callable[[Request, Callable[[], Any]], Any]
"""Carries out an operation, given what it is and how it is done properly; returns or raises its outcome."""

Fault: TypeAlias = Callable[[str, str], Effect | None]
"""Given operation and path: raises, lets pass (None), or answers an effect."""


class FaultyStore(WrappedStore):
    """Asks `fault` before each operation; see the module."""

    def __init__(self, inner: Store, fault: Fault | Callable[[str, str], None]) -> None:
        super().__init__(inner)
        self._fault = fault

    def _around(self, request: Request, action: Callable[[], T]) -> T:
        effect = self._fault(request.operation, request.path)
        return action() if effect is None else effect(request, action)


def nth(operation: str, number: int, effect: Effect) -> Fault:
    """Let `effect` meet the `number`-th call (from 1) of an operation; all others pass. Safe among threads."""
    guard, seen = threading.Lock(), 0

    def fault(called: str, path: str) -> Effect | None:
        nonlocal seen
        if called != operation:
            return None
        with guard:
            seen += 1
            return effect if seen == number else None

    return fault


def before(error: StoreError) -> Effect:
    """Fail without having done anything: a request that never arrived."""

    def effect(request: Request, action: Callable[[], Any]) -> Any:
        raise error

    return effect


def after(error: StoreError) -> Effect:
    """Do it, then fail: an answer that was lost, or a connection dropped at the worst moment."""

    def effect(request: Request, action: Callable[[], Any]) -> Any:
        action()
        raise error

    return effect


def slow(seconds: float, pause: Callable[[float], None] = time.sleep) -> Effect:
    """Do it after a while."""

    def effect(request: Request, action: Callable[[], Any]) -> Any:
        pause(seconds)
        return action()

    return effect


def cut(keep: int) -> Effect:
    """Read, and hand over the first `keep` bytes only, as a broken service does."""

    def effect(request: Request, action: Callable[[], Any]) -> Any:
        return action()[:keep]

    return effect


class Room:
    """A fault: the store takes so many bytes, and is full then."""

    def __init__(self, left: int) -> None:
        self._left, self._guard = left, threading.Lock()

    def __call__(self, operation: str, path: str) -> Effect | None:
        """See `Fault`."""
        return self._store if operation == "put" else None

    def _store(self, request: Request, action: Callable[[], Any]) -> Any:
        with self._guard:
            if request.sends > self._left:
                raise StoreFull(f"write {request.path}: no room is left")
            self._left -= request.sends
        return action()
