"""Label selectors as Kubernetes defines them: `matchLabels` and `matchExpressions`, all of which must hold."""

from collections.abc import Mapping
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.read import items, mapping, strings, text

OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")


def is_empty(selector: Object) -> bool:
    """Whether a selector says nothing: for Kubernetes that means everything, for a list of pods to touch it means none."""
    return not mapping(selector, "matchLabels") and not items(selector, "matchExpressions")


def matches(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether labels meet a selector. An unknown operator is met by nothing."""
    if any(labels.get(key) != value for key, value in mapping(selector, "matchLabels").items()):
        return False
    return all(_holds(rule, labels) for rule in items(selector, "matchExpressions"))


def one_label(selector: Object) -> tuple[str, str] | None:
    """Return a label that everything selected must carry, to look it up by an index; None when there is none."""
    return next(iter(mapping(selector, "matchLabels").items()), None)


def _holds(rule: Object, labels: Mapping[str, str]) -> bool:
    key, values = text(rule, "key"), strings(rule, "values")
    match text(rule, "operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False
