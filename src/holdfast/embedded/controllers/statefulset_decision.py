"""What to do about a StatefulSet: pure.

Pods have stable names and are made and removed in order, each only when those before it are ready, unless the policy
is Parallel. A pod that is over, for instance because the node was restarted, is deleted and made anew under its name.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from holdfast.core.objects import Object, bounded_name
from holdfast.embedded.controllers import pods as podlib
from holdfast.embedded.read import items, mapping

REVISION = "controller-revision-hash"
_ORDINAL = re.compile(r"-(\d+)$")


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Ordinals to create, pods to delete, and the status to show."""

    create: tuple[int, ...] = ()
    delete: tuple[Object, ...] = ()
    status: Object


def decide(sts: Object, pods: Sequence[Object]) -> Decision:
    """Judge a StatefulSet and its pods."""
    wanted = ordinals(sts)
    by_ordinal = {number: pod for pod in pods if (number := ordinal_of(sts, pod)) is not None}
    status = _status(sts, list(by_ordinal.values()))
    ordered = (sts["spec"].get("podManagementPolicy") or "OrderedReady") == "OrderedReady"
    create, delete = _grow(wanted, by_ordinal, ordered=ordered)
    settled = not create and not delete and all(podlib.ready(by_ordinal[number]) for number in wanted)
    if not delete:
        delete = _shrink(wanted, by_ordinal, ordered=ordered, settled=settled)
    if not delete and settled:
        delete = _update(sts, wanted, by_ordinal)
    return Decision(create=tuple(create), delete=tuple(delete), status=status)


def ordinals(sts: Object) -> list[int]:
    """Return the ordinals there shall be."""
    given = sts["spec"].get("replicas")
    first = int(mapping(sts["spec"], "ordinals").get("start") or 0)
    return list(range(first, first + (1 if given is None else int(given))))


def ordinal_of(sts: Object, pod: Object) -> int | None:
    """Return the ordinal in a pod's name; None for a pod that is not named after the set."""
    name = pod["metadata"]["name"]
    match = _ORDINAL.search(name)
    return int(match.group(1)) if match and name == f"{sts['metadata']['name']}-{match.group(1)}" else None


def revision(sts: Object) -> str:
    """Return a name for the present pod template."""
    encoded = msgspec.json.encode(sts["spec"]["template"], order="deterministic")
    return f"{sts['metadata']['name'][:52]}-{hashlib.sha256(encoded).hexdigest()[:10]}"


def pod_of(sts: Object, ordinal: int) -> Object:
    """Build the pod of an ordinal, with its claims in the place of volumes of the same name."""
    meta, spec = sts["metadata"], sts["spec"]
    name = f"{meta['name']}-{ordinal}"
    labels = {
        "statefulset.kubernetes.io/pod-name": bounded_name(name),
        "apps.kubernetes.io/pod-index": str(ordinal),
        REVISION: revision(sts),
    }
    pod = podlib.from_template(sts, spec["template"], name, labels=labels)
    claims: Sequence[Mapping[str, Any]] = items(spec, "volumeClaimTemplates")
    names = {each["metadata"]["name"] for each in claims}
    others = [each for each in items(pod["spec"], "volumes") if each["name"] not in names]
    mine = [
        {"name": each["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim_name(sts, each, ordinal)}}
        for each in claims
    ]
    identity = {"hostname": name, "subdomain": spec.get("serviceName") or "", "volumes": [*others, *mine]}
    return pod | {"spec": {**pod["spec"], **identity}}


def claim_name(sts: Object, template: Mapping[str, Any], ordinal: int) -> str:
    """Return `<claim>-<set>-<ordinal>`."""
    return f"{template['metadata']['name']}-{sts['metadata']['name']}-{ordinal}"


def claims_of(sts: Object, ordinal: int) -> list[Object]:
    """Build the claims of an ordinal. They belong to the set only where it says that they shall go with it."""
    found: list[Object] = []
    retention = mapping(sts["spec"], "persistentVolumeClaimRetentionPolicy")
    for template in items(sts["spec"], "volumeClaimTemplates"):
        meta: Mapping[str, Any] = template["metadata"]
        selected = mapping(sts["spec"], "selector", "matchLabels")
        metadata: Object = {
            "name": claim_name(sts, template, ordinal),
            "namespace": sts["metadata"]["namespace"],
            "labels": {**mapping(meta, "labels"), **selected},
            "annotations": dict(mapping(meta, "annotations")),
        }
        if retention.get("whenDeleted") == "Delete":
            metadata["ownerReferences"] = [
                {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": sts["metadata"]["name"], "uid": sts["metadata"]["uid"]}
            ]
        found.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]})
    return found


def _grow(wanted: Sequence[int], pods: Mapping[int, Object], *, ordered: bool) -> tuple[list[int], list[Object]]:
    """Return which ordinals to create and which pods that are over to delete; in order, at most one at a time."""
    create: list[int] = []
    delete: list[Object] = []
    for number in wanted:
        pod = pods.get(number)
        if pod is None:
            create.append(number)
        elif podlib.finished(pod) and not pod["metadata"].get("deletionTimestamp"):
            delete.append(pod)
        if ordered and (pod is None or not podlib.ready(pod) or podlib.terminating(pod)):
            break
    return create, delete


def _shrink(wanted: Sequence[int], pods: Mapping[int, Object], *, ordered: bool, settled: bool) -> list[Object]:
    surplus = [pods[number] for number in sorted(pods, reverse=True) if number not in wanted]
    if ordered and (not settled or any(pod["metadata"].get("deletionTimestamp") for pod in surplus)):
        return []
    going = [pod for pod in surplus if not pod["metadata"].get("deletionTimestamp")]
    return going[:1] if ordered else going


def _update(sts: Object, wanted: Sequence[int], pods: Mapping[int, Object]) -> list[Object]:
    """Return the next pod to replace by one of the present template: the highest first, one at a time."""
    strategy = mapping(sts["spec"], "updateStrategy")
    if strategy.get("type") == "OnDelete":
        return []
    partition = int(mapping(strategy, "rollingUpdate").get("partition") or 0)
    for number in sorted(wanted, reverse=True):
        pod = pods[number]
        if number >= partition and _revision_of(pod) != revision(sts) and not pod["metadata"].get("deletionTimestamp"):
            return [pod]
    return []


def _revision_of(pod: Object) -> str:
    return mapping(pod["metadata"], "labels").get(REVISION, "")


def _status(sts: Object, pods: Sequence[Object]) -> Object:
    now = revision(sts)
    alive = [pod for pod in pods if podlib.active(pod)]
    ready = sum(podlib.ready(pod) for pod in alive)
    updated = sum(_revision_of(pod) == now for pod in alive)
    old = mapping(sts, "status")
    before = old.get("currentRevision") or now
    return {
        "observedGeneration": sts["metadata"].get("generation", 1),
        "replicas": len(alive),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "updatedReplicas": updated,
        "currentReplicas": sum(_revision_of(pod) == before for pod in alive),
        "currentRevision": now if updated == len(ordinals(sts)) else before,
        "updateRevision": now,
        "collisionCount": 0,
    }
