"""Settings by which users shape the pods of Jobs: jobTemplate, containerRuntimeSettings, runtimeSettings.

Three notations for one thing. Each is a list of fields with a place in the pod or in its first container, as data. Later
ones win: what the build sets < jobTemplate < containerRuntimeSettings. What a Job needs to work at all (its command, its
mounts) can't be replaced; fields that would do so, or that no mover acts on, are refused.
"""

import copy
from collections.abc import Sequence
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.core.read import items, mapping, number, text

_POD: Final = (
    "terminationGracePeriodSeconds", "dnsPolicy", "nodeSelector", "serviceAccountName", "hostNetwork", "hostPID", "hostIPC",
    "shareProcessNamespace", "securityContext", "affinity", "schedulerName", "tolerations", "priorityClassName", "priority",
    "dnsConfig", "runtimeClassName", "enableServiceLinks", "topologySpreadConstraints", "automountServiceAccountToken",
    "nodeName", "readinessGates",
)  # fmt: skip
_POD_APPENDED: Final = ("volumes", "initContainers", "imagePullSecrets")
_CONTAINER: Final = ("resources", "livenessProbe", "readinessProbe", "lifecycle")
_REFUSED_TEMPLATE: Final = ("args",)
_PRIORITY: Final = (
    ("nice", "adjustment", "NICE_ADJUSTMENT", range(-20, 20)),
    ("ionice", "class", "IONICE_CLASS", range(4)),
    ("ionice", "classData", "IONICE_CLASS_DATA", range(8)),
)
"""Priorities of the process: block, field, the environment variable that tells the mover, and the values that Linux knows."""
_TEMPLATE_CONTEXT: Final = "containerSecurityContext"


def template_problems(template: Object, field: str) -> list[Problem]:
    """Judge a PodTemplate (`jobTemplate`, `scheduler.jobTemplate.template`)."""
    spec = mapping(template, "spec")
    found = [
        Problem(f"{field}.spec.{name}", f"{name} can't be given: the program in this container is Holdfast's own; remove it")
        for name in _REFUSED_TEMPLATE
        if spec.get(name)
    ]
    grace = number(spec, "terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        found.append(Problem(f"{field}.spec.terminationGracePeriodSeconds", f"{grace} is negative: use 0 or more"))
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        found.append(Problem(f"{field}.spec.hostPID", "excludes shareProcessNamespace: keep one of them"))
    if spec.get("hostNetwork") and spec.get("dnsConfig") and text(spec, "dnsPolicy") != "ClusterFirstWithHostNet":
        found.append(Problem(f"{field}.spec.dnsPolicy", "must be ClusterFirstWithHostNet with hostNetwork and dnsConfig"))
    return found


def container_problems(settings: Object, field: str) -> list[Problem]:
    """Judge container-level runtime settings."""
    return [
        Problem(f"{field}.{block}.{name}", f"{value} is out of range: use {known[0]} to {known[-1]}")
        for block, name, _, known in _PRIORITY
        if (value := number(settings, block, name)) is not None and value not in known
    ]


def settings_problems(settings: Object, field: str) -> list[Problem]:
    """Judge `runtimeSettings` {pod, container}."""
    found = container_problems(mapping(settings, "container"), f"{field}.container")
    if mapping(settings, "pod", "serviceAccountAnnotations"):
        where = f"{field}.pod.serviceAccountAnnotations"
        why = "this Job has no account of its own to annotate: annotate one yourself and name it in serviceAccountName"
        found.append(Problem(where, why))
    return found


def with_template(job: Object, template: Object) -> Object:
    """Return a Job (or a CronJob's jobTemplate) shaped by a PodTemplate."""
    result = copy.deepcopy(job)
    _merge_metadata(result, mapping(template, "controller"))
    pod = result["spec"]["template"]
    _merge_metadata(pod, mapping(template, "metadata"))
    spec = mapping(template, "spec")
    _set_pod_fields(pod["spec"], spec)
    _set_container_fields(pod["spec"]["containers"][0], spec, spec.get(_TEMPLATE_CONTEXT))
    _append(pod["spec"]["containers"][0], "volumeMounts", items(spec, "volumeMounts"))
    return result


def with_container(job: Object, settings: Object) -> Object:
    """Return a Job shaped by container-level runtime settings."""
    result = copy.deepcopy(job)
    container = result["spec"]["template"]["spec"]["containers"][0]
    _set_container_fields(container, settings, settings.get("securityContext"))
    _append(container, "envFrom", items(settings, "envFrom"))
    given = [(variable, number(settings, block, name)) for block, name, variable, _ in _PRIORITY]
    _append(container, "env", [{"name": variable, "value": str(value)} for variable, value in given if value is not None])
    return result


def with_settings(job: Object, settings: Object) -> Object:
    """Return a Job shaped by `runtimeSettings`."""
    result = with_container(job, mapping(settings, "container"))
    pod, wanted = result["spec"]["template"], mapping(settings, "pod")
    _merge_metadata(pod, {"labels": mapping(wanted, "podLabels"), "annotations": mapping(wanted, "podAnnotations")})
    _set_pod_fields(pod["spec"], wanted)
    return result


def _merge_metadata(obj: Object, extra: Object) -> None:
    for key in ("labels", "annotations"):
        if added := mapping(extra, key):
            meta = obj.setdefault("metadata", {})
            meta[key] = {**added, **mapping(meta, key)}


def _set_pod_fields(pod: Object, wanted: Object) -> None:
    for key in _POD:
        if wanted.get(key) not in (None, {}, []):
            pod[key] = wanted[key]
    for key in _POD_APPENDED:
        _append(pod, key, items(wanted, key))


def _set_container_fields(container: Object, wanted: Object, context: Object | None) -> None:
    for key in _CONTAINER:
        if wanted.get(key) is not None and not (key == "resources" and not wanted[key]):
            container[key] = wanted[key]
    if context:
        container["securityContext"] = {**mapping(container, "securityContext"), **context}
    given = items(wanted, "env")
    if given:
        names = {text(entry, "name") for entry in given}
        container["env"] = [entry for entry in items(container, "env") if text(entry, "name") not in names] + given


def _append(obj: Object, key: str, added: Sequence[Object]) -> None:
    if added:
        obj[key] = [*items(obj, key), *added]
