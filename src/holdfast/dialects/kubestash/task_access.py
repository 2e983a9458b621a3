"""How the Jobs of a backup reach every repository of their session: stores, passwords, mounts, paths in the bucket."""

import msgspec

from holdfast.core.calls import RepositoryTarget
from holdfast.core.objects import Object
from holdfast.core.plan import Problem, SecretCopy, SecretFiles
from holdfast.core.read import name_of, namespace_of, text
from holdfast.dialects.kubestash import names, pods, runtime, storage
from holdfast.dialects.kubestash.backup_context import Context, Destination
from holdfast.dialects.kubestash.kinds import BACKUP_SESSION


class Access(msgspec.Struct, frozen=True):
    """What a Job needs to reach every repository."""

    targets: tuple[tuple[Destination, storage.Store, storage.Encryption], ...] = ()
    volumes: tuple[Object, ...] = ()
    mounts: tuple[Object, ...] = ()
    secrets: tuple[SecretFiles, ...] = ()
    copies: tuple[SecretCopy, ...] = ()


def open_all(context: Context) -> Access | Problem:
    """Open every repository of a session. Where the cluster's storage does all the work there is nothing to open."""
    if all(work.snapshots for work in context.works):
        return Access()
    targets: list[tuple[Destination, storage.Store, storage.Encryption]] = []
    for destination in context.destinations:
        name = destination.use.name
        opened = storage.open_store(destination.storage, context.namespace, f"storage-{name}", context.obj)
        if isinstance(opened, Problem):
            return opened
        if destination.use.secret is None:
            return Problem("encryptionSecret", f"repository {name} has no encryptionSecret: only volume-snapshot needs none")
        encryption = storage.open_encryption(destination.use.secret, context.namespace, name, context.obj)
        targets.append((destination, opened, encryption))
    mounts = pods.unique([mount for _, opened, _ in targets for mount in opened.mounts])
    paths = [text(mount, "mountPath") for mount in mounts]
    if len(set(paths)) < len(paths):
        return Problem("storage.local.mountPath", f"two storages of one session are mounted at one path ({', '.join(paths)})")
    return Access(
        targets=tuple(targets),
        volumes=pods.unique([volume for _, opened, _ in targets for volume in opened.volumes]),
        mounts=mounts,
        secrets=tuple(item for _, opened, encryption in targets for item in (*opened.secrets, *encryption.secrets)),
        copies=tuple(item for _, opened, encryption in targets for item in (*opened.copies, *encryption.copies)),
    )


def repositories(component: str, context: Context, access: Access) -> tuple[RepositoryTarget, ...]:
    """Return the restic repository of a component in each Repository."""
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


def labels(context: Context) -> Object:
    """Return the documented labels of a backup's Job."""
    obj, session = context.obj, context.session.name
    return names.labels("backup", kind=BACKUP_SESSION.kind, namespace=namespace_of(obj), name=name_of(obj), session=session)


def shaped(job: Object, context: Context) -> Object:
    """Return a Job with the settings of the session's addon."""
    use = context.session.addon
    return runtime.with_container(runtime.with_template(job, use.template), use.settings)
