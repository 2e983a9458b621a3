"""ResourceQuotas: what a namespace may hold at most, checked as objects are made, and the usage that its status shows.

Whether something still fits is counted from the stored objects in the transaction that adds it, never from a status, so that
two creates at once can't both take the last place. The statuses follow from a task of the server. Rules and words are those of
Kubernetes' documentation, "Resource Quotas".
"""

import asyncio
import logging
from decimal import Decimal
from typing import Final

from holdfast.embedded.apiserver import amounts
from holdfast.embedded.apiserver.amounts import Amounts
from holdfast.embedded.apiserver.errors import forbidden
from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.objects import Object, part, parts, texts
from holdfast.embedded.apiserver.store import Change, Record, Store, Transaction
from holdfast.schema import quantity

QUOTAS: Final = "/resourcequotas"
_PER_POD: Final = ("cpu", "memory", "ephemeral-storage", "requests.", "limits.")
_STORAGE: Final = "requests.storage"
_log = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 5.0


def _covers(quota: Object, res: str, obj: Object) -> bool:
    """Whether a quota is about an object: one with scopes is about the pods in all of them."""
    spec = part(quota, "spec")
    terms = [{"scopeName": name, "operator": "Exists"} for name in texts(spec, "scopes")]
    terms += parts(spec, "scopeSelector", "matchExpressions")
    return not terms or (res == "/pods" and all(_in_scope(term, part(obj, "spec")) for term in terms))


def _in_scope(term: Object, spec: Object) -> bool:
    is_best_effort = not any(amounts.of_pod(spec, which) for which in ("requests", "limits"))
    match term.get("scopeName"):
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return is_best_effort
        case "NotBestEffort":
            return not is_best_effort
        case "PriorityClass":
            name = spec.get("priorityClassName")
            match term.get("operator"):
                case "In":
                    return name in texts(term, "values")
                case "NotIn":
                    return name not in texts(term, "values")
                case "DoesNotExist":
                    return not name
                case _:
                    return bool(name)
        case _:
            return False


def _resource_of(key: str) -> str:
    """The `group/plural` whose objects use up a key of a quota."""
    if key.startswith("count/"):
        plural, _, group = key.removeprefix("count/").partition(".")
        return f"{group}/{plural}"
    if key == _STORAGE or key.endswith((".storageclass.storage.k8s.io/requests.storage", "/persistentvolumeclaims")):
        return "/persistentvolumeclaims"
    if key.startswith("services."):
        return "/services"
    return "/pods" if key.startswith(_PER_POD) else f"/{key}"


def _used(quota: Object, hard: Amounts, ns: str, transaction: Transaction) -> Amounts:
    """How much of each key is used by what is stored."""
    used = dict.fromkeys(hard, Decimal(0))
    for res in {_resource_of(key) for key in hard}:
        for record in transaction.objects(res, ns):
            obj = record.object()
            if _covers(quota, res, obj):
                for key, amount in amounts.counted(res, obj).items():
                    if key in used:
                        used[key] += amount
    return used


class Quotas:
    """Knows which namespaces have quotas; `run` keeps their statuses, and ends when cancelled."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wake = asyncio.Event()
        self._stale: set[str] = set()
        self._held: dict[str, set[str]] = {}
        for record in store.page(QUOTAS).records:
            self._note(record, gone=False)
        store.listeners.append(self._notice)

    def require(self, transaction: Transaction, kind: Kind, new: Object, old: Object | None = None) -> None:
        """403 when an object that is made, or grows, does not fit into a quota of its namespace."""
        ns = new["metadata"].get("namespace", "")
        if ns not in self._held:
            return
        before = amounts.counted(kind.resource, old) if old is not None else {}
        grows = {
            key: amount - before.get(key, Decimal(0))
            for key, amount in amounts.counted(kind.resource, new).items()
            if amount > before.get(key, Decimal(0))
        }
        for quota in (record.object() for record in transaction.objects(QUOTAS, ns)):
            if _covers(quota, kind.resource, new) and (why := _refusal(quota, kind, new, grows, transaction)):
                raise forbidden(kind.plural, kind.group, new["metadata"].get("name", ""), why)

    def _note(self, record: Record, *, gone: bool) -> None:
        names = self._held.setdefault(record.key.ns, set())
        names.discard(record.key.name) if gone else names.add(record.key.name)
        if not names:
            del self._held[record.key.ns]

    def _notice(self, changes: list[Change]) -> None:
        for change in changes:
            key = change.new.key
            if key.res == QUOTAS:
                self._note(change.new, gone=change.type == "DELETED")
            if key.ns in self._held and _matters(change):
                self._stale.add(key.ns)
        if self._stale:
            self._wake.set()

    async def run(self) -> None:
        """Write the usage whenever it may have changed; what failed is tried again after some seconds."""
        self._stale |= self._held.keys()
        while True:
            stale, self._stale = self._stale, set()
            for ns in stale:
                try:
                    await self._store.write(lambda transaction, ns=ns: recount(transaction, ns))
                except Exception:
                    _log.exception("the usage of the quotas of namespace %s could not be written; trying again", ns)
                    self._stale.add(ns)
                    asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._wake.set)
            await self._wake.wait()
            self._wake.clear()


def _matters(change: Change) -> bool:
    """Whether a change may change what is used: a pod that goes on running uses what it did."""
    if change.old is None or change.type == "DELETED":
        return True
    if change.new.key.res == "/pods":
        return _phase(change.new) != _phase(change.old)
    return change.new.key.res in (QUOTAS, "/persistentvolumeclaims", "/services")


def _phase(record: Record) -> object:
    return part(record.object(), "status").get("phase")


def _refusal(quota: Object, kind: Kind, new: Object, grows: Amounts, transaction: Transaction) -> str:
    """Why something does not fit into one quota; empty when it does."""
    name, hard = quota["metadata"]["name"], amounts.read(part(quota, "spec", "hard"))
    if kind.resource == "/pods" and (missing := _unsaid(hard, part(new, "spec"))):
        return f"failed quota: {name}: must specify {'; '.join(missing)}"
    asked = {key: amount for key, amount in grows.items() if key in hard}
    if not asked:
        return ""
    used = _used(quota, {key: hard[key] for key in asked}, new["metadata"]["namespace"], transaction)
    over = sorted(key for key, amount in asked.items() if used[key] + amount > hard[key])
    if not over:
        return ""
    written = part(quota, "spec", "hard")

    def listed(found: Amounts) -> str:
        return ",".join(f"{key}={quantity.show(found[key], binary=quantity.is_binary(str(written[key])))}" for key in over)

    return f"exceeded quota: {name}, requested: {listed(asked)}, used: {listed(used)}, limited: {listed(hard)}"


def _unsaid(hard: Amounts, spec: Object) -> list[str]:
    """What a quota counts and a container does not say, as `limits.cpu for: a,b`."""
    found: list[str] = []
    for key in sorted(hard):
        which, _, name = key.partition(".") if key.startswith(("requests.", "limits.")) else ("requests", "", key)
        if name not in ("cpu", "memory"):
            continue
        silent = [
            str(item.get("name"))
            for item in [*parts(spec, "containers"), *parts(spec, "initContainers")]
            if name not in part(item, "resources", which)
        ]
        if silent:
            found.append(f"{key} for: {','.join(silent)}")
    return found


def recount(transaction: Transaction, ns: str) -> None:
    """Write the status of every quota of a namespace that does not say what is used."""
    for record in transaction.objects(QUOTAS, ns):
        quota = record.object()
        written = part(quota, "spec", "hard")
        used = _used(quota, amounts.read(written), ns, transaction)
        shown = {key: quantity.show(used[key], binary=quantity.is_binary(str(written[key]))) for key in sorted(used)}
        status: Object = {"hard": written, "used": shown}
        if part(quota, "status") != status:
            transaction.put(record.key, {**quota, "status": status})
