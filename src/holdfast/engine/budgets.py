"""How many movers may run at once: what keeps the top of the hour from starting everything together.

A start is admitted while slots are free, over all and within its namespace; the rest wait in the order of their
deadlines and say so. Steps that clean up (ALWAYS, FAILURE) never wait: what is frozen must thaw. A slot is taken from the
admission on, and free again when the Job ends, is gone, or could not be made.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from holdfast.core.labels import OWNER, STEP, annotation
from holdfast.core.objects import Object
from holdfast.core.plan import Plan, Step, When
from holdfast.engine.interest import Key
from holdfast.engine.scope import Scope, Whole
from holdfast.kube.objects import labels_of

_RESERVED_FOR: Final = 60.0
_NEVER: Final = datetime.max.replace(tzinfo=UTC)

Slot = tuple[str, str]
"""Namespace and name of a Job."""


class Budget(msgspec.Struct, frozen=True):
    """How many mover Jobs may be active: in the whole cluster, and in one namespace. 0 is no limit."""

    total: int = 8
    per_namespace: int = 4


class _Waiter(msgspec.Struct, frozen=True, order=True):
    deadline: datetime
    since: float
    slot: Slot
    key: Key


class Budgets:
    """Counts active Jobs from the watch, and orders those who wait."""

    def __init__(self, budget: Budget, scope: Scope | None = None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """With a `scope` that is a part of all namespaces, the same part of the total is ours, and at least one."""
        self._whole, self._inside = budget.total or sys.maxsize, budget.per_namespace or sys.maxsize
        self._monotonic, self._scope = monotonic, scope or Whole()
        self._active: dict[Slot, str] = {}
        self._reserved: dict[Slot, float] = {}
        self._waiting: dict[Slot, _Waiter] = {}

    def counts(self) -> tuple[int, int]:
        """Return how many movers are active, and how many wait."""
        return len(self._active), len(self._waiting)

    def observe(self, old: Object | None, new: Object | None) -> set[Key]:
        """Take a change of a Job; return whom it lets start."""
        obj = new or old
        if obj is None or STEP not in labels_of(obj):
            return set()
        slot = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        self._reserved.pop(slot, None)
        if new is not None and _active(new):
            self._active[slot] = _place_of_owner(new)
            return set()
        self._active.pop(slot, None)
        return self.next_keys()

    def admit(self, key: Key, plan: Plan, step: Step) -> str:
        """Return why a step must wait; empty when it may start, and then its slot is taken."""
        meta = step.child["metadata"]
        slot: Slot = (meta.get("namespace", ""), meta["name"])
        taken = self._taken()
        if step.when is not When.SUCCESS or slot in taken or self._whole == self._inside == sys.maxsize:
            return ""
        since = self._waiting[slot].since if slot in self._waiting else self._monotonic()
        self._waiting[slot] = _Waiter(plan.deadline or _NEVER, since, slot, key)
        if slot in {waiter.slot for waiter in self._granted(taken)}:
            del self._waiting[slot]
            self._reserved[slot] = self._monotonic() + _RESERVED_FOR
            return ""
        return self._reason(slot, taken)

    def give_back(self, slot: Slot) -> set[Key]:
        """Free a slot whose Job could not be made; return whom that lets start."""
        self._reserved.pop(slot, None)
        return self.next_keys()

    def keep(self, key: Key, asked: Iterable[Slot]) -> set[Key]:
        """Forget what a key waited for and asks for no more; return whom that lets start."""
        kept = set(asked)
        dropped = [slot for slot, waiter in self._waiting.items() if waiter.key == key and slot not in kept]
        for slot in dropped:
            del self._waiting[slot]
        return self.next_keys() if dropped else set()

    def next_keys(self) -> set[Key]:
        """Return the keys whose turn it is."""
        return {waiter.key for waiter in self._granted(self._taken())}

    def _taken(self) -> set[Slot]:
        now = self._monotonic()
        self._reserved = {slot: until for slot, until in self._reserved.items() if until > now}
        return self._active.keys() | self._reserved.keys()

    @property
    def _total(self) -> int:
        """How many may be active because of objects of ours."""
        return self._whole if self._whole == sys.maxsize else max(1, int(self._whole * self._scope.share()))

    def _ours(self, taken: Iterable[Slot]) -> int:
        """Count the slots that objects of our namespaces take."""
        return sum(1 for slot in taken if self._scope.holds(self._active.get(slot, slot[0])) or slot in self._reserved)

    def _granted(self, taken: set[Slot]) -> Iterator[_Waiter]:
        """Yield the waiters for whom there is room, in their order."""
        taken, room = set(taken), self._total - self._ours(taken)
        for waiter in sorted(self._waiting.values()):
            if room <= 0:
                return
            if _inside(taken, waiter.slot[0]) < self._inside:
                taken.add(waiter.slot)
                room -= 1
                yield waiter

    def _reason(self, slot: Slot, taken: set[Slot]) -> str:
        here = _inside(taken, slot[0])
        if here >= self._inside:
            return f"waits for a free slot: {here} of {self._inside} mover Jobs of namespace {slot[0]} run"
        return f"waits for a free slot: {self._ours(taken)} of {self._total} mover Jobs run"


def _inside(taken: Iterable[Slot], namespace: str) -> int:
    return sum(1 for slot in taken if slot[0] == namespace)


def _place_of_owner(job: Object) -> str:
    """Return the namespace of the object that a Job works for; its own, if it does not say."""
    named = annotation(job, OWNER).split("/")
    return named[1] if len(named) == 3 else job["metadata"].get("namespace", "")


def _active(job: Object) -> bool:
    conditions: list[Object] = job.get("status", {}).get("conditions") or []
    return not any(item.get("type") in ("Complete", "Failed") and item.get("status") == "True" for item in conditions)
