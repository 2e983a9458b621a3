"""What objects ask of a namespace, as amounts: the resources of a pod, the storage of a claim, what a quota counts.

A pod asks for the sum of its containers and sidecars, or for its largest init container where that is more (Kubernetes'
documentation, "Pod lifecycle", effective requests). Amounts that cannot be read count as nothing here; validation refuses them.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from holdfast.embedded.apiserver.objects import Object, part, parts
from holdfast.schema import quantity

Amounts = dict[str, Decimal]

ENDED: Final = ("Succeeded", "Failed")
_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")


def read(found: Object) -> Amounts:
    """A map of quantities as numbers."""
    amounts: Amounts = {}
    for name, text in found.items():
        try:
            amounts[name] = quantity.parse(str(text))
        except ValueError:
            continue
    return amounts


def of_container(container: Object, which: str) -> Amounts:
    """The `requests` or `limits` of a container."""
    return read(part(container, "resources", which))


def of_pod(spec: Object, which: str) -> Amounts:
    """The `requests` or `limits` of a whole pod."""
    init = parts(spec, "initContainers")
    total = _sum(of_container(item, which) for item in [*parts(spec, "containers"), *filter(_is_sidecar, init)])
    for item in init:
        if not _is_sidecar(item):
            for name, amount in of_container(item, which).items():
                total[name] = max(total.get(name, amount), amount)
    return total


def _is_sidecar(container: Object) -> bool:
    return container.get("restartPolicy") == "Always"


def _sum(found: Iterable[Amounts]) -> Amounts:
    total: Amounts = {}
    for amounts in found:
        for name, amount in amounts.items():
            total[name] = total.get(name, Decimal(0)) + amount
    return total


def counted(res: str, obj: Object) -> Amounts:
    """What an object adds to the usage of a quota; `res` is `group/plural`. A pod that is over uses nothing."""
    group, _, plural = res.partition("/")
    found: Amounts = {f"count/{plural}.{group}" if group else f"count/{plural}": Decimal(1)}
    if not group:
        found[plural] = Decimal(1)
    match res:
        case "/pods":
            return {} if part(obj, "status").get("phase") in ENDED else found | _pod(part(obj, "spec"))
        case "/persistentvolumeclaims":
            return found | _claim(part(obj, "spec"))
        case "/services":
            return found | _service(part(obj, "spec"))
        case _:
            return found


def _pod(spec: Object) -> Amounts:
    requests, limits = of_pod(spec, "requests"), of_pod(spec, "limits")
    found = {f"requests.{name}": amount for name, amount in requests.items()}
    found |= {f"limits.{name}": amount for name, amount in limits.items()}
    return found | {name: requests[name] for name in _COMPUTE if name in requests}


def _claim(spec: Object) -> Amounts:
    storage = read(part(spec, "resources", "requests")).get("storage", Decimal(0))
    found: Amounts = {"requests.storage": storage}
    if name := spec.get("storageClassName"):
        found[f"{name}.storageclass.storage.k8s.io/requests.storage"] = storage
        found[f"{name}.storageclass.storage.k8s.io/persistentvolumeclaims"] = Decimal(1)
    return found


def _service(spec: Object) -> Amounts:
    kind, ports = spec.get("type"), Decimal(len(parts(spec, "ports")))
    found: Amounts = {"services.nodeports": ports} if kind in ("NodePort", "LoadBalancer") else {}
    return found | ({"services.loadbalancers": Decimal(1)} if kind == "LoadBalancer" else {})
