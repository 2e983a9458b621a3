"""Printer columns of the built-in kinds, as `kubectl get` users know them.

A cell is a JSONPath, or a function of the object and the time where the words are computed (a pod's STATUS, a Job's
COMPLETIONS). The NAME column is added by `tables`; AGE is rendered there from `creationTimestamp`.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

from holdfast.embedded.apiserver.ages import duration, parse_time, since
from holdfast.embedded.apiserver.kinds import Column
from holdfast.embedded.apiserver.objects import Object, lookup, part, parts, texts

_NONE: Final = "<none>"


def _terminated_reason(state: Object) -> str:
    ended = state["terminated"]
    if reason := ended.get("reason"):
        return str(reason)
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _sidecars(pod: Object) -> frozenset[str]:
    """The init containers that run on beside the others."""
    return frozenset(item["name"] for item in parts(pod, "spec", "initContainers") if item.get("restartPolicy") == "Always")


def _init_status(pod: Object) -> str:
    statuses = parts(pod, "status", "initContainerStatuses")
    total = len(parts(pod["spec"], "initContainers"))
    sidecars = _sidecars(pod)
    for index, status in enumerate(statuses):
        state = part(status, "state")
        if status.get("name") in sidecars and status.get("started"):
            continue
        if "terminated" in state and state["terminated"].get("exitCode", 0) == 0:
            continue
        if "terminated" in state:
            return f"Init:{_terminated_reason(state)}"
        reason = part(state, "waiting").get("reason", "")
        return f"Init:{reason}" if reason not in ("", "PodInitializing") else f"Init:{index}/{total}"
    return ""


def pod_status(pod: Object, now: dt.datetime) -> str:
    """The word under STATUS: the phase, or the nearest reason that explains it."""
    status = part(pod, "status")
    shown = status.get("reason") or status.get("phase") or "Unknown"
    if starting := _init_status(pod):
        shown = starting
    else:
        for container in reversed(parts(status, "containerStatuses")):
            state = part(container, "state")
            if waiting := part(state, "waiting").get("reason"):
                shown = waiting
            elif "terminated" in state and not status.get("reason"):
                shown = _terminated_reason(state)
    if pod["metadata"].get("deletionTimestamp"):
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return str(shown)


def _or_none(*path: str) -> Callable[[Object, dt.datetime], object]:
    """A cell that says so when there is nothing."""
    return lambda obj, now: lookup(obj, *path) or _NONE


def _readiness_gates(pod: Object, now: dt.datetime) -> str:
    """How many of the pod's own conditions are met."""
    del now
    gates = [gate.get("conditionType") for gate in parts(pod["spec"], "readinessGates")]
    met = {item.get("type") for item in parts(pod, "status", "conditions") if item.get("status") == "True"}
    return f"{sum(gate in met for gate in gates)}/{len(gates)}" if gates else _NONE


def _pod_ready(pod: Object, now: dt.datetime) -> str:
    sidecars = _sidecars(pod)
    beside = [status for status in parts(pod, "status", "initContainerStatuses") if status.get("name") in sidecars]
    statuses = [*parts(pod, "status", "containerStatuses"), *beside]
    ready = sum(1 for status in statuses if status.get("ready"))
    return f"{ready}/{len(parts(pod, 'spec', 'containers')) + len(sidecars)}"


def _pod_restarts(pod: Object, now: dt.datetime) -> str:
    statuses = parts(pod, "status", "containerStatuses")
    count = sum(status.get("restartCount", 0) for status in statuses)
    ends = [part(status, "lastState", "terminated").get("finishedAt") for status in statuses]
    last = max(filter(None, ends), default="")
    return f"{count} ({since(last, now)} ago)" if count and last else str(count)


def _ready(field: str) -> Any:
    def cell(obj: Object, now: dt.datetime) -> str:
        return f"{lookup(obj, 'status', field) or 0}/{obj['spec'].get('replicas', 1)}"

    return cell


def _count(*path: str) -> Any:
    def cell(obj: Object, now: dt.datetime) -> int:
        return lookup(obj, *path) or 0

    return cell


def _job_status(job: Object, now: dt.datetime) -> str:
    held = {item["type"] for item in parts(job, "status", "conditions") if item.get("status") == "True"}
    for word in ("Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if word in held:
            return word
    return "Terminating" if job["metadata"].get("deletionTimestamp") else "Running"


def _job_completions(job: Object, now: dt.datetime) -> str:
    wanted = job["spec"].get("completions", 1)
    return f"{lookup(job, 'status', 'succeeded') or 0}/{wanted}"


def _job_duration(job: Object, now: dt.datetime) -> str:
    status = part(job, "status")
    if not status.get("startTime"):
        return ""
    end = parse_time(status.get("completionTime") or "") or now
    start = parse_time(status["startTime"])
    return duration(end - start) if start else ""


def _active(cronjob: Object, now: dt.datetime) -> int:
    return len(parts(cronjob, "status", "active"))


def _data_count(obj: Object, now: dt.datetime) -> int:
    return len(part(obj, "data")) + len(part(obj, "binaryData"))


_MODES: Final = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(obj: Object, now: dt.datetime) -> str:
    held = texts(obj, "status" if obj["kind"] == "PersistentVolumeClaim" else "spec", "accessModes")
    return ",".join(_MODES.get(mode, mode) for mode in held)


def _terminating(field: str) -> Any:
    def cell(obj: Object, now: dt.datetime) -> str:
        if obj["metadata"].get("deletionTimestamp"):
            return "Terminating"
        return str(lookup(obj, "status", field) or "")

    return cell


def _claim(pv: Object, now: dt.datetime) -> str:
    ref = part(pv["spec"], "claimRef")
    return f"{ref.get('namespace', '')}/{ref.get('name', '')}" if ref else ""


def _node_status(node: Object, now: dt.datetime) -> str:
    for condition in parts(node, "status", "conditions"):
        if condition.get("type") == "Ready":
            word = "Ready" if condition.get("status") == "True" else "NotReady"
            return f"{word},SchedulingDisabled" if node.get("spec", {}).get("unschedulable") else word
    return "Unknown"


def _roles(node: Object, now: dt.datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    found = [label.removeprefix(prefix) for label in part(node["metadata"], "labels") if label.startswith(prefix)]
    return ",".join(sorted(found)) or _NONE


def _event_object(event: Object, now: dt.datetime) -> str:
    ref = part(event, "involvedObject") or part(event, "regarding")
    return f"{ref.get('kind', '').lower()}/{ref.get('name', '')}"


def _last_seen(event: Object, now: dt.datetime) -> str:
    series = part(event, "series")
    seen = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return since(seen or event["metadata"].get("creationTimestamp", ""), now)


def _ports(service: Object, now: dt.datetime) -> str:
    ports = parts(service, "spec", "ports")
    return ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in ports) or _NONE


def _outside(service: Object, now: dt.datetime) -> str:
    """The addresses that a Service has outside; a load balancer has none here, ever."""
    spec = part(service, "spec")
    given = [spec["externalName"]] if spec.get("externalName") else [*(spec.get("externalIPs") or ())]
    return ",".join(given) or ("<pending>" if spec.get("type") == "LoadBalancer" else _NONE)


def _selector(service: Object, now: dt.datetime) -> str:
    return ",".join(f"{key}={value}" for key, value in part(service, "spec", "selector").items()) or _NONE


def _hosts(ingress: Object, now: dt.datetime) -> str:
    return ",".join(rule.get("host") or "*" for rule in parts(ingress, "spec", "rules")) or "*"


def _pod_selector(policy: Object, now: dt.datetime) -> str:
    labels = part(policy, "spec", "podSelector", "matchLabels")
    return ",".join(f"{key}={value}" for key, value in labels.items()) or _NONE


def _default_class(obj: Object, now: dt.datetime) -> str:
    marks = part(obj["metadata"], "annotations")
    default = marks.get("storageclass.kubernetes.io/is-default-class") == "true"
    return f"{obj['metadata']['name']} (default)" if default else obj["metadata"]["name"]


def _images(obj: Object, now: dt.datetime) -> str:
    template = lookup(obj, "spec", "jobTemplate", "spec", "template") or lookup(obj, "spec", "template")
    return ",".join(item.get("image", "") for item in parts(template, "spec", "containers"))


AGE: Final = Column("Age", ".metadata.creationTimestamp", type="date")
CREATED_AT: Final = Column("Created At", ".metadata.creationTimestamp", type="string")

_IMAGES: Final = Column("Images", "", cell=_images, priority=1)

COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "Pod": (
        Column("Ready", "", cell=_pod_ready),
        Column("Status", "", cell=pod_status),
        Column("Restarts", "", cell=_pod_restarts),
        AGE,
        Column("IP", "", priority=1, cell=_or_none("status", "podIP")),
        Column("Node", "", priority=1, cell=_or_none("spec", "nodeName")),
        Column("Nominated Node", "", priority=1, cell=_or_none("status", "nominatedNodeName")),
        Column("Readiness Gates", "", priority=1, cell=_readiness_gates),
    ),
    "Namespace": (Column("Status", ".status.phase"), AGE),
    "Node": (
        Column("Status", "", cell=_node_status),
        Column("Roles", "", cell=_roles),
        AGE,
        Column("Version", ".status.nodeInfo.kubeletVersion"),
        Column("Internal-IP", '.status.addresses[?(@.type=="InternalIP")].address', priority=1),
    ),
    "PersistentVolumeClaim": (
        Column("Status", "", cell=_terminating("phase")),
        Column("Volume", ".spec.volumeName"),
        Column("Capacity", ".status.capacity.storage"),
        Column("Access Modes", "", cell=_modes),
        Column("StorageClass", ".spec.storageClassName"),
        AGE,
        Column("VolumeMode", ".spec.volumeMode", priority=1),
    ),
    "PersistentVolume": (
        Column("Capacity", ".spec.capacity.storage"),
        Column("Access Modes", "", cell=_modes),
        Column("Reclaim Policy", ".spec.persistentVolumeReclaimPolicy"),
        Column("Status", "", cell=_terminating("phase")),
        Column("Claim", "", cell=_claim),
        Column("StorageClass", ".spec.storageClassName"),
        Column("Reason", ".status.reason"),
        AGE,
    ),
    "Secret": (Column("Type", ".type"), Column("Data", "", type="integer", cell=_data_count), AGE),
    "ConfigMap": (Column("Data", "", type="integer", cell=_data_count), AGE),
    "ServiceAccount": (AGE,),
    "Service": (
        Column("Type", ".spec.type"),
        Column("Cluster-IP", ".spec.clusterIP"),
        Column("External-IP", "", cell=_outside),
        Column("Port(s)", "", cell=_ports),
        AGE,
        Column("Selector", "", priority=1, cell=_selector),
    ),
    "ReplicationController": (
        Column("Desired", ".spec.replicas", "integer"),
        Column("Current", ".status.replicas", "integer"),
        Column("Ready", ".status.readyReplicas", "integer"),
        AGE,
    ),
    "Ingress": (Column("Class", ".spec.ingressClassName"), Column("Hosts", "", cell=_hosts), AGE),
    "IngressClass": (Column("Controller", ".spec.controller"), AGE),
    "NetworkPolicy": (Column("Pod-Selector", "", cell=_pod_selector), AGE),
    "StatefulSet": (Column("Ready", "", cell=_ready("readyReplicas")), AGE, _IMAGES),
    "Deployment": (
        Column("Ready", "", cell=_ready("readyReplicas")),
        Column("Up-to-date", "", type="integer", cell=_count("status", "updatedReplicas")),
        Column("Available", "", type="integer", cell=_count("status", "availableReplicas")),
        AGE,
        _IMAGES,
    ),
    "ReplicaSet": (
        Column("Desired", "", type="integer", cell=_count("spec", "replicas")),
        Column("Current", "", type="integer", cell=_count("status", "replicas")),
        Column("Ready", "", type="integer", cell=_count("status", "readyReplicas")),
        AGE,
        _IMAGES,
    ),
    "DaemonSet": (
        Column("Desired", "", type="integer", cell=_count("status", "desiredNumberScheduled")),
        Column("Current", "", type="integer", cell=_count("status", "currentNumberScheduled")),
        Column("Ready", "", type="integer", cell=_count("status", "numberReady")),
        AGE,
        _IMAGES,
    ),
    "Job": (
        Column("Status", "", cell=_job_status),
        Column("Completions", "", cell=_job_completions),
        Column("Duration", "", cell=_job_duration),
        AGE,
        _IMAGES,
    ),
    "CronJob": (
        Column("Schedule", ".spec.schedule"),
        Column("Timezone", ".spec.timeZone"),
        Column("Suspend", ".spec.suspend", type="boolean"),
        Column("Active", "", type="integer", cell=_active),
        Column("Last Schedule", ".status.lastScheduleTime", type="date"),
        AGE,
        _IMAGES,
    ),
    "Event": (
        Column("Last Seen", "", cell=_last_seen),
        Column("Type", ".type"),
        Column("Reason", ".reason"),
        Column("Object", "", cell=_event_object),
        Column("Message", ".message"),
    ),
    "StorageClass": (
        Column("Provisioner", ".provisioner"),
        Column("ReclaimPolicy", ".reclaimPolicy"),
        Column("VolumeBindingMode", ".volumeBindingMode"),
        Column("AllowVolumeExpansion", ".allowVolumeExpansion", type="boolean"),
        AGE,
    ),
    "Lease": (Column("Holder", ".spec.holderIdentity"), AGE),
    "PriorityClass": (
        Column("Value", ".value", type="integer"),
        Column("Global-Default", ".globalDefault", type="boolean"),
        AGE,
    ),
    "CustomResourceDefinition": (CREATED_AT,),
    "Role": (CREATED_AT,),
    "ClusterRole": (CREATED_AT,),
    "RoleBinding": (Column("Role", ".roleRef.name"), AGE),
    "ClusterRoleBinding": (Column("Role", ".roleRef.name"), AGE),
}

NAMES: Final = {"StorageClass": _default_class}
