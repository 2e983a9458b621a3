"""Rules of built-in kinds that protect a user: what is required, and what may not change once it is made.

Custom resources bring theirs in their schema and admission check. The words follow the real API server's.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Any, Final, cast

from holdfast.embedded.apiserver import job_rules, role_rules
from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.metadata import Cause
from holdfast.embedded.apiserver.objects import Object, lookup, part, parts

Rule = Callable[[Object, Object | None], list[Cause]]


def _required(field: str) -> Cause:
    return field, f"{field}: Required value"


def _at(obj: Object, path: str) -> Any:
    return lookup(obj, *path.split("."))


def _containers(spec: Object, field: str) -> list[Cause]:
    containers = parts(spec, "containers")
    found = [] if containers else [_required(f"{field}.containers")]
    names: set[str] = set()
    for group in ("initContainers", "containers"):
        for index, item in enumerate(parts(spec, group)):
            at = f"{field}.{group}[{index}]"
            name = item.get("name")
            if not name:
                found.append(_required(f"{at}.name"))
            elif name in names:
                found.append((f"{at}.name", f'{at}.name: Duplicate value: "{name}"'))
            else:
                names.add(name)
            if not item.get("image"):
                found.append(_required(f"{at}.image"))
            found += _mounts(spec, item, at)
    return found


def _mounts(spec: Object, container: Object, field: str) -> list[Cause]:
    known = {volume.get("name") for volume in parts(spec, "volumes")}
    claims = cast(set[str], spec.get("_claims") or set())
    found: list[Cause] = []
    for index, mount in enumerate(parts(container, "volumeMounts")):
        at = f"{field}.volumeMounts[{index}]"
        if not mount.get("mountPath"):
            found.append(_required(f"{at}.mountPath"))
        if mount.get("name") not in known | claims:
            found.append((f"{at}.name", f'{at}.name: Not found: "{mount.get("name", "")}"'))
    return found


def _pod(new: Object, old: Object | None) -> list[Cause]:
    if old is None:
        return _containers(new["spec"], "spec")
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
    found = [*_containers(template["spec"], "spec.template.spec"), *_restart(template, "spec.template.spec")]
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
    if spec.get("concurrencyPolicy") not in ("Allow", "Forbid", "Replace"):
        given = spec.get("concurrencyPolicy")
        text = f'spec.concurrencyPolicy: Unsupported value: "{given}": supported values: "Allow", "Forbid", "Replace"'
        found.append(("spec.concurrencyPolicy", text))
    template = spec["jobTemplate"]["spec"]["template"]
    field = "spec.jobTemplate.spec.template.spec"
    found += [*_containers(template["spec"], field), *_restart(template, field)]
    return [*found, *job_rules.problems(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec", new["metadata"].get("name", ""))]


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


_STS_FREE: Final = (
    "replicas", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy", "minReadySeconds", "ordinals",
    "revisionHistoryLimit",
)  # fmt: skip


def _statefulset(new: Object, old: Object | None) -> list[Cause]:
    found = _selects(new)
    spec = new["spec"]["template"]["spec"]
    claims = {_at(claim, "metadata.name") for claim in parts(new["spec"], "volumeClaimTemplates")}
    found += _containers({**spec, "_claims": claims}, "spec.template.spec")
    if old is not None:
        kept = [{key: value for key, value in item["spec"].items() if key not in _STS_FREE} for item in (new, old)]
        if kept[0] != kept[1]:
            text = f"updates to statefulset spec for fields other than {', '.join(map(repr, _STS_FREE))} are forbidden"
            found.append(("spec", f"spec: Forbidden: {text}"))
    return found


def _workload(new: Object, old: Object | None) -> list[Cause]:
    found = [*_selects(new), *_containers(new["spec"]["template"]["spec"], "spec.template.spec")]
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


def _sealed(new: Object, old: Object | None) -> list[Cause]:
    """Secrets and ConfigMaps that were marked immutable, and a Secret's type."""
    if old is None:
        return []
    if old.get("immutable"):
        return _frozen(new, old, "data", "binaryData", "immutable")
    return _frozen(new, old, "type") if new["kind"] == "Secret" else []


def _secret(new: Object, old: Object | None) -> list[Cause]:
    found = _sealed(new, old)
    for key, value in part(new, "data").items():
        try:
            base64.b64decode(value or "", validate=True)
        except (binascii.Error, TypeError, ValueError):
            found.append((f"data.{key}", f"data.{key}: Invalid value: not base64: use stringData for plain text"))
    return found


def _class(new: Object, old: Object | None) -> list[Cause]:
    if not new.get("provisioner"):
        return [_required("provisioner")]
    return [] if old is None else _frozen(new, old, "provisioner", "parameters", "reclaimPolicy", "volumeBindingMode")


_RULES: Final[dict[str, Rule]] = {
    "/pods": _pod,
    "/secrets": _secret,
    "/configmaps": _sealed,
    "/persistentvolumeclaims": _claim,
    "apps/statefulsets": _statefulset,
    "apps/deployments": _workload,
    "apps/daemonsets": _workload,
    "apps/replicasets": _workload,
    "batch/jobs": _job,
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
