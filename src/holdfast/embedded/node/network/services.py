"""Services as a node sees them: which address stands for each, what is behind it, and what its names mean. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address
from typing import Any

import msgspec

from holdfast.core.objects import Object
from holdfast.embedded.node.network.rules import Forward
from holdfast.embedded.node.network.subnet import FIRST_SERVICE, Subnet
from holdfast.embedded.read import items, mapping

OWNER = "kubernetes.io/service-name"
"""The label by which an EndpointSlice names its Service."""

DOMAIN = "cluster.local"
LOOPBACK_NAME = "host.holdfast.internal"
"""What pods call the machine's own 127.0.0.1."""

Key = tuple[str, str]


class Names(msgspec.Struct, frozen=True):
    """The answer to a question for a name: addresses, or another name (`alias`), or that it exists and has neither."""

    addresses: tuple[IPv4Address, ...] = ()
    alias: str = ""


class Services:
    """All Services with their endpoints at one moment."""

    def __init__(self, subnet: Subnet) -> None:
        self._subnet = subnet
        self._stands_for: dict[Key, IPv4Address] = {}
        self._services: dict[Key, Object] = {}
        self._slices: dict[Key, list[Object]] = {}

    def update(self, services: Iterable[Object], slices: Iterable[Object]) -> None:
        """Take in the present state. A Service keeps its address here for as long as it exists."""
        self._services = {_key(each): each for each in services}
        self._slices = {}
        for each in slices:
            meta = each["metadata"]
            self._slices.setdefault((meta["namespace"], mapping(meta, "labels").get(OWNER, "")), []).append(each)
        self._stands_for = {key: address for key, address in self._stands_for.items() if key in self._services}
        used, free = set(self._stands_for.values()), iter(self._subnet.services)
        candidates = (each for number, each in enumerate(free) if number >= FIRST_SERVICE and each not in used)
        for key in sorted(self._services.keys() - self._stands_for.keys()):
            if (address := next(candidates, None)) is not None:
                self._stands_for[key] = address

    def addresses(self) -> list[IPv4Address]:
        """Return every address that stands for a Service."""
        official = (_cluster_address(each) for each in self._services.values())
        return [*self._stands_for.values(), *(each for each in official if each is not None)]

    def forwards(self) -> list[Forward]:
        """Return what the rules must know, for both addresses of each Service that has one."""
        found: list[Forward] = []
        for key, service in self._services.items():
            official = _cluster_address(service)
            if official is None:
                continue
            for port in items(service, "spec", "ports"):
                protocol = str(port.get("protocol") or "TCP").lower()
                if protocol not in ("tcp", "udp"):
                    continue
                behind = tuple(sorted(set(self._behind(key, port))))
                for address in (official, self._stands_for.get(key)):
                    if address is not None:
                        found.append(Forward(address, protocol, int(port["port"]), behind))
        return found

    def resolve(self, name: str, *, machine: bool = False) -> Names | None:
        """Return what a full name means; None when it does not exist.

        Pods are told a Service's own address. The machine has no way to that and is told the one on this node.
        """
        if name == LOOPBACK_NAME:
            return Names((self._subnet.loopback,))
        match name.removesuffix(f".{DOMAIN}").split("."):
            case ["kubernetes", "default", "svc"]:
                return Names((self._subnet.api,))
            case [service, namespace, "svc"]:
                return self._service((namespace, service), machine=machine)
            case [host, service, namespace, "svc"]:
                found = self._endpoints((namespace, service), host)
                return Names(tuple(found)) if found else None
            case [dashed, _, "pod"]:
                address = _address(dashed.replace("-", "."))
                return Names((address,)) if address else None
            case _:
                return None

    def _service(self, key: Key, *, machine: bool) -> Names | None:
        service = self._services.get(key)
        if service is None:
            return None
        if mapping(service, "spec").get("type") == "ExternalName":
            return Names(alias=str(service["spec"].get("externalName") or ""))
        official = _cluster_address(service)
        if official is None:
            return Names(tuple(self._endpoints(key)))
        return Names((self._stands_for.get(key, official) if machine else official,))

    def _endpoints(self, key: Key, hostname: str = "") -> list[IPv4Address]:
        found: list[IPv4Address] = []
        for endpoint in (each for part in self._slices.get(key, ()) for each in _ready(part)):
            if not hostname or endpoint.get("hostname") == hostname:
                found += [address for text in items(endpoint, "addresses") if (address := _address(text))]
        return list(dict.fromkeys(found))

    def _behind(self, key: Key, port: Mapping[str, Any]) -> Iterable[tuple[IPv4Address, int]]:
        """Yield the ready endpoints of one port of a Service."""
        for part in self._slices.get(key, ()):
            for each in items(part, "ports"):
                if (each.get("name") or "") != (port.get("name") or "") or each.get("port") is None:
                    continue
                for endpoint in _ready(part):
                    for text in items(endpoint, "addresses"):
                        if (address := _address(text)) is not None:
                            yield address, int(each["port"])


def _key(each: Object) -> Key:
    return each["metadata"]["namespace"], each["metadata"]["name"]


def _ready(part: Object) -> Sequence[Object]:
    return [each for each in items(part, "endpoints") if mapping(each, "conditions").get("ready") is not False]


def _cluster_address(service: Object) -> IPv4Address | None:
    """Return a Service's own address; None for a headless one."""
    return _address(str(mapping(service, "spec").get("clusterIP") or ""))


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None
