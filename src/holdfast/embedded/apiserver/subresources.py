"""Subresources that are more than a part of their object: binding, scale, tokens."""

from typing import Any, cast

import msgspec

from holdfast.embedded.apiserver.ages import now, stamp
from holdfast.embedded.apiserver.api import Answer, Api, Call
from holdfast.embedded.apiserver.errors import (
    bad_request,
    conflict,
    method_not_allowed,
    not_found,
)
from holdfast.embedded.apiserver.jsonpath import compile_path
from holdfast.embedded.apiserver.objects import Object, part, parts, texts
from holdfast.embedded.apiserver.patches import json_patch, merge
from holdfast.embedded.apiserver.request import JSON_PATCH, MERGE, STRATEGIC
from holdfast.embedded.apiserver.store import Key, Record, Transaction
from holdfast.embedded.apiserver.wire import parse_body, parse_object
from holdfast.embedded.apiserver.writes import as_served, as_stored, finish

SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
"""The answer to a binding or an eviction."""


async def bind(api: Api, call: Call) -> Answer:
    """POST pods/x/binding: the scheduler's decision; 409 when the pod has a node already."""
    body = parse_object(call.body, allow_yaml="yaml" in call.media)
    node = part(body, "target").get("name")
    if not node:
        raise bad_request("target.name must name a node")

    def run(transaction: Transaction) -> None:
        record = transaction.get(call.key)
        if record is None:
            raise call.missing()
        pod = record.object()
        taken = pod["spec"].get("nodeName")
        if taken or pod["metadata"].get("deletionTimestamp"):
            why = f"pod {record.key.name} is already assigned to node {taken!r}" if taken else "the pod is being deleted"
            raise conflict("pods/binding", "", record.key.name, why)
        pod["spec"]["nodeName"] = node
        status = pod.setdefault("status", {})
        others = [item for item in parts(status, "conditions") if item.get("type") != "PodScheduled"]
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": stamp(now())}
        status["conditions"] = [*others, scheduled]
        transaction.put(record.key, pod)

    await api.store.write(run, dry_run=call.query.dry_run)
    return Answer(SUCCESS, 201)


def _first(path: str, obj: Object) -> Any:
    return next(iter(compile_path(path)(obj)), None) if path else None


def _scale_of(call: Call, record: Record, obj: Object) -> Object:
    paths = call.kind.scale or {}
    meta = obj["metadata"]
    kept = {key: meta[key] for key in ("name", "namespace", "uid", "creationTimestamp") if key in meta}
    status: Object = {"replicas": _first(paths.get("statusReplicasPath", ""), obj) or 0}
    selector = _first(paths.get("labelSelectorPath", ""), obj)
    labels = {} if call.kind.custom else part(obj, "spec", "selector", "matchLabels")
    if selector or labels:
        status["selector"] = selector or ",".join(f"{key}={value}" for key, value in labels.items())
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {**kept, "resourceVersion": str(record.rv)},
        "spec": {"replicas": _first(paths.get("specReplicasPath", ""), obj) or 0},
        "status": status,
    }


def _patched(call: Call, scale: Object) -> Object:
    body = parse_body(call.body)
    match call.media if call.verb == "patch" else "":
        case "":
            return cast(Object, body)
        case value if value in (MERGE, STRATEGIC):
            return merge(scale, body)
        case value if value == JSON_PATCH:
            return json_patch(scale, body)
        case other:
            raise bad_request(f"a scale cannot be patched with {other}")


async def scale(api: Api, call: Call) -> Answer:
    """GET, PUT and PATCH of a workload's scale."""
    if call.verb == "get":
        record = api.store.get(call.key)
        if record is None:
            raise call.missing()
        return Answer(_scale_of(call, record, as_served(call.kind, record)))
    steps = str((call.kind.scale or {})["specReplicasPath"]).strip(".").split(".")

    def run(transaction: Transaction) -> Object:
        record = transaction.get(call.key)
        if record is None:
            raise call.missing()
        obj = as_served(call.kind, record)
        wanted = _patched(call, _scale_of(call, record, obj))
        replicas: Any = part(wanted, "spec").get("replicas", 0)
        if not isinstance(replicas, int) or replicas < 0:
            raise bad_request("spec.replicas must be a whole number of at least 0")
        sent = part(wanted, "metadata").get("resourceVersion")
        if sent and sent != str(record.rv):
            raise conflict(call.kind.plural, call.kind.group, record.key.name, "the object has been modified")
        new = as_served(call.kind, record)
        parent = new
        for step in steps[:-1]:
            parent = parent.setdefault(step, {})
        parent[steps[-1]] = replicas
        main = msgspec.structs.replace(call, route=call.route._replace(sub=""))
        stored = finish(api, main, transaction, record, obj, new)
        return _scale_of(call, stored, stored.object())

    return Answer(await api.store.write(run, dry_run=call.query.dry_run))


async def token(api: Api, call: Call) -> Answer:
    """POST serviceaccounts/x/token: a TokenRequest."""
    body = parse_object(call.body)
    record = api.store.get(call.key)
    if record is None:
        raise call.missing()
    spec: Object = part(body, "spec")
    seconds = int(spec.get("expirationSeconds") or 3600)
    if not 600 <= seconds <= 1 << 32:
        raise bad_request("spec.expirationSeconds: Invalid value: may not specify a duration less than 10 minutes")
    pod = _bound_pod(api, call, part(spec, "boundObjectRef"))
    text, expiry = api.auth.account_token(record.object(), list(texts(spec, "audiences")), seconds, pod)
    status = {"token": text, "expirationTimestamp": stamp(now().fromtimestamp(expiry, now().tzinfo))}
    base = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
    meta = {"name": call.route.name, "namespace": call.route.ns, "creationTimestamp": stamp(now())}
    return Answer({**base, "metadata": meta, "spec": {**spec, "expirationSeconds": seconds}, "status": status}, 201)


def _bound_pod(api: Api, call: Call, ref: Object) -> Object | None:
    if not ref:
        return None
    if ref.get("kind") != "Pod":
        raise bad_request("spec.boundObjectRef.kind: this server binds tokens to Pods only")
    pod = api.store.get(Key("/pods", call.route.ns, str(ref.get("name", ""))))
    if pod is None or (ref.get("uid") and ref["uid"] != pod.uid):
        raise not_found("pods", "", str(ref.get("name", "")))
    return pod.object()


async def finalize(api: Api, call: Call) -> Answer:
    """PUT namespaces/x/finalize: replaces spec.finalizers; the last one lets a terminating namespace go."""
    if call.verb != "update":
        raise method_not_allowed()
    body = parse_object(call.body)

    def run(transaction: Transaction) -> Record:
        record = transaction.get(call.key)
        if record is None:
            raise call.missing()
        obj = record.object()
        obj["spec"] = {**part(obj, "spec"), "finalizers": texts(body, "spec", "finalizers")}
        stored = transaction.put(record.key, as_stored(call.kind, obj))
        held = obj["spec"]["finalizers"] or obj["metadata"].get("finalizers")
        if obj["metadata"].get("deletionTimestamp") and not held and not transaction.contents(record.key.name):
            return transaction.delete(stored)
        return stored

    return Answer(await api.store.write(run, dry_run=call.query.dry_run))
