"""What every namespace has: its default service account and the CA bundle that pods are given.

Both are made with the namespace, and made again when somebody deletes them, as controllers of Kubernetes do.
"""

import asyncio
import logging
from typing import Final

from holdfast.embedded.apiserver.metadata import stamp_new
from holdfast.embedded.apiserver.objects import Object
from holdfast.embedded.apiserver.store import Change, Key, Store, Transaction

_log = logging.getLogger(__name__)
_ALWAYS: Final = {("/serviceaccounts", "default"), ("/configmaps", "kube-root-ca.crt")}
FIRST = ("default", "kube-system", "kube-public", "kube-node-lease")


def _object(api_version: str, kind: str, ns: str, name: str, body: Object) -> Object:
    meta: Object = {"name": name, **({"namespace": ns} if ns else {})}
    stamp_new(meta, generation=False)
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **body}


def furnish(transaction: Transaction, ns: str, ca: str) -> None:
    """Create what belongs into every namespace."""
    account, bundle = Key("/serviceaccounts", ns, "default"), Key("/configmaps", ns, "kube-root-ca.crt")
    if transaction.get(account) is None:
        transaction.put(account, _object("v1", "ServiceAccount", ns, "default", {}))
    if transaction.get(bundle) is None:
        transaction.put(bundle, _object("v1", "ConfigMap", ns, "kube-root-ca.crt", {"data": {"ca.crt": ca}}))


def ensure_first(transaction: Transaction, ca: str) -> None:
    """The namespaces that exist from the first start on."""
    for name in FIRST:
        key = Key("/namespaces", "", name)
        if transaction.get(key) is not None:
            continue
        body: Object = {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        obj = _object("v1", "Namespace", "", name, body)
        obj["metadata"]["labels"] = {"kubernetes.io/metadata.name": name}
        transaction.put(key, obj)
        furnish(transaction, name, ca)


class Furnishing:
    """A task in the server's process; `run` ends when cancelled."""

    def __init__(self, store: Store, ca: str) -> None:
        self._store = store
        self._ca = ca
        self._bare: set[str] = set()
        self._wake = asyncio.Event()
        store.listeners.append(self._notice)

    def _notice(self, changes: list[Change]) -> None:
        for change in changes:
            key = change.new.key
            if change.type == "DELETED" and (key.res, key.name) in _ALWAYS:
                self._bare.add(key.ns)
                self._wake.set()

    async def run(self) -> None:
        """Make again what is deleted from a namespace that stays."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            bare, self._bare = self._bare, set()
            for ns in bare:
                try:
                    await self._store.write(lambda transaction, ns=ns: self._refurnish(transaction, ns))
                except Exception:
                    _log.exception("namespace %s lacks its default service account or its CA bundle", ns)

    def _refurnish(self, transaction: Transaction, ns: str) -> None:
        record = transaction.get(Key("/namespaces", "", ns))
        if record is not None and not record.object()["metadata"].get("deletionTimestamp"):
            furnish(transaction, ns, self._ca)
