"""The plan of a backup: one Job for each component, which writes to every repository of the session.

The Job runs in the target's namespace, mounts the target's volumes read-only at the paths that the task names, and reads as
root with the one right that reading takes. Which components there are was fixed when the Snapshots were made.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from holdfast.core.calls import RepositoryTarget, VolumeBackup
from holdfast.core.objects import Object, bounded_name, owner_reference
from holdfast.core.plan import Child, Plan, Problem, RunKind, SecretCopy, SecretFiles, Step
from holdfast.core.ports import View
from holdfast.core.read import mapping, name_of, namespace_of, phase_of, text
from holdfast.core.times import optional_time
from holdfast.dialects.kubestash import executor, names, pods, runtime, session_hooks, storage
from holdfast.dialects.kubestash.backup_context import Context, Destination
from holdfast.dialects.kubestash.decode import comma_list
from holdfast.dialects.kubestash.kinds import BACKUP_SESSION, SNAPSHOT, api_version
from holdfast.dialects.kubestash.recorded import TERMINAL, components_of
from holdfast.dialects.kubestash.session_hooks import Hooks


class Backup(msgspec.Struct, frozen=True):
    """The plan, and the Secrets that have to be brought to the target's namespace."""

    plan: Plan
    copies: tuple[SecretCopy, ...]


class _Access(msgspec.Struct, frozen=True):
    """What a Job needs to reach every repository."""

    targets: tuple[tuple[Destination, storage.Store, storage.Encryption], ...]
    volumes: tuple[Object, ...]
    mounts: tuple[Object, ...]
    secrets: tuple[SecretFiles, ...]
    copies: tuple[SecretCopy, ...]


def snapshots(context: Context, view: View) -> tuple[Child, ...]:
    """Return the Snapshots of a session, with the components that the target has now."""
    components = executor.names(context.target, context.workload, view)
    return tuple(Child(_snapshot(context, destination, components), create_only=True) for destination in context.destinations)


def plan(context: Context, made: Sequence[Object], deadline: datetime | None, hooks: Hooks, view: View) -> Backup | Problem:
    """Return the plan of a session whose Snapshots are `made`: its hooks around a Job for each component."""
    access = _access(context)
    if isinstance(access, Problem):
        return access
    steps: list[Step] = []
    for name in components_of(made[0]):
        step = _step(name, context, access, made, view)
        if isinstance(step, Problem):
            return step
        steps.append(step)
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


def _snapshot(context: Context, destination: Destination, components: Sequence[str]) -> Object:
    obj, wanted = context.obj, context.target
    kind, name, namespace = names.APP_REF
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
                kind: wanted.kind.kind,
                name: bounded_name(wanted.name),
                namespace: wanted.namespace,
            },
            "annotations": {names.COMPONENTS: ",".join(components), names.PATHS: ",".join(context.paths)},
            "ownerReferences": [owner_reference(destination.repository)],
        },
        "spec": {
            **({"snapshotID": names.ulid(created, seed)} if created else {}),
            "type": "FullBackup",
            "version": "v1",
            "repository": destination.use.name,
            "session": context.session.name,
            "backupSession": name_of(obj),
            "appRef": wanted.wire(),
            "deletionPolicy": "Delete",
        },
    }


def _access(context: Context) -> _Access | Problem:
    targets: list[tuple[Destination, storage.Store, storage.Encryption]] = []
    for destination in context.destinations:
        name = destination.use.name
        opened = storage.open_store(destination.storage, context.target.namespace, f"storage-{name}", context.obj)
        if isinstance(opened, Problem):
            return opened
        if destination.use.secret is None:
            return Problem("encryptionSecret", f"repository {name} has no encryptionSecret: logical-backup needs one")
        encryption = storage.open_encryption(destination.use.secret, context.target.namespace, name, context.obj)
        targets.append((destination, opened, encryption))
    mounts = pods.unique([mount for _, opened, _ in targets for mount in opened.mounts])
    paths = [text(mount, "mountPath") for mount in mounts]
    if len(set(paths)) < len(paths):
        return Problem("storage.local.mountPath", f"two storages of one session are mounted at one path ({', '.join(paths)})")
    return _Access(
        targets=tuple(targets),
        volumes=pods.unique([volume for _, opened, _ in targets for volume in opened.volumes]),
        mounts=mounts,
        secrets=tuple(item for _, opened, encryption in targets for item in (*opened.secrets, *encryption.secrets)),
        copies=tuple(item for _, opened, encryption in targets for item in (*opened.copies, *encryption.copies)),
    )


def _step(name: str, context: Context, access: _Access, made: Sequence[Object], view: View) -> Step | Problem:
    task = context.session.addon.tasks[0]
    part = executor.component(name, context.target, context.workload, task, view, read_only=True)
    if isinstance(part, Problem):
        return part
    obj = context.obj
    labels = names.labels(
        "backup", kind=BACKUP_SESSION.kind, namespace=namespace_of(obj), name=name_of(obj), session=context.session.name
    )
    job = pods.job(
        names.component_job(name_of(obj), name),
        context.target.namespace,
        labels,
        container=f"{task.name}-0",
        volumes=(*part.volumes, *access.volumes),
        mounts=(*part.mounts, *access.mounts),
        as_root=True,
        rights=pods.BACKUP_RIGHTS,
        node=part.node,
    )
    job = runtime.with_container(runtime.with_template(job, context.session.addon.template), context.session.addon.settings)
    call = VolumeBackup(
        repositories=_repositories(name, context, access),
        paths=context.paths,
        excludes=comma_list(context.parameters.get("exclude", "")),
        host=name,
        tags=(name_of(obj),),
    ).call(access.secrets)
    return Step(name=name, child=job, mover=call, begun=_begun(name, made))


def _repositories(component: str, context: Context, access: _Access) -> tuple[RepositoryTarget, ...]:
    return tuple(
        storage.repository_target(
            opened,
            encryption,
            name=destination.use.name,
            path=f"{destination.use.directory}/{names.component_path(context.session.name, component)}",
            component=component,
            snapshot=destination.snapshot,
        )
        for destination, opened, encryption in access.targets
    )


def _begun(component: str, made: Sequence[Object]) -> bool:
    """Whether a Snapshot shows the component as started, or is over: its Job is then never started again."""
    return any(
        phase_of(snapshot) in TERMINAL or bool(mapping(snapshot, "status", "components", component)) for snapshot in made
    )
