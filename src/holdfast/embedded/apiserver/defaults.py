"""Defaults that kubectl users expect on built-in kinds. Custom resources take theirs from their schema.

`fill` runs at every write and must not change what it filled before; `at_birth` runs once, at creation, and is where an
object gets what depends on its uid.
"""

import base64
from collections.abc import Callable
from typing import Any, Final

from holdfast.embedded.apiserver import limits, role_rules
from holdfast.embedded.apiserver.crds import CLEANUP, CRDS
from holdfast.embedded.apiserver.errors import bad_request
from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.objects import Object, part, parts, texts

_TOLERATION_SECONDS: Final = 300


def _set(target: Object, **values: Any) -> None:
    """Fill in what is left out; an empty word counts as left out."""
    for key, value in values.items():
        if target.get(key) in (None, ""):
            target[key] = value


def _child(obj: Object, key: str) -> Object:
    """The object under a key, made when missing."""
    if obj.get(key) is None:
        obj[key] = {}
    if not isinstance(obj[key], dict):
        raise bad_request(f"{key} must be an object")
    return obj[key]


def _spec(obj: Object) -> Object:
    return _child(obj, "spec")


def _probe(probe: Object | None) -> None:
    if probe:
        _set(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
        if get := probe.get("httpGet"):
            _set(get, path="/", scheme="HTTP")


def _container(container: Object) -> None:
    image = str(container.get("image", ""))
    is_latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
    _set(container, imagePullPolicy="Always" if is_latest and "@" not in image else "IfNotPresent", resources={})
    _set(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    for port in parts(container, "ports"):
        _set(port, protocol="TCP")
    for variable in parts(container, "env"):
        ref = part(variable, "valueFrom").get("fieldRef")
        if ref:
            _set(ref, apiVersion="v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        _probe(container.get(name))
    resources = _child(container, "resources")
    for key in ("limits", "requests"):
        _as_text(resources, key)
    if limits := part(resources, "limits"):
        resources["requests"] = {**limits, **part(resources, "requests")}


def _as_text(resources: Object, key: str) -> None:
    """Quantities may be written as numbers; they are kept as text."""
    if amounts := part(resources, key):
        resources[key] = {name: amount if isinstance(amount, str) else str(amount) for name, amount in amounts.items()}


def _volume(volume: Object) -> None:
    for name, key in (("secret", "defaultMode"), ("configMap", "defaultMode"), ("downwardAPI", "defaultMode")):
        if volume.get(name) is not None:
            _set(volume[name], **{key: 420})
    if volume.get("projected") is not None:
        _set(volume["projected"], defaultMode=420)
        for source in parts(volume["projected"], "sources"):
            if token := source.get("serviceAccountToken"):
                _set(token, expirationSeconds=3600)
    if volume.get("hostPath") is not None:
        _set(volume["hostPath"], type="")
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}


def pod_spec(spec: Object) -> None:
    """Defaults of a pod's spec, wherever it stands."""
    _set(spec, restartPolicy="Always", terminationGracePeriodSeconds=30, dnsPolicy="ClusterFirst")
    _set(spec, schedulerName="default-scheduler", securityContext={})
    if spec.get("serviceAccount") and not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    for container in [*(parts(spec, "initContainers")), *(parts(spec, "containers"))]:
        _container(container)
    for volume in parts(spec, "volumes"):
        _volume(volume)


def _pod(obj: Object) -> None:
    spec = _spec(obj)
    pod_spec(spec)
    _set(spec, serviceAccountName="default", serviceAccount="default", enableServiceLinks=True)
    if not spec.get("tolerations"):
        spec["tolerations"] = [
            {
                "key": f"node.kubernetes.io/{key}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": _TOLERATION_SECONDS,
            }
            for key in ("not-ready", "unreachable")
        ]


def _template(spec: Object) -> Object:
    template = _child(spec, "template")
    _child(template, "metadata")
    pod_spec(_child(template, "spec"))
    return template


def _claim(obj: Object) -> None:
    spec = _spec(obj)
    _set(spec, volumeMode="Filesystem")
    for key in ("limits", "requests"):
        _as_text(_child(spec, "resources"), key)


def _statefulset(obj: Object) -> None:
    spec = _spec(obj)
    _template(spec)
    _set(spec, replicas=1, podManagementPolicy="OrderedReady", revisionHistoryLimit=10, serviceName="")
    _set(spec, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    _set(spec, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})
    for claim in parts(spec, "volumeClaimTemplates"):
        _set(claim, apiVersion="v1", kind="PersistentVolumeClaim", status={"phase": "Pending"})
        _claim(claim)


def _deployment(obj: Object) -> None:
    spec = _spec(obj)
    _template(spec)
    _set(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    _set(spec, strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})


def _replicaset(obj: Object) -> None:
    spec = _spec(obj)
    _set(spec, replicas=1)
    if spec.get("template"):
        _template(spec)


def _daemonset(obj: Object) -> None:
    spec = _spec(obj)
    _template(spec)
    _set(spec, revisionHistoryLimit=10)
    _set(spec, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})


def _job_spec(spec: Object) -> None:
    _template(spec)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    per_index = spec.get("backoffLimitPerIndex") is not None
    _set(spec, parallelism=1, backoffLimit=2**31 - 1 if per_index else 6, completionMode="NonIndexed", suspend=False)
    _set(spec, podReplacementPolicy="Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed", manualSelector=False)


def _job(obj: Object) -> None:
    _job_spec(_spec(obj))


def _cronjob(obj: Object) -> None:
    spec = _spec(obj)
    _set(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    job = _child(spec, "jobTemplate")
    _child(job, "metadata")
    _template(_child(job, "spec"))


def _secret(obj: Object) -> None:
    _set(obj, type="Opaque")
    if (texts := obj.pop("stringData", None)) is not None:
        obj["data"] = {
            **part(obj, "data"),
            **{key: base64.b64encode(str(value).encode()).decode() for key, value in texts.items()},
        }


def _service(obj: Object) -> None:
    spec = _spec(obj)
    _set(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster")
    for port in parts(spec, "ports"):
        _set(port, protocol="TCP", targetPort=port.get("port"))


def _volume_object(obj: Object) -> None:
    spec = _spec(obj)
    _set(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    _as_text(spec, "capacity")


def _class(obj: Object) -> None:
    _set(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _limit_range(obj: Object) -> None:
    for item in parts(_spec(obj), "limits"):
        for key in _LIMITS:
            _as_text(item, key)
        limits.complete(item)


_LIMITS: Final = ("default", "defaultRequest", "max", "min", "maxLimitRequestRatio")


def _quota(obj: Object) -> None:
    _as_text(_spec(obj), "hard")


def _priority_class(obj: Object) -> None:
    _set(obj, preemptionPolicy="PreemptLowerPriority")


def _namespace(obj: Object) -> None:
    obj.setdefault("metadata", {}).setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")


_FILL: Final[dict[str, Callable[[Object], None]]] = {
    "/pods": _pod,
    "/secrets": _secret,
    "/services": _service,
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
    """A Job selects its pods by its own uid, unless the author chose a selector."""
    spec, meta = obj["spec"], obj["metadata"]
    if spec.get("manualSelector"):
        return
    labels = spec["template"]["metadata"].setdefault("labels", {})
    marks = {_CONTROLLER_UID: meta["uid"], "controller-uid": meta["uid"]}
    marks |= {_JOB_NAME: meta["name"], "job-name": meta["name"]} if meta.get("name") else {}
    labels.update(marks)
    spec["selector"] = {"matchLabels": {_CONTROLLER_UID: meta["uid"]}}


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


def _claim_born(obj: Object) -> None:
    obj["status"] = {"phase": "Pending"}


def _volume_born(obj: Object) -> None:
    obj["status"] = {"phase": "Pending"}


def _definition_born(obj: Object) -> None:
    """A definition stays until the objects of its kind are gone."""
    obj["metadata"]["finalizers"] = list(dict.fromkeys([*(texts(obj["metadata"], "finalizers")), CLEANUP]))


_BIRTH: Final[dict[str, Callable[[Object], None]]] = {
    "/pods": _pod_born,
    "/namespaces": _namespace_born,
    "/persistentvolumeclaims": _claim_born,
    "/persistentvolumes": _volume_born,
    "batch/jobs": _job_born,
    CRDS: _definition_born,
}


def at_birth(kind: Kind, obj: Object) -> None:
    """Give a new built-in object what only the server can: status, uid-based selectors."""
    if (filler := _BIRTH.get(kind.resource)) is not None:
        filler(obj)
