"""Garbage that Kubernetes does not see: children of steps and Secret copies in another namespace than their owner.

An owner reference may not cross namespaces, so a label holds the owner's uid and an annotation its name. What is left
when that owner is gone, or is another object of the same name, is deleted: at the start, soon after an owner goes, and
every five minutes, so that nothing stays longer than ten.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from holdfast.core.kinds import CLAIM, JOB, VOLUME_SNAPSHOT
from holdfast.core.labels import OWNER, OWNER_UID, annotation
from holdfast.core.objects import Kind, Object
from holdfast.engine.cache import Cache
from holdfast.engine.grants import Grants
from holdfast.engine.scope import ACTING, Scope, Whole
from holdfast.kube.builtin import JOBS, PVCS, SECRETS, VOLUMESNAPSHOTS
from holdfast.kube.client import Client
from holdfast.kube.errors import ApiError, Conflict, Forbidden, NotFound
from holdfast.kube.lease import LeaseLost
from holdfast.kube.objects import labels_of
from holdfast.kube.resource import Resource

EVERY: Final = 300.0
SOON: Final = 1.0

_SWEPT: Final = {JOB: JOBS, VOLUME_SNAPSHOT: VOLUMESNAPSHOTS, CLAIM: PVCS}
"""What steps make in other namespaces. The sweep looks at those of them that are watched."""

_log = logging.getLogger(__name__)


class Collector:
    """Deletes leftovers while `run` runs."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        handled: frozenset[Kind],
        watched: frozenset[Kind],
        grants: Grants | None = None,
        scope: Scope | None = None,
    ) -> None:
        """`scope` says whose leftovers are ours to collect: those of owners in our namespaces."""
        self._scope = scope or Whole()
        self._grants = grants or Grants(client)
        self._client, self._cache, self._handled = client, cache, handled
        self._swept = [(kind, resource) for kind, resource in _SWEPT.items() if kind in watched]
        self._wake = asyncio.Event()

    def owner_gone(self) -> None:
        """Look soon: an owner was deleted."""
        self._wake.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            self._wake.clear()
            try:
                if self._scope.share():
                    await self.sweep()
            except (ApiError, LeaseLost) as error:
                _log.warning("leftovers could not be collected: %s", error)
            try:
                await asyncio.wait_for(self._wake.wait(), EVERY)
                await asyncio.sleep(SOON)
            except TimeoutError:
                pass

    async def sweep(self) -> int:
        """Delete every leftover there is and return how many there were. The one LIST outside of the informers: Secrets."""
        secrets = await self._secrets()
        leftovers = [(resource, obj) for kind, resource in self._swept for obj in self._cache.list(kind)]
        leftovers += [(SECRETS, obj) for obj in secrets]
        gone = [(resource, obj) for resource, obj in leftovers if self._orphaned(obj)]
        for resource, obj in gone:
            await self._delete(resource, obj)
        return len(gone)

    async def _secrets(self) -> Sequence[Object]:
        """Return the Secrets that we made: of all namespaces if we may ask so, else of those with a grant."""
        try:
            return (await self._client.list(SECRETS, label_selector=OWNER_UID)).items
        except Forbidden:
            granted = await self._grants.namespaces()
        found: list[Object] = []
        for namespace in granted:
            try:
                found += (await self._client.list(SECRETS, namespace, label_selector=OWNER_UID)).items
            except Forbidden as error:
                _log.warning("leftover Secrets of one namespace stay for now: %s", error)
        return found

    def _orphaned(self, obj: Object) -> bool:
        uid = labels_of(obj).get(OWNER_UID)
        kind, _, rest = annotation(obj, OWNER).partition("/")
        name, _, group = kind.partition(".")
        if not uid or Kind(group, name) not in self._handled:
            return False
        namespace, _, owner_name = rest.partition("/")
        if not self._scope.holds(namespace):
            return False
        owner = self._cache.get(Kind(group, name), namespace, owner_name)
        return owner is None or owner["metadata"].get("uid") != uid

    async def _delete(self, resource: Resource, obj: Object) -> None:
        meta = obj["metadata"]
        ACTING.set(annotation(obj, OWNER).partition("/")[2].partition("/")[0])
        try:
            await self._client.delete(resource, meta["name"], meta.get("namespace") or None, uid=meta["uid"])
        except (NotFound, Conflict):
            return
        _log.info("collected %s %s/%s: its owner is gone", resource.kind, meta.get("namespace", ""), meta["name"])
