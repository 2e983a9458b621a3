"""What a crash between two writes left behind: names held for nobody, documents of bulk requests that never came to
be, credentials without their objectstore.

Everything is found again by what it carries, looked at only once it is older than any request, and deleted in exactly the life
that was seen.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.read import namespace_of, strings, text, uid_of
from holdfast.core.times import parse_time
from holdfast.dialects.cloudcasa.kinds import (
    APIKEY,
    BULKWRITE,
    KUBECLUSTER,
    MADE_FOR,
    NAMECLAIM,
    OBJECTSTORE,
    PENDING_BULK,
)
from holdfast.dialects.cloudcasa.resources import COLLECTIONS
from holdfast.kube.builtin import SECRETS
from holdfast.kube.errors import ApiError, Conflict, NotFound
from holdfast.kube.objects import labels_of
from holdfast.kube.resource import Resource
from holdfast.rest.state import RESOURCES, State
from holdfast.rest.writes import ABANDONED

EVERY: Final = 60.0

_log = logging.getLogger(__name__)


class Sweeper:
    """Sweeps while `run` runs."""

    def __init__(self, state: State) -> None:
        self._state, self._client = state, state.client

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self.sweep()
            except ApiError as error:
                _log.warning("leftovers could not be swept: %s", error)
            await asyncio.sleep(EVERY)

    async def sweep(self) -> None:
        """Finish the bulks that were committed, take back the others, and free names without a holder."""
        bulks = {uid_of(obj): obj for obj in (await self._client.list(RESOURCES[BULKWRITE])).items}
        committed = {(namespace_of(obj), obj["metadata"]["name"]) for obj in bulks.values()}
        for collection in COLLECTIONS.values():
            if not collection.written:
                continue
            resource = RESOURCES[collection.kind]
            for obj in (await self._client.list(resource, label_selector=PENDING_BULK)).items:
                if (namespace_of(obj), labels_of(obj)[PENDING_BULK]) in committed:
                    await self._free(resource, obj)
                elif self._old(obj):
                    await self._delete(resource, obj)
        for bulk in bulks.values():
            if self._old(bulk) and not await self._waited_for(bulk):
                await self._delete(RESOURCES[BULKWRITE], bulk)
        for claim in (await self._client.list(RESOURCES[NAMECLAIM])).items:
            await self._judge(claim)
        users = [obj for kind in (KUBECLUSTER, APIKEY) for obj in (await self._client.list(RESOURCES[kind])).items]
        for organization in sorted({namespace_of(obj) for obj in users}):
            await self._unowned(organization)

    async def _unowned(self, organization: str) -> None:
        """Remove the credentials of objectstores that never came to be: a crash came between the Secret and its store."""
        secrets, client = self._state.secrets, self._client
        found = await secrets.call(organization, lambda: client.list(SECRETS, organization, label_selector=MADE_FOR))
        for secret in found.items:
            ident = labels_of(secret)[MADE_FOR]
            if secret["metadata"].get("ownerReferences") or not self._old(secret):
                continue
            try:
                await client.get(RESOURCES[OBJECTSTORE], ident, organization)
            except NotFound:
                await self._delete(SECRETS, secret)

    async def _waited_for(self, bulk: Object) -> bool:
        """Whether a document still needs its Bulkwrite to be seen."""
        collection = COLLECTIONS[text(bulk, "spec", "resource")]
        selector = f"{PENDING_BULK}={bulk['metadata']['name']}"
        found = await self._client.list(RESOURCES[collection.kind], namespace_of(bulk), label_selector=selector)
        return bool(found.items) and bool(strings(bulk, "spec", "documents"))

    async def _judge(self, claim: Object) -> None:
        plural, holder = text(claim, "spec", "resource"), text(claim, "spec", "holder")
        if plural not in COLLECTIONS or not self._old(claim):
            return
        try:
            obj = await self._client.get(RESOURCES[COLLECTIONS[plural].kind], holder, namespace_of(claim))
        except NotFound:
            await self._delete(RESOURCES[NAMECLAIM], claim)
            return
        if text(obj, "spec", "name") != text(claim, "spec", "name"):
            await self._delete(RESOURCES[NAMECLAIM], claim)

    async def _free(self, resource: Resource, obj: Object) -> None:
        """Take the label off a document that exists: it needs its Bulkwrite no more."""
        meta = obj["metadata"]
        body: Object = {"metadata": {"labels": {PENDING_BULK: None}}}
        try:
            await self._client.merge_patch(resource, meta["name"], meta["namespace"], body)
        except NotFound:
            return

    async def _delete(self, resource: Resource, obj: Object) -> None:
        meta = obj["metadata"]
        try:
            await self._client.delete(resource, meta["name"], meta["namespace"], uid=meta["uid"])
        except (NotFound, Conflict):
            return
        _log.info("swept %s %s/%s", resource.kind, meta["namespace"], meta["name"])

    def _old(self, obj: Object) -> bool:
        made = parse_time(text(obj, "metadata", "creationTimestamp")).timestamp()
        return self._state.clock() - made > 2 * ABANDONED
