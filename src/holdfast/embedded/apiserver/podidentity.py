"""What a pod gets by name when it is made: its service account, and the number behind its priority class.

Both must exist. The rules are those of Kubernetes' admission: "Configure Service Accounts for Pods" and "Pod Priority and
Preemption" of its documentation.
"""

from typing import Final

from holdfast.embedded.apiserver.errors import StatusError, forbidden
from holdfast.embedded.apiserver.metadata import stamp_new
from holdfast.embedded.apiserver.objects import Object
from holdfast.embedded.apiserver.store import Key, Transaction

PRIORITY_CLASSES: Final = "scheduling.k8s.io/priorityclasses"
_SYSTEM_CLASSES: Final = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_PREEMPTION: Final = "PreemptLowerPriority"


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
    """Fill in account and priority of a new pod, in place; 403 for a name that nothing has."""
    _account(transaction, pod)
    _priority(transaction, pod)


def keep(new: Object, old: Object) -> None:
    """An update that says nothing of the priority leaves it as it is."""
    for key in ("priority", "preemptionPolicy"):
        if key in old["spec"]:
            new["spec"].setdefault(key, old["spec"][key])


def _refusal(pod: Object, why: str) -> StatusError:
    return forbidden("pods", "", pod["metadata"].get("name", ""), why)


def _account(transaction: Transaction, pod: Object) -> None:
    ns, name = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
    record = transaction.get(Key("/serviceaccounts", ns, name))
    if record is None:
        raise _refusal(pod, f'error looking up service account {ns}/{name}: serviceaccount "{name}" not found')
    account = record.object()
    if not pod["spec"].get("imagePullSecrets") and account.get("imagePullSecrets"):
        pod["spec"]["imagePullSecrets"] = account["imagePullSecrets"]


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
