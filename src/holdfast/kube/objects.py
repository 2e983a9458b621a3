"""Kubernetes objects as plain JSON, and the few facts that caches and queues read from them."""

from collections.abc import Callable, Iterable
from typing import Any

Object = dict[str, Any]
"""One Kubernetes object as decoded JSON."""

Key = tuple[str, str]
"""(namespace, name); the namespace is empty for cluster-scoped objects."""


def key_of(obj: Object) -> Key:
    """Return the (namespace, name) of an object."""
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


def uid_of(obj: Object) -> str:
    """Return the uid that the API server gave this object, or an empty string before it did."""
    return obj.get("metadata", {}).get("uid", "")


def resource_version_of(obj: Object) -> str:
    """Return the resourceVersion of an object or of a list, or an empty string."""
    return obj.get("metadata", {}).get("resourceVersion", "")


def labels_of(obj: Object) -> dict[str, str]:
    """Return the labels of an object, never None."""
    return obj.get("metadata", {}).get("labels") or {}


def controller_of(obj: Object) -> Object | None:
    """Return the ownerReferences entry that is marked as the controller."""
    references: list[Object] = obj.get("metadata", {}).get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def owner_uids(obj: Object) -> Iterable[str]:
    """List the uids of all owners: an index function, by which children are found without a LIST."""
    references: list[Object] = obj.get("metadata", {}).get("ownerReferences") or []
    return [reference["uid"] for reference in references if "uid" in reference]


def owner_keys(kind: str, group: str = "", *, namespaced: bool = True) -> Callable[[Object], Iterable[Key]]:
    """Build the function that names the controllers of one kind behind a child: what a Controller watches children with."""

    def keys(obj: Object) -> Iterable[Key]:
        owner = controller_of(obj)
        if owner is None or owner.get("kind") != kind or _group(owner) != group:
            return []
        return [(obj["metadata"].get("namespace", "") if namespaced else "", owner["name"])]

    return keys


def _group(reference: Object) -> str:
    return reference.get("apiVersion", "").rpartition("/")[0]
