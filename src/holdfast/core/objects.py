"""Kubernetes objects as the core sees them: plain JSON, named by a Ref.

The core never models a foreign object as a type: unknown fields must survive. It reads the few fields it needs and
builds children as data. Names are bounded here, since every dialect meets the 63-character rule.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, cast

import msgspec

Object = dict[str, Any]
"""One Kubernetes object as decoded JSON."""


class Kind(msgspec.Struct, frozen=True, order=True):
    """Group and kind, without the version: what a reference means."""

    group: str
    kind: str

    def __str__(self) -> str:
        """As kubectl prints it: `Job.batch`, or `Pod` in the core group."""
        return f"{self.kind}.{self.group}" if self.group else self.kind


class Ref(msgspec.Struct, frozen=True, order=True):
    """One object by name. `namespace` is empty for cluster-scoped kinds."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        """`Secret demo/encrypt-secret`: the form every message uses."""
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind.kind} {place}{self.name}"


def kind_of(obj: Object) -> Kind:
    """Return the kind of a decoded object, from its apiVersion and kind."""
    group, _, _ = obj.get("apiVersion", "").rpartition("/")
    return Kind(group, obj.get("kind", ""))


def ref_of(obj: Object) -> Ref:
    """Return the reference that names this object."""
    meta = obj["metadata"]
    return Ref(kind_of(obj), meta.get("namespace", ""), meta["name"])


def fresh(value: Any) -> Any:
    """Return a copy of plain JSON. It is made on each pass, and `copy.deepcopy` takes several times as long."""
    if isinstance(value, dict):
        return {key: fresh(inner) for key, inner in cast("Object", value).items()}
    if isinstance(value, list | tuple):
        return [fresh(inner) for inner in cast("Sequence[Any]", value)]
    return value


def owner_reference(owner: Object, *, controller: bool = True) -> Object:
    """Build the ownerReferences entry by which a child dies with its owner."""
    meta = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": controller,
        "blockOwnerDeletion": controller,
    }


def bounded_name(name: str, limit: int = 63) -> str:
    """Cut a name to `limit` characters, ending in a hash of the whole so that two long names never meet.

    The limit is 63 for labels and most names, 52 for CronJobs (the Job adds 11 characters).
    """
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: limit - 9].rstrip('-.')}-{digest}"
