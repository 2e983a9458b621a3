"""Which node a pod goes to, or why to none: pure. Requests are not weighed: a sandbox node takes what it is given."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from holdfast.core.conditions import is_true
from holdfast.core.objects import Object


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
        reason = _misfit(pod, node)
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
    phase = (claim.get("status") or {}).get("phase")
    if phase == "Lost":
        return f'persistentvolumeclaim "{name}" has lost its volume'
    return "" if phase == "Bound" else f'persistentvolumeclaim "{name}" is not bound'


def _misfit(pod: Object, node: Object) -> str:
    """Return why a pod can't go to a node; empty when it can."""
    spec: Mapping[str, Any] = node.get("spec") or {}
    ready = next((each for each in (node.get("status") or {}).get("conditions") or [] if each.get("type") == "Ready"), None)
    if not is_true((node.get("status") or {}).get("conditions"), "Ready"):
        message = (ready or {}).get("message") or ""
        return f"node(s) were not ready ({message})" if message else "node(s) were not ready"
    if spec.get("unschedulable"):
        return "node(s) were unschedulable"
    for taint in spec.get("taints") or []:
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not _tolerated(pod, taint):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    labels: Mapping[str, str] = node["metadata"].get("labels") or {}
    selector: Mapping[str, str] = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()) or not _affine(pod, node, labels):
        return "node(s) didn't match Pod's node affinity/selector"
    return ""


def _tolerated(pod: Object, taint: Mapping[str, Any]) -> bool:
    for each in pod["spec"].get("tolerations") or []:
        effect, key = each.get("effect"), each.get("key")
        if effect and effect != taint.get("effect"):
            continue
        exists = each.get("operator") == "Exists"
        if (not key and exists) or (key == taint["key"] and (exists or each.get("value", "") == taint.get("value", ""))):
            return True
    return False


def _affine(pod: Object, node: Object, labels: Mapping[str, str]) -> bool:
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(
        all(_matches(each, labels) for each in term.get("matchExpressions") or [])
        and all(_matches(each, fields) for each in term.get("matchFields") or [])
        for term in required.get("nodeSelectorTerms") or []
    )


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values: Sequence[str] = expression.get("values") or []
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
