"""The scheduler: binds pods to nodes through the binding subresource, or says on the pod why it can't."""

from collections import Counter
from datetime import UTC, datetime

from holdfast.core.conditions import condition, upsert
from holdfast.core.objects import Object
from holdfast.embedded.controllers import pods as podlib
from holdfast.embedded.controllers.scheduling_decision import choose
from holdfast.embedded.read import items, mapping
from holdfast.kube.builtin import PODS
from holdfast.kube.client import Client
from holdfast.kube.controller import Controller, Result
from holdfast.kube.errors import Conflict, NotFound
from holdfast.kube.events import EventRecorder
from holdfast.kube.informer import Informer
from holdfast.kube.objects import Key, key_of

NAME = "default-scheduler"


class Scheduler:
    """Schedules the pods that name the default scheduler."""

    def __init__(self, client: Client, events: EventRecorder, pods: Informer, nodes: Informer, claims: Informer) -> None:
        self._client = client
        self._events = events
        self._pods = pods
        self._nodes = nodes
        self._claims = claims
        pods.add_index("unscheduled", lambda pod: ["yes"] if _waits(pod) else [])
        pods.add_index("claim", podlib.by_claim)
        pods.add_index("node", podlib.by_node)
        self.controller = Controller("scheduler", self.reconcile, workers=16)
        self.controller.watches(pods, lambda pod: [key_of(pod)] if _waits(pod) else [])
        self.controller.watches(nodes, lambda _: [key_of(pod) for pod in pods.by_index("unscheduled", "yes")])
        self.controller.watches(claims, lambda claim: [key_of(pod) for pod in pods.by_index("claim", "/".join(key_of(claim)))])

    async def reconcile(self, key: Key) -> Result:
        """Schedule one pod."""
        pod = self._pods.get(*key)
        if pod is None or not _waits(pod):
            return Result()
        nodes = list(self._nodes.all())
        claims = {name: self._claims.get(key[0], name) for name in podlib.claims_of(pod)}
        load = Counter({node["metadata"]["name"]: len(self._pods.by_index("node", node["metadata"]["name"])) for node in nodes})
        choice = choose(pod, nodes, claims, load)
        if choice.node:
            await self._bind(pod, choice.node)
        else:
            await self._explain(pod, choice.message)
        return Result()

    async def _bind(self, pod: Object, node: str) -> None:
        meta = pod["metadata"]
        binding: Object = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            await self._client.post_raw(PODS.path(meta["namespace"], meta["name"], "binding"), binding)
        except (NotFound, Conflict):  # gone, or bound by an earlier try
            return
        self._events.emit(pod, "Normal", "Scheduled", f"Successfully assigned {meta['namespace']}/{meta['name']} to {node}")

    async def _explain(self, pod: Object, message: str) -> None:
        meta, status = pod["metadata"], mapping(pod, "status")
        wanted = condition("PodScheduled", False, "Unschedulable", message)
        conditions = upsert(status.get("conditions"), wanted, datetime.now(UTC))
        if conditions == items(status, "conditions"):
            return
        self._events.emit(pod, "Warning", "FailedScheduling", message)
        body: Object = {"status": {"conditions": conditions}}
        version = meta["resourceVersion"]
        await self._client.merge_patch(
            PODS, meta["name"], meta["namespace"], body, subresource="status", resource_version=version
        )


def _waits(pod: Object) -> bool:
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not podlib.finished(pod)
        and not pod["metadata"].get("deletionTimestamp")
        and not spec.get("schedulingGates")
        and (spec.get("schedulerName") or NAME) == NAME
    )
