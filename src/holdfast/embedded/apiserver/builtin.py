"""The built-in kinds, as a table: names, scope, subresources, categories.

Their printer columns are in `columns`, their field types in `types.json`. A kind that is not here is served only after its
CustomResourceDefinition is created.
"""

from functools import cache
from typing import Final, NamedTuple

from holdfast.embedded.apiserver.columns import COLUMNS
from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.shapes import schema_of
from holdfast.schema.structural import Schema


class _Row(NamedTuple):
    group: str
    kind: str
    plural: str
    short: str = ""
    subresources: str = ""
    namespaced: bool = True
    in_all: bool = False


_RBAC: Final = "rbac.authorization.k8s.io"
_STORAGE: Final = "storage.k8s.io"
_NETWORKING: Final = "networking.k8s.io"
_ADMISSION: Final = "admissionregistration.k8s.io"

_ROWS: Final = (
    _Row("", "Namespace", "namespaces", "ns", "status finalize", False),
    _Row("", "Node", "nodes", "no", "status", False),
    _Row("", "PersistentVolume", "persistentvolumes", "pv", "status", False),
    _Row("", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", "status"),
    _Row("", "Pod", "pods", "po", "status log exec attach portforward binding eviction", in_all=True),
    _Row("", "Secret", "secrets"),
    _Row("", "ConfigMap", "configmaps", "cm"),
    _Row("", "Service", "services", "svc", "status", in_all=True),
    _Row("", "Endpoints", "endpoints", "ep"),
    _Row("", "ServiceAccount", "serviceaccounts", "sa", "token"),
    _Row("", "Event", "events", "ev"),
    _Row("", "LimitRange", "limitranges", "limits"),
    _Row("", "ResourceQuota", "resourcequotas", "quota", "status"),
    _Row("", "ReplicationController", "replicationcontrollers", "rc", "status scale", in_all=True),
    _Row("apps", "StatefulSet", "statefulsets", "sts", "status scale", in_all=True),
    _Row("apps", "Deployment", "deployments", "deploy", "status scale", in_all=True),
    _Row("apps", "DaemonSet", "daemonsets", "ds", "status", in_all=True),
    _Row("apps", "ReplicaSet", "replicasets", "rs", "status scale", in_all=True),
    _Row("apps", "ControllerRevision", "controllerrevisions"),
    _Row("batch", "Job", "jobs", "", "status", in_all=True),
    _Row("batch", "CronJob", "cronjobs", "cj", "status", in_all=True),
    _Row(_STORAGE, "StorageClass", "storageclasses", "sc", "", False),
    _Row(_STORAGE, "CSIDriver", "csidrivers", "", "", False),
    _Row(_STORAGE, "VolumeAttachment", "volumeattachments", "", "status", False),
    _Row(_RBAC, "Role", "roles"),
    _Row(_RBAC, "RoleBinding", "rolebindings"),
    _Row(_RBAC, "ClusterRole", "clusterroles", "", "", False),
    _Row(_RBAC, "ClusterRoleBinding", "clusterrolebindings", "", "", False),
    _Row("coordination.k8s.io", "Lease", "leases"),
    _Row("scheduling.k8s.io", "PriorityClass", "priorityclasses", "pc", "", False),
    _Row("events.k8s.io", "Event", "events", "ev"),
    _Row("discovery.k8s.io", "EndpointSlice", "endpointslices"),
    _Row("policy", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", "status"),
    _Row(_NETWORKING, "Ingress", "ingresses", "ing", "status"),
    _Row(_NETWORKING, "IngressClass", "ingressclasses", "", "", False),
    _Row(_NETWORKING, "NetworkPolicy", "networkpolicies", "netpol"),
    _Row(_ADMISSION, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "", "", False),
    _Row(_ADMISSION, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "", "", False),
    _Row("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions", "crd crds", "status", False),
)

INERT: Final = frozenset(
    [
        "/replicationcontrollers",
        "networking.k8s.io/ingresses",
        "networking.k8s.io/ingressclasses",
        "networking.k8s.io/networkpolicies",
    ]
)
"""Kinds that manifests bring along and that are backed up and restored as they are, without a controller behind them."""

_EVENT: Final = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"]
_SELECTABLE: Final = {
    "pods": "spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName spec.hostNetwork status.phase "
    "status.podIP status.nominatedNodeName",
    "events": " ".join(
        ["reason type reportingComponent reportingController"]
        + [f"{about}.{name}" for about in ("involvedObject", "regarding") for name in _EVENT]
    ),
    "secrets": "type",
    "namespaces": "status.phase",
    "nodes": "spec.unschedulable",
    "services": "spec.clusterIP spec.type",
    "jobs": "status.successful",
    "replicasets": "status.replicas",
    "replicationcontrollers": "status.replicas",
}
"""What field selectors of built-in kinds may name, as in Kubernetes."""

_SCALE: Final = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


def _kind(row: _Row) -> Kind:
    group, name = row.group, row.kind
    return Kind(
        group=row.group,
        version="v1",
        kind=row.kind,
        plural=row.plural,
        singular=row.kind.lower(),
        list_kind="EndpointsList" if row.kind == "Endpoints" else "",
        short_names=tuple(row.short.split()),
        categories=("all",) if row.in_all else (),
        namespaced=row.namespaced,
        subresources=tuple(row.subresources.split()),
        columns=COLUMNS.get(row.kind, ()),
        selectable=tuple(_SELECTABLE.get(row.plural, "").split()),
        scale=_SCALE if "scale" in row.subresources else None,
        schema=cache(lambda: Schema.compile(schema_of(group, name))),
        openapi=lambda: schema_of(group, name),
    )


KINDS: Final = tuple(_kind(row) for row in _ROWS)
