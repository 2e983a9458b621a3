"""A few messages of rtnetlink, the kernel's interface for links, addresses and routes (rtnetlink(7)).

A socket belongs to the network namespace of the thread that made it, so whoever holds one can configure that namespace from
anywhere. Every request is answered; a refusal is raised as OSError with the kernel's number.
"""

import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Final

import msgspec

_REQUEST, _ACK, _DUMP, _EXCL, _CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
_NEW = _REQUEST | _ACK | _EXCL | _CREATE
_ERROR, _DONE = 2, 3
_NEWLINK, _GETLINK, _NEWADDR, _NEWROUTE, _GETROUTE = 16, 18, 20, 24, 26
_UP: Final = 0x1

_HEADER: Final = struct.Struct("=IHHII")
_LINK: Final = struct.Struct("=BxHiII")
_ADDRESS: Final = struct.Struct("=BBBBI")
_ROUTE: Final = struct.Struct("=8BI")

_IFLA_NAME, _IFLA_MASTER, _IFLA_INFO, _IFLA_NET_NS_FD = 3, 10, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_MAIN, _LOCAL_TABLE = 254, 255
_STATIC: Final = 4
_SCOPE_HOST: Final = 254
_UNICAST, _LOCAL = 1, 2


class Peer(msgspec.Struct, frozen=True):
    """The far end of a cable: its name, the descriptor of the namespace it lies in, and its index there (0: any)."""

    name: str
    namespace: int
    index: int = 0


class Netlink:
    """One socket; the namespace is that of the thread which makes it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def bridge(self, name: str) -> int:
        """Make a bridge, up; return its index."""
        info = _attribute(_INFO_KIND, b"bridge")
        self._ask(_NEWLINK, _NEW, _link(flags=_UP) + _text(_IFLA_NAME, name) + _attribute(_IFLA_INFO, info))
        return self.index(name)

    def cable(self, name: str, peer: Peer, *, master: int) -> None:
        """Make a virtual cable: our end plugged into a bridge and up, the far end in its own namespace."""
        far = _link(index=peer.index) + _text(_IFLA_NAME, peer.name)
        far += _number(_IFLA_NET_NS_FD, peer.namespace)
        info = _attribute(_INFO_KIND, b"veth") + _attribute(_INFO_DATA, _attribute(_VETH_PEER, far))
        body = _link(flags=_UP) + _text(_IFLA_NAME, name) + _number(_IFLA_MASTER, master)
        self._ask(_NEWLINK, _NEW, body + _attribute(_IFLA_INFO, info))

    def index(self, name: str) -> int:
        """Return the index of a link."""
        for kind, body in self._ask(_GETLINK, _REQUEST | _ACK, _link() + _text(_IFLA_NAME, name)):
            if kind == _NEWLINK:
                return int(_LINK.unpack_from(body)[2])
        raise OSError(f"the kernel does not say which link {name} is")

    def up(self, index: int) -> None:
        """Switch a link on."""
        self._ask(_NEWLINK, _REQUEST | _ACK, _link(index=index, flags=_UP))

    def address(self, index: int, address: IPv4Interface) -> None:
        """Give a link an address; its network is reached through the link from then on."""
        packed = address.ip.packed
        body = _ADDRESS.pack(socket.AF_INET, address.network.prefixlen, 0, 0, index)
        self._ask(_NEWADDR, _NEW, body + _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed))

    def gateway(self, gateway: IPv4Address) -> None:
        """Send everything that has no other way to a neighbour."""
        body = _ROUTE.pack(socket.AF_INET, 0, 0, 0, _MAIN, _STATIC, 0, _UNICAST, 0)
        self._ask(_NEWROUTE, _NEW, body + _attribute(_RTA_GATEWAY, gateway.packed))

    def answer_for(self, network: IPv4Network, loopback: int) -> None:
        """Let this namespace take every address of a network for its own."""
        body = _ROUTE.pack(socket.AF_INET, network.prefixlen, 0, 0, _LOCAL_TABLE, _STATIC, _SCOPE_HOST, _LOCAL, 0)
        body += _attribute(_RTA_DST, network.network_address.packed) + _number(_RTA_OIF, loopback)
        self._ask(_NEWROUTE, _NEW, body)

    def routed(self) -> list[IPv4Network]:
        """Return the networks to which there is a way, without the default one."""
        found: list[IPv4Network] = []
        for kind, body in self._ask(_GETROUTE, _REQUEST | _DUMP, _ROUTE.pack(socket.AF_INET, *[0] * 8)):
            if kind != _NEWROUTE or not body[1]:
                continue
            packed = dict(_attributes(body[_ROUTE.size :])).get(_RTA_DST)
            if packed is not None:
                found.append(IPv4Network((packed, body[1])))
        return found

    def _ask(self, kind: int, flags: int, body: bytes) -> list[tuple[int, bytes]]:
        """Send one request and gather the answers to it. Raises OSError for a refusal."""
        self._sequence += 1
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)
        found: list[tuple[int, bytes]] = []
        while True:
            for answered, sequence, content in _messages(self._socket.recv(1 << 16)):
                if sequence != self._sequence:
                    continue
                if answered == _ERROR:
                    code = -struct.unpack_from("=i", content)[0]
                    if code:
                        raise OSError(code, f"netlink request {kind}: {os.strerror(code)}")
                    return found
                if answered == _DONE:
                    return found
                found.append((answered, content))


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, _, sequence, _ = _HEADER.unpack_from(data)
        yield kind, sequence, data[_HEADER.size : length]
        data = data[_aligned(length) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind, data[4:length]
        data = data[_aligned(max(length, 4)) :]


def _link(index: int = 0, flags: int = 0) -> bytes:
    return _LINK.pack(socket.AF_UNSPEC, 0, index, flags, flags)


def _attribute(kind: int, data: bytes) -> bytes:
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + b"\0" * (_aligned(length) - length)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _number(kind: int, number: int) -> bytes:
    return _attribute(kind, struct.pack("=I", number))


def _aligned(length: int) -> int:
    return length + 3 & ~3
