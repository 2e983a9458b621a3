"""What a namespace is born with: its default service account and the CA bundle that pods are given."""

from holdfast.embedded.apiserver.metadata import stamp_new
from holdfast.embedded.apiserver.objects import Object
from holdfast.embedded.apiserver.store import Key, Transaction

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
