"""Which addresses a node uses: a /20 that the machine has no way to yet, half for pods and half for Services."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Final

import msgspec

POOL: Final = IPv4Network("10.64.0.0/10")
"""Where nodes take their networks from: 1,024 blocks in the middle of a private range."""

SIZE: Final = 20


class Subnet(msgspec.Struct, frozen=True):
    """The addresses of one node."""

    network: IPv4Network

    @property
    def pods(self) -> IPv4Network:
        """The half whose addresses are pods'; the first two are the gateway and the machine."""
        return next(self.network.subnets())

    @property
    def services(self) -> IPv4Network:
        """The half whose addresses stand for Services."""
        return list(self.network.subnets())[1]

    @property
    def gateway(self) -> IPv4Address:
        """The node as pods see it: their router and their name server."""
        return self.network[1]

    @property
    def machine(self) -> IPv4Address:
        """The machine that all this runs on, as pods see it."""
        return self.network[2]

    @property
    def api(self) -> IPv4Address:
        """What stands for the API server."""
        return self.services[1]

    @property
    def loopback(self) -> IPv4Address:
        """What stands for the machine's own 127.0.0.1."""
        return self.services[2]


FIRST_POD: Final = 3
"""The offset of the first address for a pod."""

FIRST_SERVICE: Final = 3
"""The offset, in the second half, of the first address for a Service."""


def choose(key: str, taken: Iterable[IPv4Network]) -> Subnet:
    """Return a block that overlaps nothing that is taken; the same one for the same key when it is free.

    Raises OSError when the machine has ways to all of them.
    """
    known = list(taken)
    blocks = list(POOL.subnets(new_prefix=SIZE))
    start = int(key, 16) % len(blocks)
    for block in [*blocks[start:], *blocks[:start]]:
        if not any(block.overlaps(other) for other in known):
            return Subnet(block)
    raise OSError(f"no network of {POOL} is free: this machine has routes into all of them")
