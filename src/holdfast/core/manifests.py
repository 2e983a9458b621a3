"""Kubernetes objects as manifests in a backup: which are meant, where each lies, in which order they come back, and how.

What the cluster itself makes of an object (uid, version, status, addresses it gave out, bindings to volumes) is true for the
cluster it came from and for no other, so it is left out on the way back. What belongs to a controller is left to that
controller when it comes back too, and what had ended stays ended. The order is the documented one: definitions, namespaces,
storage classes, snapshots, volumes, claims, accounts, secrets, config maps, then all others by name.
"""

import copy
from collections.abc import Container, Mapping
from typing import Any, Final

import msgspec

from holdfast.core import selectors
from holdfast.core.labels import owner_uid
from holdfast.core.objects import Object
from holdfast.core.read import at, conditions_of, items, mapping, name_of, namespace_of, phase_of, text

NEVER_SAVED: Final = frozenset({"nodes", "events", "events.events.k8s.io", "endpointslices.discovery.k8s.io"})
"""What a cluster makes anew by itself, or what is true of one machine only."""

NEVER_RESTORED: Final = NEVER_SAVED | {"csinodes.storage.k8s.io", "volumeattachments.storage.k8s.io"}

ORDER: Final = (
    "customresourcedefinitions.apiextensions.k8s.io",
    "namespaces",
    "storageclasses.storage.k8s.io",
    "volumesnapshotclasses.snapshot.storage.k8s.io",
    "volumesnapshotcontents.snapshot.storage.k8s.io",
    "volumesnapshots.snapshot.storage.k8s.io",
    "persistentvolumes",
    "persistentvolumeclaims",
    "serviceaccounts",
    "secrets",
    "configmaps",
)

_BINDINGS: Final = ("rolebindings.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io")

_BINDING: Final = (
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.kubernetes.io/selected-node",
)
_JOB_LABELS: Final = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")
_TOKEN_VOLUME: Final = "kube-api-access-"


class Selection(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which objects are meant. An empty list of `namespaces` or `resources`, or `*` in it, means all.

    Resources are named by plural (of any group) or `plural.group`; exclusion wins. Of `all_labels` every one must fit, of
    `any_labels` one; each is `key=value`, `key:value` or a key that must be there. `selector` is a label selector of Kubernetes
    that must fit as well. Objects without a namespace are meant only with `cluster_resources`.
    """

    namespaces: tuple[str, ...] = ()
    exclude_namespaces: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    exclude_resources: tuple[str, ...] = ()
    all_labels: tuple[str, ...] = ()
    any_labels: tuple[str, ...] = ()
    selector: Mapping[str, Any] = {}
    cluster_resources: bool = False

    def takes_resource(self, name: str, *, namespaced: bool) -> bool:
        """Whether objects of a resource (`deployments.apps`) may be meant."""
        if not namespaced and not self.cluster_resources:
            return False
        return _listed(self.resources, name) and not _names(self.exclude_resources, name)

    def takes(self, obj: Object) -> bool:
        """Whether an object of a resource that is taken is meant."""
        namespace = namespace_of(obj)
        if namespace and not (_everything(self.namespaces) or namespace in self.namespaces):
            return False
        if namespace in self.exclude_namespaces:
            return False
        labels = mapping(obj, "metadata", "labels")
        if not all(_fits(labels, wanted) for wanted in self.all_labels) or not selectors.matches(dict(self.selector), labels):
            return False
        return not self.any_labels or any(_fits(labels, wanted) for wanted in self.any_labels)


class Changes(msgspec.Struct, frozen=True, omit_defaults=True):
    """How objects come back differently: namespaces and storage classes by their old names, and whether volumes come along.

    Without `volumes` a claim asks for a new volume, and PersistentVolumes stay where they are.
    """

    namespaces: Mapping[str, str] = {}
    storage_classes: Mapping[str, str] = {}
    volumes: bool = False


def of_a_run(resource: str, obj: Object) -> bool:
    """Whether an object is a right that one of our own runs has for as long as it goes on: no backup is to bring it back."""
    return resource in _BINDINGS and bool(owner_uid(obj))


def path_of(resource: str, obj: Object) -> str:
    """Return where an object lies: `<resource.group>/cluster/<name>.yaml`, or `.../namespaces/<namespace>/<name>.yaml`."""
    namespace = namespace_of(obj)
    place = f"namespaces/{namespace}" if namespace else "cluster"
    return f"{resource}/{place}/{name_of(obj)}.yaml"


def resource_of(path: str) -> str:
    """Return the resource of a manifest by its path. Raises ValueError for a path that is not one of ours."""
    parts = path.strip("/").split("/")
    if len(parts) not in (3, 4) or not path.endswith(".yaml") or parts[1] != ("cluster" if len(parts) == 3 else "namespaces"):
        raise ValueError(f"{path} is no manifest: <resource.group>/cluster/<name>.yaml or <resource.group>/namespaces/...")
    return parts[0]


def rank(resource: str) -> tuple[int, str]:
    """Return the place of a resource in the order of a restore."""
    return (ORDER.index(resource) if resource in ORDER else len(ORDER), resource)


def saved(obj: Object) -> Object:
    """Return an object as it is kept: whole, but for the record of who wrote which field."""
    meta = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": meta}


Identity = tuple[str, str, str]
"""Kind, name and namespace of an object."""


def identity(obj: Object) -> Identity:
    """Return what an owner reference and the owner have in common."""
    return text(obj, "kind"), name_of(obj), namespace_of(obj)


def why_left(resource: str, obj: Object, changes: Changes, present: Container[Identity]) -> str:
    """Return why an object stays out of a restore; empty when it is to come back. `present`: what is in the backup."""
    if resource in NEVER_RESTORED:
        return "a cluster makes these by itself"
    if resource == "persistentvolumes" and not changes.volumes:
        return "volumes are not asked for"
    if resource == "secrets" and text(obj, "type") == "kubernetes.io/service-account-token":
        return "a token of another cluster is worth nothing"
    if resource == "configmaps" and name_of(obj) == "kube-root-ca.crt":
        return "each cluster has its own"
    if resource == "endpoints" and "endpoints.kubernetes.io/last-change-trigger-time" in mapping(
        obj, "metadata", "annotations"
    ):
        return "it follows from its Service"
    if resource == "jobs.batch" and any(
        item.get("type") in ("Complete", "Failed") and item.get("status") == "True" for item in conditions_of(obj)
    ):
        return "it had ended, and would run again"
    if resource == "pods" and phase_of(obj) in ("Succeeded", "Failed"):
        return "it had ended, and would run again"
    owner = next((item for item in items(obj, "metadata", "ownerReferences") if item.get("controller")), None)
    if owner is not None and (text(owner, "kind"), text(owner, "name"), namespace_of(obj)) in present:
        return f"it is left to its {owner['kind']} {owner['name']}"
    return ""


def restored(resource: str, obj: Object, changes: Changes) -> Object:
    """Return an object as it is to be made again."""
    made = copy.deepcopy(obj)
    made.pop("status", None)
    meta: Object = made["metadata"]
    kept = ("name", "namespace", "labels", "annotations")
    made["metadata"] = meta = {key: meta[key] for key in kept if meta.get(key)}
    if "namespace" in meta:
        meta["namespace"] = changes.namespaces.get(meta["namespace"], meta["namespace"])
    if resource == "namespaces":
        meta["name"] = changes.namespaces.get(meta["name"], meta["name"])
        made.pop("spec", None)
    _SHAPES.get(resource, _unchanged)(made, changes)
    return made


def summary_name(obj: Object) -> str:
    """Return how a report names an object: `demo/web`, or `web` without a namespace."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def _unchanged(_made: Object, _changes: Changes) -> None:
    return


def _claim(made: Object, changes: Changes) -> None:
    spec, annotations = mapping(made, "spec"), mapping(made, "metadata", "annotations")
    for key in _BINDING:
        annotations.pop(key, None)
    for key in ("dataSource", "dataSourceRef"):
        spec.pop(key, None)
    if not changes.volumes:
        spec.pop("volumeName", None)
    _storage_class(spec, changes)


def _volume(made: Object, changes: Changes) -> None:
    reference = mapping(made, "spec", "claimRef")
    for key in ("uid", "resourceVersion"):
        reference.pop(key, None)
    if namespace := text(reference, "namespace"):
        reference["namespace"] = changes.namespaces.get(namespace, namespace)
    _storage_class(mapping(made, "spec"), changes)


def _storage_class(spec: Object, changes: Changes) -> None:
    name = text(spec, "storageClassName")
    if name in changes.storage_classes:
        spec["storageClassName"] = changes.storage_classes[name]


def _stateful_set(made: Object, changes: Changes) -> None:
    for template in items(made, "spec", "volumeClaimTemplates"):
        _storage_class(mapping(template, "spec"), changes)


def _service(made: Object, changes: Changes) -> None:
    spec = mapping(made, "spec")
    if spec.get("clusterIP") != "None":
        for key in ("clusterIP", "clusterIPs"):
            spec.pop(key, None)
    spec.pop("healthCheckNodePort", None)
    if changes.namespaces:
        for port in items(spec, "ports"):
            port.pop("nodePort", None)


def _job(made: Object, _changes: Changes) -> None:
    spec = mapping(made, "spec")
    if at(spec, "manualSelector") is True:
        return
    spec.pop("selector", None)
    for labels in (mapping(made, "metadata", "labels"), mapping(spec, "template", "metadata", "labels")):
        for key in _JOB_LABELS:
            labels.pop(key, None)


def _pod(made: Object, _changes: Changes) -> None:
    spec = mapping(made, "spec")
    spec.pop("nodeName", None)
    holders = [(spec, "volumes")] + [
        (container, "volumeMounts") for key in ("containers", "initContainers") for container in items(spec, key)
    ]
    for holder, key in holders:
        if key in holder:
            holder[key] = [item for item in items(holder, key) if not text(item, "name").startswith(_TOKEN_VOLUME)]


def _account(made: Object, _changes: Changes) -> None:
    made.pop("secrets", None)


def _binding(made: Object, changes: Changes) -> None:
    for subject in items(made, "subjects"):
        if namespace := text(subject, "namespace"):
            subject["namespace"] = changes.namespaces.get(namespace, namespace)


_SHAPES: Final[Mapping[str, Any]] = {
    "persistentvolumeclaims": _claim,
    "persistentvolumes": _volume,
    "statefulsets.apps": _stateful_set,
    "services": _service,
    "jobs.batch": _job,
    "pods": _pod,
    "serviceaccounts": _account,
    "rolebindings.rbac.authorization.k8s.io": _binding,
    "clusterrolebindings.rbac.authorization.k8s.io": _binding,
}
"""What must change in the objects of a resource before they are made again."""


def _everything(names: tuple[str, ...]) -> bool:
    return not names or "*" in names


def _listed(names: tuple[str, ...], resource: str) -> bool:
    return _everything(names) or _names(names, resource)


def _names(names: tuple[str, ...], resource: str) -> bool:
    """Whether a list names a resource, by plural or by plural and group."""
    plural = resource.partition(".")[0]
    return any(name in ("*", resource, plural) for name in names)


def _fits(labels: Mapping[str, Any], wanted: str) -> bool:
    for sign in ("=", ":"):
        key, found, value = wanted.partition(sign)
        if found:
            return labels.get(key.strip()) == value.strip()
    return wanted.strip() in labels
