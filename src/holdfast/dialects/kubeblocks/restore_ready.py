"""The steps of a Restore for the service that runs on the restored claims: jobs beside a pod of it, commands in its pods.

They wait until pods are there, and until the readiness probe succeeds when there is one. A probe is a Job for each try, so that
any image and command can be one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core import selectors
from holdfast.core.objects import Object
from holdfast.core.plan import Child, Phase, SecretCopy, Step
from holdfast.core.ports import View
from holdfast.core.read import flag, items, mapping, name_of, namespace_of, number, strings, text, uid_of
from holdfast.dialects.kubeblocks import env, hooks, names, restore_env, restore_plan, targets, worker, workload
from holdfast.dialects.kubeblocks.kinds import JOB, POD
from holdfast.dialects.kubeblocks.refusal import Refusal, Wait
from holdfast.dialects.kubeblocks.restore_plan import Work
from holdfast.dialects.kubeblocks.restore_sources import Source

PROBE: Final = "dataprotection.kubeblocks.io/readiness-try"
"""Label on a probe's Job: which try it is."""

_TIMEOUT: Final = 30
_PERIOD: Final = 5


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The works for the running service."""

    works: tuple[Work, ...] = ()
    children: tuple[Child, ...] = ()
    copies: tuple[SecretCopy, ...] = ()


class Probe(msgspec.Struct, frozen=True):
    """The next try of a readiness probe, or when it comes."""

    step: Step | None
    at: datetime | None = None
    said: str = ""


def wanted(restore: Object, sources: Sequence[Source]) -> bool:
    """Whether there is anything to do for the running service."""
    return bool(mapping(restore, "spec", "readyConfig")) and any(items(source.section, "postReady") for source in sources)


def ready(restore: Object, sources: Sequence[Source], view: View, home: str) -> Ready | Refusal | Wait:
    """Return the steps in order: those of each source, and of each its list."""
    works: list[Work] = []
    children: list[Child] = []
    copies: list[SecretCopy] = []
    before: tuple[str, ...] = ()
    for source in sources:
        access = restore_plan.reach(restore, source, view, home)
        if isinstance(access, Refusal):
            return access
        for index, raw in enumerate(items(source.section, "postReady")):
            if mapping(raw, "job"):
                made = _jobs(restore, source, mapping(raw, "job"), index, access, view)
                children += access.children
                copies += access.copies
            else:
                made = _commands(restore, source, mapping(raw, "exec"), index, view)
            if isinstance(made, Refusal | Wait):
                return made
            works += [Work(step=msgspec.structs.replace(step, needs=before), source=source) for step in made]
            before = tuple(step.name for step in made)
    children += [*worker.children(namespace_of(restore)), *hooks.accounts(namespace_of(restore), [work.step for work in works])]
    unique = {(child.object["kind"], name_of(child.object)): child for child in children}
    return Ready(
        works=tuple(works), children=tuple(unique.values()), copies=tuple({copy.target: copy for copy in copies}.values())
    )


def _name(restore: Object, source: Source, step: int, pod: int) -> str:
    return restore_plan.job_name("restore-post-ready", names.uid8(restore), name_of(source.backup), str(step), str(pod))


def _jobs(
    restore: Object, source: Source, raw: Object, index: int, access: restore_plan.Access, view: View
) -> list[Step] | Refusal | Wait:
    target = mapping(restore, "spec", "readyConfig", "jobAction", "target")
    if not target:
        return Refusal("NoJobAction", f"step {index} of postReady is a job: set readyConfig.jobAction.target")
    selector = mapping(target, "podSelector")
    pods = _ready_pods(restore, selector, view, every=text(selector, "strategy") == "All")
    if isinstance(pods, Wait) and (other := mapping(selector, "fallbackLabelSelector")):
        pods = _ready_pods(restore, other, view, every=False)
    if isinstance(pods, Wait):
        return pods
    policy = mapping(restore, "spec", "readyConfig", "jobAction", "requiredPolicyForAllPodSelection")
    found: list[Step] = []
    for number_, pod in enumerate(pods):
        saved = restore_plan.saved_pod(policy, source, number_)
        if isinstance(saved, Refusal):
            return saved
        found.append(_job(restore, source, raw, (index, number_), pod, saved, access))
    return found


def _job(
    restore: Object,
    source: Source,
    raw: Object,
    place: tuple[int, int],
    pod: Object,
    saved: str,
    access: restore_plan.Access,
) -> Step:
    config = mapping(restore, "spec", "readyConfig")
    on_node = flag(raw, "runOnTargetPodNode")
    mounts = items(config, "jobAction", "target", "volumeMounts")
    volumes, mounts = targets.volumes_of(pod, {"volumeMounts": mounts}) if on_node else ([], [])
    database = env.database_of(mapping(config, "connectionCredential"), pod)
    own = [*env.of_pod(pod), *env.literals(env.of_target(pod))]
    variables = restore_env.of_source(restore, source, saved, database, own)
    name = _name(restore, source, *place)
    command = restore_plan.command_of(restore, source, raw, "post-ready", variables, mounts)
    placement = targets.place(pod) if on_node else None
    step = restore_plan.job_of(restore, source, name, command, access, volumes=volumes, placement=placement)
    return msgspec.structs.replace(step, on_error=hooks.on_error(raw))


def _commands(restore: Object, source: Source, raw: Object, index: int, view: View) -> list[Step] | Refusal | Wait:
    selector = mapping(restore, "spec", "readyConfig", "execAction", "target", "podSelector")
    if not raw:
        return Refusal("EmptyAction", f"step {index} of postReady: set one of exec and job in its ActionSet")
    if selectors.is_empty(selector):
        return Refusal("NoExecAction", f"step {index} of postReady runs in pods: set readyConfig.execAction.target.podSelector")
    pods = _ready_pods(restore, selector, view, every=True)
    if isinstance(pods, Wait):
        return pods
    namespace, found = namespace_of(restore), list[Step]()
    for number_, pod in enumerate(pods):
        name = _name(restore, source, index, number_)
        found.append(hooks.exec_step(name, name, namespace, pod, raw, restore_plan.labels(restore)))
    return found


def _ready_pods(restore: Object, selector: Object, view: View, *, every: bool) -> list[Object] | Wait:
    """Return one ready pod of the service, or every one once all that match are ready."""
    if selectors.is_empty(selector):
        return Wait("the pod selector of readyConfig selects nothing: name labels of the service's pods")
    pods = view.list(POD, namespace_of(restore), label=selectors.one_label(selector))
    found = sorted((pod for pod in pods if selectors.matches(selector, mapping(pod, "metadata", "labels"))), key=name_of)
    good = [pod for pod in found if targets.is_ready(pod)]
    if not good or (every and len(good) < len(found)):
        return Wait(f"{len(good)} of {len(found)} pods of the restored service are ready")
    return good if every else good[:1]


def probe(restore: Object, since: datetime, view: View, now: datetime) -> Probe | None:
    """Return the next try of the readiness probe from `since` on; None when there is no probe, or it has succeeded."""
    config = mapping(restore, "spec", "readyConfig", "readinessProbe")
    if not config:
        return None
    tries = sorted(view.list(JOB, owner=uid_of(restore)), key=_number)
    tries = [job for job in tries if _number(job)]
    states = [view.step(namespace_of(job), name_of(job)) for job in tries]
    if any(state.phase is Phase.SUCCEEDED for state in states):
        return None
    last = states[-1] if states else None
    if last is not None and not last.phase.terminal:
        return Probe(_try(restore, config, _number(tries[-1]), view), said="the readiness probe runs")
    pause = number(config, "periodSeconds") or _PERIOD if last else number(config, "initialDelaySeconds") or 0
    begin = ((last.finished if last else None) or since) + timedelta(seconds=pause)
    said = f"the readiness probe failed: {last.message or last.reason}" if last else "the readiness probe has not begun"
    if now < begin:
        return Probe(None, begin, said)
    return Probe(_try(restore, config, (_number(tries[-1]) if tries else 0) + 1, view), said=said)


def _number(job: Object) -> int:
    given = text(job, "metadata", "labels", PROBE)
    return int(given) if given.isdigit() else 0


def _probed(restore: Object, view: View) -> Object:
    """Return the pod whose service is probed, ready or not: the first of those that the steps work on; empty without one."""
    ready = mapping(restore, "spec", "readyConfig")
    for action in ("jobAction", "execAction"):
        selector = mapping(ready, action, "target", "podSelector")
        if selectors.is_empty(selector):
            continue
        pods = view.list(POD, namespace_of(restore), label=selectors.one_label(selector))
        found = [pod for pod in pods if selectors.matches(selector, mapping(pod, "metadata", "labels"))]
        if found:
            return min(found, key=name_of)
    return {}


def _try(restore: Object, config: Object, attempt: int, view: View) -> Step:
    pod = _probed(restore, view)
    name = restore_plan.job_name("restore-readiness", names.uid8(restore), str(attempt))
    credential = mapping(restore, "spec", "readyConfig", "connectionCredential")
    database = [entry for entry in env.database_of(credential, pod) if pod or "valueFrom" in entry]
    variables = env.merge(database, items(restore, "spec", "env"))
    command = workload.Command(
        name="readiness-probe",
        image=text(config, "exec", "image"),
        command=strings(config, "exec", "command"),
        env=variables,
        resources=mapping(restore, "spec", "containerResources"),
    )
    spec: Object = {
        "restartPolicy": "Never",
        "serviceAccountName": text(restore, "spec", "serviceAccountName", default=names.WORKER),
        "containers": [command.container()],
    }
    marks = {**restore_plan.labels(restore), PROBE: str(attempt)}
    child = workload.job(name, namespace_of(restore), marks, spec, 0)
    child["spec"]["template"]["metadata"].pop("annotations")
    limit = number(config, "timeoutSeconds") or _TIMEOUT
    child["spec"]["activeDeadlineSeconds"] = limit
    return Step(name=name, child=child, deadline=timedelta(seconds=limit))
