"""Rules of built-in kinds that protect a user: what is required, and what may not change once it is made.

Custom resources bring theirs in their schema and admission check. The words follow the real API server's.
"""

import base64
import binascii
import re
import zoneinfo
from collections.abc import Callable
from typing import Any, Final

from holdfast.embedded.apiserver import job_rules, pod_rules, role_rules, service_rules
from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.metadata import Cause
from holdfast.embedded.apiserver.objects import Object, lookup, part, parts
from holdfast.schema.quantity import parse

Rule = Callable[[Object, Object | None], list[Cause]]


def _required(field: str) -> Cause:
    return field, f"{field}: Required value"


def _at(obj: Object, path: str) -> Any:
    return lookup(obj, *path.split("."))


def _pod(new: Object, old: Object | None) -> list[Cause]:
    if old is None:
        return pod_rules.problems(new["spec"], "spec")
    if _frozen_pod(new["spec"]) == _frozen_pod(old["spec"]):
        return []
    free = "`spec.containers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations`"
    text = f"pod updates may not change fields other than {free}"
    return [("spec", f"spec: Forbidden: {text}")]


def _frozen_pod(spec: Object) -> Object:
    kept = {key: value for key, value in spec.items() if key not in ("activeDeadlineSeconds", "tolerations")}
    for group in ("containers", "initContainers"):
        if group in kept:
            kept[group] = [{key: value for key, value in item.items() if key != "image"} for item in parts(kept, group)]
    return kept


def _frozen(new: Object, old: Object, *paths: str) -> list[Cause]:
    changed = [path for path in paths if _at(new, path) != _at(old, path)]
    return [(path, f"{path}: Invalid value: field is immutable") for path in changed]


_JOB_FROZEN: Final = (
    "selector", "template", "completions", "completionMode", "podFailurePolicy", "successPolicy", "backoffLimitPerIndex",
    "maxFailedIndexes",
)  # fmt: skip


def _job(new: Object, old: Object | None) -> list[Cause]:
    template = new["spec"]["template"]
    if old is not None:
        return _frozen(new, old, *(f"spec.{name}" for name in _JOB_FROZEN))
    found = [*pod_rules.problems(template["spec"], "spec.template.spec"), *_restart(template, "spec.template.spec")]
    return [*found, *job_rules.problems(new["spec"], "spec", new["metadata"].get("name", ""))]


def _restart(template: Object, field: str) -> list[Cause]:
    policy = template["spec"].get("restartPolicy")
    if policy in ("OnFailure", "Never"):
        return []
    at = f"{field}.restartPolicy"
    return [(at, f'{at}: Required value: valid values: "OnFailure", "Never"')]


def _cronjob(new: Object, old: Object | None) -> list[Cause]:
    spec, found = new["spec"], list[Cause]()
    schedule = spec.get("schedule")
    if not schedule:
        found.append(_required("spec.schedule"))
    elif not (str(schedule).startswith("@") or len(str(schedule).split()) == 5) or "TZ=" in str(schedule):
        text = "must be minute hour day-of-month month day-of-week, or a macro such as @daily; a time zone goes into timeZone"
        found.append(("spec.schedule", f'spec.schedule: Invalid value: "{schedule}": {text}'))
    if (zone := spec.get("timeZone")) and not _is_zone(zone):
        found.append(("spec.timeZone", f'spec.timeZone: Invalid value: "{zone}": unknown time zone {zone}'))
    if spec.get("concurrencyPolicy") not in ("Allow", "Forbid", "Replace"):
        given = spec.get("concurrencyPolicy")
        text = f'spec.concurrencyPolicy: Unsupported value: "{given}": supported values: "Allow", "Forbid", "Replace"'
        found.append(("spec.concurrencyPolicy", text))
    template = spec["jobTemplate"]["spec"]["template"]
    field = "spec.jobTemplate.spec.template.spec"
    found += [*pod_rules.problems(template["spec"], field), *_restart(template, field)]
    return [*found, *job_rules.problems(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec", new["metadata"].get("name", ""))]


def _is_zone(name: str) -> bool:
    try:
        return name.lower() != "local" and bool(zoneinfo.ZoneInfo(name))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _selects(new: Object) -> list[Cause]:
    """A workload's selector must be there and select its own template."""
    wanted: Object = _at(new, "spec.selector.matchLabels") or {}
    labels: Object = _at(new, "spec.template.metadata.labels") or {}
    if not _at(new, "spec.selector"):
        return [_required("spec.selector")]
    if all(labels.get(key) == value for key, value in wanted.items()):
        return []
    text = "`selector` does not match template `labels`"
    return [("spec.template.metadata.labels", f"spec.template.metadata.labels: Invalid value: {text}")]


def _always(spec: Object) -> list[Cause]:
    """Pods of a workload that keeps them running start again by themselves."""
    at, policy = "spec.template.spec.restartPolicy", spec.get("restartPolicy")
    return [] if policy == "Always" else [(at, f'{at}: Unsupported value: "{policy}": supported values: "Always"')]


_STS_FREE: Final = (
    "replicas", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy", "minReadySeconds", "ordinals",
    "revisionHistoryLimit",
)  # fmt: skip


def _statefulset(new: Object, old: Object | None) -> list[Cause]:
    found = _selects(new)
    spec = new["spec"]["template"]["spec"]
    claims = {_at(claim, "metadata.name") for claim in parts(new["spec"], "volumeClaimTemplates")}
    found += [*pod_rules.problems(spec, "spec.template.spec", claims), *_always(spec)]
    if old is not None:
        kept = [{key: value for key, value in item["spec"].items() if key not in _STS_FREE} for item in (new, old)]
        if kept[0] != kept[1]:
            text = f"updates to statefulset spec for fields other than {', '.join(map(repr, _STS_FREE))} are forbidden"
            found.append(("spec", f"spec: Forbidden: {text}"))
    return found


def _workload(new: Object, old: Object | None) -> list[Cause]:
    spec = new["spec"]["template"]["spec"]
    found = [*_selects(new), *pod_rules.problems(spec, "spec.template.spec"), *_always(spec)]
    return found if old is None else [*found, *_frozen(new, old, "spec.selector")]


def _claim(new: Object, old: Object | None) -> list[Cause]:
    spec = new["spec"]
    if old is None:
        found = (
            []
            if spec.get("accessModes")
            else [("spec.accessModes", "spec.accessModes: Required value: at least 1 access mode is required")]
        )
        return found if _at(spec, "resources.requests.storage") else [*found, _required("spec.resources[storage]")]
    asked, was = (_at(item, "spec.resources.requests.storage") or "0" for item in (new, old))
    if parse(str(asked)) < parse(str(was)):
        at = "spec.resources.requests.storage"
        return [(at, f"{at}: Forbidden: field can not be less than previous value")]
    before = dict(old["spec"])
    free = {
        "resources",
        "volumeAttributesClassName",
        *(key for key in ("volumeName", "storageClassName") if not before.get(key)),
    }
    if {k: v for k, v in spec.items() if k not in free} == {k: v for k, v in before.items() if k not in free}:
        return []
    text = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
    return [("spec", f"spec: Forbidden: {text}")]


_MOST: Final = 1 << 20
"""Bytes of data that a Secret or ConfigMap may hold."""


def _sealed(new: Object, old: Object | None) -> list[Cause]:
    """The size of Secrets and ConfigMaps; those that were marked immutable, and a Secret's type."""
    size = sum(len(key) + len(value or "") for name in ("data", "binaryData") for key, value in part(new, name).items())
    room = _MOST * 4 // 3 if new["kind"] == "Secret" else _MOST
    if size > room and (old is None or part(old, "data") != part(new, "data")):
        return [("data", f"data: Too long: must have at most {_MOST} bytes")]
    if old is None:
        return []
    if old.get("immutable"):
        return _frozen(new, old, "data", "binaryData", "immutable")
    return _frozen(new, old, "type") if new["kind"] == "Secret" else []


_SECRET_KEYS: Final = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
"""What a Secret of a type that Kubernetes defines must hold."""


def _secret(new: Object, old: Object | None) -> list[Cause]:
    found = _sealed(new, old)
    for key in _SECRET_KEYS.get(new.get("type", ""), ()):
        if key not in part(new, "data"):
            found.append(_required(f"data[{key}]"))
    for key, value in part(new, "data").items():
        try:
            base64.b64decode(value or "", validate=True)
        except (binascii.Error, TypeError, ValueError):
            found.append((f"data.{key}", f"data.{key}: Invalid value: not base64: use stringData for plain text"))
    return found


def _volume(new: Object, old: Object | None) -> list[Cause]:
    """What a PersistentVolume must say; its source may not be exchanged later."""
    spec: Object = new.get("spec") or {}
    if old is not None:
        source = next((name for name in spec if name in _VOLUME_SOURCES), "")
        return _frozen(new, old, f"spec.{source}") if source else []
    found = [] if spec.get("accessModes") else [_required("spec.accessModes")]
    found += [] if part(spec, "capacity") else [_required("spec.capacity")]
    sources = [name for name in spec if name in _VOLUME_SOURCES]
    if not sources:
        found.append(("spec", "spec: Required value: must specify a volume type"))
    found += [(f"spec.{name}", f"spec.{name}: Forbidden: may not specify more than 1 volume type") for name in sources[1:]]
    return found


_VOLUME_SOURCES: Final = frozenset(
    [
        "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume", "flocker",
        "gcePersistentDisk", "glusterfs", "hostPath", "iscsi", "local", "nfs", "photonPersistentDisk", "portworxVolume",
        "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume",
    ]
)  # fmt: skip


def _class(new: Object, old: Object | None) -> list[Cause]:
    if not new.get("provisioner"):
        return [_required("provisioner")]
    return [] if old is None else _frozen(new, old, "provisioner", "parameters", "reclaimPolicy", "volumeBindingMode")


def _budget(new: Object, old: Object | None) -> list[Cause]:
    """A PodDisruptionBudget says one of how many must stay and how many may go; numbers or percentages, none below zero."""
    spec, found = part(new, "spec"), list[Cause]()
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        text = "minAvailable and maxUnavailable cannot be both set"
        found.append(("spec", f"spec: Invalid value: {text}"))
    for name in ("minAvailable", "maxUnavailable"):
        amount, at = spec.get(name), f"spec.{name}"
        if isinstance(amount, int) and amount < 0:
            found.append((at, f"{at}: Invalid value: {amount}: must be greater than or equal to 0"))
        elif isinstance(amount, str) and not _PERCENTAGE.fullmatch(amount):
            text = "must be an integer or percentage (e.g '5%')"
            found.append((at, f'{at}: Invalid value: "{amount}": {text}'))
    return found


_PERCENTAGE: Final = re.compile(r"([0-9]|[1-9][0-9]|100)%")


_RULES: Final[dict[str, Rule]] = {
    "/pods": _pod,
    "/services": service_rules.problems,
    "/secrets": _secret,
    "/configmaps": _sealed,
    "/persistentvolumeclaims": _claim,
    "/persistentvolumes": _volume,
    "apps/statefulsets": _statefulset,
    "apps/deployments": _workload,
    "apps/daemonsets": _workload,
    "apps/replicasets": _workload,
    "batch/jobs": _job,
    "policy/poddisruptionbudgets": _budget,
    "batch/cronjobs": _cronjob,
    "storage.k8s.io/storageclasses": _class,
    "rbac.authorization.k8s.io/roles": role_rules.role,
    "rbac.authorization.k8s.io/clusterroles": role_rules.role,
    "rbac.authorization.k8s.io/rolebindings": role_rules.binding,
    "rbac.authorization.k8s.io/clusterrolebindings": role_rules.binding,
}


def problems(kind: Kind, new: Object, old: Object | None) -> list[Cause]:
    """What breaks the rules of a built-in kind, as (field, message)."""
    rule = _RULES.get(kind.resource)
    return rule(new, old) if rule else []
