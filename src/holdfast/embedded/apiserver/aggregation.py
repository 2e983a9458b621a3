"""ClusterRoles that are the sum of others: the rules of an `aggregationRule` are filled in as its parts come and go."""

import asyncio
import logging

from holdfast.embedded.apiserver.authorizer import CLUSTER_ROLES
from holdfast.embedded.apiserver.objects import Object, part, parts
from holdfast.embedded.apiserver.selectors import label_test
from holdfast.embedded.apiserver.store import Change, Key, Store, Transaction

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 5.0


def fill(transaction: Transaction) -> None:
    """Write the rules of every aggregated role that differ from the sum of its parts, which may be sums themselves."""
    roles = {record.key: record.object() for record in sorted(transaction.objects(CLUSTER_ROLES), key=lambda item: item.key)}
    changed: set[Key] = set()
    for _ in roles:
        stale = [key for key, role in roles.items() if _sum(role, roles) != parts(role, "rules")]
        if not stale:
            break
        for key in stale:
            roles[key]["rules"] = _sum(roles[key], roles)
        changed.update(stale)
    for key in changed:
        transaction.put(key, roles[key])


def _sum(role: Object, roles: dict[Key, Object]) -> list[Object]:
    """The rules that a role should have: those of its parts, or its own when it is no aggregate."""
    selectors = parts(role, "aggregationRule", "clusterRoleSelectors")
    if not selectors:
        return parts(role, "rules")
    tests = [label_test(item) for item in selectors]
    rules: list[Object] = []
    for other in roles.values():
        labels = part(other, "metadata", "labels")
        if other is not role and any(test(labels) for test in tests):
            rules += [rule for rule in parts(other, "rules") if rule not in rules]
    return rules


class Aggregation:
    """A task in the server's process; `run` ends when cancelled."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wake = asyncio.Event()
        store.listeners.append(self._notice)

    def _notice(self, changes: list[Change]) -> None:
        if any(change.new.key.res == CLUSTER_ROLES for change in changes):
            self._wake.set()

    async def run(self) -> None:
        """Fill the aggregated roles whenever a ClusterRole changes; what failed is tried again after some seconds."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._store.write(fill)
            except Exception:
                _log.exception("the rules of aggregated ClusterRoles could not be filled in; trying again")
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._wake.set)
