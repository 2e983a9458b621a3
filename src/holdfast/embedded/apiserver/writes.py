"""Create and update. Each runs as one store operation: read, decide, write; so there are no lost updates and no retries.

A write that changes nothing is answered with the stored object and leaves its resourceVersion alone.
"""

import copy
from collections.abc import Callable

from holdfast.embedded.apiserver import admission, defaults, managers, metadata, namespaces, service_addresses
from holdfast.embedded.apiserver.api import Answer, Api, Call
from holdfast.embedded.apiserver.errors import (
    already_exists,
    bad_request,
    conflict,
    forbidden,
    not_found,
    stale,
)
from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.objects import Object, part
from holdfast.embedded.apiserver.prepare import check, check_envelope, process
from holdfast.embedded.apiserver.store import Key, Record, Transaction
from holdfast.embedded.apiserver.wire import parse_object

_NAME_TRIES = 8

_NO_GENERATION = frozenset(
    {"Namespace", "Node", "PersistentVolume", "PersistentVolumeClaim", "Secret", "ConfigMap", "Service", "Endpoints"}
    | {"ServiceAccount", "Event", "Lease", "StorageClass", "CSIDriver", "ControllerRevision", "PriorityClass", "Role"}
    | {"RoleBinding", "ClusterRole", "ClusterRoleBinding", "LimitRange", "ResourceQuota"}
)


def has_generation(kind: Kind) -> bool:
    """Whether the kind counts the changes of its spec."""
    return kind.custom or kind.kind not in _NO_GENERATION


def require_namespace(transaction: Transaction, kind: Kind, ns: str, name: str) -> None:
    """404 when the namespace does not exist, 403 when it is going away."""
    if not kind.namespaced:
        return
    record = transaction.get(Key("/namespaces", "", ns))
    if record is None:
        raise not_found("namespaces", "", ns)
    if b'"deletionTimestamp"' in record.data and record.object()["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {ns} because it is being terminated"
        raise forbidden(kind.plural, kind.group, name, why)


def as_stored(kind: Kind, obj: Object) -> Object:
    """The object under the apiVersion that is stored."""
    return {**obj, "apiVersion": kind.storage_api_version}


def as_served(kind: Kind, record: Record) -> Object:
    """A fresh copy of a stored object under the apiVersion of the request."""
    return {**record.object(), "apiVersion": kind.api_version}


async def create(api: Api, call: Call) -> Answer:
    """POST to a collection."""
    obj = parse_object(call.body, allow_yaml="yaml" in call.media)
    record = await api.store.write(lambda transaction: insert(api, call, transaction, obj), dry_run=call.query.dry_run)
    return Answer(record, 201)


def insert(api: Api, call: Call, transaction: Transaction, sent: Object) -> Record:
    """Create one object within a transaction; 409 when the name is taken."""
    kind, obj = call.kind, sent
    check_envelope(call, obj)
    if obj["metadata"].get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    if kind.has_status:
        obj.pop("status", None)
    obj = process(call, obj)
    require_namespace(transaction, kind, call.route.ns, obj["metadata"].get("name", ""))
    if kind.has_status:
        obj.pop("status", None)
    meta = obj["metadata"]
    metadata.stamp_new(meta, has_generation(kind))
    key = _free_key(transaction, call, meta)
    meta["name"] = key.name
    if call.verb != "apply":
        managers.created(call, obj)
    defaults.at_birth(kind, obj)
    if kind.resource == "/services":
        service_addresses.settle(transaction, obj, None)
    admission.born(transaction, kind, obj)
    check(api, call, transaction, obj, None)
    api.quotas.require(transaction, kind, obj)
    if transaction.get(key) is not None:
        raise already_exists(kind.plural, kind.group, key.name)
    record = transaction.put(key, as_stored(kind, obj))
    if kind.resource == "/namespaces":
        namespaces.furnish(transaction, key.name, api.ca)
    return record


def _free_key(transaction: Transaction, call: Call, meta: Object) -> Key:
    """The place of a new object; a generated name is tried again when it is taken."""
    ns = call.route.ns if call.kind.namespaced else ""
    key = Key(call.kind.resource, ns, metadata.name_from(meta))
    for _ in range(_NAME_TRIES):
        if meta.get("name") or transaction.get(key) is None:
            break
        key = Key(call.kind.resource, ns, metadata.name_from(meta))
    return key


Change = Callable[[Object], Object]


async def update(api: Api, call: Call) -> Answer:
    """PUT of an object or of its status."""
    sent = parse_object(call.body, allow_yaml="yaml" in call.media)
    check_envelope(call, sent)
    record = await api.store.write(
        lambda transaction: alter(api, call, transaction, lambda _: copy.deepcopy(sent)), dry_run=call.query.dry_run
    )
    return Answer(record)


def alter(api: Api, call: Call, transaction: Transaction, change: Change) -> Record:
    """Apply `change` to the stored object within a transaction; 404 when there is none, 409 when it moved on."""
    record = transaction.get(call.key)
    if record is None:
        raise call.missing()
    return alter_record(api, call, transaction, record, change)


def alter_record(api: Api, call: Call, transaction: Transaction, record: Record, change: Change) -> Record:
    """Apply `change` to a stored object that was just read."""
    old = as_served(call.kind, record)
    new = change(as_served(call.kind, record))
    check_envelope(call, new)
    _preconditions(call, record, new)
    if call.route.sub == "status":
        new = _with_status(old, new)
    elif call.kind.has_status:
        _keep(new, old, "status")
    new = process(call, new, old)
    admission.grown(transaction, call.kind, new, old)
    if call.kind.resource == "/services":
        service_addresses.settle(transaction, new, old)
    return finish(api, call, transaction, record, old, new)


def _preconditions(call: Call, record: Record, new: Object) -> None:
    kind, meta = call.kind, new["metadata"]
    if meta.get("resourceVersion") not in (None, "", "0", str(record.rv)):
        raise stale(kind.plural, kind.group, record.key.name)
    if meta.get("uid") not in (None, "", record.uid):
        why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {record.uid}"
        raise conflict(kind.plural, kind.group, record.key.name, why)


def _keep(new: Object, old: Object, key: str) -> None:
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)


def _with_status(old: Object, new: Object) -> Object:
    """A status write changes status only, and managedFields as the record of it."""
    result = copy.deepcopy(old)
    _keep(result, new, "status")
    _keep(result["metadata"], new["metadata"], "managedFields")
    return result


def finish(api: Api, call: Call, transaction: Transaction, record: Record, old: Object, new: Object) -> Record:
    """Store an altered object: system fields kept, generation counted, checks made, no-op detected, last finalizer honoured."""
    meta = new["metadata"]
    metadata.keep_system(meta, old["metadata"])
    if call.verb != "apply":
        managers.altered(call, old, new)
    if call.route.sub != "status":
        if has_generation(call.kind) and _spec_changed(call.kind, old, new):
            meta["generation"] = old["metadata"].get("generation", 0) + 1
        check(api, call, transaction, new, old)
        if call.kind.resource == admission.CLAIMS:
            api.quotas.require(transaction, call.kind, new, old)
    meta["resourceVersion"] = str(record.rv)
    if old == new:
        return record
    if meta.get("deletionTimestamp") and not meta.get("finalizers") and not _waits_for_node(call.kind, new):
        changed = transaction.put(record.key, as_stored(call.kind, new))
        return transaction.delete(changed)
    return transaction.put(record.key, as_stored(call.kind, new))


def _waits_for_node(kind: Kind, obj: Object) -> bool:
    """A pod with a grace period, or a namespace with contents, goes when its node or our collector says so."""
    if kind.resource == "/namespaces":
        return bool(part(obj, "spec").get("finalizers"))
    return kind.resource == "/pods" and bool(obj["metadata"].get("deletionGracePeriodSeconds"))


def _spec_changed(kind: Kind, old: Object, new: Object) -> bool:
    apart = {"metadata", "status"} if kind.has_status else {"metadata"}
    return {k: v for k, v in old.items() if k not in apart} != {k: v for k, v in new.items() if k not in apart}
