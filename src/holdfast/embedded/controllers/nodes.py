"""The node controller: a node whose Lease is no longer renewed is not ready, and its pods are lost.

Whether a Lease is stale is judged by how long this process has seen it unchanged, on a clock that stands still while
the machine sleeps: a laptop that wakes up must not lose its pods. Nor may an API server that was away for a while: before a
node is given up, its Lease is read again and again for a quarter of the grace period, and each read must be answered.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from holdfast.core.conditions import condition, find, upsert
from holdfast.core.objects import Object
from holdfast.embedded.controllers import pods as podlib
from holdfast.embedded.read import mapping
from holdfast.kube.builtin import LEASES, NODES, PODS
from holdfast.kube.client import Client
from holdfast.kube.controller import Controller, Result
from holdfast.kube.errors import NotFound
from holdfast.kube.events import EventRecorder
from holdfast.kube.informer import Informer
from holdfast.kube.objects import Key, key_of

LEASE_NAMESPACE = "kube-node-lease"


class NodeController:
    """Watches over nodes."""

    def __init__(
        self,
        client: Client,
        events: EventRecorder,
        nodes: Informer,
        leases: Informer,
        pods: Informer,
        *,
        grace: float = 40.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._events = events
        self._nodes = nodes
        self._leases = leases
        self._pods = pods
        self._grace = grace
        self._clock = clock
        self._renewed: dict[str, tuple[str, float]] = {}
        self._doubted: dict[str, float] = {}
        pods.add_index("node", podlib.by_node)
        self.controller = Controller("node", self.reconcile, workers=2)
        self.controller.watches(nodes, lambda node: [key_of(node)])
        self.controller.watches(leases, lambda lease: [("", lease["metadata"]["name"])])

    async def reconcile(self, key: Key) -> Result:
        """Judge one node, and look again when its lease would be stale."""
        node = self._nodes.get(*key)
        if node is None:
            await self._lose_pods(key[1], f"node {key[1]} is gone")
            return Result()
        left = self._left(key[1])
        if left > 0:
            self._doubted.pop(key[1], None)
            return Result(after=left)
        if (left := await self._doubt(key[1])) > 0:
            return Result(after=left)
        await self._mark(node)
        await self._lose_pods(key[1], f"node {key[1]} has stopped renewing its lease")
        return Result()

    def _left(self, name: str) -> float:
        """Return for how many seconds the node may still be silent."""
        lease = self._leases.get(LEASE_NAMESPACE, name)
        renewed = str(mapping(lease, "spec").get("renewTime") or "")
        now = self._clock()
        seen = self._renewed.get(name)
        if seen is None or seen[0] != renewed:
            seen = self._renewed[name] = (renewed, now)
        return seen[1] + self._grace - now

    async def _doubt(self, name: str) -> float:
        """Ask the API server for a Lease that seems stale; return the seconds until the next look, 0 when the node is lost."""
        try:
            lease = await self._client.get(LEASES, name, LEASE_NAMESPACE)
        except NotFound:
            lease = dict[str, Any]()
        except BaseException:
            self._doubted.pop(name, None)
            raise
        now, renewed = self._clock(), str(mapping(lease, "spec").get("renewTime") or "")
        if renewed != self._renewed[name][0]:
            self._renewed[name] = (renewed, now)
            self._doubted.pop(name, None)
            return self._grace
        left = self._doubted.setdefault(name, now) + self._grace / 4 - now
        return max(0.0, min(left, self._grace / 20))

    async def _mark(self, node: Object) -> None:
        status = mapping(node, "status")
        if (find(status.get("conditions"), "Ready") or {}).get("status") == "Unknown":
            return
        wanted = condition("Ready", None, "NodeStatusUnknown", "the node has stopped renewing its lease")
        conditions = upsert(status.get("conditions"), wanted, datetime.now(UTC))
        self._events.emit(node, "Warning", "NodeNotReady", wanted.message)
        await self._client.merge_patch(
            NODES, node["metadata"]["name"], None, {"status": {"conditions": conditions}}, subresource="status"
        )

    async def _lose_pods(self, name: str, message: str) -> None:
        for pod in self._pods.by_index("node", name):
            meta = pod["metadata"]
            body: Object = {"status": {"phase": "Failed", "reason": "NodeLost", "message": message}}
            try:
                await self._client.merge_patch(PODS, meta["name"], meta["namespace"], body, subresource="status")
                if meta.get("deletionTimestamp"):
                    await self._client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"], grace_period_seconds=0)
            except NotFound:
                continue
