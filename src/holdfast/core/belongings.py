"""What has no namespace and yet belongs to some: without it their objects come back and do not work.

These are the Namespaces themselves with their labels, the PersistentVolumes of their claims and the StorageClasses of those,
the definitions of the custom resources that lie there, the ClusterRoleBindings that give rights to their service accounts, and
the ClusterRoles of these and of their RoleBindings. What every cluster has by itself is left out. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from holdfast.core.manifests import of_a_run
from holdfast.core.objects import Object
from holdfast.core.read import items, name_of, text

NAMESPACES: Final = "namespaces"
VOLUMES: Final = "persistentvolumes"
STORAGE_CLASSES: Final = "storageclasses.storage.k8s.io"
DEFINITIONS: Final = "customresourcedefinitions.apiextensions.k8s.io"
ROLES: Final = "clusterroles.rbac.authorization.k8s.io"
BINDINGS: Final = "clusterrolebindings.rbac.authorization.k8s.io"

RESTORED: Final = (DEFINITIONS, NAMESPACES, STORAGE_CLASSES, ROLES, BINDINGS)
"""What can be made again in another cluster: a volume can't, since its data lies in the storage of the old one."""

_ACCOUNTS: Final = "system:serviceaccounts:"
"""How the group of all service accounts of a namespace begins."""

_BOOTSTRAPPING: Final = "kubernetes.io/bootstrapping"


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What belongings follow from: the names of namespaces, what lies in these, and all ClusterRoleBindings and StorageClasses.

    `definitions` are the names of those CustomResourceDefinitions of which an object is meant.
    """

    namespaces: tuple[str, ...]
    claims: tuple[Object, ...] = ()
    role_bindings: tuple[Object, ...] = ()
    cluster_bindings: tuple[Object, ...] = ()
    definitions: tuple[str, ...] = ()


def belongings(around: Around) -> Mapping[str, frozenset[str]]:
    """Return the names of what belongs to namespaces, by resource."""
    places = frozenset(around.namespaces)
    bindings = [each for each in around.cluster_bindings if not _of_the_cluster(each) and _names_one(each, places)]
    return {
        NAMESPACES: places,
        VOLUMES: _texts(around.claims, "spec", "volumeName"),
        STORAGE_CLASSES: _texts(around.claims, "spec", "storageClassName"),
        DEFINITIONS: frozenset(around.definitions),
        BINDINGS: frozenset(map(name_of, bindings)),
        ROLES: frozenset(_roles([*bindings, *around.role_bindings])),
    }


def left_to_the_cluster(resource: str, obj: Object) -> bool:
    """Whether an object that is named among belongings is one that each cluster has by itself, or a right of a run of ours."""
    return of_a_run(resource, obj) or _of_the_cluster(obj)


def _texts(objects: Iterable[Object], *path: str) -> frozenset[str]:
    return frozenset(found for each in objects if (found := text(each, *path)))


def _of_the_cluster(obj: Object) -> bool:
    return name_of(obj).startswith("system:") or bool(text(obj, "metadata", "labels", _BOOTSTRAPPING))


def _names_one(binding: Object, places: frozenset[str]) -> bool:
    """Whether a binding gives rights to service accounts of one of these namespaces."""
    if of_a_run(BINDINGS, binding):
        return False
    for subject in items(binding, "subjects"):
        kind, name = text(subject, "kind"), text(subject, "name")
        if kind == "ServiceAccount" and text(subject, "namespace") in places:
            return True
        if kind == "Group" and name.startswith(_ACCOUNTS) and name.removeprefix(_ACCOUNTS) in places:
            return True
    return False


def _roles(bindings: Iterable[Object]) -> Iterable[str]:
    for each in bindings:
        if text(each, "roleRef", "kind") == "ClusterRole" and not of_a_run(BINDINGS, each):
            yield text(each, "roleRef", "name")
