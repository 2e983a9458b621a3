"""What deletion leaves behind: dependents of objects that are gone, and the contents of namespaces that go.

One task in the server's process. It is woken by changes and works from the owner index, never from a list of everything;
at start it looks once over all owners, for what a crash left.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from holdfast.embedded.apiserver.api import Api
from holdfast.embedded.apiserver.crds import CLEANUP, CRDS
from holdfast.embedded.apiserver.deletion import FOREGROUND, Options, remove
from holdfast.embedded.apiserver.objects import Object, parts, texts
from holdfast.embedded.apiserver.store import Change, Key, Record, Transaction

_log = logging.getLogger(__name__)
_BATCH = 200
_RETRY_SECONDS = 5.0
_NAMESPACES = "/namespaces"


def _is_deleting(record: Record) -> bool:
    return b'"deletionTimestamp"' in record.data and bool(record.object()["metadata"].get("deletionTimestamp"))


def owner_refs(record: Record) -> list[Object]:
    """The owner references of a stored object."""
    if b'"ownerReferences"' not in record.data:
        return []
    return parts(record.object()["metadata"], "ownerReferences")


class Collector:
    """Build it before the server serves; `run()` is a task that ends when cancelled."""

    def __init__(self, api: Api) -> None:
        self._store = api.store
        self._owners: set[str] = set(api.store.owned())
        found = api.store.page(_NAMESPACES).records
        self._terminating: set[str] = {record.key.name for record in found if _is_deleting(record)}
        self._namespaces: set[str] = set(self._terminating)
        self._swept: dict[str, str] = {}
        self._definitions: set[str] = {record.key.name for record in api.store.page(CRDS).records if _is_deleting(record)}
        self._wake = asyncio.Event()
        self._wake.set()
        api.store.listeners.append(self._notice)

    def _notice(self, changes: list[Change]) -> None:
        for change in changes:
            self._owners.update(ref["uid"] for ref in owner_refs(change.new))
            if change.type == "DELETED":
                self._notice_deleted(change.new)
            elif _is_deleting(change.new):
                self._notice_deleting(change.new)
        if self._owners or self._namespaces or self._definitions:
            self._wake.set()

    def _notice_deleted(self, record: Record) -> None:
        self._owners.add(record.uid)
        if record.key.res == _NAMESPACES:
            self._terminating.discard(record.key.name)
        elif record.key.ns in self._terminating:
            self._namespaces.add(record.key.ns)
        if record.key.res in self._swept:
            self._definitions.add(self._swept[record.key.res])

    def _notice_deleting(self, record: Record) -> None:
        if record.key.res == _NAMESPACES:
            self._terminating.add(record.key.name)
            self._namespaces.add(record.key.name)
        elif record.key.res == CRDS:
            self._definitions.add(record.key.name)
        elif FOREGROUND.encode() in record.data:
            self._owners.add(record.uid)

    async def run(self) -> None:
        """Collect until cancelled; what failed is tried again after some seconds."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            owners, self._owners = self._owners, set()
            namespaces, self._namespaces = self._namespaces, set()
            definitions, self._definitions = self._definitions, set()
            for uid in owners:
                await self._try(self._collect, uid, self._owners)
            for ns in namespaces:
                await self._try(self._empty, ns, self._namespaces)
            for name in definitions:
                await self._try(self._sweep, name, self._definitions)

    async def _try(self, work: Callable[[str], Awaitable[None]], item: str, again: set[str]) -> None:
        try:
            await work(item)
        except Exception:
            _log.exception("could not collect what depends on %s; trying again", item)
            again.add(item)
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._wake.set)

    async def _collect(self, uid: str) -> None:
        owner = self._store.by_uid(uid)
        if owner is None:
            for record in self._store.dependents(uid):
                await self._store.write(lambda transaction, found=record: _drop(transaction, found))
        elif FOREGROUND.encode() in owner.data and _is_deleting(owner):
            for record in self._store.dependents(uid):
                await self._store.write(lambda transaction, found=record: _drop(transaction, found, uid))
            await self._store.write(lambda transaction: _release(transaction, owner))

    async def _empty(self, ns: str) -> None:
        """Delete all that a terminating namespace holds; when nothing is left, let the namespace go."""
        while found := [record for record in self._store.contents(ns, _BATCH) if not _is_deleting(record)]:
            for record in found:
                await self._store.write(lambda transaction, item=record: _remove_again(transaction, item))
        await self._store.write(lambda transaction: _finalize_namespace(transaction, ns))

    async def _sweep(self, name: str) -> None:
        """Delete the objects of a definition that goes; when none is left, let the definition go."""
        plural, _, group = name.partition(".")
        res = f"{group}/{plural}"
        self._swept[res] = name
        for record in self._store.page(res).records:
            if not _is_deleting(record):
                await self._store.write(lambda transaction, item=record: _remove_again(transaction, item))
        if not self._store.page(res, limit=1).records:
            await self._store.write(lambda transaction: _finalize_definition(transaction, name))
            del self._swept[res]


def _remove_again(transaction: Transaction, found: Record) -> None:
    record = transaction.get(found.key)
    if record is not None and record.uid == found.uid:
        remove(transaction, record, Options())


def _drop(transaction: Transaction, found: Record, dying: str = "") -> None:
    """Delete a dependent whose owners are all gone (or `dying`); where one still lives, only forget the dead ones."""
    record = transaction.get(found.key)
    if record is None or record.uid != found.uid:
        return
    refs = owner_refs(record)
    alive = [ref for ref in refs if ref["uid"] != dying and transaction.has_uid(ref["uid"])]
    if not alive:
        if refs and not _is_deleting(record):
            remove(transaction, record, Options())
    elif len(alive) < len(refs) and not dying:
        obj = record.object()
        obj["metadata"]["ownerReferences"] = alive
        transaction.put(record.key, obj)


def _release(transaction: Transaction, found: Record) -> None:
    """Take the foreground finalizer off once no dependent blocks it."""
    record = transaction.get(found.key)
    if record is None or record.uid != found.uid:
        return
    blocking = [
        ref
        for dependent in transaction.dependents(record.uid)
        for ref in owner_refs(dependent)
        if ref["uid"] == record.uid and ref.get("blockOwnerDeletion")
    ]
    if not blocking:
        _take_off(transaction, record, FOREGROUND)


def _take_off(transaction: Transaction, record: Record, finalizer: str) -> None:
    """Remove a finalizer; the last one lets the object go."""
    obj = record.object()
    finalizers = texts(obj["metadata"], "finalizers")
    if finalizer not in finalizers:
        return
    obj["metadata"]["finalizers"] = [item for item in finalizers if item != finalizer]
    if obj["metadata"]["finalizers"]:
        transaction.put(record.key, obj)
    else:
        transaction.delete(record)


def _finalize_definition(transaction: Transaction, name: str) -> None:
    record = transaction.get(Key(CRDS, "", name))
    if record is not None and _is_deleting(record):
        _take_off(transaction, record, CLEANUP)


def _finalize_namespace(transaction: Transaction, ns: str) -> None:
    record = transaction.get(Key(_NAMESPACES, "", ns))
    if record is None or not _is_deleting(record) or transaction.contents(ns):
        return
    obj = record.object()
    obj.get("spec", {}).pop("finalizers", None)
    if obj["metadata"].get("finalizers"):
        transaction.put(record.key, obj)
    else:
        transaction.delete(record)
