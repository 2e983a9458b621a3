"""The plan of a backup: its tasks in order, each with a Job or some VolumeSnapshots for each component.

A Job for files runs in the target's namespace, mounts the target's volumes read-only at the paths of the task, writes to
every repository of the session, and reads as root with the one right that reading takes. Which components there are was fixed
when the Snapshots were made.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from holdfast.core.calls import VolumeBackup
from holdfast.core.objects import Object, bounded_name, owner_reference
from holdfast.core.plan import Child, Plan, Problem, RunKind, SecretCopy, Step
from holdfast.core.ports import View
from holdfast.core.read import mapping, name_of, namespace_of, phase_of, text
from holdfast.core.times import optional_time
from holdfast.dialects.kubestash import (
    addons,
    executor,
    manifests,
    names,
    pods,
    session_hooks,
    task_access,
    user_tasks,
    volume_snapshots,
)
from holdfast.dialects.kubestash.addons import Work
from holdfast.dialects.kubestash.backup_context import Context, Destination
from holdfast.dialects.kubestash.decode import comma_list
from holdfast.dialects.kubestash.kinds import SNAPSHOT, api_version
from holdfast.dialects.kubestash.recorded import TERMINAL, components_of
from holdfast.dialects.kubestash.session_hooks import Hooks
from holdfast.dialects.kubestash.task_access import Access

SAMPLE_BYTES: Final = 16 << 20
"""How much of a repository each backup reads again, for its integrity: one pack of usual size, drawn at random."""


class Backup(msgspec.Struct, frozen=True):
    """The plan, and the Secrets that have to be brought to the target's namespace."""

    plan: Plan
    copies: tuple[SecretCopy, ...]


def snapshots(context: Context, view: View) -> tuple[Child, ...] | Problem:
    """Return the Snapshots of a session, with the components that the target has now."""
    parts = [(work, name) for work in context.works for name in _names(work, context, view)]
    taken: dict[str, dict[str, str]] = {}
    for work, name in parts:
        if work.snapshots:
            claims = volume_snapshots.claims(work, name, context, view)
            if isinstance(claims, Problem):
                return claims
            taken[name] = claims
    components = tuple(name for _, name in parts)
    return tuple(
        Child(_snapshot(context, destination, components, taken), create_only=True) for destination in context.destinations
    )


def plan(context: Context, made: Sequence[Object], deadline: datetime | None, hooks: Hooks, view: View) -> Backup | Problem:
    """Return the plan of a session whose Snapshots are `made`: its hooks around the tasks, each after the one before it."""
    access = task_access.open_all(context)
    if isinstance(access, Problem):
        return access
    steps: list[Step] = []
    for work, components in _shares(context, made[0]):
        needs = tuple(step.name for step in steps)
        for name in components:
            found = _steps(work, name, context, access, made, view)
            if isinstance(found, Problem):
                return found
            steps += [msgspec.structs.replace(step, needs=needs, begun=_begun(name, made)) for step in found]
    started = optional_time(text(context.obj, "metadata", "creationTimestamp"))
    return Backup(
        Plan(
            name="backup",
            kind=RunKind.BACKUP,
            steps=session_hooks.steps(hooks, steps),
            deadline=deadline,
            started=started,
        ),
        access.copies,
    )


def _names(work: Work, context: Context, view: View) -> tuple[str, ...]:
    return executor.work_names(work, context.target, context.workload, view)


def _shares(context: Context, snapshot: Object) -> list[tuple[Work, list[str]]]:
    """Divide the components that a session was started with among its tasks: each task's have names of their own kind."""
    found: list[tuple[Work, list[str]]] = [(work, []) for work in context.works]
    for name in components_of(snapshot):
        share = next((share for work, share in found if work.component == executor.kind_of(name)), None)
        if share is not None:
            share.append(name)
    return found


def _steps(
    work: Work, name: str, context: Context, access: Access, made: Sequence[Object], view: View
) -> tuple[Step, ...] | Problem:
    if work.snapshots:
        return volume_snapshots.steps(work, name, made[0], context)
    if work.function in (addons.MANIFESTS, addons.DUMP):
        return (manifests.backup_step(work, context, access),)
    step = _files_step(name, work, context, access, view) if work.ours else user_tasks.step(name, work, context, access, view)
    return step if isinstance(step, Problem) else (step,)


def _snapshot(
    context: Context, destination: Destination, components: Sequence[str], taken: Mapping[str, Mapping[str, str]]
) -> Object:
    obj, wanted = context.obj, context.target
    kind, name, namespace = names.APP_REF
    about = {kind: wanted.kind.kind, name: bounded_name(wanted.name), namespace: wanted.namespace} if wanted else {}
    mounts = {text(item, "mountPath") for work in context.works for item in work.task.mounts}
    mount = {names.MOUNT: mounts.pop()} if len(mounts) == 1 else {}
    volumes = {names.VOLUME_SNAPSHOTS: msgspec.json.encode(taken).decode()} if taken else {}
    created = optional_time(text(obj, "metadata", "creationTimestamp"))
    seed = f"{text(obj, 'metadata', 'uid')}/{destination.use.name}"
    return {
        "apiVersion": api_version(SNAPSHOT),
        "kind": SNAPSHOT.kind,
        "metadata": {
            "name": destination.snapshot,
            "namespace": namespace_of(obj),
            "labels": {
                names.MANAGED_BY: "kubestash.com",
                names.REPO_NAME: bounded_name(destination.use.name),
                **about,
            },
            "annotations": {names.COMPONENTS: ",".join(components), names.PATHS: ",".join(context.paths), **mount, **volumes},
            "ownerReferences": [owner_reference(destination.repository)],
        },
        "spec": {
            **({"snapshotID": names.ulid(created, seed)} if created else {}),
            "type": "FullBackup",
            "version": "v1",
            "repository": destination.use.name,
            "session": context.session.name,
            "backupSession": name_of(obj),
            **({"appRef": wanted.wire()} if wanted else {}),
            "deletionPolicy": "Delete",
        },
    }


def _files_step(name: str, work: Work, context: Context, access: Access, view: View) -> Step | Problem:
    """Return the step that backs up the files of one component."""
    if context.target is None:
        return Problem("spec.target", f"needed by task {work.task.name}: it backs up the volumes of a target")
    part = executor.component(name, context.target, context.workload, work.task, view, read_only=True)
    if isinstance(part, Problem):
        return part
    job = pods.job(
        names.component_job(name_of(context.obj), name),
        context.namespace,
        task_access.labels(context),
        container=f"{work.task.name}-{work.index}",
        volumes=(*part.volumes, *access.volumes),
        mounts=(*part.mounts, *access.mounts),
        as_root=True,
        rights=pods.BACKUP_RIGHTS,
        node=part.node,
    )
    call = VolumeBackup(
        repositories=task_access.repositories(name, context, access),
        paths=context.paths,
        excludes=comma_list(work.parameters.get("exclude", "")),
        host=name,
        tags=(name_of(context.obj),),
        sample=SAMPLE_BYTES,
    ).call(access.secrets)
    return Step(name=name, child=task_access.shaped(job, context), mover=call)


def _begun(component: str, made: Sequence[Object]) -> bool:
    """Whether a Snapshot shows the component as started, or is over: its Job is then never started again."""
    return any(
        phase_of(snapshot) in TERMINAL or bool(mapping(snapshot, "status", "components", component)) for snapshot in made
    )
