"""LimitRanges: what a namespace fills in for containers that say nothing, and the bounds that pods and claims must keep.

Rules and words are those of Kubernetes' documentation, "Limit Ranges": defaults of several objects fill in what is missing one
after the other; bounds of all of them must be kept.
"""

from collections.abc import Iterator
from decimal import Decimal

from holdfast.embedded.apiserver import amounts
from holdfast.embedded.apiserver.amounts import Amounts
from holdfast.embedded.apiserver.objects import Object, part, parts
from holdfast.schema import quantity

ANNOTATION = "kubernetes.io/limit-ranger"
_GROUPS = ("initContainers", "containers")
_DEFAULTS = {"limits": "default", "requests": "defaultRequest"}


def complete(item: Object) -> None:
    """Derive the defaults of one item of a LimitRange, in place: limits from `max`, requests from those or from `min`."""
    if item.get("type") != "Container":
        return
    default = {**part(item, "max"), **part(item, "default")}
    request = {**part(item, "min"), **default, **part(item, "defaultRequest")}
    for key, found in (("default", default), ("defaultRequest", request)):
        if found:
            item[key] = found


def items_of(ranges: list[Object], kind: str) -> Iterator[Object]:
    """The items about one type: Container, Pod or PersistentVolumeClaim."""
    return (item for each in ranges for item in parts(each, "spec", "limits") if item.get("type") == kind)


def fill(ranges: list[Object], pod: Object) -> None:
    """Fill in what a pod's containers leave open, in place, and note it as an annotation."""
    notes: list[str] = []
    for item in items_of(ranges, "Container"):
        for group in _GROUPS:
            for container in parts(pod, "spec", group):
                notes += _fill(item, container, "init container" if group == "initContainers" else "container")
    if notes:
        pod["metadata"].setdefault("annotations", {})[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)


def _fill(item: Object, container: Object, what: str) -> Iterator[str]:
    resources = container.setdefault("resources", {})
    for key in ("requests", "limits"):
        held, defaults = part(resources, key), part(item, _DEFAULTS[key])
        if added := sorted(name for name in defaults if name not in held):
            resources[key] = {**{name: str(defaults[name]) for name in added}, **held}
            yield f"{', '.join(added)} {key[:-1]} for {what} {container.get('name', '')}"


def problems(ranges: list[Object], res: str, obj: Object) -> list[str]:
    """Every bound that a new pod or claim breaks; `res` is `group/plural`."""
    spec = part(obj, "spec")
    if res == "/persistentvolumeclaims":
        requests = amounts.read(part(spec, "resources", "requests"))
        return [text for item in items_of(ranges, "PersistentVolumeClaim") for text in _bounds(item, requests, requests)]
    found: list[str] = []
    for item in items_of(ranges, "Container"):
        for container in (each for group in _GROUPS for each in parts(spec, group)):
            found += _bounds(item, amounts.of_container(container, "requests"), amounts.of_container(container, "limits"))
    for item in items_of(ranges, "Pod"):
        found += _bounds(item, amounts.of_pod(spec, "requests"), amounts.of_pod(spec, "limits"))
    return found


def _bounds(item: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    kind = str(item["type"])
    for name, bound in amounts.read(part(item, "min")).items():
        head = f"minimum {name} usage per {kind} is {item['min'][name]}"
        request, limit = requests.get(name), limits.get(name)
        if request is None:
            yield f"{head}.  No request is specified"
        elif request < bound:
            yield f"{head}, but request is {quantity.show(request, binary=name != 'cpu')}"
        elif limit is not None and limit < bound:
            yield f"{head}, but limit is {quantity.show(limit, binary=name != 'cpu')}"
    for name, bound in amounts.read(part(item, "max")).items():
        head = f"maximum {name} usage per {kind} is {item['max'][name]}"
        limit, request = limits.get(name), requests.get(name)
        if limit is None:
            yield f"{head}.  No limit is specified"
        elif limit > bound:
            yield f"{head}, but limit is {quantity.show(limit, binary=name != 'cpu')}"
        elif request is not None and request > bound:
            yield f"{head}, but request is {quantity.show(request, binary=name != 'cpu')}"
    for name, bound in amounts.read(part(item, "maxLimitRequestRatio")).items():
        yield from _ratio(f"{name} max limit to request ratio per {kind} is {item['maxLimitRequestRatio'][name]}", name, bound,
                          (requests, limits))  # fmt: skip


def _ratio(head: str, name: str, bound: Decimal, pair: tuple[Amounts, Amounts]) -> Iterator[str]:
    request, limit = pair[0].get(name), pair[1].get(name)
    if not request:
        yield f"{head}, but no request is specified or request is 0"
    elif not limit:
        yield f"{head}, but no limit is specified or limit is 0"
    elif limit / request > bound:
        yield f"{head}, but provided ratio is {limit / request:.6f}"
