"""The addresses of Services: given at birth, kept for life, given back when a Service turns into an ExternalName.

Nodes make them reachable (docs/embedded.md). The range is that of most clusters; it exists in the networks of pods only.
"""

import random
from ipaddress import IPv4Network
from typing import Final

from holdfast.embedded.apiserver.errors import StatusError, invalid
from holdfast.embedded.apiserver.objects import Object, part
from holdfast.embedded.apiserver.store import Transaction

RANGE: Final = IPv4Network("10.96.0.0/16")
RESERVED: Final = 16
"""The first addresses of the range are left for what a cluster has by itself."""

_TRIES: Final = 64
_random = random.SystemRandom()


def settle(transaction: Transaction, new: Object, old: Object | None) -> None:
    """Fill in `clusterIP` and `clusterIPs` of a Service in place. 422 for a changed one, 500 when none is free."""
    spec = part(new, "spec")
    if spec.get("type") == "ExternalName":
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)
        return
    held = part(old or {}, "spec").get("clusterIP") or ""
    wanted = spec.get("clusterIP") or held or _free(transaction)
    if held and wanted != held:
        name = new["metadata"].get("name", "")
        raise invalid("Service", "", name, [("spec.clusterIP", f'Invalid value: "{wanted}": field is immutable')])
    spec["clusterIP"], spec["clusterIPs"] = wanted, [wanted]
    new["spec"] = spec


def _free(transaction: Transaction) -> str:
    taken = {part(record.object(), "spec").get("clusterIP") for record in transaction.objects("/services")}
    for _ in range(_TRIES):
        address = str(RANGE[_random.randrange(RESERVED, RANGE.num_addresses - 1)])
        if address not in taken:
            return address
    raise StatusError(500, "InternalError", f"no address of {RANGE} is free for another Service: delete some")
