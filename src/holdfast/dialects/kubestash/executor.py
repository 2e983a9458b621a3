"""From a target to the pods that read or write its data: one component per pod, node or claim.

A StatefulSet has a component for each ordinal, a DaemonSet for each node, a Deployment and a claim have one. The names are
the documented ones, since paths in the repository and restores depend on them. Mounts name the workload's own volumes;
without any, the workload's mounts of durable volumes are taken as they are.
"""

import copy
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import msgspec

from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.core.ports import Refs
from holdfast.core.read import at, flag, items, mapping, name_of, number, owned_by, text
from holdfast.dialects.kubestash import addons
from holdfast.dialects.kubestash.addons import Work
from holdfast.dialects.kubestash.decode import Target, Task
from holdfast.dialects.kubestash.kinds import CLAIM, DAEMON_SET, POD, STATEFUL_SET

CLAIM_PATH: Final = "/kubestash-data"
"""Where a claim that is a target itself is mounted unless the task says otherwise."""

DUMP: Final = "dump"
VOLUME: Final = "volumesnapshot"
MANIFEST: Final = "manifest"
_POD_COMPONENT: Final = re.compile(r"(?:dump-|volumesnapshot-)?pod-(\d+)")
_NOT_DURABLE: Final = ("emptyDir", "configMap", "secret", "projected", "downwardAPI", "ephemeral")


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a target: its name, the volumes that hold it and where they are mounted; `node` if it must run there."""

    name: str
    volumes: tuple[Object, ...]
    mounts: tuple[Object, ...]
    node: str = ""

    @property
    def claims(self) -> tuple[str, ...]:
        """The claims among its volumes."""
        found = (text(volume, "persistentVolumeClaim", "claimName") for volume in self.volumes)
        return tuple(name for name in found if name)


def ordinal_of(component: str) -> int:
    """Return the pod ordinal in a component's name, 0 when it has none."""
    match = _POD_COMPONENT.fullmatch(component)
    return int(match.group(1)) if match else 0


def names(target: Target, obj: Object, refs: Refs) -> tuple[str, ...]:
    """Return the names of a target's components, as it is now."""
    if target.kind == STATEFUL_SET:
        replicas = number(obj, "spec", "replicas")
        first = number(obj, "spec", "ordinals", "start") or 0
        return tuple(f"{DUMP}-pod-{first + index}" for index in range(1 if replicas is None else replicas))
    if target.kind == DAEMON_SET:
        return tuple(f"{DUMP}-{node}" for node in sorted(_daemon_nodes(target, obj, refs)))
    return (DUMP,)


def kind_of(component: str) -> str:
    """Return what a component is, by its name: `dump`, `volumesnapshot` or `manifest`."""
    if component == MANIFEST:
        return MANIFEST
    return VOLUME if component == VOLUME or component.startswith(f"{VOLUME}-") else DUMP


def work_names(work: Work, target: Target | None, obj: Object, refs: Refs) -> tuple[str, ...]:
    """Return the names of the components that a task makes of a target, as it is now."""
    if target is None or work.function in (addons.MANIFESTS, addons.DUMP):
        return (MANIFEST,)
    if work.snapshots:
        return tuple(f"{VOLUME}{name.removeprefix(DUMP)}" for name in names(target, obj, refs))
    if not work.ours and flag(work.declared, "singleton"):
        return (DUMP,)
    return names(target, obj, refs)


def component(name: str, target: Target, obj: Object, task: Task, refs: Refs, *, read_only: bool) -> Component | Problem:
    """Return one component with its volumes. A Problem names the mount that fits no volume of the target."""
    sources = _sources(name, target, obj, task)
    mounts = task.mounts or _own_mounts(target, obj, sources)
    if not mounts:
        return Problem("targetVolumes.volumeMounts", f"needed: {target.ref} mounts no volume that outlives its pods")
    volumes: list[Object] = []
    for mount in mounts:
        source = _source_of(mount, target, sources)
        if isinstance(source, Problem):
            return source
        volumes.append({"name": text(mount, "name"), **source})
    return Component(
        name=name,
        volumes=_distinct(volumes),
        mounts=tuple({**mount, "readOnly": True} if read_only else _writable(mount) for mount in mounts),
        node=_node(name, target, refs),
    )


def templated(name: str, task: Task, namespace: str) -> tuple[Component, tuple[Object, ...]]:
    """Return a component whose volumes are claims to be made from the task's templates, and those claims."""
    ordinal = str(ordinal_of(name))
    claims = tuple(_claim(_expanded(template, ordinal), namespace) for template in task.claim_templates)
    volumes = tuple(
        {"name": f"claim-{index}", "persistentVolumeClaim": {"claimName": name_of(claim)}} for index, claim in enumerate(claims)
    )
    by_claim = {name_of(claim): f"claim-{index}" for index, claim in enumerate(claims)}
    wanted = cast("list[Object]", [_expanded(mount, ordinal) for mount in task.mounts])
    mounts = tuple({**mount, "name": by_claim.get(text(mount, "name"), text(mount, "name"))} for mount in wanted)
    return Component(name=name, volumes=volumes, mounts=mounts), claims


def template_problems(task: Task, namespace: str, field: str, *, mounted: bool = True) -> list[Problem]:
    """Judge claim templates: each named and for `namespace`; where they are `mounted`, each mount names one of them."""
    claims = [text(template, "metadata", "name") for template in task.claim_templates]
    found = [
        Problem(f"{field}.targetVolumes.volumeClaimTemplates[{index}].metadata.name", "needed: the claim's name")
        for index, name in enumerate(claims)
        if not name
    ]
    for index, template in enumerate(task.claim_templates):
        given = text(template, "metadata", "namespace", default=namespace)
        if given != namespace:
            where = f"{field}.targetVolumes.volumeClaimTemplates[{index}].metadata.namespace"
            found.append(Problem(where, f"{given} is not where the restore runs: use {namespace}, or leave it out"))
    if mounted and not task.mounts:
        found.append(Problem(f"{field}.targetVolumes.volumeMounts", "needed with volumeClaimTemplates: where each is mounted"))
    for index, mount in enumerate(task.mounts):
        if text(mount, "name") not in claims:
            where = f"{field}.targetVolumes.volumeMounts[{index}].name"
            found.append(Problem(where, f"{text(mount, 'name')} names no claim template (there are: {', '.join(claims)})"))
    return found


def _sources(name: str, target: Target, obj: Object, task: Task) -> dict[str, Object]:
    """Return every volume that a mount may name, with its source."""
    template = items(obj, "spec", "template", "spec", "volumes")
    found = {text(volume, "name"): _without_name(volume) for volume in template}
    if target.kind == STATEFUL_SET:
        for claim in items(obj, "spec", "volumeClaimTemplates"):
            claim_name = f"{name_of(claim)}-{target.name}-{ordinal_of(name)}"
            found[name_of(claim)] = {"persistentVolumeClaim": {"claimName": claim_name}}
    return found | {text(volume, "name"): _without_name(volume) for volume in task.volumes}


def _without_name(volume: Object) -> Object:
    return {key: value for key, value in volume.items() if key != "name"}


def _source_of(mount: Object, target: Target, sources: dict[str, Object]) -> Object | Problem:
    name = text(mount, "name")
    if name in sources:
        source = sources[name]
        lost = next((kind for kind in _NOT_DURABLE if kind in source), "")
        if lost:
            return Problem("targetVolumes.volumeMounts", f"{name} is an {lost} volume: no other pod can see its data")
        return source
    if target.kind == CLAIM:
        return {"persistentVolumeClaim": {"claimName": target.name}}
    known = ", ".join(sources) or "none"
    return Problem("targetVolumes.volumeMounts", f"{name} names no volume of {target.ref} (it has: {known})")


def _own_mounts(target: Target, obj: Object, sources: dict[str, Object]) -> list[Object]:
    """Return the mounts to take when the task names none."""
    if target.kind == CLAIM:
        return [{"name": "data", "mountPath": CLAIM_PATH}]
    durable = {name for name, source in sources.items() if not any(kind in source for kind in _NOT_DURABLE)}
    found: list[Object] = []
    for container in items(obj, "spec", "template", "spec", "containers"):
        for mount in items(container, "volumeMounts"):
            plain = {key: mount[key] for key in ("name", "mountPath", "subPath") if key in mount}
            if text(mount, "name") in durable and plain not in found:
                found.append(plain)
    return found


def _writable(mount: Object) -> Object:
    return {key: value for key, value in mount.items() if key != "readOnly"}


def _distinct(volumes: Iterable[Object]) -> tuple[Object, ...]:
    return tuple({text(volume, "name"): volume for volume in volumes}.values())


def _node(name: str, target: Target, refs: Refs) -> str:
    """Return the node that holds the volumes: a claim that one node mounts can be read only there."""
    if target.kind == DAEMON_SET:
        return name.removeprefix(f"{DUMP}-")
    if target.kind != STATEFUL_SET:
        return ""
    pod = refs.get(POD, target.namespace, f"{target.name}-{ordinal_of(name)}") or {}
    return text(pod, "spec", "nodeName") if text(pod, "status", "phase") == "Running" else ""


def _daemon_nodes(target: Target, obj: Object, refs: Refs) -> set[str]:
    pods: Sequence[Object] = refs.list(POD, target.namespace, owner=text(obj, "metadata", "uid"))
    return {text(pod, "spec", "nodeName") for pod in pods if owned_by(pod, obj) and text(pod, "spec", "nodeName")}


def _expanded(value: Any, ordinal: str) -> Any:
    """Return JSON with `${POD_ORDINAL}` replaced in every string."""
    if isinstance(value, str):
        return value.replace("${POD_ORDINAL}", ordinal)
    if isinstance(value, list):
        return [_expanded(entry, ordinal) for entry in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _expanded(entry, ordinal) for key, entry in cast("dict[str, Any]", value).items()}
    return value


def _claim(template: Object, namespace: str) -> Object:
    meta = {key: copy.deepcopy(value) for key in ("labels", "annotations") if (value := at(template, "metadata", key))}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            **meta,
            "name": name_of(template),
            "namespace": text(template, "metadata", "namespace", default=namespace),
        },
        "spec": copy.deepcopy(mapping(template, "spec")),
    }
