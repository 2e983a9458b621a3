"""Which namespaces one engine acts for, and the gate before each of its writes.

An engine that leads acts for all of them. Several that act at once hold shards of them (see `kube.shards`): all
see everything, since objects refer to each other across namespaces, and each works on the objects of its own namespaces only.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, Protocol

from holdfast.kube.lease import Elector
from holdfast.kube.transport import Gate

ACTING: Final[ContextVar[str]] = ContextVar("acting", default="")
"""The namespace of the object in whose name this task writes; blank for what lies in none."""


class Scope(Protocol):
    """What an engine may act for at this moment."""

    def holds(self, namespace: str, /) -> bool:
        """Whether objects of a namespace are ours; blank stands for what lies in none."""
        ...

    def check(self, namespace: str, /) -> None:
        """Raise LeaseLost unless we may write for a namespace."""
        ...

    def share(self) -> float:
        """Return which part of all namespaces is ours, from 0 to 1."""
        ...


class Led:
    """Everything while we lead, and nothing else: who stands by keeps its caches and acts for nobody."""

    def __init__(self, elector: Elector) -> None:
        self._elector = elector

    def holds(self, namespace: str) -> bool:
        """Every namespace is ours while we lead."""
        return self._elector.held

    def check(self, namespace: str) -> None:
        """Raise LeaseLost unless we lead."""
        self._elector.check()

    def share(self) -> float:
        """All of it or nothing."""
        return float(self._elector.held)


class Whole:
    """Everything, behind one gate."""

    def __init__(self, gate: Gate | None = None) -> None:
        self._gate = gate

    def holds(self, namespace: str) -> bool:
        """Every namespace is ours."""
        return True

    def check(self, namespace: str) -> None:
        """Ask the gate, which raises when this process may write no more."""
        if self._gate is not None:
            self._gate()

    def share(self) -> float:
        """All of it."""
        return 1.0


def gate_of(scope: Scope) -> Callable[[], None]:
    """Return the gate of a client whose writes are made in the name of `ACTING`."""
    return lambda: scope.check(ACTING.get())
