"""Printer columns of the built-in kinds, as `kubectl get` and `kubectl get -o wide` users know them.

Names, order, types and widths follow what a real API server of the release that `/version` names sends; the cells whose words
are computed are in `cells`. The NAME column is added by `tables`; AGE is rendered there from `creationTimestamp`.
"""

from collections.abc import Callable
from typing import Final

from holdfast.embedded.apiserver import cells
from holdfast.embedded.apiserver.cells import UNSET, Cell, labels_at, number, selector_at, text_at
from holdfast.embedded.apiserver.kinds import Column


def _text(name: str, cell: Cell) -> Column:
    return Column(name, "", cell=cell)


def _whole(name: str, cell: Cell) -> Column:
    return Column(name, "", type="integer", cell=cell)


def _flag(name: str, cell: Cell) -> Column:
    return Column(name, "", type="boolean", cell=cell)


def _wide(name: str, cell: Cell) -> Column:
    return Column(name, "", priority=1, cell=cell)


AGE: Final = Column("Age", ".metadata.creationTimestamp", type="date")
CREATED_AT: Final = Column("Created At", ".metadata.creationTimestamp", type="string")

_PROGRAMS: Final = (_wide("Containers", cells.containers), _wide("Images", cells.images))
_WORKLOAD: Final = (*_PROGRAMS, _wide("Selector", selector_at("spec", "selector")))
_ATTRIBUTES: Final = _text("VolumeAttributesClass", text_at("spec", "volumeAttributesClassName", otherwise=UNSET))
_VOLUME_MODE: Final = _wide("VolumeMode", text_at("spec", "volumeMode", otherwise=UNSET))
_BINDING: Final = (
    _text("Role", cells.role),
    AGE,
    _wide("Users", cells.subjects("User")),
    _wide("Groups", cells.subjects("Group")),
    _wide("ServiceAccounts", cells.subjects("ServiceAccount")),
)
_HOOKS: Final = (_whole("Webhooks", cells.length("webhooks")), AGE)
_REPLICAS: Final = (
    _whole("Desired", number("spec", "replicas")),
    _whole("Current", number("status", "replicas")),
    _whole("Ready", number("status", "readyReplicas")),
    AGE,
)
_UNKNOWN: Final = "<unknown>"

COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "Pod": (
        _text("Ready", cells.pod_ready),
        _text("Status", cells.pod_status),
        _text("Restarts", cells.pod_restarts),
        AGE,
        _wide("IP", text_at("status", "podIP")),
        _wide("Node", text_at("spec", "nodeName")),
        _wide("Nominated Node", text_at("status", "nominatedNodeName")),
        _wide("Readiness Gates", cells.readiness_gates),
    ),
    "Namespace": (Column("Status", ".status.phase"), AGE),
    "Node": (
        _text("Status", cells.node_status),
        _text("Roles", cells.roles),
        AGE,
        Column("Version", ".status.nodeInfo.kubeletVersion"),
        _wide("Internal-IP", cells.node_address("InternalIP")),
        _wide("External-IP", cells.node_address("ExternalIP")),
        _wide("OS-Image", text_at("status", "nodeInfo", "osImage", otherwise=_UNKNOWN)),
        _wide("Kernel-Version", text_at("status", "nodeInfo", "kernelVersion", otherwise=_UNKNOWN)),
        _wide("Container-Runtime", text_at("status", "nodeInfo", "containerRuntimeVersion", otherwise=_UNKNOWN)),
    ),
    "PersistentVolumeClaim": (
        _text("Status", cells.or_terminating("phase")),
        Column("Volume", ".spec.volumeName"),
        Column("Capacity", ".status.capacity.storage"),
        _text("Access Modes", cells.modes),
        _text("StorageClass", cells.class_of),
        _ATTRIBUTES,
        AGE,
        _VOLUME_MODE,
    ),
    "PersistentVolume": (
        Column("Capacity", ".spec.capacity.storage"),
        _text("Access Modes", cells.modes),
        Column("Reclaim Policy", ".spec.persistentVolumeReclaimPolicy"),
        _text("Status", cells.or_terminating("phase")),
        _text("Claim", cells.claim),
        _text("StorageClass", cells.class_of),
        _ATTRIBUTES,
        Column("Reason", ".status.reason"),
        AGE,
        _VOLUME_MODE,
    ),
    "Secret": (Column("Type", ".type"), _text("Data", cells.data_count), AGE),
    "ConfigMap": (_text("Data", cells.data_count), AGE),
    "ServiceAccount": (_text("Secrets", cells.length("secrets")), AGE),
    "Service": (
        Column("Type", ".spec.type"),
        _text("Cluster-IP", text_at("spec", "clusterIP")),
        _text("External-IP", cells.outside),
        _text("Port(s)", cells.ports),
        AGE,
        _wide("Selector", labels_at("spec", "selector")),
    ),
    "Endpoints": (_text("Endpoints", cells.endpoints), AGE),
    "EndpointSlice": (
        Column("AddressType", ".addressType"),
        _text("Ports", cells.slice_ports),
        _text("Endpoints", cells.slice_endpoints),
        AGE,
    ),
    "ReplicationController": (*_REPLICAS, *_PROGRAMS, _wide("Selector", labels_at("spec", "selector"))),
    "Ingress": (
        _text("Class", text_at("spec", "ingressClassName")),
        _text("Hosts", cells.hosts),
        _text("Address", cells.address),
        _text("Ports", cells.ingress_ports),
        AGE,
    ),
    "IngressClass": (Column("Controller", ".spec.controller"), _text("Parameters", cells.parameters), AGE),
    "NetworkPolicy": (_text("Pod-Selector", selector_at("spec", "podSelector")), AGE),
    "StatefulSet": (_text("Ready", cells.ready_of("readyReplicas")), AGE, *_PROGRAMS),
    "Deployment": (
        _text("Ready", cells.ready_of("readyReplicas")),
        _text("Up-to-date", number("status", "updatedReplicas")),
        _text("Available", number("status", "availableReplicas")),
        AGE,
        *_WORKLOAD,
    ),
    "ReplicaSet": (*_REPLICAS, *_WORKLOAD),
    "DaemonSet": (
        _whole("Desired", number("status", "desiredNumberScheduled")),
        _whole("Current", number("status", "currentNumberScheduled")),
        _whole("Ready", number("status", "numberReady")),
        _whole("Up-to-date", number("status", "updatedNumberScheduled")),
        _whole("Available", number("status", "numberAvailable")),
        _text("Node Selector", labels_at("spec", "template", "spec", "nodeSelector")),
        AGE,
        *_WORKLOAD,
    ),
    "ControllerRevision": (_text("Controller", cells.owner), _text("Revision", number("revision")), AGE),
    "Job": (
        _text("Status", cells.job_status),
        _text("Completions", cells.job_completions),
        _text("Duration", cells.job_duration),
        AGE,
        *_WORKLOAD,
    ),
    "CronJob": (
        Column("Schedule", ".spec.schedule"),
        _text("Timezone", text_at("spec", "timeZone")),
        Column("Suspend", ".spec.suspend", type="boolean"),
        _whole("Active", cells.active),
        _text("Last Schedule", cells.last_schedule),
        AGE,
        *_PROGRAMS,
        _wide("Selector", selector_at("spec", "jobTemplate", "spec", "selector")),
    ),
    "PodDisruptionBudget": (
        _text("Min Available", text_at("spec", "minAvailable", otherwise="N/A")),
        _text("Max Unavailable", text_at("spec", "maxUnavailable", otherwise="N/A")),
        _whole("Allowed Disruptions", number("status", "disruptionsAllowed")),
        AGE,
    ),
    "ResourceQuota": (_text("Request", cells.used(limits=False)), _text("Limit", cells.used(limits=True)), AGE),
    "Event": (
        _text("Last Seen", cells.last_seen),
        Column("Type", ".type"),
        Column("Reason", ".reason"),
        _text("Object", cells.event_object),
        _wide("Subobject", cells.subobject),
        _wide("Source", cells.event_source),
        _text("Message", cells.event_message),
        _wide("First Seen", cells.first_seen),
        _wide("Count", cells.event_count),
    ),
    "StorageClass": (
        Column("Provisioner", ".provisioner"),
        Column("ReclaimPolicy", ".reclaimPolicy"),
        Column("VolumeBindingMode", ".volumeBindingMode"),
        _text("AllowVolumeExpansion", cells.flag("allowVolumeExpansion")),
        AGE,
    ),
    "CSIDriver": (
        _flag("AttachRequired", cells.flag("spec", "attachRequired")),
        _flag("PodInfoOnMount", cells.flag("spec", "podInfoOnMount")),
        _flag("StorageCapacity", cells.flag("spec", "storageCapacity")),
        _text("TokenRequests", cells.audiences),
        _flag("RequiresRepublish", cells.flag("spec", "requiresRepublish")),
        _text("Modes", cells.lifecycles),
        AGE,
    ),
    "VolumeAttachment": (
        Column("Attacher", ".spec.attacher", format="name"),
        Column("PV", ".spec.source.persistentVolumeName"),
        Column("Node", ".spec.nodeName"),
        _flag("Attached", cells.flag("status", "attached")),
        AGE,
    ),
    "Lease": (Column("Holder", ".spec.holderIdentity"), AGE),
    "PriorityClass": (
        Column("Value", ".value", type="integer"),
        _flag("Global-Default", cells.flag("globalDefault")),
        AGE,
        Column("PreemptionPolicy", ".preemptionPolicy"),
    ),
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "ValidatingWebhookConfiguration": _HOOKS,
    "MutatingWebhookConfiguration": _HOOKS,
}
"""A kind that is missing here shows when it was created, as all do that have no columns of their own."""

NAMES: Final[dict[str, Callable[..., object]]] = {"StorageClass": cells.default_class}
