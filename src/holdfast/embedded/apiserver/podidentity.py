"""What a pod gets when it is made: its service account with a token, the number behind its priority class, and for how long it
bears a node that does not answer.

Account and class must exist. The rules are those of Kubernetes' admission: "Configure Service Accounts for Pods", "Pod Priority
and Preemption" and "Taints and Tolerations" of its documentation.
"""

from typing import Final

from holdfast.embedded.apiserver.errors import StatusError, forbidden
from holdfast.embedded.apiserver.metadata import random_suffix, stamp_new
from holdfast.embedded.apiserver.objects import Object, parts
from holdfast.embedded.apiserver.store import Key, Transaction

PRIORITY_CLASSES: Final = "scheduling.k8s.io/priorityclasses"
_SYSTEM_CLASSES: Final = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_PREEMPTION: Final = "PreemptLowerPriority"
_TOLERATION_SECONDS: Final = 300
_ACCOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_SOURCES: Final = (
    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
)
"""What Kubernetes mounts for an account, as the Go client and all others expect it."""


def ensure_classes(transaction: Transaction) -> None:
    """The priority classes that exist from the first start on."""
    for name, value in _SYSTEM_CLASSES.items():
        key = Key(PRIORITY_CLASSES, "", name)
        if transaction.get(key) is None:
            meta: Object = {"name": name}
            stamp_new(meta, generation=False)
            head: Object = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": meta}
            transaction.put(key, {**head, "value": value, "preemptionPolicy": _PREEMPTION})


def settle(transaction: Transaction, pod: Object) -> None:
    """Fill in account, token, priority and tolerations of a new pod, in place; 403 for a name that nothing has."""
    _account(transaction, pod)
    _priority(transaction, pod)
    _tolerate(pod["spec"])


def keep(new: Object, old: Object) -> None:
    """An update that says nothing of what admission has filled in leaves it as it is."""
    for key in ("priority", "preemptionPolicy", "serviceAccountName", "serviceAccount", "tolerations"):
        if key in old["spec"]:
            new["spec"].setdefault(key, old["spec"][key])


def _refusal(pod: Object, why: str) -> StatusError:
    return forbidden("pods", "", pod["metadata"].get("name", ""), why)


def _account(transaction: Transaction, pod: Object) -> None:
    spec = pod["spec"]
    name = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    ns = pod["metadata"]["namespace"]
    record = transaction.get(Key("/serviceaccounts", ns, name))
    if record is None:
        raise _refusal(pod, f'error looking up service account {ns}/{name}: serviceaccount "{name}" not found')
    account = record.object()
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]
    wanted = spec.get("automountServiceAccountToken")
    if wanted is True or (wanted is None and account.get("automountServiceAccountToken") is not False):
        _mount_token(spec)


def _mount_token(spec: Object) -> None:
    """Give each container the account's token, the authority and the namespace, but where something is mounted already."""
    bare = [
        item
        for item in [*parts(spec, "initContainers"), *parts(spec, "containers")]
        if all(mount.get("mountPath") != _ACCOUNT_PATH for mount in parts(item, "volumeMounts"))
    ]
    if not bare:
        return
    name = "kube-api-access-" + random_suffix()
    for container in bare:
        mount = {"name": name, "readOnly": True, "mountPath": _ACCOUNT_PATH}
        container["volumeMounts"] = [*parts(container, "volumeMounts"), mount]
    spec["volumes"] = [*parts(spec, "volumes"), {"name": name, "projected": {"defaultMode": 420, "sources": list(_SOURCES)}}]


def _tolerate(spec: Object) -> None:
    held = parts(spec, "tolerations")
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(_tolerates(item, key) for item in held):
            given = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATION_SECONDS}
            held = [*held, given]
    spec["tolerations"] = held


def _tolerates(toleration: Object, key: str) -> bool:
    return toleration.get("key") in (key, None, "") and toleration.get("effect") in ("NoExecute", None, "")


def _priority(transaction: Transaction, pod: Object) -> None:
    spec = pod["spec"]
    found = _class_of(transaction, pod)
    value = found["value"] if found else 0
    if spec.get("priority") not in (None, value):
        named = spec.get("priorityClassName") or "given"
        raise _refusal(
            pod,
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; the priority admission"
            f" controller computed {value} from the {named} PriorityClass name",
        )
    policy = (found or {}).get("preemptionPolicy") or _PREEMPTION
    if spec.get("preemptionPolicy") not in (None, policy):
        raise _refusal(
            pod,
            f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; the priority"
            f" admission controller computed {policy} from the given PriorityClass name",
        )
    spec["priority"], spec["preemptionPolicy"] = value, policy


def _class_of(transaction: Transaction, pod: Object) -> Object | None:
    """The class that a pod names, or the global default, which then is noted as its name; None when there is neither."""
    name = pod["spec"].get("priorityClassName")
    if name:
        record = transaction.get(Key(PRIORITY_CLASSES, "", name))
        if record is None:
            raise _refusal(pod, f"no PriorityClass with name {name} was found")
        return record.object()
    defaults = [found for record in transaction.objects(PRIORITY_CLASSES) if (found := record.object()).get("globalDefault")]
    if not defaults:
        return None
    chosen = min(defaults, key=lambda found: found["value"])
    pod["spec"]["priorityClassName"] = chosen["metadata"]["name"]
    return chosen
