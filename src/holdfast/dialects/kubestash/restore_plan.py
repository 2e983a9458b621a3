"""The plan of a restore: which Snapshot, into which volumes, with which rights, and what stands in the way.

Data returns to its original absolute paths, so the volumes are mounted where the backup had them. The Jobs run as root in
the claims' namespace; `obstacle` keeps them from starting under an application or before the choice of the Snapshot is
written down.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from holdfast.core.calls import VolumeRestore
from holdfast.core.objects import Object
from holdfast.core.plan import Problem, SecretCopy, Step
from holdfast.core.ports import View
from holdfast.core.read import flag, items, mapping, name_of, namespace_of, phase_of, strings, text
from holdfast.core.times import optional_time, parse_time
from holdfast.dialects.kubestash import addons, decode, executor, intrusion, names, pods, runtime, storage, usage, validate
from holdfast.dialects.kubestash.decode import AddonUse, Place, Target, comma_list
from holdfast.dialects.kubestash.executor import Component
from holdfast.dialects.kubestash.kinds import (
    ADDON,
    BACKUP_SESSION,
    BACKUP_STORAGE,
    CLAIM,
    REPOSITORY,
    RESTORE_SESSION,
    SNAPSHOT,
    STATEFUL_SET,
)
from holdfast.dialects.kubestash.recorded import TERMINAL, restic_ids
from holdfast.dialects.kubestash.repository import newest_first, snapshot_time, storage_of

LATEST: Final = "latest"
NOT_ENSURED: Final = "FailedToEnsureRestoreExecutor"
IN_USE: Final = "TargetInUse"
NOT_FOUND: Final = "SourceNotFound"


class Wait(msgspec.Struct, frozen=True):
    """What a restore waits for. `make_claims`: its claims may be made meanwhile."""

    message: str
    reason: str = NOT_ENSURED
    make_claims: bool = False


class Source(msgspec.Struct, frozen=True):
    """Where the data comes from."""

    snapshot: Object
    repository: Object
    storage: Object
    secret: Place


class Restore(msgspec.Struct, frozen=True):
    """What a restore needs: steps, new claims, copied Secrets; and the claims that each component writes to."""

    steps: tuple[Step, ...]
    claims: tuple[Object, ...]
    copies: tuple[SecretCopy, ...]
    written: dict[str, tuple[Place, ...]]

    @property
    def jobs(self) -> Iterable[tuple[str, str, str]]:
        """Component, namespace and name of each Job."""
        return ((step.name, namespace_of(step.child), name_of(step.child)) for step in self.steps)


def target_of(obj: Object) -> Target | None:
    """Return the target of a RestoreSession, None when claims are made for it."""
    return decode.target(mapping(obj, "spec", "target"), namespace_of(obj))


def target_found(obj: Object, view: View) -> bool | None:
    """Whether the target exists; None when there is none."""
    wanted = target_of(obj)
    return None if wanted is None else view.get(wanted.kind, wanted.namespace, wanted.name) is not None


def find_source(obj: Object, view: View) -> Source | Wait | Problem:
    """Return the Snapshot to restore with all that leads to its data. One that was noted before is never exchanged."""
    given = mapping(obj, "spec", "dataSource")
    namespace = text(given, "namespace", default=namespace_of(obj))
    snapshot = _snapshot(obj, given, namespace, view)
    if isinstance(snapshot, Wait | Problem):
        return snapshot
    repository = view.get(REPOSITORY, namespace, text(snapshot, "spec", "repository"))
    if repository is None:
        return Wait(f"Repository {namespace}/{text(snapshot, 'spec', 'repository')} not found", NOT_FOUND)
    where = storage_of(repository)
    there = view.get(BACKUP_STORAGE, where.namespace, where.name) if where else None
    if there is None:
        return Wait(f"BackupStorage {where or ''} not found", NOT_FOUND)
    if not usage.admits(there, namespace_of(obj), view):
        return usage.refusal(there, namespace_of(obj), "spec.dataSource.repository")
    secret = decode.place(mapping(given, "encryptionSecret"), namespace_of(obj))
    secret = secret or decode.place(mapping(repository, "spec", "encryptionSecret"), namespace)
    if secret is None:
        return Problem("spec.dataSource.encryptionSecret", "needed: the Repository names none")
    if found := validate.shared_secret(secret, namespace_of(obj), view, "spec.dataSource.encryptionSecret"):
        return found[0]
    return Source(snapshot, repository, there, secret)


def restore(obj: Object, source: Source, view: View) -> Restore | Problem:
    """Return the Jobs of a restore, one for each component."""
    use = decode.addon_use(mapping(obj, "spec", "addon"))
    wanted = target_of(obj)
    namespace = wanted.namespace if wanted else namespace_of(obj)
    selected = _components(obj, source)
    if isinstance(selected, Problem):
        return selected
    opened = storage.open_store(source.storage, namespace, f"storage-{name_of(source.repository)}", obj)
    if isinstance(opened, Problem):
        return opened
    encryption = storage.open_encryption(source.secret, namespace, name_of(source.repository), obj)
    steps: list[Step] = []
    claims: list[Object] = []
    written: dict[str, tuple[Place, ...]] = {}
    for name in selected:
        part = _part(name, use, wanted, namespace, view)
        if isinstance(part, Problem):
            return part
        component, made = part
        if (problem := _misplaced(name, component, source)) is not None:
            return problem
        claims += made
        written[name] = tuple(Place(namespace, claim) for claim in component.claims)
        steps.append(_step(obj, component, use, source, opened, encryption, namespace, view))
    return Restore(tuple(steps), tuple(claims), (*opened.copies, *encryption.copies), written)


def obstacle(obj: Object, source: Source, found: Restore, view: View) -> Wait | None:
    """Return what a restore has to wait for before its first Job starts."""
    if view.get(ADDON, "", text(obj, "spec", "addon", "name")) is None:
        return Wait(f"Addon {text(obj, 'spec', 'addon', 'name')} not found")
    if name_of(source.snapshot) != _noted(obj):
        return Wait("the Snapshot is being noted, so that retention spares it", make_claims=True)
    reader = _reader_of(target_of(obj), view)
    if reader:
        return Wait(f"BackupSession {reader} is reading the target", IN_USE)
    made = {(namespace_of(claim), name_of(claim)) for claim in found.claims}
    for claim in (claim for claims in found.written.values() for claim in claims):
        there = view.get(CLAIM, claim.namespace, claim.name)
        if there is None:
            return Wait(f"PersistentVolumeClaim {claim} not found", make_claims=(claim.namespace, claim.name) in made)
        pod = _user_of(claim, view)
        if pod:
            advice = "scale its workload to 0, and the restore starts by itself"
            return Wait(f"PersistentVolumeClaim {claim} is mounted by running pod {pod}: {advice}", IN_USE)
    return None


def _noted(obj: Object) -> str:
    """Return the Snapshot that the status names as found; empty before the choice."""
    entries = items(obj, "status", "dependencies")
    return next((text(entry, "name") for entry in entries if text(entry, "kind") == "Snapshot" and entry.get("found")), "")


def _snapshot(obj: Object, given: Object, namespace: str, view: View) -> Object | Wait | Problem:
    noted = [
        entry for entry in items(obj, "status", "dependencies") if text(entry, "kind") == "Snapshot" and entry.get("found")
    ]
    moment = mapping(given, "pitr")
    name = text(noted[0], "name") if noted else text(given, "snapshot", default=LATEST if moment else "")
    if name == LATEST:
        return _latest(text(given, "repository"), namespace, moment, view)
    snapshot = view.get(SNAPSHOT, namespace, name)
    if snapshot is None:
        gone = f"Snapshot {namespace}/{name} was deleted while this session needed it"
        return Problem("spec.dataSource.snapshot", gone) if noted else Wait(f"Snapshot {namespace}/{name} not found", NOT_FOUND)
    asked = text(given, "repository")
    if asked and text(snapshot, "spec", "repository") != asked:
        there = text(snapshot, "spec", "repository")
        return Problem("spec.dataSource.repository", f"Snapshot {namespace}/{name} belongs to Repository {there}, not {asked}")
    if phase_of(snapshot) == "Failed":
        return Problem("spec.dataSource.snapshot", f"Snapshot {namespace}/{name} is Failed: choose one that Succeeded")
    if phase_of(snapshot) != "Succeeded":
        return Wait(f"Snapshot {namespace}/{name} is {phase_of(snapshot) or 'Pending'}")
    return snapshot


def _latest(repository: str, namespace: str, moment: Object, view: View) -> Object | Wait:
    """Return the newest Snapshot that Succeeded: at or before the time of `pitr`, strictly before it when it is exclusive."""
    if view.get(REPOSITORY, namespace, repository) is None:
        return Wait(f"Repository {namespace}/{repository} not found", NOT_FOUND)
    label = (names.REPO_NAME, names.label_value(repository))
    all_ = [item for item in view.list(SNAPSHOT, namespace, label=label) if text(item, "spec", "repository") == repository]
    good = [item for item in all_ if phase_of(item) == "Succeeded" and _by(item, moment)]
    if found := newest_first(good):
        return found[0]
    if moment:
        until = f"{'before' if flag(moment, 'exclusive') else 'at or before'} {text(moment, 'targetTime')}"
        return Wait(f"Repository {namespace}/{repository} has no Snapshot that Succeeded {until}", NOT_FOUND)
    coming = any(phase_of(item) not in TERMINAL for item in all_)
    return Wait(f"Repository {namespace}/{repository} has no Snapshot that Succeeded", NOT_ENSURED if coming else NOT_FOUND)


def _by(snapshot: Object, moment: Object) -> bool:
    """Whether the data of a Snapshot is old enough for the time that a restore goes back to."""
    limit = optional_time(text(moment, "targetTime"))
    if limit is None:
        return True
    taken = parse_time(snapshot_time(snapshot))
    return taken < limit if flag(moment, "exclusive") else taken <= limit


def _components(obj: Object, source: Source) -> tuple[str, ...] | Problem:
    there = mapping(source.snapshot, "status", "components")
    asked = strings(obj, "spec", "dataSource", "components") or list(there)
    missing = [name for name in asked if name not in there]
    if missing:
        known = ", ".join(there) or "none"
        message = f"Snapshot {name_of(source.snapshot)} has no component {', '.join(missing)} (it has: {known})"
        return Problem("spec.dataSource.components", message)
    return tuple(asked)


def _misplaced(name: str, component: Component, source: Source) -> Problem | None:
    """Return what to tell when the data would not land on any of the mounted volumes."""
    mounts = [text(mount, "mountPath").rstrip("/") for mount in component.mounts]
    for entry in items(source.snapshot, "status", "components", name, "resticStats"):
        path = text(entry, "hostPath").rstrip("/")
        if path and not any(f"{path}/".startswith(f"{mount}/") for mount in mounts):
            message = f"the data of {name} belongs at {path}, where no volume is mounted (mounted: {', '.join(mounts)})"
            return Problem("spec.addon.tasks[0].targetVolumes.volumeMounts", f"{message}: mount one there")
    return None


def _part(
    name: str, use: AddonUse, wanted: Target | None, namespace: str, view: View
) -> tuple[Component, tuple[Object, ...]] | Problem:
    task = use.tasks[0]
    if task.claim_templates:
        return executor.templated(name, task, namespace)
    workload = view.get(wanted.kind, wanted.namespace, wanted.name) if wanted else None
    if wanted is None or workload is None:
        return Problem("spec.target", f"{wanted.ref if wanted else 'the target'} not found")
    found = executor.component(name, wanted, workload, task, view, read_only=False)
    if isinstance(found, Problem):
        return Problem(f"spec.addon.tasks[0].{found.field}", found.message)
    return (msgspec.structs.replace(found, node=""), ()) if wanted.kind == STATEFUL_SET else (found, ())


def _step(
    obj: Object,
    component: Component,
    use: AddonUse,
    source: Source,
    opened: storage.Store,
    encryption: storage.Encryption,
    namespace: str,
    view: View,
) -> Step:
    status = mapping(source.snapshot, "status", "components", component.name)
    parameters = addons.parameters(use.tasks[0], view.get(ADDON, "", use.name), addons.RESTORE)
    labels = names.labels("restore", kind=RESTORE_SESSION.kind, namespace=namespace_of(obj), name=name_of(obj))
    job = pods.job(
        names.component_job(name_of(obj), component.name),
        namespace,
        labels,
        container=f"{use.tasks[0].name}-0",
        volumes=(*component.volumes, *opened.volumes),
        mounts=(*component.mounts, *opened.mounts),
        as_root=True,
        rights=pods.RESTORE_RIGHTS,
        node=component.node,
    )
    job = runtime.with_container(runtime.with_template(job, use.template), use.settings)
    repository = storage.repository_target(
        opened,
        encryption,
        name=name_of(source.repository),
        path=f"{text(source.repository, 'spec', 'path')}/{text(status, 'path')}",
        component=component.name,
        snapshot=name_of(source.snapshot),
    )
    call = VolumeRestore(
        repository=repository,
        snapshot_ids=restic_ids(status),
        include=comma_list(parameters.get("include", "")),
        exclude=comma_list(parameters.get("exclude", "")),
    ).call((*opened.secrets, *encryption.secrets))
    begun = bool(mapping(obj, "status", "components", component.name))
    return Step(name=component.name, child=job, mover=call, begun=begun)


def _reader_of(wanted: Target | None, view: View) -> str:
    """Return a BackupSession that is reading the target; empty for none. One that only cleans up reads it no more."""
    for session in view.list(BACKUP_SESSION) if wanted else ():
        open_ = [entry for entry in items(session, "status", "snapshots") if text(entry, "phase") not in TERMINAL]
        apps = [decode.target(mapping(entry, "appRef"), namespace_of(session)) for entry in open_]
        if phase_of(session) == "Running" and wanted in apps:
            return f"{namespace_of(session)}/{name_of(session)}"
    return ""


def _user_of(claim: Place, view: View) -> str:
    """Return a pod that mounts the claim and has not ended; empty for none."""
    living = (pod for pod in intrusion.users(claim, view) if phase_of(pod) not in intrusion.ENDED)
    return next((f"{namespace_of(pod)}/{name_of(pod)}" for pod in living), "")
