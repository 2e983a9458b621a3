"""What to do about a ReplicaSet: pure.

A pod's name follows from its ReplicaSet and a slot: the lowest number whose pod is not there. So no write can double, whatever
the cache has not seen yet.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from holdfast.core.conditions import find
from holdfast.core.objects import Object
from holdfast.core.times import optional_time
from holdfast.embedded.controllers import pods as podlib
from holdfast.embedded.read import items, mapping

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Names of pods to create, pods to delete, the status to show, and in how many seconds a pod becomes available."""

    create: tuple[str, ...] = ()
    delete: tuple[Object, ...] = ()
    status: Object
    after: float | None = None


def decide(rs: Object, pods: Sequence[Object], now: datetime) -> Decision:
    """Judge a ReplicaSet and its pods."""
    wanted = replicas(rs)
    active = [pod for pod in pods if podlib.active(pod)]
    over = [pod for pod in pods if podlib.finished(pod) and not pod["metadata"].get("deletionTimestamp")]
    surplus = sorted(active, key=_dispensable, reverse=True)[: max(len(active) - wanted, 0)]
    taken = {pod["metadata"]["name"] for pod in pods}
    waits = [wait for pod in active if podlib.ready(pod) and (wait := _until_available(rs, pod, now)) > 0]
    return Decision(
        create=_free_names(rs, taken, max(wanted - len(active), 0)),
        delete=(*over, *surplus),
        status=_status(rs, active, len(waits), sum(map(podlib.terminating, pods))),
        after=min(waits, default=None),
    )


def replicas(workload: Object) -> int:
    """How many pods a workload asks for; one when it does not say."""
    given = workload["spec"].get("replicas")
    return 1 if given is None else int(given)


def stable_suffix(*parts: str) -> str:
    """Five characters that form no word and follow from the parts."""
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:5])


def pod_of(rs: Object, name: str) -> Object:
    """Build a pod of a ReplicaSet."""
    return podlib.from_template(rs, rs["spec"]["template"], name)


def _free_names(rs: Object, taken: set[str], count: int) -> tuple[str, ...]:
    meta = rs["metadata"]
    found: list[str] = []
    slot = 0
    while len(found) < count:
        name = f"{meta['name'][:57]}-{stable_suffix(meta['uid'], str(slot))}"
        slot += 1
        if name not in taken and name not in found:
            found.append(name)
    return tuple(found)


def _dispensable(pod: Object) -> tuple[bool, bool, bool, str]:
    """Pods without a node go first, then those that are not ready, then the youngest."""
    created = str(pod["metadata"].get("creationTimestamp") or "")
    return not pod["spec"].get("nodeName"), podlib.phase(pod) != "Running", not podlib.ready(pod), created


def _until_available(workload: Object, pod: Object, now: datetime) -> float:
    """For how many seconds a ready pod must stay so until it counts as available."""
    seconds = int(workload["spec"].get("minReadySeconds") or 0)
    since = optional_time((find(items(pod, "status", "conditions"), "Ready") or {}).get("lastTransitionTime"))
    return (since + timedelta(seconds=seconds) - now).total_seconds() if seconds and since is not None else 0.0


def _status(rs: Object, active: Sequence[Object], waiting: int, terminating: int) -> Object:
    labels = mapping(rs["spec"]["template"], "metadata", "labels")
    ready = sum(podlib.ready(pod) for pod in active)
    labelled = sum(labels.items() <= mapping(pod["metadata"], "labels").items() for pod in active)
    return ({"terminatingReplicas": terminating} if terminating else {}) | {
        "observedGeneration": rs["metadata"].get("generation", 1),
        "replicas": len(active),
        "fullyLabeledReplicas": labelled,
        "readyReplicas": ready,
        "availableReplicas": ready - waiting,
    }
