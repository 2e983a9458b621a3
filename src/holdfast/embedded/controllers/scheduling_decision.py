"""Which node a pod goes to, or why to none: pure. Requests are not weighed: a sandbox node takes what it is given."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from holdfast.core.conditions import is_true
from holdfast.core.objects import Object
from holdfast.embedded.read import items, mapping


class Choice(msgspec.Struct, frozen=True):
    """A node, or the message that says why there is none."""

    node: str = ""
    message: str = ""


def choose(pod: Object, nodes: Sequence[Object], claims: Mapping[str, Object | None], load: Mapping[str, int]) -> Choice:
    """Choose a node for a pod. `claims` are its claims by name, `load` the pods on each node."""
    for name, claim in claims.items():
        problem = _claim_problem(name, claim)
        if problem:
            return Choice(message=f"0/{len(nodes)} nodes are available: {problem}.")
    reasons: dict[str, int] = {}
    fitting: list[str] = []
    for node in nodes:
        reason = misfit(pod, node)
        if reason:
            reasons[reason] = reasons.get(reason, 0) + 1
        else:
            fitting.append(node["metadata"]["name"])
    if fitting:
        return Choice(node=min(fitting, key=lambda name: (load.get(name, 0), name)))
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "there is no node"
    return Choice(message=f"0/{len(nodes)} nodes are available: {why}.")


def _claim_problem(name: str, claim: Object | None) -> str:
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    if claim["metadata"].get("deletionTimestamp"):
        return f'persistentvolumeclaim "{name}" is being deleted'
    phase = mapping(claim, "status").get("phase")
    if phase == "Lost":
        return f'persistentvolumeclaim "{name}" has lost its volume'
    return "" if phase == "Bound" else f'persistentvolumeclaim "{name}" is not bound'


def misfit(pod: Object, node: Object) -> str:
    """Return why a pod can't go to a node; empty when it can."""
    spec: Mapping[str, Any] = mapping(node, "spec")
    ready = next((each for each in items(node, "status", "conditions") if each.get("type") == "Ready"), None)
    if not is_true(mapping(node, "status").get("conditions"), "Ready"):
        message = ready.get("message") if ready else ""
        return f"node(s) were not ready ({message})" if message else "node(s) were not ready"
    if spec.get("unschedulable"):
        return "node(s) were unschedulable"
    for taint in items(spec, "taints"):
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not _tolerated(pod, taint):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    labels: Mapping[str, str] = mapping(node["metadata"], "labels")
    selector: Mapping[str, str] = mapping(pod["spec"], "nodeSelector")
    if any(labels.get(key) != value for key, value in selector.items()) or not _affine(pod, node, labels):
        return "node(s) didn't match Pod's node affinity/selector"
    return ""


def _tolerated(pod: Object, taint: Mapping[str, Any]) -> bool:
    for each in items(pod["spec"], "tolerations"):
        effect, key = each.get("effect"), each.get("key")
        if effect and effect != taint.get("effect"):
            continue
        exists = each.get("operator") == "Exists"
        if (not key and exists) or (key == taint["key"] and (exists or each.get("value", "") == taint.get("value", ""))):
            return True
    return False


def _affine(pod: Object, node: Object, labels: Mapping[str, str]) -> bool:
    affinity = mapping(pod["spec"], "affinity", "nodeAffinity")
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(
        all(_matches(each, labels) for each in items(term, "matchExpressions"))
        and all(_matches(each, fields) for each in items(term, "matchFields"))
        for term in items(required, "nodeSelectorTerms")
    )


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values: Sequence[str] = items(expression, "values")
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and int(value) > int(values[0])
        case "Lt":
            return value is not None and int(value) < int(values[0])
        case _:
            return False
