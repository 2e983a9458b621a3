"""Which holders of repository locks are proven dead.

A mover that is killed leaves its lock behind. The lock names its host, which is the name of the pod; a pod that Kubernetes
shows as Failed has no process left, so its lock protects nobody. A pod that is only lost from sight (its node does not
answer) proves nothing: it may still write.
"""

from collections.abc import Iterable
from typing import Final

from holdfast.core.labels import MOVER
from holdfast.core.objects import Object
from holdfast.kube.objects import labels_of

MOST: Final = 200
"""How many are named to a new mover, newest first."""

_HOST_NAME: Final = 63
_OUT_OF_SIGHT: Final = frozenset({"NodeLost", "NodeUnreachable"})


def is_dead(pod: Object) -> bool:
    """Whether a pod is that of a mover, and has failed for certain."""
    status: Object = pod.get("status") or {}
    return status.get("phase") == "Failed" and status.get("reason") not in _OUT_OF_SIGHT and MOVER in labels_of(pod)


def dead_hosts(pods: Iterable[Object]) -> list[str]:
    """Return the host names of mover pods that failed, newest first."""
    failed = [pod for pod in pods if is_dead(pod)]
    failed.sort(key=lambda pod: pod["metadata"].get("creationTimestamp", ""), reverse=True)
    return [str(pod["metadata"]["name"])[:_HOST_NAME] for pod in failed[:MOST]]
