"""BackupConfiguration: what shall be backed up, where to, and when.

It makes the Repositories and one CronJob for each session, tells in its status what is missing, and keeps the history of
its sessions short. It is Ready when a session that starts now would find everything it needs: unlike KubeStash's, that
includes the Addon and the Repositories.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from holdfast.core.access import exec_access
from holdfast.core.conditions import condition, find, is_true, upsert
from holdfast.core.cron import Cron
from holdfast.core.labels import annotation
from holdfast.core.ledger import Schedule
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Child, Desired, Doomed, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import (
    conditions_of,
    deleting,
    flag,
    items,
    mapping,
    name_of,
    namespace_of,
    owned_by,
    phase_of,
    text,
    uid_of,
    why_not,
)
from holdfast.core.times import format_time, optional_time
from holdfast.dialects.kubestash import addons, history, manifests, names, ticks, triggers, validate, verifier
from holdfast.dialects.kubestash.decode import Configuration, Place, RepositoryUse, Session, configuration
from holdfast.dialects.kubestash.defaults import ResolvedBackend, backends
from holdfast.dialects.kubestash.kinds import (
    ADDON,
    BACKUP_CONFIGURATION,
    BACKUP_SESSION,
    BACKUP_STORAGE,
    CRON_JOB,
    REPOSITORY,
    RETENTION_POLICY,
    ROLE_BINDING,
    SERVICE_ACCOUNT,
    api_version,
)

PASSED: Final = ("ResourceValidationPassed", "Validation has been passed successfully.")
FAILED_REASON: Final = "ResourceValidationFailed"
INITIAL: Final = "InitialBackupTriggered"
ENSURED: Final = ("SchedulerEnsured", "Scheduler has been ensured successfully.")


class BackupConfigurationHandler:
    """Handles BackupConfigurations."""

    kind = BACKUP_CONFIGURATION
    finalizer = names.FINALIZER

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge a BackupConfiguration in the documented order of rules."""
        return validate.backup_configuration(obj, refs)

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say which Repositories and CronJobs shall exist, and which old sessions shall go."""
        if deleting(obj):
            return _farewell(obj, view)
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        wanted = configuration(obj)
        scheduled = [child for session in wanted.sessions for child in triggers.children(obj, session, paused=wanted.paused)]
        scheduled += verifier.children(obj, wanted, view)
        doomed = _dropped(obj, wanted, view)
        if wanted.paused:
            return Desired(children=tuple(scheduled), doomed=doomed)
        stores = {backend.name: backend for backend in backends(wanted, view)}
        return Desired(
            children=(*_repositories(obj, wanted, stores), *scheduled, *_access(obj, wanted, view), *_initial(obj, wanted)),
            doomed=(*doomed, *history.surplus(wanted, view)),
            wake_at=min((due for session in wanted.sessions if (due := _next(session, wanted, now))), default=None),
        )

    def schedules(self, obj: Object, view: View, now: datetime) -> Sequence[Schedule]:
        """Return a schedule for each session, for its Ledger."""
        return ticks.schedules(obj, view)

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status: what is there, what is missing and why, and when the next backups are due."""
        if outcome.problems is not None:
            return _invalid(obj, outcome.problems, now)
        wanted = configuration(obj)
        conditions = upsert(conditions_of(obj), condition(validate.VALIDATED, True, *PASSED), now, restamp=True)
        target = wanted.target
        status: Object = {
            "targetFound": target is None or view.get(target.kind, target.namespace, target.name) is not None,
            "conditions": conditions,
            "backends": [_backend_status(backend, view) for backend in backends(wanted, view)],
            "repositories": [_repository_status(use, wanted, view) for use in _uses(wanted)],
            "dependencies": [_dependency(name, view) for name in _addons(wanted)],
            "sessions": [_session_status(session, wanted, obj, outcome, view, now) for session in wanted.sessions],
        }
        return {**status, "phase": "Ready" if _ready(status) else "NotReady"}


def _invalid(obj: Object, problems: Problems, now: datetime) -> Object:
    """Return the last good status with the verdict on the present spec."""
    judged = condition(validate.VALIDATED, False, problems.items[0].reason or FAILED_REASON, str(problems))
    conditions = upsert(conditions_of(obj), judged, now, restamp=True)
    return {**mapping(obj, "status"), "conditions": conditions, "phase": "Invalid"}


def _ready(status: Object) -> bool:
    sessions = status["sessions"]
    ensured = [find(items(session, "conditions"), "SchedulerEnsured") for session in sessions]
    return (
        flag(status, "targetFound")
        and all(flag(backend, "ready") for backend in status["backends"])
        and all(flag(dependency, "found") for dependency in status["dependencies"])
        and all(repository["phase"] == "Ready" for repository in status["repositories"])
        and all(item is not None and item["status"] == "True" for item in ensured)
    )


def _uses(wanted: Configuration) -> list[RepositoryUse]:
    """Return each Repository once, as the first session that names it wants it."""
    found: dict[str, RepositoryUse] = {}
    for session in wanted.sessions:
        for use in session.repositories:
            found.setdefault(use.name, use)
    return list(found.values())


def _addons(wanted: Configuration) -> list[str]:
    return list(dict.fromkeys(session.addon.name for session in wanted.sessions))


def _repositories(obj: Object, wanted: Configuration, stores: dict[str, ResolvedBackend]) -> list[Child]:
    return [Child(_repository(wanted, use, storage)) for use in _uses(wanted) if (storage := stores[use.backend].storage)]


def _repository(wanted: Configuration, use: RepositoryUse, storage: Place) -> Object:
    spec: Object = {
        "storageRef": storage.wire(),
        "path": use.directory,
        "deletionPolicy": use.stored_policy,
    }
    if wanted.target is not None:
        spec["appRef"] = wanted.target.wire()
    if use.secret is not None:
        spec["encryptionSecret"] = use.secret.wire()
    return {
        "apiVersion": api_version(REPOSITORY),
        "kind": REPOSITORY.kind,
        "metadata": {
            "name": use.name,
            "namespace": wanted.place.namespace,
            "labels": {
                names.MANAGED_BY: "kubestash.com",
                **names.repository_labels(storage.namespace, storage.name, use.directory),
            },
        },
        "spec": spec,
    }


def _hook_access(obj: Object, wanted: Configuration) -> tuple[Child, ...]:
    """Return the account by which hooks run commands in the target's namespace, where any session has hooks."""
    if not any(mapping(session.raw, "hooks") for session in wanted.sessions):
        return ()
    name, place = names.hook_account(wanted.place.name), wanted.place.namespace
    namespace = wanted.target.namespace if wanted.target else place
    return exec_access(name, namespace, job_namespace=place, owner=obj, labels={names.MANAGED_BY: "kubestash.com"})


def _access(obj: Object, wanted: Configuration, view: View) -> tuple[Child, ...]:
    """Return the accounts of hooks, and of a task that reads the manifests of the target's namespace."""
    uses = (session.addon for session in wanted.sessions)
    works = (
        work for use in uses if (addon := view.get(ADDON, "", use.name)) for work in addons.works(use, addon, addons.BACKUP)
    )
    if wanted.target is None or all(work.function != addons.MANIFESTS for work in works):
        return _hook_access(obj, wanted)
    return (*_hook_access(obj, wanted), *manifests.access_to(wanted.place.name, wanted.target.namespace, obj))


def _initial(obj: Object, wanted: Configuration) -> tuple[Child, ...]:
    """Return the first BackupSession of each session, where the annotation asks for it and everything is Ready."""
    born = optional_time(text(obj, "metadata", "creationTimestamp"))
    if annotation(obj, names.BACKUP_NOW) != "true" or phase_of(obj) != "Ready" or born is None:
        return ()
    done = {text(item, "name") for item in items(obj, "status", "sessions") if is_true(items(item, "conditions"), INITIAL)}
    return tuple(
        Child(triggers.first_session(obj, session, born), create_only=True)
        for session in wanted.sessions
        if session.name not in done and not flag(session.scheduler, "suspend")
    )


def _dropped(obj: Object, wanted: Configuration, view: View) -> tuple[Doomed, ...]:
    """Return the CronJobs of sessions that are gone from the spec, with their accounts."""
    keep = {names.trigger(wanted.place.name, session.name) for session in wanted.sessions}
    keep |= {name_of(child.object) for child in verifier.children(obj, wanted, view)}
    found: list[Doomed] = []
    for job in view.list(CRON_JOB, wanted.place.namespace, owner=uid_of(obj)):
        name = name_of(job)
        if namespace_of(job) != wanted.place.namespace or name in keep:
            continue
        for kind in (CRON_JOB, ROLE_BINDING, SERVICE_ACCOUNT):
            there = view.get(kind, wanted.place.namespace, name)
            if there is not None and owned_by(there, obj):
                found.append(Doomed(Ref(kind, wanted.place.namespace, name), f"no session needs {name} any more"))
    return tuple(found)


def _next(session: Session, wanted: Configuration, now: datetime) -> datetime | None:
    if wanted.paused or flag(session.scheduler, "suspend"):
        return None
    return Cron.parse(session.schedule).next_after(now)


def _backend_status(backend: ResolvedBackend, view: View) -> Object:
    storage, policy = _storage_status(backend.storage, view), _policy_status(backend.policy, view)
    ready = storage.get("phase") == "Ready" and flag(policy, "found")
    return {"name": backend.name, "ready": ready, "storage": storage, "retentionPolicy": policy}


def _storage_status(at: Place | None, view: View) -> Object:
    if at is None:
        return {"phase": "NotReady", "reason": "no BackupStorage is named, and there is no default"}
    storage = view.get(BACKUP_STORAGE, at.namespace, at.name)
    if storage is None:
        return {"ref": at.wire(), "phase": "NotReady", "reason": f"BackupStorage {at} not found"}
    if phase_of(storage) == "Ready":
        return {"ref": at.wire(), "phase": "Ready"}
    return {"ref": at.wire(), "phase": "NotReady", "reason": why_not(storage, f"BackupStorage {at} is not initialized yet")}


def _policy_status(at: Place | None, view: View) -> Object:
    if at is None:
        return {"found": False, "reason": "no RetentionPolicy is named, and there is no default"}
    if view.get(RETENTION_POLICY, at.namespace, at.name) is None:
        return {"ref": at.wire(), "found": False, "reason": f"RetentionPolicy {at} not found"}
    return {"ref": at.wire(), "found": True}


def _repository_status(use: RepositoryUse, wanted: Configuration, view: View) -> Object:
    repository = view.get(REPOSITORY, wanted.place.namespace, use.name)
    if repository is not None and phase_of(repository) == "Ready":
        return {"name": use.name, "phase": "Ready"}
    waiting = f"Repository {wanted.place.namespace}/{use.name} is not initialized yet"
    reason = why_not(repository, waiting) if repository else f"Repository {wanted.place.namespace}/{use.name} not found"
    return {"name": use.name, "phase": "NotReady", "reason": reason}


def _dependency(addon: str, view: View) -> Object:
    return {"kind": ADDON.kind, "name": addon, "found": view.get(ADDON, "", addon) is not None}


def _session_status(
    session: Session, wanted: Configuration, obj: Object, outcome: Outcome, view: View, now: datetime
) -> Object:
    before = next((item for item in items(obj, "status", "sessions") if text(item, "name") == session.name), mapping({}))
    name = names.trigger(wanted.place.name, session.name)
    job = view.get(CRON_JOB, wanted.place.namespace, name)
    if job is not None and owned_by(job, obj):
        judged = condition("SchedulerEnsured", True, *ENSURED)
    elif job is not None:
        judged = condition("SchedulerEnsured", False, "SchedulerNotEnsured", f"CronJob {name} belongs to another owner")
    else:
        judged = condition("SchedulerEnsured", False, "SchedulerNotEnsured", f"CronJob {name} is not there yet")
    conditions = upsert(items(before, "conditions"), judged, now, restamp=True)
    born = optional_time(text(obj, "metadata", "creationTimestamp"))
    first = names.backup_session(wanted.place.name, session.name, born) if born else ""
    if annotation(obj, names.BACKUP_NOW) == "true" and view.get(BACKUP_SESSION, wanted.place.namespace, first) is not None:
        said = f"BackupSession {first} has been created."
        conditions = upsert(conditions, condition(INITIAL, True, "SuccessfullyTriggeredInitialBackup", said), now)
    elif refused := outcome.refused.get(first):
        said = f"BackupSession {first} can't be created: {refused}"
        conditions = upsert(conditions, condition(INITIAL, False, "FailedToTriggerInitialBackup", said), now)
    status: Object = {"name": session.name, "conditions": conditions}
    due = _next(session, wanted, now)
    return {**status, "nextSchedule": format_time(due)} if due else status


def _farewell(obj: Object, view: View) -> Desired:
    """Delete the sessions, and the Repositories unless they are retained or another one writes to them.

    Their data goes only where a repository of the spec says WipeOut.
    """
    wanted = configuration(obj)
    others = [configuration(other) for other in view.list(BACKUP_CONFIGURATION, wanted.place.namespace)]
    shared = {use.name for other in others if other.uid != wanted.uid for use in _uses(other)}
    place = wanted.place
    doomed = [
        Doomed(Ref(BACKUP_SESSION, place.namespace, name_of(session)), f"BackupConfiguration {place} was deleted")
        for session in history.sessions(place.name, place.namespace, view)
    ]
    for use in _uses(wanted):
        there = view.get(REPOSITORY, wanted.place.namespace, use.name)
        if there is not None and use.deletion_policy != "Retain" and use.name not in shared and _made_for(there, wanted):
            what = "the data goes too" if use.deletion_policy == "WipeOut" else "the data stays"
            why = f"BackupConfiguration {wanted.place} was deleted; {what}"
            doomed.append(Doomed(Ref(REPOSITORY, wanted.place.namespace, use.name), why))
    if not doomed and wanted.target is not None and wanted.target.namespace != place.namespace:
        doomed += _accounts_elsewhere(wanted, wanted.target.namespace, view)
    return Desired(doomed=tuple(doomed), release=not doomed)


def _accounts_elsewhere(wanted: Configuration, namespace: str, view: View) -> list[Doomed]:
    """Return the accounts and bindings in the target's namespace, which their BackupConfiguration can't own."""
    hooks, manifest = names.hook_account(wanted.place.name), names.manifest_account(wanted.place.name)
    refs = [Ref(ROLE_BINDING, namespace, hooks), *(Ref(kind, namespace, manifest) for kind in (ROLE_BINDING, SERVICE_ACCOUNT))]
    there = (ref for ref in refs if view.get(ref.kind, ref.namespace, ref.name) is not None)
    return [Doomed(ref, f"BackupConfiguration {wanted.place} was deleted") for ref in there]


def _made_for(repository: Object, wanted: Configuration) -> bool:
    given = mapping(repository, "spec", "appRef")
    if wanted.target is None:
        return not given
    return {**given, "namespace": text(given, "namespace")} == wanted.target.wire()
