"""What to do about a DaemonSet: pure. One pod on each node that takes it, made anew there when its template changes."""

from collections.abc import Sequence

import msgspec

from holdfast.core.objects import Object
from holdfast.embedded.controllers import pods as podlib
from holdfast.embedded.controllers.deployment_decision import template_hash
from holdfast.embedded.controllers.replicaset_decision import stable_suffix
from holdfast.embedded.controllers.scheduling_decision import misfit
from holdfast.embedded.read import items, mapping

REVISION = "controller-revision-hash"
_TOLERATED = ("not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes that get a pod, pods to delete, and the status to show."""

    create: tuple[str, ...] = ()
    delete: tuple[Object, ...] = ()
    status: Object


def decide(ds: Object, pods: Sequence[Object], nodes: Sequence[Object]) -> Decision:
    """Judge a DaemonSet, its pods, and the nodes there are."""
    wanted = [node["metadata"]["name"] for node in nodes if not misfit(pod_of(ds, ""), node)]
    held: dict[str, list[Object]] = {}
    for pod in pods:
        held.setdefault(pod["spec"].get("nodeName") or "", []).append(pod)
    over = [pod for pod in pods if podlib.finished(pod) and not pod["metadata"].get("deletionTimestamp")]
    misplaced = [pod for pod in pods if podlib.active(pod) and pod["spec"].get("nodeName") not in wanted]
    delete = [*over, *misplaced]
    if not delete:
        delete = _outdated(ds, [pod for name in wanted for pod in held.get(name, ()) if podlib.active(pod)], len(wanted))
    return Decision(
        create=tuple(name for name in wanted if not held.get(name)),
        delete=tuple(delete),
        status=_status(ds, wanted, held, len(misplaced)),
    )


def pod_of(ds: Object, node: str) -> Object:
    """Build the pod for a node; its name follows from both."""
    meta = ds["metadata"]
    name = f"{meta['name'][:57]}-{stable_suffix(meta['uid'], node)}"
    pod = podlib.from_template(ds, ds["spec"]["template"], name, labels={REVISION: template_hash(ds)})
    tolerations = [
        *items(pod["spec"], "tolerations"),
        *({"key": f"node.kubernetes.io/{each}", "operator": "Exists"} for each in _TOLERATED),
    ]
    return pod | {"spec": {**pod["spec"], "tolerations": tolerations, **({"nodeName": node} if node else {})}}


def _outdated(ds: Object, active: Sequence[Object], wanted: int) -> list[Object]:
    """Pods of an older template to take away now, so many that no more than maxUnavailable are missing."""
    strategy = mapping(ds["spec"], "updateStrategy")
    if strategy.get("type") == "OnDelete":
        return []
    given = mapping(strategy, "rollingUpdate").get("maxUnavailable", 1)
    allowed = max(-(-int(given[:-1]) * wanted // 100), 1) if isinstance(given, str) else int(given)
    old = [pod for pod in active if mapping(pod["metadata"], "labels").get(REVISION) != template_hash(ds)]
    broken = [pod for pod in old if not podlib.ready(pod)]
    missing = wanted - sum(podlib.ready(pod) for pod in active)
    healthy = [pod for pod in old if podlib.ready(pod)]
    return [*broken, *healthy[: max(allowed - missing, 0)]]


def _status(ds: Object, wanted: Sequence[str], held: dict[str, list[Object]], misplaced: int) -> Object:
    active = [pod for name in wanted for pod in held.get(name, ())[:1] if podlib.active(pod)]
    ready = sum(podlib.ready(pod) for pod in active)
    updated = sum(mapping(pod["metadata"], "labels").get(REVISION) == template_hash(ds) for pod in active)
    return {
        "observedGeneration": ds["metadata"].get("generation", 1),
        "desiredNumberScheduled": len(wanted),
        "currentNumberScheduled": len(active),
        "numberMisscheduled": misplaced,
        "numberReady": ready,
        "numberAvailable": ready,
        "numberUnavailable": len(wanted) - ready,
        "updatedNumberScheduled": updated,
    }
