"""The controllers of ReplicaSets, Deployments and DaemonSets: they carry out what their decisions say.

Names of children follow from the objects, so no write can double.
"""

from datetime import UTC, datetime

from holdfast.core.objects import Object
from holdfast.embedded.controllers import daemonset_decision, deployment_decision, replicaset_decision
from holdfast.embedded.controllers import pods as podlib
from holdfast.embedded.read import mapping
from holdfast.kube.builtin import DAEMONSETS, DEPLOYMENTS, PODS, REPLICASETS
from holdfast.kube.client import Client
from holdfast.kube.controller import Controller, Result
from holdfast.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from holdfast.kube.events import EventRecorder
from holdfast.kube.informer import Informer
from holdfast.kube.objects import Key, key_of, owner_keys, owner_uids
from holdfast.kube.resource import Resource


class Hands:
    """What the three do alike: make and remove children, and show a status. Events tell of both."""

    def __init__(self, client: Client, events: EventRecorder) -> None:
        self.client = client
        self._events = events

    async def create(self, owner: Object, res: Resource, child: Object) -> None:
        """Create a child; one that is there already was made by us."""
        name = child["metadata"]["name"]
        try:
            await self.client.create(res, child)
        except AlreadyExists:
            return
        except ApiError as problem:
            self._events.emit(owner, "Warning", "FailedCreate", f"Error creating: {problem}")
            raise
        self._events.emit(owner, "Normal", "SuccessfulCreate", f"Created {res.kind.lower()}: {name}")

    async def delete(self, owner: Object, res: Resource, child: Object) -> None:
        """Delete a child of ours, and no namesake."""
        meta = child["metadata"]
        try:
            await self.client.delete(res, meta["name"], meta["namespace"], uid=meta["uid"])
        except (NotFound, Conflict):
            return
        self._events.emit(owner, "Normal", "SuccessfulDelete", f"Deleted {res.kind.lower()}: {meta['name']}")

    async def show(self, res: Resource, obj: Object, status: Object) -> None:
        """Write a status that differs."""
        patch = podlib.patch_of(mapping(obj, "status"), status)
        if patch:
            meta = obj["metadata"]
            await self.client.merge_patch(res, meta["name"], meta["namespace"], {"status": patch}, subresource="status")

    def tell(self, obj: Object, reason: str, message: str) -> None:
        """Record a normal event."""
        self._events.emit(obj, "Normal", reason, message)


def _living(informer: Informer, key: Key) -> Object | None:
    found = informer.get(*key)
    return None if found is None or found["metadata"].get("deletionTimestamp") else found


class ReplicaSetController:
    """Keeps ReplicaSets."""

    def __init__(self, hands: Hands, sets: Informer, pods: Informer) -> None:
        self._hands, self._sets, self._pods = hands, sets, pods
        pods.add_index("owner", owner_uids)
        self.controller = Controller("replicaset", self.reconcile)
        self.controller.watches(sets, lambda rs: [key_of(rs)])
        self.controller.watches(pods, owner_keys("ReplicaSet", "apps"))

    async def reconcile(self, key: Key) -> Result:
        """Bring one ReplicaSet a step on."""
        rs = _living(self._sets, key)
        if rs is None:
            return Result()
        decision = replicaset_decision.decide(rs, self._pods.by_index("owner", rs["metadata"]["uid"]), datetime.now(UTC))
        for name in decision.create:
            await self._hands.create(rs, PODS, replicaset_decision.pod_of(rs, name))
        for pod in decision.delete:
            await self._hands.delete(rs, PODS, pod)
        await self._hands.show(REPLICASETS, rs, decision.status)
        return Result(after=decision.after)


class DeploymentController:
    """Keeps Deployments."""

    def __init__(self, hands: Hands, deployments: Informer, sets: Informer) -> None:
        self._hands, self._deployments, self._sets = hands, deployments, sets
        sets.add_index("owner", owner_uids)
        self.controller = Controller("deployment", self.reconcile)
        self.controller.watches(deployments, lambda each: [key_of(each)])
        self.controller.watches(sets, owner_keys("Deployment", "apps"))

    async def reconcile(self, key: Key) -> Result:
        """Bring one Deployment a step on."""
        deployment = _living(self._deployments, key)
        if deployment is None:
            return Result()
        sets = [
            each
            for each in self._sets.by_index("owner", deployment["metadata"]["uid"])
            if not each["metadata"].get("deletionTimestamp")
        ]
        decision = deployment_decision.decide(deployment, sets, datetime.now(UTC))
        if decision.create is not None:
            await self._hands.create(deployment, REPLICASETS, decision.create)
        for rs in await self._number(deployment, sets, decision.revision):
            wanted = decision.scale.get(rs["metadata"]["name"])
            if wanted is not None:
                await self._scale(deployment, rs, wanted)
        for rs in decision.delete:
            await self._hands.delete(deployment, REPLICASETS, rs)
        await self._hands.show(DEPLOYMENTS, deployment, decision.status)
        return Result(after=decision.after)

    async def _scale(self, deployment: Object, rs: Object, size: int) -> None:
        meta = rs["metadata"]
        body: Object = {"spec": {"replicas": size}}
        await self._hands.client.merge_patch(
            REPLICASETS, meta["name"], meta["namespace"], body, resource_version=meta["resourceVersion"]
        )
        way = "up" if size > replicaset_decision.replicas(rs) else "down"
        self._hands.tell(deployment, "ScalingReplicaSet", f"Scaled {way} replica set {meta['name']} to {size}")

    async def _number(self, deployment: Object, sets: list[Object], revision: str) -> list[Object]:
        """Write the revision on the Deployment and its present ReplicaSet, where `kubectl rollout history` looks for it."""
        if not revision:
            return sets
        name = deployment_decision.set_name(deployment)
        await self._mark(DEPLOYMENTS, deployment, revision)
        return [await self._mark(REPLICASETS, each, revision) if each["metadata"]["name"] == name else each for each in sets]

    async def _mark(self, res: Resource, obj: Object, revision: str) -> Object:
        meta = obj["metadata"]
        if mapping(meta, "annotations").get(deployment_decision.REVISION) == revision:
            return obj
        body: Object = {"metadata": {"annotations": {deployment_decision.REVISION: revision}}}
        return await self._hands.client.merge_patch(res, meta["name"], meta["namespace"], body)


class DaemonSetController:
    """Keeps DaemonSets."""

    def __init__(self, hands: Hands, sets: Informer, pods: Informer, nodes: Informer) -> None:
        self._hands, self._sets, self._pods, self._nodes = hands, sets, pods, nodes
        pods.add_index("owner", owner_uids)
        self.controller = Controller("daemonset", self.reconcile)
        self.controller.watches(sets, lambda ds: [key_of(ds)])
        self.controller.watches(pods, owner_keys("DaemonSet", "apps"))
        self.controller.watches(nodes, lambda _: [key_of(ds) for ds in sets.all()])

    async def reconcile(self, key: Key) -> Result:
        """Bring one DaemonSet a step on."""
        ds = _living(self._sets, key)
        if ds is None:
            return Result()
        pods = self._pods.by_index("owner", ds["metadata"]["uid"])
        decision = daemonset_decision.decide(ds, pods, list(self._nodes.all()))
        for node in decision.create:
            await self._hands.create(ds, PODS, daemonset_decision.pod_of(ds, node))
        for pod in decision.delete:
            await self._hands.delete(ds, PODS, pod)
        await self._hands.show(DAEMONSETS, ds, decision.status)
        return Result()
