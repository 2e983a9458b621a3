"""Defaults that kubectl users expect on built-in kinds. Custom resources take theirs from their schema.

`fill` runs at every write and must not change what it filled before; `at_birth` runs once, at creation, and is where an
object gets what depends on its uid.
"""

import base64
import copy
from collections.abc import Callable
from typing import Final

from holdfast.embedded.apiserver import limits, network_defaults, role_rules
from holdfast.embedded.apiserver.crds import CLEANUP, CRDS
from holdfast.embedded.apiserver.errors import bad_request
from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.objects import Object, part, parts, texts
from holdfast.embedded.apiserver.pod_defaults import amounts_at, child, open_ports, pod_spec, request_limits, set_missing


def _spec(obj: Object) -> Object:
    return child(obj, "spec")


def _pod(obj: Object) -> None:
    spec = _spec(obj)
    pod_spec(spec)
    request_limits(spec)
    open_ports(spec)
    set_missing(spec, enableServiceLinks=True)


def _template(spec: Object) -> Object:
    template = child(spec, "template")
    child(template, "metadata")
    pod_spec(child(template, "spec"))
    return template


def _claim(obj: Object) -> None:
    spec = _spec(obj)
    set_missing(spec, volumeMode="Filesystem")
    for key in ("limits", "requests"):
        amounts_at(child(spec, "resources"), key)


def _statefulset(obj: Object) -> None:
    spec = _spec(obj)
    _template(spec)
    set_missing(spec, replicas=1, podManagementPolicy="OrderedReady", revisionHistoryLimit=10, serviceName="")
    set_missing(spec, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    set_missing(spec, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})
    for claim in parts(spec, "volumeClaimTemplates"):
        set_missing(claim, apiVersion="v1", kind="PersistentVolumeClaim", status={"phase": "Pending"})
        _claim(claim)


def _deployment(obj: Object) -> None:
    spec = _spec(obj)
    _template(spec)
    set_missing(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    set_missing(spec, strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})


def _replicaset(obj: Object) -> None:
    spec = _spec(obj)
    set_missing(spec, replicas=1)
    if spec.get("template"):
        _template(spec)


def _daemonset(obj: Object) -> None:
    spec = _spec(obj)
    _template(spec)
    set_missing(spec, revisionHistoryLimit=10)
    set_missing(spec, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})


def _job_spec(spec: Object) -> None:
    _template(spec)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    per_index = spec.get("backoffLimitPerIndex") is not None
    set_missing(spec, parallelism=1, backoffLimit=2**31 - 1 if per_index else 6, completionMode="NonIndexed", suspend=False)
    set_missing(
        spec, podReplacementPolicy="Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed", manualSelector=False
    )
    for rule in parts(spec, "podFailurePolicy", "rules"):
        for condition in parts(rule, "onPodConditions"):
            set_missing(condition, status="True")


def _job(obj: Object) -> None:
    _job_spec(_spec(obj))


def _cronjob(obj: Object) -> None:
    spec = _spec(obj)
    set_missing(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    job = child(spec, "jobTemplate")
    child(job, "metadata")
    _template(child(job, "spec"))


def _secret(obj: Object) -> None:
    set_missing(obj, type="Opaque")
    if (texts := obj.pop("stringData", None)) is not None:
        obj["data"] = {
            **part(obj, "data"),
            **{key: base64.b64encode(str(value).encode()).decode() for key, value in texts.items()},
        }


def _volume_object(obj: Object) -> None:
    spec = _spec(obj)
    set_missing(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    amounts_at(spec, "capacity")


def _class(obj: Object) -> None:
    set_missing(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _limit_range(obj: Object) -> None:
    for item in parts(_spec(obj), "limits"):
        for key in _LIMITS:
            amounts_at(item, key)
        limits.complete(item)


_LIMITS: Final = ("default", "defaultRequest", "max", "min", "maxLimitRequestRatio")


def _quota(obj: Object) -> None:
    amounts_at(_spec(obj), "hard")


def _driver(obj: Object) -> None:
    spec = _spec(obj)
    set_missing(spec, attachRequired=True, podInfoOnMount=False, requiresRepublish=False, storageCapacity=False)
    set_missing(spec, fsGroupPolicy="ReadWriteOnceWithFSType", seLinuxMount=False)
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def _validating(obj: Object) -> None:
    for hook in parts(obj, "webhooks"):
        set_missing(hook, failurePolicy="Fail", matchPolicy="Equivalent", timeoutSeconds=10)
        set_missing(hook, namespaceSelector={}, objectSelector={})
        for rule in parts(hook, "rules"):
            set_missing(rule, scope="*")
        if service := part(hook, "clientConfig", "service"):
            set_missing(service, port=443)


def _mutating(obj: Object) -> None:
    _validating(obj)
    for hook in parts(obj, "webhooks"):
        set_missing(hook, reinvocationPolicy="Never")


def _replication(obj: Object) -> None:
    """A ReplicationController takes its selector and labels from its template."""
    spec = _spec(obj)
    set_missing(spec, replicas=1)
    labels = part(_template(spec), "metadata", "labels")
    if labels:
        spec["selector"] = spec.get("selector") or dict(labels)
        obj["metadata"]["labels"] = obj["metadata"].get("labels") or dict(labels)


def _priority_class(obj: Object) -> None:
    set_missing(obj, preemptionPolicy="PreemptLowerPriority")


def _namespace(obj: Object) -> None:
    obj.setdefault("metadata", {}).setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")


_FILL: Final[dict[str, Callable[[Object], None]]] = {
    "/pods": _pod,
    "/secrets": _secret,
    "/services": network_defaults.service,
    "/endpoints": network_defaults.endpoints,
    "/replicationcontrollers": _replication,
    "discovery.k8s.io/endpointslices": network_defaults.endpoint_slice,
    "networking.k8s.io/networkpolicies": network_defaults.policy,
    "storage.k8s.io/csidrivers": _driver,
    "admissionregistration.k8s.io/validatingwebhookconfigurations": _validating,
    "admissionregistration.k8s.io/mutatingwebhookconfigurations": _mutating,
    "/namespaces": _namespace,
    "/limitranges": _limit_range,
    "/resourcequotas": _quota,
    "scheduling.k8s.io/priorityclasses": _priority_class,
    "/persistentvolumeclaims": _claim,
    "/persistentvolumes": _volume_object,
    "apps/statefulsets": _statefulset,
    "apps/deployments": _deployment,
    "apps/replicasets": _replicaset,
    "apps/daemonsets": _daemonset,
    "batch/jobs": _job,
    "batch/cronjobs": _cronjob,
    "storage.k8s.io/storageclasses": _class,
    "rbac.authorization.k8s.io/rolebindings": role_rules.fill,
    "rbac.authorization.k8s.io/clusterrolebindings": role_rules.fill,
}


def fill(kind: Kind, obj: Object) -> None:
    """Fill the defaults of a built-in kind in place; 400 when its structure does not allow to."""
    filler = _FILL.get(kind.resource)
    if filler is None:
        return
    try:
        filler(obj)
    except (AttributeError, TypeError, KeyError) as error:
        raise bad_request(f"{kind.kind} is not built as its kind demands: {error}") from None


_CONTROLLER_UID: Final = "batch.kubernetes.io/controller-uid"
_JOB_NAME: Final = "batch.kubernetes.io/job-name"


def _job_born(obj: Object) -> None:
    """A Job selects its pods by its own uid, unless the author chose a selector, and takes their labels if it has none."""
    obj["status"] = {}
    spec, meta = obj["spec"], obj["metadata"]
    if spec.get("manualSelector"):
        return
    labels = spec["template"]["metadata"].setdefault("labels", {})
    marks = {_CONTROLLER_UID: meta["uid"], "controller-uid": meta["uid"]}
    marks |= {_JOB_NAME: meta["name"], "job-name": meta["name"]} if meta.get("name") else {}
    labels.update(marks)
    spec["selector"] = {"matchLabels": {_CONTROLLER_UID: meta["uid"]}}
    meta["labels"] = meta.get("labels") or dict(labels)


def _pod_born(obj: Object) -> None:
    obj["status"] = {"phase": "Pending", "qosClass": _quality(obj["spec"])}


def _quality(spec: Object) -> str:
    resources = [part(item, "resources") for item in parts(spec, "containers")]
    if not any(item.get("requests") or item.get("limits") for item in resources):
        return "BestEffort"
    both = all({"cpu", "memory"} <= set(part(item, "limits")) for item in resources)
    same = all(item.get("requests") == item.get("limits") for item in resources)
    return "Guaranteed" if both and same else "Burstable"


def _namespace_born(obj: Object) -> None:
    _namespace(obj)
    obj["spec"] = {"finalizers": ["kubernetes"]}
    obj["status"] = {"phase": "Active"}


_FIRST_STATUS: Final[dict[str, Object]] = {
    "/persistentvolumeclaims": {"phase": "Pending"},
    "/persistentvolumes": {"phase": "Pending"},
    "/services": {"loadBalancer": {}},
    "/resourcequotas": {},
    "/replicationcontrollers": {"replicas": 0},
    "networking.k8s.io/ingresses": {"loadBalancer": {}},
    "apps/deployments": {},
    "apps/replicasets": {"replicas": 0},
    "apps/statefulsets": {"replicas": 0, "availableReplicas": 0},
    "apps/daemonsets": dict.fromkeys(
        ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"), 0
    ),
    "batch/cronjobs": {},
    "policy/poddisruptionbudgets": dict.fromkeys(("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"), 0),
}
"""The status of a new object before any controller has seen it: what of it is never left out."""


def _definition_born(obj: Object) -> None:
    """A definition stays until the objects of its kind are gone."""
    obj["metadata"]["finalizers"] = list(dict.fromkeys([*(texts(obj["metadata"], "finalizers")), CLEANUP]))


_BIRTH: Final[dict[str, Callable[[Object], None]]] = {
    "/pods": _pod_born,
    "/namespaces": _namespace_born,
    "batch/jobs": _job_born,
    CRDS: _definition_born,
}


def at_birth(kind: Kind, obj: Object) -> None:
    """Give a new built-in object what only the server can: status, uid-based selectors."""
    if (status := _FIRST_STATUS.get(kind.resource)) is not None:
        obj["status"] = copy.deepcopy(status)
    if (filler := _BIRTH.get(kind.resource)) is not None:
        filler(obj)
