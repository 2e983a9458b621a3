"""The addresses of Services and their ports on nodes: given at birth, kept for life, given back when a Service needs none.

Nodes make the addresses reachable (docs/embedded.md). The range is that of most clusters; it exists in the networks of pods
only. Ports on nodes are numbers that are kept apart, nothing listens there.
"""

import random
from ipaddress import IPv4Network
from typing import Final

from holdfast.embedded.apiserver.errors import StatusError, invalid
from holdfast.embedded.apiserver.objects import Object, part, parts
from holdfast.embedded.apiserver.store import Transaction

RANGE: Final = IPv4Network("10.96.0.0/16")
RESERVED: Final = 16
"""The first addresses of the range are left for what a cluster has by itself."""

NODE_PORTS: Final = range(30000, 32768)

_TRIES: Final = 64
_OUTSIDE: Final = ("NodePort", "LoadBalancer")
_OF_ADDRESSES: Final = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
_random = random.SystemRandom()


def settle(transaction: Transaction, new: Object, old: Object | None) -> None:
    """Fill in `clusterIP`, `clusterIPs` and the ports on nodes, in place. 422 for what may not be, 500 when none is free."""
    spec = part(new, "spec")
    _settle_ports(transaction, new, old)
    if spec.get("type") == "ExternalName":
        for key in _OF_ADDRESSES:
            spec.pop(key, None)
        return
    held = part(old or {}, "spec").get("clusterIP") or ""
    wanted = spec.get("clusterIP") or held or _free(transaction)
    if held and wanted != held:
        name = new["metadata"].get("name", "")
        raise invalid(
            "Service", "", name, [("spec.clusterIP", f'spec.clusterIP: Invalid value: "{wanted}": field is immutable')]
        )
    spec["clusterIP"], spec["clusterIPs"] = wanted, [wanted]
    new["spec"] = spec


def _free(transaction: Transaction) -> str:
    taken = {part(record.object(), "spec").get("clusterIP") for record in transaction.objects("/services")}
    for _ in range(_TRIES):
        address = str(RANGE[_random.randrange(RESERVED, RANGE.num_addresses - 1)])
        if address not in taken:
            return address
    raise StatusError(500, "InternalError", f"no address of {RANGE} is free for another Service: delete some")


def _settle_ports(transaction: Transaction, new: Object, old: Object | None) -> None:
    spec = part(new, "spec")
    ports = parts(spec, "ports")
    wants = spec.get("type") in _OUTSIDE and spec.get("allocateLoadBalancerNodePorts") is not False
    if not wants:
        if old is not None and part(old, "spec").get("type") in _OUTSIDE and spec.get("type") not in _OUTSIDE:
            for port in ports:
                port.pop("nodePort", None)
        return
    held = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in parts(old or {}, "spec", "ports")}
    missing: list[Object] = []
    for port in ports:
        given = port.get("nodePort") or held.get((port.get("protocol"), port.get("port")))
        if given:
            port["nodePort"] = given
        else:
            missing.append(port)
    if all(port.get("nodePort") in held.values() for port in ports):
        return
    taken = _taken_ports(transaction, new)
    for index, port in enumerate(ports):
        number = port.get("nodePort")
        at = f"spec.ports[{index}].nodePort"
        if number and number not in NODE_PORTS:
            raise _refusal(
                new,
                at,
                f"Invalid value: {number}: provided port is not in the valid range. The range of valid"
                f" ports is {NODE_PORTS.start}-{NODE_PORTS.stop - 1}",
            )
        if number in taken:
            raise _refusal(new, at, f"Invalid value: {number}: provided port is already allocated")
    taken |= {port["nodePort"] for port in ports if port.get("nodePort")}
    for port in missing:
        port["nodePort"] = _free_port(taken)
        taken.add(port["nodePort"])


def _refusal(service: Object, field: str, why: str) -> StatusError:
    return invalid("Service", "", service["metadata"].get("name", ""), [(field, f"{field}: {why}")])


def _taken_ports(transaction: Transaction, service: Object) -> set[int]:
    """The ports on nodes that other Services have."""
    uid = service["metadata"].get("uid")
    others = (record.object() for record in transaction.objects("/services") if record.uid != uid)
    return {port["nodePort"] for other in others for port in parts(other, "spec", "ports") if port.get("nodePort")}


def _free_port(taken: set[int]) -> int:
    for _ in range(_TRIES):
        number = _random.choice(NODE_PORTS)
        if number not in taken:
            return number
    raise StatusError(500, "InternalError", "no port on nodes is free for another Service: delete some")
