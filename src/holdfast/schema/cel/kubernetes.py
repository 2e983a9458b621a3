"""What Kubernetes adds to the language: lists, sets, quantities, URLs, addresses, named formats, versions.

Source: the documentation of Kubernetes, "Common Expression Language in Kubernetes", up to 1.33.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
import urllib.parse
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from holdfast.schema.cel import standard, strings
from holdfast.schema.cel.errors import EvaluationError
from holdfast.schema.cel.table import Table
from holdfast.schema.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    A,
    Type,
    list_of,
    map_of,
    optional_of,
)
from holdfast.schema.cel.values import NONE, Optional, UInt, equal, int64
from holdfast.schema.formats import format_check
from holdfast.schema.quantity import parse as parse_quantity

_QUANTITY_TYPE: Final = Type("quantity")
_URL_TYPE: Final = Type("url")
_IP_TYPE: Final = Type("ip")
_CIDR_TYPE: Final = Type("cidr")
_FORMAT_TYPE: Final = Type("format")
_SEMVER_TYPE: Final = Type("semver")
_ORDERED: Final = (INT, UINT, DOUBLE, BOOL, STRING, BYTES, TIMESTAMP, DURATION)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class _Quantity(msgspec.Struct, frozen=True, order=True):
    value: Decimal

    @property
    def kind(self) -> str:
        return "quantity"


class _Url(msgspec.Struct, frozen=True):
    parts: tuple[str, str, str, str, str]

    @property
    def kind(self) -> str:
        return "url"


class _Ip(msgspec.Struct, frozen=True):
    address: Address

    @property
    def kind(self) -> str:
        return "ip"


class _Cidr(msgspec.Struct, frozen=True):
    network: Network

    @property
    def kind(self) -> str:
        return "cidr"


class _Format(msgspec.Struct, frozen=True):
    name: str

    @property
    def kind(self) -> str:
        return "format"


class _Semver(msgspec.Struct, frozen=True, order=True):
    numbers: tuple[int, int, int]
    release: bool
    labels: tuple[tuple[bool, int, str], ...]

    @property
    def kind(self) -> str:
        return "semver"


def build() -> Table:
    """The whole environment: the language, its extensions and those of Kubernetes."""
    table = Table()
    standard.install(table)
    strings.install(table)
    _lists(table)
    _sets(table)
    _quantities(table)
    _urls(table)
    _addresses(table)
    _formats(table)
    _versions(table)
    return table


def _sorted(items: list[Any]) -> bool:
    return all(a <= b for a, b in itertools.pairwise(items))


def _extreme(pick: Callable[[list[Any]], Any], name: str) -> Callable[[list[Any]], Any]:
    def run(items: list[Any]) -> Any:
        if not items:
            raise EvaluationError(f"{name} of an empty list")
        return pick(items)

    return run


def _index(items: list[Any], wanted: Any) -> int:
    return next((at for at, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index(items: list[Any], wanted: Any) -> int:
    return next((at for at in range(len(items) - 1, -1, -1) if equal(items[at], wanted)), -1)


def _lists(table: Table) -> None:
    sums: tuple[tuple[Type, Callable[[list[Any]], Any]], ...] = (
        (INT, lambda items: int64(sum(items))),
        (UINT, lambda items: UInt(sum(items))),
        (DOUBLE, lambda items: float(sum(items))),
    )
    for kind, total in sums:
        table.add("sum", (list_of(kind),), kind, total, method=True)
    for kind in _ORDERED:
        table.add("isSorted", (list_of(kind),), BOOL, _sorted, method=True)
        table.add("min", (list_of(kind),), kind, _extreme(min, "min"), method=True)
        table.add("max", (list_of(kind),), kind, _extreme(max, "max"), method=True)
    table.add("indexOf", (list_of(A), A), INT, _index, method=True)
    table.add("lastIndexOf", (list_of(A), A), INT, _last_index, method=True)
    table.add("first", (list_of(A),), optional_of(A), lambda items: Optional(True, items[0]) if items else NONE, method=True)
    table.add("last", (list_of(A),), optional_of(A), lambda items: Optional(True, items[-1]) if items else NONE, method=True)


def _subset(held: list[Any], wanted: list[Any]) -> bool:
    return all(any(equal(item, other) for other in held) for item in wanted)


def _sets(table: Table) -> None:
    pair = (list_of(A), list_of(A))
    table.add("sets.contains", pair, BOOL, _subset)
    table.add("sets.equivalent", pair, BOOL, lambda a, b: _subset(a, b) and _subset(b, a))
    table.add("sets.intersects", pair, BOOL, lambda a, b: any(_subset(a, [item]) for item in b))


def _quantity(text: str) -> _Quantity:
    try:
        return _Quantity(parse_quantity(text))
    except ValueError as problem:
        raise EvaluationError(str(problem)) from None


def _accepts(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def run(text: str) -> bool:
        try:
            parse(text)
        except (EvaluationError, InvalidOperation):
            return False
        return True

    return run


def _whole(value: _Quantity) -> int:
    if value.value != value.value.to_integral_value():
        raise EvaluationError("the quantity is no integer")
    return int64(int(value.value))


def _sign(value: _Quantity) -> int:
    return (value.value > 0) - (value.value < 0)


def _compare(a: Any, b: Any) -> int:
    return (a > b) - (a < b)


def _quantities(table: Table) -> None:
    kind = _QUANTITY_TYPE
    table.add("quantity", (STRING,), kind, _quantity)
    table.add("isQuantity", (STRING,), BOOL, _accepts(_quantity))
    table.add("sign", (kind,), INT, _sign, method=True)
    table.add("isInteger", (kind,), BOOL, lambda value: value.value == value.value.to_integral_value(), method=True)
    table.add("asInteger", (kind,), INT, _whole, method=True)
    table.add("asApproximateFloat", (kind,), DOUBLE, lambda value: float(value.value), method=True)
    table.add("isGreaterThan", (kind, kind), BOOL, lambda a, b: a > b, method=True)
    table.add("isLessThan", (kind, kind), BOOL, lambda a, b: a < b, method=True)
    table.add("compareTo", (kind, kind), INT, _compare, method=True)
    table.add("add", (kind, kind), kind, lambda a, b: _Quantity(a.value + b.value), method=True)
    table.add("add", (kind, INT), kind, lambda a, b: _Quantity(a.value + b), method=True)
    table.add("sub", (kind, kind), kind, lambda a, b: _Quantity(a.value - b.value), method=True)
    table.add("sub", (kind, INT), kind, lambda a, b: _Quantity(a.value - b), method=True)


def _url(text: str) -> _Url:
    parts = urllib.parse.urlsplit(text)
    if not (parts.scheme and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.\-]*", parts.scheme)) and not text.startswith("/"):
        raise EvaluationError(f"{text!r} is no URL")
    try:
        _ = parts.port
    except ValueError as error:
        raise EvaluationError(f"{text!r} is no URL: {error}") from error
    return _Url((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, parts.fragment))


def _hostname(url: _Url) -> str:
    return re.sub(r":\d*$", "", url.parts[1]).strip("[]")


def _port(url: _Url) -> str:
    match = re.search(r":(\d+)$", url.parts[1])
    return match.group(1) if match else ""


def _query(url: _Url) -> dict[str, list[str]]:
    return urllib.parse.parse_qs(url.parts[3], keep_blank_values=True)


def _urls(table: Table) -> None:
    kind = _URL_TYPE
    table.add("url", (STRING,), kind, _url)
    table.add("isURL", (STRING,), BOOL, _accepts(_url))
    table.add("getScheme", (kind,), STRING, lambda url: url.parts[0], method=True)
    table.add("getHost", (kind,), STRING, lambda url: url.parts[1], method=True)
    table.add("getHostname", (kind,), STRING, _hostname, method=True)
    table.add("getPort", (kind,), STRING, _port, method=True)
    table.add("getEscapedPath", (kind,), STRING, lambda url: url.parts[2], method=True)
    table.add("getQuery", (kind,), map_of(STRING, list_of(STRING)), _query, method=True)


def _ip(text: str) -> _Ip:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise EvaluationError(f"{text!r} is no IP address") from error
    if "%" in text or (address.version == 6 and address.ipv4_mapped is not None):
        raise EvaluationError(f"{text!r} is no IP address: zones and mapped IPv4 addresses are not accepted")
    return _Ip(address)


def _cidr(text: str) -> _Cidr:
    if "/" not in text:
        raise EvaluationError(f"{text!r} is no CIDR such as 10.0.0.0/8")
    try:
        return _Cidr(ipaddress.ip_network(text, strict=False))
    except ValueError as error:
        raise EvaluationError(f"{text!r} is no CIDR: {error}") from error


def _holds(net: _Cidr, address: _Ip) -> bool:
    return address.address.version == net.network.version and address.address in net.network


def _holds_net(net: _Cidr, other: _Cidr) -> bool:
    a, b = net.network, other.network
    return (
        a.version == b.version
        and int(a.network_address) <= int(b.network_address)
        and (int(b.broadcast_address) <= int(a.broadcast_address))
    )


def _addresses(table: Table) -> None:
    ip, cidr = _IP_TYPE, _CIDR_TYPE
    table.add("ip", (STRING,), ip, _ip)
    table.add("isIP", (STRING,), BOOL, _accepts(_ip))
    table.add("ip.isCanonical", (STRING,), BOOL, lambda text: str(_ip(text).address) == text)
    table.add("family", (ip,), INT, lambda value: value.address.version, method=True)
    table.add("isUnspecified", (ip,), BOOL, lambda value: value.address.is_unspecified, method=True)
    table.add("isLoopback", (ip,), BOOL, lambda value: value.address.is_loopback, method=True)
    table.add("isLinkLocalMulticast", (ip,), BOOL, _link_local_multicast, method=True)
    table.add("isLinkLocalUnicast", (ip,), BOOL, lambda value: value.address.is_link_local, method=True)
    table.add("isGlobalUnicast", (ip,), BOOL, _global_unicast, method=True)
    table.add("string", (ip,), STRING, lambda value: str(value.address))
    table.add("cidr", (STRING,), cidr, _cidr)
    table.add("isCIDR", (STRING,), BOOL, _accepts(_cidr))
    table.add("containsIP", (cidr, ip), BOOL, _holds, method=True)
    table.add("containsIP", (cidr, STRING), BOOL, lambda net, text: _holds(net, _ip(text)), method=True)
    table.add("containsCIDR", (cidr, cidr), BOOL, _holds_net, method=True)
    table.add("containsCIDR", (cidr, STRING), BOOL, lambda net, text: _holds_net(net, _cidr(text)), method=True)
    table.add("ip", (cidr,), ip, lambda net: _Ip(net.network.network_address), method=True)
    table.add("masked", (cidr,), cidr, lambda net: net, method=True)
    table.add("prefixLength", (cidr,), INT, lambda net: net.network.prefixlen, method=True)
    table.add("string", (cidr,), STRING, lambda net: str(net.network))


def _link_local_multicast(value: _Ip) -> bool:
    wanted = "224.0.0.0/24" if value.address.version == 4 else "ff02::/16"
    return value.address in ipaddress.ip_network(wanted)


def _global_unicast(value: _Ip) -> bool:
    address = value.address
    special = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not special and str(address) != "255.255.255.255"


_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED: Final = rf"({_LABEL}(\.{_LABEL})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?"
_NAMED: Final[dict[str, tuple[str, int]]] = {
    "dns1123Label": (_LABEL, 63),
    "dns1123Subdomain": (rf"{_LABEL}(\.{_LABEL})*", 253),
    "dns1035Label": (r"[a-z]([-a-z0-9]*[a-z0-9])?", 63),
    "qualifiedName": (_QUALIFIED, 317),
    "dns1123LabelPrefix": (rf"{_LABEL}-?", 63),
    "dns1123SubdomainPrefix": (rf"{_LABEL}(\.{_LABEL})*-?", 253),
    "dns1035LabelPrefix": (r"[a-z]([-a-z0-9]*[a-z0-9])?-?", 63),
    "labelValue": (r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", 63),
}
_CHECKED: Final = ("uri", "uuid", "byte", "date", "datetime")


def _complaints(kind: _Format, text: str) -> Optional:
    """The faults of a text as an optional list: none when there is nothing wrong."""
    if kind.name in _NAMED:
        pattern, limit = _NAMED[kind.name]
        good = len(text) <= limit and re.fullmatch(pattern, text) is not None
    else:
        accepts = format_check(kind.name)
        good = accepts is None or accepts(text)
    return NONE if good else Optional(True, [f"it is not of the format {kind.name}"])


def _named(name: str) -> Optional:
    return Optional(True, _Format(name)) if name in _NAMED or name in _CHECKED else NONE


def _formats(table: Table) -> None:
    for name in (*_NAMED, *_CHECKED):
        table.add(f"format.{name}", (), _FORMAT_TYPE, lambda name=name: _Format(name))
    table.add("format.named", (STRING,), optional_of(_FORMAT_TYPE), _named)
    table.add("validate", (_FORMAT_TYPE, STRING), optional_of(list_of(STRING)), _complaints, method=True)


_SEMVER: Final = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)


def _semver(text: str) -> _Semver:
    match = _SEMVER.fullmatch(text)
    if match is None:
        raise EvaluationError(f"{text!r} is no semantic version")
    major, minor, patch, labels = match.groups()
    parts = labels.split(".") if labels else []
    marks = tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts)
    return _Semver((int(major), int(minor), int(patch)), not parts, marks)


def _versions(table: Table) -> None:
    kind = _SEMVER_TYPE
    table.add("semver", (STRING,), kind, _semver)
    table.add("isSemver", (STRING,), BOOL, _accepts(_semver))
    for at, name in enumerate(("major", "minor", "patch")):
        table.add(name, (kind,), INT, lambda value, at=at: value.numbers[at], method=True)
    table.add("isGreaterThan", (kind, kind), BOOL, lambda a, b: a > b, method=True)
    table.add("isLessThan", (kind, kind), BOOL, lambda a, b: a < b, method=True)
    table.add("compareTo", (kind, kind), INT, _compare, method=True)
