"""usagePolicy: which namespaces may use a BackupStorage, a RetentionPolicy or a HookTemplate.

All admits everyone, Same only the owner's namespace, Selector those whose labels match; with Selector the owner's own
namespace is not implied. A null or absent `from` is Same: KubeStash's own webhook panics there.
"""

from holdfast.core import selectors
from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.core.ports import Refs
from holdfast.core.read import at, mapping, name_of, namespace_of, text
from holdfast.dialects.kubestash.kinds import NAMESPACE


def policy_from(obj: Object) -> str:
    """Return All, Selector or Same."""
    return text(obj, "spec", "usagePolicy", "allowedNamespaces", "from", default="Same")


def admits(obj: Object, namespace: str, refs: Refs) -> bool:
    """Whether objects of `namespace` may use this one."""
    match policy_from(obj):
        case "All":
            return True
        case "Selector":
            labels = mapping(refs.get(NAMESPACE, "", namespace) or {}, "metadata", "labels")
            return selectors.matches(mapping(obj, "spec", "usagePolicy", "allowedNamespaces", "selector"), labels)
        case _:
            return namespace_of(obj) == namespace


def refusal(obj: Object, namespace: str, field: str) -> Problem:
    """Return what to tell the user of an object that does not admit the namespace."""
    place = f"{text(obj, 'kind')} {namespace_of(obj)}/{name_of(obj)}"
    where = "spec.usagePolicy.allowedNamespaces"
    return Problem(
        field, f"{place} does not admit namespace {namespace} ({where}.from is {policy_from(obj)}): widen its {where}"
    )


def problems(obj: Object) -> list[Problem]:
    """Judge the usagePolicy of an object itself."""
    if policy_from(obj) != "Selector" or at(obj, "spec", "usagePolicy", "allowedNamespaces", "selector"):
        return []
    field = "spec.usagePolicy.allowedNamespaces.selector"
    return [Problem(field, "needed with from: Selector; add matchLabels or matchExpressions")]
