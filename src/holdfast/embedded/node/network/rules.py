"""The rules of the bridge's namespace, as text for nft(8). Pure.

Connections to a Service go to one of its ready endpoints; to a Service without any they are refused at once, as to a port
where nobody listens. TCP to anywhere else is handed to the node's own proxy, other protocols are refused.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address

import msgspec

from holdfast.embedded.node.network.subnet import Subnet


class Forward(msgspec.Struct, frozen=True, order=True):
    """One port of a Service: where it is reached, and the endpoints that answer. `protocol` is `tcp` or `udp`."""

    address: IPv4Address
    protocol: str
    port: int
    endpoints: tuple[tuple[IPv4Address, int], ...]


def ruleset(subnet: Subnet, proxy: int, forwards: Sequence[Forward], services: Sequence[IPv4Address]) -> str:
    """Return the whole ruleset, which takes the place of the one before in one step.

    `proxy` is the port of the node's proxy, `services` are all addresses that stand for Services, with endpoints or not.
    """
    own = {str(subnet.api), str(subnet.loopback)}
    known = ", ".join([str(subnet.services), *sorted({str(each) for each in services if each not in subnet.services})])
    lines = [
        "table ip holdfast",
        "delete table ip holdfast",
        "table ip holdfast {",
        f"set services {{ type ipv4_addr; flags interval; auto-merge; elements = {{ {known} }}; }}",
        "chain arriving {",
        "type nat hook prerouting priority dstnat;",
        *(_forward(each) for each in sorted(forwards) if each.endpoints),
        f"ip daddr {{ {', '.join(sorted(own))} }} meta l4proto tcp redirect to :{proxy}",
        f"ip daddr {subnet.pods} return",
        "ip daddr @services return",
        f"meta l4proto tcp redirect to :{proxy}",
        "}",
        "chain refused {",
        "type filter hook prerouting priority filter;",
        "ip daddr @services meta l4proto tcp reject with tcp reset",
        f"ip daddr != {subnet.pods} meta l4proto != tcp reject",
        "}",
        "chain leaving {",
        "type nat hook postrouting priority srcnat;",
        f"ct status dnat ip daddr {subnet.pods} masquerade",
        "}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _forward(each: Forward) -> str:
    targets = ", ".join(f"{number} : {address} . {port}" for number, (address, port) in enumerate(each.endpoints))
    to = f"dnat to numgen random mod {len(each.endpoints)} map {{ {targets} }}"
    return f"ip daddr {each.address} {each.protocol} dport {each.port} {to}"
