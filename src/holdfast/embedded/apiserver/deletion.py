"""DELETE of one object or of a collection: preconditions, finalizers, a pod's grace, what happens to dependents.

Background is the default: the object goes, the collector removes its dependents afterwards. Foreground keeps the object
until the dependents that block it are gone. Orphan cuts the dependents loose in the same transaction.
"""

import datetime as dt
from typing import Any

import msgspec

from holdfast.embedded.apiserver.ages import now, stamp
from holdfast.embedded.apiserver.api import Answer, Api, Call, list_document
from holdfast.embedded.apiserver.errors import bad_request, conflict, forbidden, invalid
from holdfast.embedded.apiserver.objects import Object, part, texts
from holdfast.embedded.apiserver.reads import select
from holdfast.embedded.apiserver.selectors import Selector
from holdfast.embedded.apiserver.store import Key, Record, Transaction
from holdfast.embedded.apiserver.wire import parse_object
from holdfast.embedded.apiserver.writes import as_served

FOREGROUND = "foregroundDeletion"
_POLICIES = ("Background", "Foreground", "Orphan")
_IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
"""Namespaces that Kubernetes' own admission never lets go."""
_ENDED = ("Succeeded", "Failed")


class Options(msgspec.Struct, frozen=True):
    """DeleteOptions that this server acts on."""

    policy: str = "Background"
    grace: int | None = None
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


def options_of(call: Call) -> Options:
    """The options in a request's query and body; 400 or 422 for what is none."""
    body = parse_object(call.body, allow_yaml="yaml" in call.media) if call.body.strip() else {}
    conditions: Object = part(body, "preconditions")
    policy = call.query.text("propagationPolicy") or body.get("propagationPolicy") or ""
    if not policy and (body.get("orphanDependents") is True or call.query.flag("orphanDependents")):
        policy = "Orphan"
    if policy and policy not in _POLICIES:
        text = f'propagationPolicy: Unsupported value: "{policy}": use {", ".join(_POLICIES)}'
        raise invalid("DeleteOptions", "meta.k8s.io", "", [("propagationPolicy", text)])
    grace: Any = body.get("gracePeriodSeconds")
    if call.query.text("gracePeriodSeconds"):
        grace = call.query.number("gracePeriodSeconds", 0)
    if grace is not None and not (isinstance(grace, int) and grace >= 0):
        raise bad_request("gracePeriodSeconds must be a whole number of at least 0")
    return Options(
        policy=policy or "Background",
        grace=grace,
        uid=str(conditions.get("uid") or ""),
        resource_version=str(conditions.get("resourceVersion") or ""),
        dry_run=call.query.dry_run or body.get("dryRun") == ["All"],
    )


async def delete(api: Api, call: Call) -> Answer:
    """DELETE of one object: a Status when it is gone, the object while it lingers; a pod is always answered as a pod."""
    options = options_of(call)

    def run(transaction: Transaction) -> tuple[Record, bool]:
        record = transaction.get(call.key)
        if record is None:
            raise call.missing()
        require(call, record, options)
        if record.key.res == "/namespaces" and record.key.name in _IMMORTAL:
            raise forbidden("namespaces", "", record.key.name, "this namespace may not be deleted")
        return remove(transaction, record, options)

    record, is_gone = await api.store.write(run, dry_run=options.dry_run)
    if is_gone and call.kind.resource != "/pods":
        kind = call.kind
        details = {"name": record.key.name, "group": kind.group, "kind": kind.plural, "uid": record.uid}
        body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return Answer({**body, "details": {key: value for key, value in details.items() if value}})
    return Answer(record)


def require(call: Call, record: Record, options: Options) -> None:
    """409 when the object is not the one that the caller means to delete."""
    kind = call.kind
    if options.uid and options.uid != record.uid:
        why = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {record.uid}"
        raise conflict(kind.plural, kind.group, record.key.name, why)
    if options.resource_version and options.resource_version != str(record.rv):
        why = f"Precondition failed: ResourceVersion in precondition: {options.resource_version}, in object meta: {record.rv}"
        raise conflict(kind.plural, kind.group, record.key.name, why)


def remove(transaction: Transaction, record: Record, options: Options) -> tuple[Record, bool]:
    """Delete or begin to delete; returns the last state and whether the object is gone."""
    obj = record.object()
    meta = obj["metadata"]
    if options.policy == "Orphan":
        _cut_loose(transaction, record.uid)
    grace = _grace(record.key, obj, options)
    finalizers = texts(meta, "finalizers")
    if options.policy == "Foreground" and FOREGROUND not in finalizers and transaction.dependents(record.uid):
        finalizers = [*finalizers, FOREGROUND]
    is_kept = bool(finalizers) or grace > 0 or bool(record.key.res == "/namespaces")
    if not is_kept:
        return transaction.delete(record), True
    before = (meta.get("deletionTimestamp"), meta.get("deletionGracePeriodSeconds"), texts(meta, "finalizers"))
    shortened = grace < (meta.get("deletionGracePeriodSeconds") or 0)
    if not meta.get("deletionTimestamp") or shortened:
        meta["deletionTimestamp"] = stamp(now() + dt.timedelta(seconds=grace))
        meta["deletionGracePeriodSeconds"] = grace
        if "generation" in meta:
            meta["generation"] += 1
    if finalizers:
        meta["finalizers"] = finalizers
    if record.key.res == "/namespaces":
        obj["status"] = {**part(obj, "status"), "phase": "Terminating"}
    after = (meta.get("deletionTimestamp"), meta.get("deletionGracePeriodSeconds"), texts(meta, "finalizers"))
    return (record if before == after else transaction.put(record.key, obj)), False


def _grace(key: Key, obj: Object, options: Options) -> int:
    """Seconds that a pod is given to end; 0 when nothing of it runs."""
    if key.res != "/pods" or not obj["spec"].get("nodeName"):
        return 0
    if part(obj, "status").get("phase") in _ENDED:
        return 0
    default = obj["spec"].get("terminationGracePeriodSeconds", 30)
    wanted = default if options.grace is None else options.grace
    given = obj["metadata"].get("deletionGracePeriodSeconds")
    return wanted if given is None else min(wanted, given)


def _cut_loose(transaction: Transaction, uid: str) -> None:
    for record in transaction.dependents(uid):
        obj = record.object()
        refs = [ref for ref in obj["metadata"]["ownerReferences"] if ref["uid"] != uid]
        obj["metadata"]["ownerReferences"] = refs
        if not refs:
            del obj["metadata"]["ownerReferences"]
        transaction.put(record.key, obj)


async def delete_collection(api: Api, call: Call) -> Answer:
    """DELETE of all selected objects: one transaction each, so that a large collection does not hold others up."""
    options = options_of(call)
    selector = Selector(call.query.text("labelSelector"), call.query.text("fieldSelector"), call.kind.selectable)
    records, meta = select(api, call, selector)

    def one(found: Record) -> Any:
        def run(transaction: Transaction) -> None:
            record = transaction.get(found.key)
            if record is not None and record.uid == found.uid:
                remove(transaction, record, options)

        return run

    for record in records:
        await api.store.write(one(record), dry_run=options.dry_run)
    return Answer(list_document(call.kind, [as_served(call.kind, record) for record in records], meta))
