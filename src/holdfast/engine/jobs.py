"""The finishing of what a dialect drew: the mover's command, our labels, the owner, and the settings of a safe pod.

A dialect fixes the shape of a Job, users add their pod settings, and both win over the defaults here: non-root, read-only
root, no capability, no privilege escalation, no API token, and a deadline on everything.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from holdfast.core.calls import DEAD_HOSTS
from holdfast.core.kinds import JOB
from holdfast.core.labels import MOVER, OWNER, OWNER_UID, RUN, STEP
from holdfast.core.objects import Object, bounded_name, fresh, kind_of, owner_reference
from holdfast.core.plan import Child, Plan, Step
from holdfast.core.ports import Fill, Mover
from holdfast.kube.objects import labels_of

LONGEST: Final = timedelta(days=7)
"""The deadline of a step for which nobody set one: nothing runs for ever."""

_NOBODY: Final = 65534


def finish_step(
    owner: Object, plan: Plan | str, step: Step, movers: Mapping[str, Mover], image: str, dead: Sequence[str] = ()
) -> Object:
    """Return the complete child of a step: a Job ready to run, or another object with our marks.

    `dead`: hosts whose repository locks protect nobody any more.
    """
    job: Object = fresh(step.child)
    run = plan if isinstance(plan, str) else plan.name
    marks = marks_of(owner) | {RUN: label(run), STEP: label(step.name)}
    if step.mover:
        marks[MOVER] = step.mover.mover
    meta = job["metadata"]
    meta["labels"] = {**labels_of(job), **marks}
    if not step.outlives:
        meta["annotations"] = {**(meta.get("annotations") or {}), OWNER: owner_name(owner)}
        _own(meta, owner)
    if kind_of(job) != JOB:
        return job
    spec: Object = job.setdefault("spec", {})
    limit = int(max(1.0, (step.deadline or LONGEST).total_seconds()))
    spec["activeDeadlineSeconds"] = min(limit, spec.get("activeDeadlineSeconds") or limit)
    spec.setdefault("backoffLimit", 0)
    template: Object = spec.setdefault("template", {})
    template["metadata"] = {**(template.get("metadata") or {}), "labels": {**labels_of(template), **marks}}
    if step.mover:
        fill = _mover(movers, step.mover.mover).fill(step)
        if dead:
            fill = msgspec.structs.replace(fill, env={**fill.env, DEAD_HOSTS: ",".join(dead)})
        _fill(template, fill, image)
    _attend(template, step, movers, image)
    return job


def finish_child(child: Child, movers: Mapping[str, Mover], image: str) -> Object:
    """Return a child with its pod template filled, if a mover is named for it."""
    if child.mover is None and not child.attendants:
        return child.object
    obj: Object = fresh(child.object)
    spec: Object = obj["spec"]
    template: Object = spec["jobTemplate"]["spec"]["template"] if "jobTemplate" in spec else spec["template"]
    step = Step(name=obj["metadata"]["name"], child=obj, mover=child.mover, attendants=child.attendants)
    if child.mover is not None:
        _fill(template, _mover(movers, child.mover.mover).fill(step), image)
    _attend(template, step, movers, image)
    return obj


def marks_of(owner: Object) -> dict[str, str]:
    """Return the labels by which a child leads back to its owner."""
    return {OWNER_UID: owner["metadata"]["uid"]}


def owner_name(owner: Object) -> str:
    """Return `Kind.group/namespace/name`: the owner for people and for garbage collection."""
    meta = owner["metadata"]
    return f"{kind_of(owner)}/{meta.get('namespace', '')}/{meta['name']}"


def label(text: str) -> str:
    """Return a text as a label's value."""
    return bounded_name(text).strip("-._")


def _own(meta: Object, owner: Object) -> None:
    """Tie a child to its owner, which Kubernetes allows within one namespace only; elsewhere the label must do."""
    place = owner["metadata"].get("namespace", "")
    references: list[Object] = meta.get("ownerReferences") or []
    if place in ("", meta.get("namespace", "")) and not any(reference.get("controller") for reference in references):
        meta["ownerReferences"] = [*references, owner_reference(owner)]


def _mover(movers: Mapping[str, Mover], name: str) -> Mover:
    if name not in movers:
        raise LookupError(f"mover {name!r} is unknown (known: {', '.join(sorted(movers))})")
    return movers[name]


def _attend(template: Object, step: Step, movers: Mapping[str, Mover], image: str) -> None:
    """Fill the containers that the attendants of a step name."""
    pod: Object = template.setdefault("spec", {})
    containers: list[Object] = [*(pod.get("initContainers") or ()), *(pod.get("containers") or ())]
    for name, call in step.attendants.items():
        container = next((each for each in containers if each["name"] == name), None)
        if container is None:
            raise LookupError(f"step {step.name}: its pod has no container {name!r} for mover {call.mover}")
        _fill_container(pod, container, _mover(movers, call.mover).fill(msgspec.structs.replace(step, mover=call)), image)
        _secure_container(container, _copy_of(pod, "securityContext"))


def _fill(template: Object, fill: Fill, image: str) -> None:
    pod: Object = template.setdefault("spec", {})
    main: Object = pod.setdefault("containers", [{"name": "main"}])[0]
    _fill_container(pod, main, fill, image)
    pod.setdefault("restartPolicy", "Never")
    pod.setdefault("automountServiceAccountToken", False)
    whole = _copy_of(pod, "securityContext")
    _secure_container(main, whole)
    whole.setdefault("seccompProfile", {"type": "RuntimeDefault"})
    pod["securityContext"] = whole


def _fill_container(pod: Object, container: Object, fill: Fill, image: str) -> None:
    container["image"] = container.get("image") or image
    container["command"] = list(fill.command)
    container.pop("args", None)
    given = [{"name": name, "value": value} for name, value in fill.env.items()]
    container["env"] = [*(item for item in container.get("env") or () if item["name"] not in fill.env), *given]
    _extend(container, "volumeMounts", fill.mounts, "mountPath")
    _extend(pod, "volumes", fill.volumes, "name")
    container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")


def _extend(holder: Object, field: str, added: tuple[Mapping[str, Any], ...], identity: str) -> None:
    """Append to a list of a pod what is not in it yet."""
    present: list[Object] = holder.get(field) or []
    known = {item[identity] for item in present}
    merged = [*present, *(dict(item) for item in added if item[identity] not in known)]
    if merged:
        holder[field] = merged


def _secure_container(container: Object, whole: Object) -> None:
    """Take from a container every right that it was not given; `whole` is the security context of its pod."""
    context = _copy_of(container, "securityContext")
    context.setdefault("allowPrivilegeEscalation", False)
    context.setdefault("readOnlyRootFilesystem", True)
    capabilities = _copy_of(context, "capabilities")
    capabilities.setdefault("drop", ["ALL"])
    context["capabilities"] = capabilities
    if "runAsUser" not in context and "runAsUser" not in whole:
        context["runAsUser"] = _NOBODY
    if context.get("runAsUser", whole.get("runAsUser")) != 0:
        context.setdefault("runAsNonRoot", True)
    container["securityContext"] = context


def _copy_of(obj: Object, field: str) -> Object:
    """Return a copy of an object inside of another; empty when there is none."""
    return {**(obj.get(field) or {})}
