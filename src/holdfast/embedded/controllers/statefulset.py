"""The StatefulSet controller: carries out what `statefulset_decision` decides. Names are fixed, so no write can double."""

import contextlib

from holdfast.core.objects import Object
from holdfast.embedded.controllers import pods as podlib
from holdfast.embedded.controllers import statefulset_decision
from holdfast.embedded.read import mapping
from holdfast.kube.builtin import PODS, PVCS, STATEFULSETS
from holdfast.kube.client import Client
from holdfast.kube.controller import Controller, Result
from holdfast.kube.errors import AlreadyExists, ApiError, NotFound
from holdfast.kube.events import EventRecorder
from holdfast.kube.informer import Informer
from holdfast.kube.objects import Key, key_of, owner_keys, owner_uids


class StatefulSetController:
    """Keeps StatefulSets."""

    def __init__(self, client: Client, events: EventRecorder, sets: Informer, pods: Informer) -> None:
        self._client = client
        self._events = events
        self._sets = sets
        self._pods = pods
        pods.add_index("owner", owner_uids)
        self.controller = Controller("statefulset", self.reconcile)
        self.controller.watches(sets, lambda sts: [key_of(sts)])
        self.controller.watches(pods, owner_keys("StatefulSet", "apps"))

    async def reconcile(self, key: Key) -> Result:
        """Bring one StatefulSet a step on."""
        sts = self._sets.get(*key)
        if sts is None or sts["metadata"].get("deletionTimestamp"):
            return Result()
        decision = statefulset_decision.decide(sts, self._pods.by_index("owner", sts["metadata"]["uid"]))
        for pod in decision.delete:
            await self._delete(sts, pod)
        for ordinal in decision.create:
            await self._create(sts, ordinal)
        patch = podlib.patch_of(mapping(sts, "status"), decision.status)
        if patch:
            meta = sts["metadata"]
            await self._client.merge_patch(
                STATEFULSETS, meta["name"], meta["namespace"], {"status": patch}, subresource="status"
            )
        return Result()

    async def _create(self, sts: Object, ordinal: int) -> None:
        for claim in statefulset_decision.claims_of(sts, ordinal):
            with contextlib.suppress(AlreadyExists):
                await self._client.create(PVCS, claim)
        pod = statefulset_decision.pod_of(sts, ordinal)
        try:
            await self._client.create(PODS, pod)
        except AlreadyExists:
            return
        except ApiError as problem:
            self._events.emit(sts, "Warning", "FailedCreate", f"create Pod {pod['metadata']['name']} failed: {problem}")
            raise
        self._events.emit(sts, "Normal", "SuccessfulCreate", f"create Pod {pod['metadata']['name']} successful")

    async def _delete(self, sts: Object, pod: Object) -> None:
        meta = pod["metadata"]
        try:
            await self._client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"])
        except NotFound:
            return
        self._events.emit(sts, "Normal", "SuccessfulDelete", f"delete Pod {meta['name']} successful")
