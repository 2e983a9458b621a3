"""Targets: which pods a backup or a restore works on, and how their jobs talk to them.

A method's own target takes the place of the policy's as a whole: selector, credential, account and all.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.core import selectors
from holdfast.core.objects import Object
from holdfast.core.ports import Refs
from holdfast.core.read import at, deleting, flag, items, mapping, name_of, namespace_of, strings, text
from holdfast.dialects.kubeblocks import names
from holdfast.dialects.kubeblocks.kinds import POD
from holdfast.dialects.kubeblocks.refusal import Refusal

NO_PODS = "TargetPodNotFound"
"""The reason while no pod is there that a target selects: it may still come."""


class Target(msgspec.Struct, frozen=True):
    """One target: `name` is empty where there is only one. `selected` are the names of the pods that were picked before."""

    raw: Object
    selected: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name."""
        return text(self.raw, "name")

    @property
    def selector(self) -> Object:
        """Its pod selector."""
        return mapping(self.raw, "podSelector")

    @property
    def takes_all(self) -> bool:
        """Whether every pod that matches is worked on."""
        return text(self.selector, "strategy") == "All"

    @property
    def credential(self) -> Object:
        """How to log in; empty when nothing is said."""
        return mapping(self.raw, "connectionCredential")

    @property
    def saves_objects(self) -> bool:
        """Whether Kubernetes objects are saved beside its data: those of a selector, where an empty one selects all."""
        return "selector" in mapping(self.raw, "resources")

    @property
    def account(self) -> str:
        """The service account of its jobs; empty for ours."""
        return text(self.raw, "serviceAccountName")

    def wire(self, pods: Sequence[Object]) -> Object:
        """Return it as a status holds it, with the pods that were picked."""
        return {**self.raw, "selectedTargetPods": [name_of(pod) for pod in pods]}


def targets_of(method: Object, policy: Object) -> tuple[Target, ...]:
    """Return the targets of a method: its own, else those of the policy."""
    for holder in (method, mapping(policy, "spec")):
        if one := mapping(holder, "target"):
            return (Target(one),)
        if several := items(holder, "targets"):
            return tuple(Target(each) for each in several)
    return ()


def recorded(status: Object) -> tuple[Target, ...]:
    """Return the targets that a backup has recorded."""
    found = [mapping(status, "target")] if mapping(status, "target") else items(status, "targets")
    return tuple(Target(_plain(raw), tuple(strings(raw, "selectedTargetPods"))) for raw in found)


def pick(target: Target, namespace: str, refs: Refs) -> list[Object] | Refusal:
    """Return the pods of a target, by name: one that is ready, or with All every one, ready or not."""
    if selectors.is_empty(target.selector):
        return Refusal("NoTarget", f"podSelector of the target {target.name} selects nothing: name labels of its pods")
    found = _selected(target.selector, namespace, refs)
    if not target.takes_all:
        found = [pod for pod in found if is_ready(pod)][:1] or _fallback(target, namespace, refs)
    if found:
        return found
    wanted = "pod" if target.takes_all else "ready pod"
    return Refusal(NO_PODS, f"no {wanted} of namespace {namespace} matches the target {target.name}".rstrip())


def _fallback(target: Target, namespace: str, refs: Refs) -> list[Object]:
    other = mapping(target.selector, "fallbackLabelSelector")
    if selectors.is_empty(other):
        return []
    return [pod for pod in _selected(other, namespace, refs) if is_ready(pod)][:1]


def _selected(selector: Object, namespace: str, refs: Refs) -> list[Object]:
    pods = refs.list(POD, namespace, label=selectors.one_label(selector))
    found = [pod for pod in pods if selectors.matches(selector, mapping(pod, "metadata", "labels"))]
    return sorted((pod for pod in found if not deleting(pod) and not _is_ours(pod)), key=name_of)


def _is_ours(pod: Object) -> bool:
    """Whether a pod is the job of a backup or restore, which is never backed up itself."""
    return any(text(pod, "metadata", "labels", key) for key in (names.BACKUP_NAME, names.RESTORE))


def is_ready(pod: Object) -> bool:
    """Whether a pod serves."""
    conditions = items(pod, "status", "conditions")
    return not deleting(pod) and any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)


def host_of(pod: Object) -> str:
    """Return the name by which a pod is reached in its namespace: its own below its headless service, else its address."""
    subdomain = text(pod, "spec", "subdomain")
    if not subdomain:
        return text(pod, "status", "podIP")
    return f"{text(pod, 'spec', 'hostname', default=name_of(pod))}.{subdomain}"


def port_of(pod: Object, wanted: Object) -> str:
    """Return the port that a target names by container and port, else the first one of the first container, else `0`."""
    for container in items(pod, "spec", "containers"):
        if wanted and container.get("name") != wanted.get("containerName"):
            continue
        for port in items(container, "ports"):
            if not wanted or port.get("name") == wanted.get("portName"):
                return str(port.get("containerPort", 0))
        break
    return "0"


def first_container(pod: Object) -> Object:
    """Return the first container of a pod."""
    found = items(pod, "spec", "containers")
    return found[0] if found else {}


def volumes_of(pod: Object, wanted: Object) -> tuple[list[Object], list[Object]]:
    """Return the volumes and mounts of a `targetVolumes`, of those that the pod has."""
    mounts = items(wanted, "volumeMounts")
    names = strings(wanted, "volumes") or [text(mount, "name") for mount in mounts]
    volumes = [volume for volume in items(pod, "spec", "volumes") if text(volume, "name") in names]
    there = {text(volume, "name") for volume in volumes}
    return volumes, [mount for mount in mounts if text(mount, "name") in there]


def place(pod: Object) -> Object:
    """Return what puts a job's pod on the node of a pod: a node selector, and the taints that it tolerates."""
    found: Object = {"nodeSelector": {"kubernetes.io/hostname": text(pod, "spec", "nodeName")}}
    tolerations: Any = at(pod, "spec", "tolerations")
    return {**found, "tolerations": tolerations} if tolerations else found


def inherits_parent(target: Target) -> bool:
    """Whether a target takes the pods that its parent backup took."""
    return flag(target.selector, "useParentSelectedPods")


def place_of(pod: Object) -> str:
    """Return `namespace/name` for messages."""
    return f"{namespace_of(pod)}/{name_of(pod)}"


def _plain(raw: Object) -> Object:
    return {key: value for key, value in raw.items() if key != "selectedTargetPods"}
