"""The steps of a Backup: for each pod preBackup, backupData, snapshots, postBackup, one after the other; pods side by side.

Names are the documented ones: `dp-prebackup-<i>-<pod>`, `dp-backup-<pod>`, `createVolumeSnapshot-<pod>` and
`dp-postbackup-<i>-<pod>`, with `<target>-` before the numbers where targets have names; the Job of an action is
`<action>-<backup>-<uid8>`. Where there is a preBackup step, postBackup runs however the backup ends: what was frozen is thawed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.calls import DatasafedAttend
from holdfast.core.objects import Object, bounded_name
from holdfast.core.plan import Child, MoverCall, Plan, RunKind, Step, When
from holdfast.core.ports import View
from holdfast.core.read import deleting, flag, items, mapping, name_of, number, strings, text, uid_of
from holdfast.core.times import optional_time
from holdfast.dialects.kubeblocks import (
    backup_env,
    backup_words,
    env,
    hooks,
    names,
    record,
    resources,
    snapshots,
    targets,
    worker,
    workload,
)
from holdfast.dialects.kubeblocks.backup_context import Context
from holdfast.dialects.kubeblocks.kinds import JOB, POD, STATEFUL_SET
from holdfast.dialects.kubeblocks.refusal import Refusal, Wait
from holdfast.dialects.kubeblocks.targets import Target

RUN: Final = "backup"
SAVING: Final = "dp-backup"
"""How the names of actions begin that save data."""
_MAIN: Final = "backupdata"
_QUIET: Final = 60
"""Seconds between two looks at the info file when nobody asked for progress."""
_LASTING: Final = 5
"""The same for a command that never ends: its time range grows all the time."""


RETURN: Final = timedelta(seconds=60)
"""How long a pod of a StatefulSet may be gone: a killed node or an eviction takes it, and the StatefulSet brings it back."""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `status.actions`, with the steps that do it: several for snapshots of several `volumes`."""

    name: str
    pod: str
    target: Target
    steps: tuple[Step, ...]
    volumes: tuple[str, ...] = ()

    @property
    def is_job(self) -> bool:
        """Whether a Job does it."""
        return not self.volumes

    def reference(self) -> Object:
        """Return what does it, as an objectRef."""
        child = self.steps[0].child
        meta = child["metadata"]
        found = {"apiVersion": child["apiVersion"], "kind": child["kind"], "name": meta["name"]}
        return {**found, "namespace": meta["namespace"]}


class Planned(msgspec.Struct, frozen=True):
    """All actions of a Backup, and the accounts that they need."""

    actions: tuple[Action, ...]
    children: tuple[Child, ...] = ()

    def plan(self, started: datetime | None) -> Plan:
        """Return the run."""
        steps = tuple(step for action in self.actions for step in action.steps)
        return Plan(name=RUN, kind=RunKind.BACKUP, steps=steps, started=started)


def planned(context: Context, view: View, now: datetime) -> Planned | Refusal | Wait:
    """Return every action of a Backup, in order. Wait: a pod that is needed is gone, and is to come back."""
    found: list[Action] = []
    for picked in context.targets:
        for index, (name, pod) in enumerate(zip(picked.names, picked.pods, strict=True)):
            if pod is None:
                actions = _of_gone_pod(context, picked.target, name, view, now)
            else:
                actions = _OnePod(context, picked.target, pod, index).actions(view)
            if isinstance(actions, Refusal | Wait):
                return actions
            found += [_checked(context, action, view, now) for action in actions]
    ours = any(not picked.target.account for picked in context.targets)
    accounts = worker.children(context.namespace) if ours else ()
    steps = [step for action in found for step in action.steps]
    if context.objects:
        accounts = (*accounts, *resources.access_to(context.obj))
    return Planned(tuple(found), (*accounts, *hooks.accounts(context.namespace, steps)))


def _checked(context: Context, action: Action, view: View, now: datetime) -> Action:
    """Let a look at what was saved follow where the job that saved it could not say so."""
    if not action.name.startswith(SAVING):
        return action
    check = backup_words.check(context, action.target, action.pod, action.steps[0], labels(context), view, now)
    return action if check is None else msgspec.structs.replace(action, steps=(*action.steps, check))


def labels(context: Context) -> Object:
    """Return the labels of a Backup's workloads."""
    own = mapping(context.obj, "metadata", "labels")
    kept = {key: value for key, value in own.items() if key != names.COMPONENT}
    return {**kept, names.BACKUP_NAME: bounded_name(name_of(context.obj)), names.MANAGED_BY: names.MANAGER}


def backoff(context: Context) -> int:
    """Return how often a Job of the Backup is tried again."""
    given = number(context.policy, "spec", "backoffLimit")
    return workload.BACKOFF if given is None else given


def pod_of(
    context: Context, target: Target, pod: Object, raw: Object, name: str, *, told: bool, lasting: bool = False
) -> tuple[Object, Mapping[str, MoverCall]]:
    """Return the spec of the pod that runs a job action for a target's pod, and the movers of its containers.

    `told`: the command saves data and may say what it knows of it; `lasting`: it never ends.
    """
    on_node = flag(raw, "runOnTargetPodNode")
    volumes, mounts = targets.volumes_of(pod, mapping(context.method, "targetVolumes")) if on_node else ([], [])
    command = workload.Command(
        name=name,
        image=text(raw, "image"),
        command=strings(raw, "command"),
        env=backup_env.of_pod(context, target, pod, told=told),
        env_from=[*env.sources_of_pod(pod), *items(context.action_set, "spec", "envFrom")],
        mounts=mounts,
        resources=mapping(context.method, "runtimeSettings", "resources"),
    )
    return workload.pod(
        command,
        context.access,
        _attend(context, raw, lasting=lasting) if told else workload.attend(),
        storage_env=backup_env.attendant(context, target, name_of(pod)),
        volumes=volumes,
        account=target.account or names.WORKER,
        placement=targets.place(pod) if on_node else None,
    )


def _attend(context: Context, raw: Object, *, lasting: bool) -> DatasafedAttend:
    sync = mapping(raw, "syncProgress")
    quiet = _LASTING if lasting else _QUIET
    interval = (number(sync, "intervalSeconds") or quiet) if flag(sync, "enabled") else quiet
    document = record.document(context)
    return workload.attend(info=env.INFO, interval=interval, lasting=lasting, record=document, record_file=names.RECORD_FILE)


class _OnePod:
    """The actions of one pod, as they come together."""

    def __init__(self, context: Context, target: Target, pod: Object, index: int) -> None:
        self._context, self._target, self._pod, self._index = context, target, pod, index
        self._found: list[Action] = []

    def actions(self, view: View) -> list[Action] | Refusal:
        """Return them all."""
        section = mapping(self._context.action_set, "spec", "backup")
        if (bad := self._hooks(items(section, "preBackup"), "dp-prebackup", When.SUCCESS)) is not None:
            return bad
        thaw = When.ALWAYS if self._found else When.SUCCESS
        if data := mapping(section, "backupData"):
            self._job(self._name(SAVING), data, told=True)
        if self._context.objects and self._target.saves_objects and self._index == 0:
            self._objects()
        if self._context.snapshots and (bad := self._snapshots(view)) is not None:
            return bad
        bad = self._hooks(items(section, "postBackup"), "dp-postbackup", thaw)
        return bad or self._marked()

    def _name(self, stem: str, *numbers: int) -> str:
        target = [self._target.name] if self._target.name else []
        return "-".join([stem, *target, *map(str, numbers), str(self._index)])

    def _job_name(self, action: str) -> str:
        return names.job(f"{action}-{name_of(self._context.obj)}-{names.uid8(self._context.obj)}")

    def _needs(self) -> tuple[str, ...]:
        return tuple(step.name for step in self._found[-1].steps) if self._found else ()

    def _add(self, name: str, steps: Sequence[Step], volumes: Sequence[str] = ()) -> None:
        pod = name_of(self._pod)
        self._found.append(Action(name=name, pod=pod, target=self._target, steps=tuple(steps), volumes=tuple(volumes)))

    def _hooks(self, listed: Sequence[Object], stem: str, when: When) -> Refusal | None:
        for index, raw in enumerate(listed):
            name, needs = self._name(stem, index), self._needs()
            if job := mapping(raw, "job"):
                self._job(name, job, told=False, when=when)
            elif exec_ := mapping(raw, "exec"):
                own = labels(self._context)
                step = hooks.exec_step(name, self._job_name(name), self._context.namespace, self._pod, exec_, own)
                self._add(name, [msgspec.structs.replace(step, needs=needs, when=when)])
            else:
                return Refusal("EmptyAction", f"action {index} of {stem}: set one of exec and job in its ActionSet")
        return None

    def _snapshots(self, view: View) -> Refusal | None:
        context = self._context
        taken = snapshots.steps(
            context.obj, context.method, self._target, self._pod, self._index, labels(context), self._needs(), view
        )
        if isinstance(taken, Refusal):
            return taken
        name = self._name("createVolumeSnapshot")
        steps = [msgspec.structs.replace(each.step, name=f"{name}-{each.volume}") for each in taken]
        self._add(name, steps, [each.volume for each in taken])
        return None

    def _objects(self) -> None:
        """Save the objects of the target, once for all of its pods; after the data, whose size is measured before."""
        name = self._name(resources.STEM)
        own = labels(self._context)
        self._add(name, [resources.backup_step(self._context, self._target, name, self._job_name(name), own, self._needs())])

    def _job(self, name: str, raw: Object, *, told: bool, when: When = When.SUCCESS) -> None:
        context = self._context
        spec, attendants = pod_of(context, self._target, self._pod, raw, _MAIN if told else name, told=told)
        child = workload.job(self._job_name(name), context.namespace, labels(context), spec, backoff(context))
        needs, errors = self._needs(), hooks.on_error(raw)
        self._add(name, [Step(name=name, child=child, needs=needs, when=when, on_error=errors, attendants=attendants)])

    def _marked(self) -> list[Action]:
        """Say of what the status shows as started that it was: what is gone then is not made again."""
        entries = items(self._context.obj, "status", "actions")
        begun = {text(entry, "name") for entry in entries if text(entry, "phase") not in ("", "New")}
        return [
            msgspec.structs.replace(
                action, steps=tuple(msgspec.structs.replace(step, begun=action.name in begun) for step in action.steps)
            )
            for action in self._found
        ]


def _of_gone_pod(context: Context, target: Target, pod: str, view: View, now: datetime) -> list[Action] | Refusal | Wait:
    """Return the actions of a pod that is gone, as the status remembers them.

    Jobs that have ended decide; one that is under way may end. What has not begun by now never can, unless the pod comes back.
    """
    found: list[Action] = []
    needs: tuple[str, ...] = ()
    for entry in items(context.obj, "status", "actions"):
        if text(entry, "targetPodName") != pod:
            continue
        name, reference = text(entry, "name"), mapping(entry, "objectRef")
        if text(reference, "kind") == JOB.kind and not _counts(context, text(reference, "name"), view):
            said = f"pod {context.namespace}/{pod} is gone, and {name} was not done yet"
            until = (optional_time(text(context.obj, "metadata", "annotations", names.TARGET_GONE)) or now) + RETURN
            waits = now < until and _returns(context.namespace, pod, view)
            return Wait(said, "TargetPodGone", until) if waits else Refusal("TargetPodGone", said)
        stub: Object = {
            "apiVersion": text(reference, "apiVersion"),
            "kind": text(reference, "kind"),
            "metadata": {"name": text(reference, "name"), "namespace": context.namespace},
        }
        step = Step(name=name, child=stub, needs=needs, begun=True)
        found.append(Action(name=name, pod=pod, target=target, steps=(step,)))
        needs = (name,)
    return found


def _returns(namespace: str, pod: str, view: View) -> bool:
    """Whether a StatefulSet is there that has a pod of this name."""
    name, _, ordinal = pod.rpartition("-")
    owner = view.get(STATEFUL_SET, namespace, name) if ordinal.isdecimal() else None
    if owner is None or deleting(owner):
        return False
    first, replicas = number(owner, "spec", "ordinals", "start") or 0, number(owner, "spec", "replicas")
    return first <= int(ordinal) < first + (1 if replicas is None else replicas)


def _counts(context: Context, job: str, view: View) -> bool:
    """Whether a Job has ended, or has a pod that works."""
    found, state = view.get(JOB, context.namespace, job), view.step(context.namespace, job)
    if found is None or state.phase.terminal:
        return found is not None
    pods = view.list(POD, context.namespace, owner=uid_of(found))
    return any(text(pod, "status", "phase") in ("Running", "Succeeded") for pod in pods)
