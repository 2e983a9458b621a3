"""The controller of PodDisruptionBudgets: it keeps their status, by which the API server grants evictions."""

from datetime import UTC, datetime

import msgspec

from holdfast.core.objects import Object
from holdfast.core.selectors import matches
from holdfast.embedded.controllers.disruption_decision import decide
from holdfast.embedded.controllers.pods import by_namespace, patch_of
from holdfast.embedded.controllers.replicaset_decision import replicas
from holdfast.embedded.read import mapping
from holdfast.kube.builtin import PODDISRUPTIONBUDGETS
from holdfast.kube.client import Client
from holdfast.kube.controller import Controller, Result
from holdfast.kube.errors import Conflict
from holdfast.kube.informer import Informer
from holdfast.kube.objects import Key, key_of


class Workloads(msgspec.Struct, frozen=True):
    """The caches in which controllers of pods are found."""

    replica_sets: Informer
    stateful_sets: Informer


class DisruptionController:
    """Keeps the status of every budget in step with its pods."""

    def __init__(self, client: Client, budgets: Informer, pods: Informer, workloads: Workloads) -> None:
        self._client, self._budgets, self._pods, self._workloads = client, budgets, pods, workloads
        budgets.add_index("namespace", by_namespace)
        pods.add_index("namespace", by_namespace)
        self.controller = Controller("disruption", self.reconcile)
        self.controller.watches(budgets, lambda budget: [key_of(budget)])
        self.controller.watches(pods, self._about)
        self.controller.watches(workloads.replica_sets, self._beside)
        self.controller.watches(workloads.stateful_sets, self._beside)

    async def reconcile(self, key: Key) -> Result:
        """Count one budget anew."""
        budget = self._budgets.get(*key)
        if budget is None:
            return Result()
        pods = [pod for pod in self._pods.by_index("namespace", key[0]) if _covers(budget, pod)]
        decision = decide(budget, pods, self._replicas, datetime.now(UTC))
        if patch := patch_of(mapping(budget, "status"), decision.status):
            meta = budget["metadata"]
            version = meta["resourceVersion"]
            try:
                await self._client.merge_patch(
                    PODDISRUPTIONBUDGETS, *_place(meta), {"status": patch}, subresource="status", resource_version=version
                )
            except Conflict:  # an eviction was granted meanwhile; its event brings us back
                return Result()
        return Result(after=decision.after)

    def _about(self, pod: Object) -> list[Key]:
        near = self._budgets.by_index("namespace", pod["metadata"]["namespace"])
        return [key_of(budget) for budget in near if _covers(budget, pod)]

    def _beside(self, workload: Object) -> list[Key]:
        return [key_of(budget) for budget in self._budgets.by_index("namespace", workload["metadata"]["namespace"])]

    def _replicas(self, owner: Object) -> int | None:
        caches = {"ReplicaSet": self._workloads.replica_sets, "StatefulSet": self._workloads.stateful_sets}
        cache = caches.get(owner["kind"])
        found = cache.get(owner["namespace"], owner["name"]) if cache else None
        return None if found is None or found["metadata"]["uid"] != owner["uid"] else replicas(found)


def _place(meta: Object) -> tuple[str, str]:
    return meta["name"], meta["namespace"]


def _covers(budget: Object, pod: Object) -> bool:
    """Whether a budget is about a pod: an empty selector is about all of its namespace, a missing one about none."""
    selector = budget["spec"].get("selector")
    return selector is not None and matches(selector, mapping(pod["metadata"], "labels"))
