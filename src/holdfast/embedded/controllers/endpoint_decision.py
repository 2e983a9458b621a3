"""Which pods are behind a Service, as Endpoints and EndpointSlice say it. Pure.

A pod counts when the selector matches it, it has an address and is not over; it gets traffic once it is ready and until it is
deleted, or always when the Service says publishNotReadyAddresses. Pods are grouped by what the Service's ports mean to them,
since a named target port may be another number in each.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdfast.core.conditions import is_true
from holdfast.core.objects import Object, owner_reference
from holdfast.embedded.controllers import pods as podlib
from holdfast.embedded.read import items, mapping

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "holdfast-controllers"

Ports = tuple[tuple[str, str, int], ...]
"""Name, protocol and number of each port that a pod has of a Service."""


def selects(service: Object, pod: Object) -> bool:
    """Whether a Service's selector matches a pod; one without a selector matches none."""
    wanted = mapping(service, "spec", "selector")
    labels = mapping(pod, "metadata", "labels")
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def slices(service: Object, pods: Iterable[Object]) -> list[Object]:
    """Return the EndpointSlices of a Service: one for each meaning of its ports; one without ports when there are no pods."""
    meta = service["metadata"]
    groups: dict[Ports, list[Object]] = {}
    for pod in sorted(_behind(service, pods), key=lambda each: each["metadata"]["name"]):
        groups.setdefault(_ports(service, pod), []).append(pod)
    found: list[Object] = []
    for number, (ports, members) in enumerate(sorted(groups.items())):
        found.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": meta["name"] if not number else f"{meta['name']}-{number}",
                    "namespace": meta["namespace"],
                    "labels": {SERVICE_NAME: meta["name"], MANAGED_BY: MANAGER},
                    "ownerReferences": [owner_reference(service)],
                },
                "addressType": "IPv4",
                "endpoints": [_endpoint(service, pod) for pod in members],
                "ports": [{"name": name, "protocol": protocol, "port": port} for name, protocol, port in ports],
            }
        )
    return found


def endpoints(service: Object, pods: Iterable[Object]) -> Object:
    """Return the Endpoints of a Service: the same in the older form."""
    groups: dict[Ports, tuple[list[Object], list[Object]]] = {}
    for pod in sorted(_behind(service, pods), key=lambda each: each["metadata"]["name"]):
        good, bad = groups.setdefault(_ports(service, pod), ([], []))
        (good if _serves(service, pod) else bad).append(_address(service, pod))
    meta = service["metadata"]
    subsets: list[Object] = []
    for ports, (good, bad) in sorted(groups.items(), key=lambda each: each[0]):
        subset: Object = {"addresses": good} if good else {}
        subset |= {"notReadyAddresses": bad} if bad else {}
        subset |= {"ports": [{"name": name, "port": port, "protocol": protocol} for name, protocol, port in ports]}
        subsets.append(subset)
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], "labels": {MANAGED_BY: MANAGER}},
        "subsets": subsets,
    }


def _behind(service: Object, pods: Iterable[Object]) -> list[Object]:
    return [pod for pod in pods if selects(service, pod) and _ip(pod) and not podlib.finished(pod)]


def _serves(service: Object, pod: Object) -> bool:
    if mapping(service, "spec").get("publishNotReadyAddresses"):
        return True
    return not podlib.terminating(pod) and is_true(items(pod, "status", "conditions"), "Ready")


def _endpoint(service: Object, pod: Object) -> Object:
    serves, leaves = _serves(service, pod), podlib.terminating(pod)
    ready = is_true(items(pod, "status", "conditions"), "Ready")
    found: Object = {
        "addresses": [_ip(pod)],
        "conditions": {"ready": serves, "serving": ready, "terminating": leaves},
        "nodeName": mapping(pod, "spec").get("nodeName") or "",
        "targetRef": _reference(pod),
    }
    if host := _hostname(service, pod):
        found["hostname"] = host
    return found


def _address(service: Object, pod: Object) -> Object:
    found: Object = {"ip": _ip(pod), "nodeName": mapping(pod, "spec").get("nodeName") or "", "targetRef": _reference(pod)}
    if host := _hostname(service, pod):
        found["hostname"] = host
    return found


def _hostname(service: Object, pod: Object) -> str:
    """Return the name that a pod has below its Service's."""
    spec = mapping(pod, "spec")
    return str(spec.get("hostname") or "") if spec.get("subdomain") == service["metadata"]["name"] else ""


def _reference(pod: Object) -> Object:
    meta = pod["metadata"]
    return {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}


def _ip(pod: Object) -> str:
    return str(mapping(pod, "status").get("podIP") or "")


def _ports(service: Object, pod: Object) -> Ports:
    found: list[tuple[str, str, int]] = []
    for each in items(service, "spec", "ports"):
        number = _number(each, items(pod, "spec", "containers"))
        if number is not None:
            found.append((each.get("name") or "", each.get("protocol") or "TCP", number))
    return tuple(found)


def _number(port: Mapping[str, Any], containers: Sequence[Object]) -> int | None:
    """Return what a Service's target port is in a pod; None for a name that it does not have."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int) or str(target).isdecimal():
        return int(target)
    for container in containers:
        for each in items(container, "ports"):
            if each.get("name") == target and (each.get("protocol") or "TCP") == (port.get("protocol") or "TCP"):
                return int(each["containerPort"])
    return None
