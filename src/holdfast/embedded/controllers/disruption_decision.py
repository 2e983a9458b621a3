"""How many pods of a PodDisruptionBudget may go at this moment: pure.

The counting is that of Kubernetes' documentation, "Specifying a Disruption Budget for your Application": a number of pods is
taken as it is, a share is of what the pods' controllers ask for, rounded up.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from holdfast.core.conditions import condition, upsert
from holdfast.core.objects import Object
from holdfast.core.times import optional_time
from holdfast.embedded.controllers import pods as podlib
from holdfast.embedded.read import items, mapping
from holdfast.kube.objects import controller_of

EVICTION_SECONDS = 120
"""How long an eviction that was granted counts until its pod is really going."""

Scale = Callable[[Object], int | None]
"""How many replicas the controller behind an owner reference asks for; None for one that does not exist or has no number."""


class Unclear(Exception):
    """The budget can't be counted; the message says why."""


class Decision(msgspec.Struct, frozen=True):
    """The status to show, and in how many seconds it may change by itself."""

    status: Object
    after: float | None = None


def decide(budget: Object, pods: Sequence[Object], scale: Scale, now: datetime) -> Decision:
    """Judge a budget and the pods that it is about."""
    old = mapping(budget, "status")
    granted = _granted(mapping(old, "disruptedPods"), pods, now)
    healthy = sum(_healthy(pod) and pod["metadata"]["name"] not in granted for pod in pods)
    try:
        expected, wanted = _counts(budget["spec"], pods, scale)
    except Unclear as problem:
        expected, wanted, allowed = 0, 0, 0
        found = condition("DisruptionAllowed", False, "SyncFailed", str(problem), generation=_generation(budget))
    else:
        allowed = max(healthy - wanted, 0) if expected > 0 else 0
        reason = "SufficientPods" if allowed else "InsufficientPods"
        found = condition("DisruptionAllowed", bool(allowed), reason, generation=_generation(budget))
    status: Object = {
        "observedGeneration": _generation(budget),
        "expectedPods": expected,
        "desiredHealthy": wanted,
        "currentHealthy": healthy,
        "disruptionsAllowed": allowed,
        "conditions": upsert(items(old, "conditions"), found, now),
    }
    if granted:
        status["disruptedPods"] = granted
    ends = [end for each in granted.values() if (end := _left(each, now)) > 0]
    return Decision(status, min(ends, default=None))


def _generation(budget: Object) -> int:
    return int(budget["metadata"].get("generation") or 1)


def _healthy(pod: Object) -> bool:
    return podlib.ready(pod) and not pod["metadata"].get("deletionTimestamp")


def _left(granted: Any, now: datetime) -> float:
    at = optional_time(granted)
    return (at + timedelta(seconds=EVICTION_SECONDS) - now).total_seconds() if at else 0.0


def _granted(granted: Object, pods: Sequence[Object], now: datetime) -> Object:
    """The evictions that were granted and have not happened yet."""
    waiting = {pod["metadata"]["name"] for pod in pods if not pod["metadata"].get("deletionTimestamp")}
    return {name: at for name, at in granted.items() if name in waiting and _left(at, now) > 0}


def _counts(spec: Object, pods: Sequence[Object], scale: Scale) -> tuple[int, int]:
    """How many pods there should be, and how many must stay healthy."""
    least, most_gone = spec.get("minAvailable"), spec.get("maxUnavailable")
    if most_gone is not None:
        expected = _expected(pods, scale)
        return expected, max(expected - _share(most_gone, expected), 0)
    if isinstance(least, str):
        expected = _expected(pods, scale)
        return expected, _share(least, expected)
    return len(pods), int(least or 0)


def _share(amount: int | str, whole: int) -> int:
    if isinstance(amount, int):
        return amount
    try:
        return -(-int(amount.removesuffix("%")) * whole // 100)
    except ValueError:
        raise Unclear(f"{amount!r} is neither a number nor a percentage") from None


def _expected(pods: Sequence[Object], scale: Scale) -> int:
    """What the controllers of the pods ask for, each counted once."""
    found: dict[str, int] = {}
    for pod in pods:
        owner = controller_of(pod)
        if owner is None:
            name = pod["metadata"]["name"]
            raise Unclear(f"pod {name} has no controller, which a share or maxUnavailable needs: use a number as minAvailable")
        if owner["uid"] not in found:
            replicas = scale({**owner, "namespace": pod["metadata"]["namespace"]})
            if replicas is None:
                raise Unclear(f"{owner['kind']} {owner['name']} says no number of replicas: use a number as minAvailable")
            found[owner["uid"]] = replicas
    return sum(found.values())
