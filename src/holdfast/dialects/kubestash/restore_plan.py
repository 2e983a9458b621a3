"""The plan of a restore: which Snapshot, into which volumes, with which rights, and what stands in the way.

Data returns to its original absolute paths, so the volumes are mounted where the backup had them. The Jobs run as root in
the claims' namespace; `obstacle` keeps them from starting under an application or before the choice of the Snapshot is
written down.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from holdfast.core.objects import Object, Ref, ref_of
from holdfast.core.plan import Child, Problem, SecretCopy, Step
from holdfast.core.ports import View
from holdfast.core.read import flag, items, mapping, name_of, namespace_of, phase_of, strings, text
from holdfast.core.times import optional_time, parse_time
from holdfast.dialects.kubestash import addons, decode, intrusion, names, restore_tasks, storage, usage, validate
from holdfast.dialects.kubestash.decode import Place, Target
from holdfast.dialects.kubestash.kinds import ADDON, BACKUP_SESSION, BACKUP_STORAGE, CLAIM, REPOSITORY, SNAPSHOT
from holdfast.dialects.kubestash.recorded import TERMINAL, restic_ids
from holdfast.dialects.kubestash.repository import newest_first, snapshot_time, storage_of
from holdfast.dialects.kubestash.restore_tasks import Source

LATEST: Final = "latest"
NOT_ENSURED: Final = "FailedToEnsureRestoreExecutor"
IN_USE: Final = "TargetInUse"
NOT_FOUND: Final = "SourceNotFound"


class Wait(msgspec.Struct, frozen=True):
    """What a restore waits for. `make_claims`: its claims may be made meanwhile."""

    message: str
    reason: str = NOT_ENSURED
    make_claims: bool = False


class Restore(msgspec.Struct, frozen=True):
    """What a restore needs: steps, new claims, copied Secrets, accounts; and the claims that each component writes to."""

    steps: tuple[Step, ...]
    claims: tuple[Object, ...]
    copies: tuple[SecretCopy, ...]
    written: dict[str, tuple[Place, ...]]
    accounts: tuple[Child, ...] = ()

    @property
    def children(self) -> Iterable[tuple[str, Ref]]:
        """Component and child of each step."""
        return ((step.name, ref_of(step.child)) for step in self.steps)


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
    if secret is None and any(restic_ids(entry) for entry in mapping(snapshot, "status", "components").values()):
        return Problem("spec.dataSource.encryptionSecret", "needed: the Repository names none")
    if secret and (found := validate.shared_secret(secret, namespace_of(obj), view, "spec.dataSource.encryptionSecret")):
        return found[0]
    return Source(snapshot, repository, there, secret)


def restore(obj: Object, source: Source, view: View) -> Restore | Problem:
    """Return the tasks of a restore in order: Jobs and claims, for each component."""
    use, wanted = decode.addon_use(mapping(obj, "spec", "addon")), target_of(obj)
    namespace = wanted.namespace if wanted else namespace_of(obj)
    addon = view.get(ADDON, "", use.name)
    selected = _components(obj, source)
    if isinstance(selected, Problem):
        return selected
    opened = storage.open_store(source.storage, namespace, f"storage-{name_of(source.repository)}", obj)
    if isinstance(opened, Problem):
        return opened
    secret = source.secret
    encryption = (
        storage.open_encryption(secret, namespace, name_of(source.repository), obj) if secret else storage.NO_ENCRYPTION
    )
    site = restore_tasks.Site(obj, source, use, wanted, namespace, opened, encryption)
    found: list[restore_tasks.Share] = []
    for work in addons.works(use, addon, addons.RESTORE) if addon else ():
        names_ = [name for name in selected if restore_tasks.takes(work, name)]
        if not names_:
            has = ", ".join(selected) or "none"
            message = f"Snapshot {name_of(source.snapshot)} has no component for task {work.task.name} (it has: {has})"
            return Problem(f"spec.addon.tasks[{work.index}]", message)
        share = restore_tasks.share(work, names_, site, [step.name for each in found for step in each.steps], view)
        if isinstance(share, Problem):
            return share
        found.append(share)
    copies = (*opened.copies, *encryption.copies) if any(share.stores for share in found) else ()
    return Restore(
        tuple(step for each in found for step in each.steps),
        tuple(claim for each in found for claim in each.claims),
        copies,
        {name: places for each in found for name, places in each.written.items()},
        tuple(child for each in found for child in each.accounts),
    )


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


def _reader_of(wanted: Target | None, view: View) -> str:
    """Return a BackupSession that is reading the target; empty for none. One that only cleans up reads it no more."""
    for session in view.list(BACKUP_SESSION) if wanted else ():
        entries = items(session, "status", "snapshots") if phase_of(session) == "Running" else ()
        of_target = (each for each in entries if decode.target(mapping(each, "appRef"), namespace_of(session)) == wanted)
        snapshots = (view.get(SNAPSHOT, namespace_of(session), text(entry, "name")) for entry in of_target)
        if any(phase_of(snapshot) not in TERMINAL for snapshot in snapshots if snapshot is not None):
            return f"{namespace_of(session)}/{name_of(session)}"
    return ""


def _user_of(claim: Place, view: View) -> str:
    """Return a pod that mounts the claim and has not ended; empty for none."""
    living = (pod for pod in intrusion.users(claim, view) if phase_of(pod) not in intrusion.ENDED)
    return next((f"{namespace_of(pod)}/{name_of(pod)}" for pod in living), "")
