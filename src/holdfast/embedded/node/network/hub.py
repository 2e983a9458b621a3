"""The bridge that a node's pods are plugged into, its cable to the machine, and a namespace for each pod.

All of it lives in namespaces that only descriptors of this process hold. Making one pod's takes less than a millisecond.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Generator
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import msgspec

from holdfast.embedded.node.network import namespace, subnet
from holdfast.embedded.node.network.netlink import Netlink, Peer
from holdfast.embedded.node.network.subnet import Subnet

_SWITCHES = {
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    "bridge/bridge-nf-call-iptables": "0",
}
"""What differs from the kernel's defaults: Services are routed, and what goes from pod to pod passes no rules."""

_FAR_END = 2
"""The index of a pod's end of its cable in its own namespace, where 1 is the loopback."""


class Lease(msgspec.Struct, frozen=True):
    """A pod's place in the network: its address, and the descriptor of its namespace (-1: that of the machine)."""

    address: str
    namespace: int = -1


class Hub:
    """Made by `open_hub`. Not thread-safe: one event loop owns it."""

    def __init__(self, home: int, chosen: Subnet, netlink: Netlink, bridge: int) -> None:
        self.subnet = chosen
        self._home = home
        self._netlink = netlink
        self._bridge = bridge
        self._used: set[IPv4Address] = set()
        self._next = subnet.FIRST_POD
        self._cables = 0

    def join(self) -> Lease:
        """Make a namespace with an address and plug it in. Raises OSError, also when all addresses are in use."""
        address = self._address()
        with namespace.fresh() as made:
            inner = Netlink()
        try:
            self._cables += 1
            peer = Peer("eth0", made, _FAR_END)
            self._netlink.cable(f"pod{self._cables}", peer, master=self._bridge)
            inner.up(1)
            inner.up(_FAR_END)
            inner.address(_FAR_END, IPv4Interface((address, self.subnet.network.prefixlen)))
            inner.gateway(self.subnet.gateway)
        except BaseException:
            os.close(made)
            raise
        finally:
            inner.close()
        self._used.add(address)
        return Lease(str(address), made)

    def leave(self, lease: Lease) -> None:
        """Give a lease back. The namespace goes once the last process in it has gone."""
        if lease.namespace >= 0:
            os.close(lease.namespace)
            self._used.discard(IPv4Address(lease.address))

    def listen(self, port: int, kind: socket.SocketKind, address: str = "0.0.0.0") -> socket.socket:
        """Return a non-blocking socket that pods, and the machine, reach at the gateway's address; 0 chooses a port."""
        with namespace.inside(self._home):
            found = socket.socket(socket.AF_INET, kind)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((address, port))
            found.setblocking(False)
            if kind is socket.SOCK_STREAM:
                found.listen(256)
        except BaseException:
            found.close()
            raise
        return found

    def load(self, rules: str) -> None:
        """Put a ruleset in force, all at once. Raises OSError with what nft says of it."""
        with namespace.inside(self._home):
            said = subprocess.run(["/usr/sbin/nft", "-f", "-"], input=rules, text=True, capture_output=True, check=False)
        if said.returncode:
            raise OSError(f"nft refuses the rules: {said.stderr.strip()}")

    def close(self) -> None:
        """Let go of the bridge; the kernel removes it with everything that is plugged in."""
        self._netlink.close()
        os.close(self._home)

    def _address(self) -> IPv4Address:
        """Return the address that was not used for the longest time."""
        pods = self.subnet.pods
        count = pods.num_addresses - 1 - subnet.FIRST_POD
        for step in range(count):
            offset = subnet.FIRST_POD + (self._next - subnet.FIRST_POD + step) % count
            if pods[offset] not in self._used:
                self._next = offset + 1
                return pods[offset]
        raise OSError(f"all {count} addresses of {pods} are in use by pods")


def open_hub(key: str) -> Hub:
    """Make the bridge. `key` (hexadecimal digits) tells apart two nodes of one machine. Raises OSError with why not."""
    if os.geteuid() != 0:
        raise OSError("pods share the network of the machine: only a node that runs as root can give them their own")
    if not shutil.which("nft", path="/usr/sbin"):
        raise OSError("pods share the network of the machine: nft (package nftables) is not installed")
    with _alone(), contextlib.ExitStack() as undo:
        machine = Netlink()
        undo.callback(machine.close)
        chosen = subnet.choose(key, machine.routed())
        outside = namespace.here()
        undo.callback(os.close, outside)
        with contextlib.ExitStack() as failed:
            with namespace.fresh() as home:
                failed.callback(os.close, home)
                netlink = Netlink()
                failed.callback(netlink.close)
                for name, value in _SWITCHES.items():
                    _set(name, value)
            netlink.up(1)
            bridge = netlink.bridge("pods")
            netlink.address(bridge, IPv4Interface((chosen.gateway, chosen.network.prefixlen)))
            netlink.answer_for(chosen.services, 1)
            name = f"hf{key[:6]}{secrets.token_hex(2)}"
            netlink.cable("machine", Peer(name, outside), master=bridge)
            index = machine.index(name)
            machine.up(index)
            machine.address(index, IPv4Interface((chosen.machine, chosen.network.prefixlen)))
            failed.pop_all()
    return Hub(home, chosen, netlink, bridge)


@contextlib.contextmanager
def _alone() -> Generator[None]:
    """Keep other nodes of this machine from choosing a network at the same time."""
    path = Path("/run/holdfast-network.lock")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _set(name: str, value: str) -> None:
    """Set a switch of the namespace that this thread is in; the machine's own stay as they are."""
    with contextlib.suppress(FileNotFoundError):  # a kernel without bridge filtering has no switch for it
        Path(f"/proc/sys/net/{name}").write_text(value)
