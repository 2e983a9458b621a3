"""What to do about a Deployment: pure. The rules are those of the Deployment documentation of Kubernetes.

Each pod template has a ReplicaSet, named after a hash of it. A rollout moves replicas from the old ones to the present one: all
at once under Recreate, else within maxSurge and maxUnavailable.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from holdfast.core.conditions import condition, find, upsert
from holdfast.core.objects import Object, bounded_name, owner_reference
from holdfast.core.times import optional_time
from holdfast.embedded.controllers.replicaset_decision import replicas, stable_suffix
from holdfast.embedded.read import mapping

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A ReplicaSet to create, replicas to set by name, ReplicaSets to delete, the revision and the status to show."""

    create: Object | None = None
    scale: Mapping[str, int] = {}
    delete: tuple[Object, ...] = ()
    revision: str = ""
    status: Object
    after: float | None = None


def decide(deployment: Object, sets: Sequence[Object], now: datetime) -> Decision:
    """Judge a Deployment and its ReplicaSets."""
    wanted_name = set_name(deployment)
    present = next((each for each in sets if each["metadata"]["name"] == wanted_name), None)
    old = [each for each in sets if each is not present]
    paused = bool(deployment["spec"].get("paused"))
    number = max((_revision_of(each) for each in old), default=0) + 1
    if present is not None:
        number = max(number, _revision_of(present))
    create = None
    scale: dict[str, int] = {}
    if present is None and not paused:
        create = set_of(deployment, number, _first_size(deployment, old))
    elif paused:
        scale = _resize(deployment, [*old, *([present] if present else [])])
    elif present is not None:
        scale = _roll(deployment, present, old)
    status, after = _status(deployment, present, old, now)
    done = present is not None and not paused and _complete(status, deployment)
    return Decision(
        create=create,
        scale=scale,
        delete=_outdated(deployment, old) if done else (),
        revision=str(number) if not paused or present is not None else "",
        status=status,
        after=after,
    )


def set_name(deployment: Object) -> str:
    """The name of the ReplicaSet for the present template."""
    return f"{bounded_name(deployment['metadata']['name'], 52)}-{template_hash(deployment)}"


def template_hash(deployment: Object) -> str:
    """Ten characters that follow from the pod template."""
    encoded = msgspec.json.encode(deployment["spec"]["template"], order="deterministic").decode()
    return stable_suffix(encoded, "a") + stable_suffix(encoded, "b")


def set_of(deployment: Object, revision: int, size: int) -> Object:
    """Build the ReplicaSet for the present template."""
    meta, spec = deployment["metadata"], deployment["spec"]
    mark = {HASH: template_hash(deployment)}
    template: Mapping[str, Any] = spec["template"]
    labels = {**mapping(template, "metadata", "labels"), **mark}
    selector = mapping(spec, "selector")
    annotations = {key: value for key, value in mapping(meta, "annotations").items() if key not in _NOT_PASSED_ON}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": set_name(deployment),
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": {**annotations, REVISION: str(revision)},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": size,
            "minReadySeconds": spec.get("minReadySeconds") or 0,
            "selector": {**selector, "matchLabels": {**mapping(selector, "matchLabels"), **mark}},
            "template": {**template, "metadata": {**mapping(template, "metadata"), "labels": labels}},
        },
    }


_NOT_PASSED_ON = (REVISION, "kubectl.kubernetes.io/last-applied-configuration")


def _revision_of(rs: Object) -> int:
    text = mapping(rs["metadata"], "annotations").get(REVISION, "0")
    return int(text) if str(text).isdigit() else 0


def bounds(deployment: Object) -> tuple[int, int]:
    """maxSurge, rounded up, and maxUnavailable, rounded down; they are never both zero."""
    rolling = mapping(deployment["spec"], "strategy", "rollingUpdate")
    wanted = replicas(deployment)
    surge = _share(rolling.get("maxSurge", "25%"), wanted, math.ceil)
    missing = _share(rolling.get("maxUnavailable", "25%"), wanted, math.floor)
    return surge, missing if surge or missing else 1


def _share(value: Any, of: int, rounding: Any) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return int(rounding(int(value[:-1]) * of / 100))
    return int(value)


def _recreates(deployment: Object) -> bool:
    return mapping(deployment["spec"], "strategy").get("type") == "Recreate"


def _first_size(deployment: Object, old: Sequence[Object]) -> int:
    """With how many replicas a new ReplicaSet starts."""
    total = sum(replicas(each) for each in old)
    if not total and not any(_shown(each, "replicas") for each in old):
        return replicas(deployment)
    if _recreates(deployment):
        return 0
    surge, _ = bounds(deployment)
    return min(max(replicas(deployment) + surge - total, 0), replicas(deployment))


def _shown(rs: Object, name: str) -> int:
    return int(mapping(rs, "status").get(name) or 0)


def _resize(deployment: Object, sets: Sequence[Object]) -> dict[str, int]:
    """While a rollout is paused, a new size goes to the largest ReplicaSet."""
    if not sets:
        return {}
    missing = replicas(deployment) - sum(map(replicas, sets))
    largest = max(sets, key=lambda each: (replicas(each), _revision_of(each)))
    return {largest["metadata"]["name"]: max(replicas(largest) + missing, 0)} if missing else {}


def _roll(deployment: Object, present: Object, old: Sequence[Object]) -> dict[str, int]:
    name, wanted = present["metadata"]["name"], replicas(deployment)
    living = [each for each in old if replicas(each)]
    if _recreates(deployment):
        if living:
            return {each["metadata"]["name"]: 0 for each in living}
        gone = not any(_shown(each, "replicas") or _shown(each, "terminatingReplicas") for each in old)
        return {name: wanted} if gone and replicas(present) != wanted else {}
    scale: dict[str, int] = {}
    surge, missing = bounds(deployment)
    total = replicas(present) + sum(map(replicas, living))
    size = replicas(present)
    if size > wanted:
        scale[name] = wanted
    elif size < wanted:
        room = wanted + surge - total
        if room > 0:
            scale[name] = min(size + room, wanted)
    return scale | _shrink(present, living, wanted - missing, total)


def _shrink(present: Object, living: Sequence[Object], least: int, total: int) -> dict[str, int]:
    """Take replicas from old ReplicaSets: those that are not available first, then as many as `least` allows."""
    unready = replicas(present) - _shown(present, "availableReplicas")
    room = total - least - max(unready, 0)
    if _shown(present, "observedGeneration") < present["metadata"].get("generation", 1):
        return {}
    left = {each["metadata"]["name"]: replicas(each) for each in living}
    for each in sorted(living, key=_revision_of):
        broken = min(max(replicas(each) - _shown(each, "availableReplicas"), 0), max(room, 0))
        left[each["metadata"]["name"]] -= broken
        room -= broken
    available = sum(min(_shown(each, "availableReplicas"), replicas(each)) for each in (*living, present))
    spare = max(available - least, 0)
    for each in sorted(living, key=_revision_of):
        name = each["metadata"]["name"]
        cut = min(left[name], spare)
        left[name] -= cut
        spare -= cut
    sizes = {each["metadata"]["name"]: replicas(each) for each in living}
    return {name: size for name, size in left.items() if size != sizes[name]}


def _outdated(deployment: Object, old: Sequence[Object]) -> tuple[Object, ...]:
    """Empty ReplicaSets beyond the history that is kept, oldest first."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    empty = sorted((each for each in old if not replicas(each) and not _shown(each, "replicas")), key=_revision_of)
    return tuple(empty[: max(len(empty) - (10 if limit is None else int(limit)), 0)])


def _complete(status: Object, deployment: Object) -> bool:
    wanted = replicas(deployment)
    return status["updatedReplicas"] == wanted == status["replicas"] == status["availableReplicas"]


def _status(deployment: Object, present: Object | None, old: Sequence[Object], now: datetime) -> tuple[Object, float | None]:
    sets = [*old, *([present] if present is not None else [])]
    total, ready, available = (
        sum(_shown(each, name) for each in sets) for name in ("replicas", "readyReplicas", "availableReplicas")
    )
    before = mapping(deployment, "status")
    status: Object = {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": total,
        "updatedReplicas": _shown(present, "replicas") if present is not None else 0,
        "readyReplicas": ready,
        "availableReplicas": available,
        "unavailableReplicas": max(sum(map(replicas, sets)) - available, 0),
    }
    _, missing = bounds(deployment)
    least = replicas(deployment) - (replicas(deployment) if _recreates(deployment) else missing)
    holds = available >= max(least, min(replicas(deployment), 1))
    name = "MinimumReplicasAvailable" if holds else "MinimumReplicasUnavailable"
    text = f"Deployment {'has' if holds else 'does not have'} minimum availability."
    conditions = upsert(before.get("conditions"), condition("Available", holds, name, text), now)
    progress, after = _progress(deployment, present, status, before, conditions, now)
    status["conditions"] = conditions if progress is None else progress
    return status, after


def _progress(
    deployment: Object,
    present: Object | None,
    status: Object,
    before: Mapping[str, Any],
    conditions: list[Object],
    now: datetime,
) -> tuple[list[Object] | None, float | None]:
    """The Progressing condition, and when its deadline is."""
    spec = deployment["spec"]
    if spec.get("paused"):
        return upsert(conditions, condition("Progressing", None, "DeploymentPaused", "Deployment is paused"), now), None
    if present is None:
        return None, None
    shown = f'ReplicaSet "{present["metadata"]["name"]}"'
    old = find(conditions, "Progressing")
    if _complete(status, deployment):
        text = f"{shown} has successfully progressed."
        return upsert(conditions, condition("Progressing", True, "NewReplicaSetAvailable", text), now), None
    figures = ("updatedReplicas", "readyReplicas", "availableReplicas", "replicas")
    moved = any(status[key] != before.get(key, 0) for key in figures)
    if old is None or moved or old.get("reason") in ("NewReplicaSetAvailable", "DeploymentPaused"):
        text = f"{shown} is progressing."
        fresh = condition("Progressing", True, "ReplicaSetUpdated", text)
        kept = [each for each in conditions if each.get("type") != "Progressing"]
        entry = upsert(None, fresh, now)[0]
        entry["lastUpdateTime"] = entry["lastTransitionTime"]
        if old is not None and old.get("status") == "True":
            entry["lastTransitionTime"] = old.get("lastTransitionTime", entry["lastTransitionTime"])
        return [*kept, entry], float(spec.get("progressDeadlineSeconds") or 600)
    deadline = float(spec.get("progressDeadlineSeconds") or 600)
    since = optional_time(old.get("lastUpdateTime") or old.get("lastTransitionTime")) or now
    left = (since + timedelta(seconds=deadline) - now).total_seconds()
    if left > 0 or old.get("reason") == "ProgressDeadlineExceeded":
        return None, max(left, 0.01) if left > 0 else None
    text = f"{shown} has timed out progressing."
    return upsert(conditions, condition("Progressing", False, "ProgressDeadlineExceeded", text), now), None
