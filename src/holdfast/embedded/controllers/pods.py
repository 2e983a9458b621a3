"""Pods as controllers see them: made from a template, counted by phase."""

import random
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from holdfast.core.conditions import is_true
from holdfast.core.objects import Object, owner_reference
from holdfast.core.times import optional_time
from holdfast.embedded.read import items, mapping

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_random = random.SystemRandom()


def random_suffix() -> str:
    """Return five characters that form no word."""
    return "".join(_random.choices(_ALPHABET, k=5))


def from_template(
    owner: Object,
    template: Mapping[str, Any],
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """Build a pod of a template; the owner is its controller. Given labels win over the template's."""
    meta: Mapping[str, Any] = mapping(template, "metadata")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": {**mapping(meta, "labels"), **(labels or {})},
            "annotations": {**mapping(meta, "annotations"), **(annotations or {})},
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": mapping(template, "spec"),
    }


def phase(pod: Object) -> str:
    """Return the phase; Pending for a pod without a status."""
    return str(mapping(pod, "status").get("phase") or "Pending")


def finished(pod: Object) -> bool:
    """Whether the pod is over for good."""
    return phase(pod) in ("Succeeded", "Failed")


def terminating(pod: Object) -> bool:
    """Whether somebody has deleted the pod and it is not over yet."""
    return bool(pod["metadata"].get("deletionTimestamp")) and not finished(pod)


def active(pod: Object) -> bool:
    """Whether the pod runs or is going to."""
    return not finished(pod) and not pod["metadata"].get("deletionTimestamp")


def ready(pod: Object) -> bool:
    """Whether the pod runs and says that it is ready."""
    return phase(pod) == "Running" and is_true(mapping(pod, "status").get("conditions"), "Ready")


def finished_at(pod: Object) -> datetime | None:
    """Return when the last container of a pod ended."""
    ends = [
        mapping(each, "state").get("terminated", {}).get("finishedAt") for each in items(pod, "status", "containerStatuses")
    ]
    times = [moment for end in ends if (moment := optional_time(end)) is not None]
    return max(times, default=None)


def restarts(pods: Iterable[Object]) -> int:
    """Return how often containers of these pods were restarted."""
    total = 0
    for pod in pods:
        status = mapping(pod, "status")
        for each in [*items(status, "containerStatuses"), *items(status, "initContainerStatuses")]:
            total += int(each.get("restartCount") or 0)
    return total


def claims_of(pod: Object) -> list[str]:
    """Return the names of the claims that a pod mounts."""
    volumes = items(pod["spec"], "volumes")
    return [each["persistentVolumeClaim"]["claimName"] for each in volumes if each.get("persistentVolumeClaim")]


def by_claim(pod: Object) -> list[str]:
    """Index a pod by the claims it mounts, as `<namespace>/<name>`."""
    return [f"{pod['metadata']['namespace']}/{name}" for name in claims_of(pod)]


def by_namespace(obj: Object) -> list[str]:
    """Index an object by its namespace."""
    return [obj["metadata"]["namespace"]]


def by_node(pod: Object) -> list[str]:
    """Index a pod that is not over by its node."""
    return [] if finished(pod) else [pod["spec"].get("nodeName") or ""]


def claim_keys(pod: Object) -> list[str]:
    """Return the same as `namespace/name`: the index by which both the claim controller and the scheduler find pods."""
    return [f"{pod['metadata']['namespace']}/{name}" for name in claims_of(pod)]


def patch_of(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch from one flat status to another: what is gone becomes null, what is equal is left out."""
    found: dict[str, Any] = {key: None for key in old if key not in new}
    return found | {key: value for key, value in new.items() if old.get(key) != value}
