"""A pod's status from the states of its containers. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from holdfast.core.objects import Object
from holdfast.core.times import format_time
from holdfast.embedded.node.state import Container, Terminated, Waiting
from holdfast.embedded.read import items


class Verdict(msgspec.Struct, frozen=True):
    """An end that the containers alone don't show: a deadline, a lost node, a spec that can't run."""

    reason: str
    message: str
    phase: str = "Failed"


class Kept(msgspec.Struct, frozen=True):
    """Whether one kind of a pod's limits is kept, and by what means or why not: the pod's condition `type`."""

    type: str
    kept: bool
    reason: str
    message: str


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a status is made of. `address` is the pod's, empty before it has one; `machine` is the node's."""

    init: Sequence[Container]
    main: Sequence[Container]
    started: datetime
    address: str
    machine: str
    now: datetime
    verdict: Verdict | None = None
    ended: bool = False
    limits: Sequence[Kept] = ()


def status(view: View, old: Mapping[str, Any]) -> Object:
    """Return the pod's status. `old` gives the transition times of conditions that did not change."""
    phase = phase_of(view)
    found: Object = {
        "phase": phase,
        "startTime": format_time(view.started),
        "hostIP": view.machine,
        "hostIPs": [{"ip": view.machine}],
        "qosClass": old.get("qosClass") or "BestEffort",
        "conditions": _conditions(view, phase, items(old, "conditions")),
        "containerStatuses": [each.status() for each in view.main],
    }
    if view.address:
        found |= {"podIP": view.address, "podIPs": [{"ip": view.address}]}
    if view.init:
        found["initContainerStatuses"] = [each.status() for each in view.init]
    if view.verdict is not None:
        found |= {"reason": view.verdict.reason, "message": view.verdict.message}
    return found


def phase_of(view: View) -> str:
    """Return Pending, Running, Succeeded or Failed."""
    if view.verdict is not None and view.ended:
        return view.verdict.phase
    if view.ended:
        everything = [*view.main, *(each for each in view.init if not is_sidecar(each.spec))]
        return "Succeeded" if all(each.succeeded for each in everything) else "Failed"
    return "Running" if any(each.begun for each in view.main) else "Pending"


def is_sidecar(spec: Object) -> bool:
    """Whether an init container keeps running beside the others."""
    return spec.get("restartPolicy") == "Always"


def _sidecar(each: Container) -> bool:
    return is_sidecar(each.spec)


def _conditions(view: View, phase: str, old: Sequence[Mapping[str, Any]]) -> list[Object]:
    initialized = all(each.succeeded or (is_sidecar(each.spec) and (each.up or each.begun)) for each in view.init)
    unready = [each.name for each in [*filter(_sidecar, view.init), *view.main] if not each.ready]
    ready = bool(view.main) and not unready and not view.ended
    wanted = [
        _condition("PodScheduled", True),
        _condition("Initialized", initialized, "ContainersNotInitialized", _waiting(view.init)),
    ]
    for name in ("ContainersReady", "Ready"):
        if phase == "Succeeded":
            wanted.append(_condition(name, False, "PodCompleted"))
        else:
            message = f"containers with unready status: [{' '.join(unready)}]"
            wanted.append(_condition(name, ready, "ContainersNotReady", message))
    wanted += [_condition(each.type, each.kept, each.reason, each.message, always=True) for each in view.limits]
    before = {each.get("type"): each for each in old}
    return [_kept(each, before.get(each["type"]), view.now) for each in wanted]


def _condition(kind: str, true: bool, reason: str = "", message: str = "", *, always: bool = False) -> Object:
    """Return a condition; reason and message are for a false one, or `always`."""
    found: Object = {"type": kind, "status": "True" if true else "False"}
    if always or not true:
        found |= {"reason": reason} | ({"message": message} if message else {})
    return found


def _kept(new: Object, old: Mapping[str, Any] | None, now: datetime) -> Object:
    same = old is not None and old.get("status") == new["status"] and old.get("lastTransitionTime")
    return new | {"lastTransitionTime": old["lastTransitionTime"] if old and same else format_time(now)}


def _waiting(containers: Sequence[Container]) -> str:
    names = [each.name for each in containers if not isinstance(each.state, Terminated)]
    because = [each.state.message for each in containers if isinstance(each.state, Waiting) and each.state.message]
    return "; ".join([f"containers with incomplete status: [{' '.join(names)}]", *because])
