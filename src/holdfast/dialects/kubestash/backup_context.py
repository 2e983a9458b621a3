"""Everything that a BackupSession depends on, gathered once for each pass.

`gather` is the only place that follows its references. What is missing is a Refusal with the documented reason; before
the start it skips the session, afterwards it fails it.
"""

from typing import Final

import msgspec

from holdfast.core.objects import Object
from holdfast.core.ports import View
from holdfast.core.read import deleting, mapping, name_of, namespace_of, phase_of, text
from holdfast.dialects.kubestash import addons, defaults, executor, history, names
from holdfast.dialects.kubestash.addons import Work
from holdfast.dialects.kubestash.decode import (
    Configuration,
    Place,
    RepositoryUse,
    Session,
    Target,
    comma_list,
    configuration,
    is_backup_configuration,
    target,
)
from holdfast.dialects.kubestash.kinds import ADDON, BACKUP_CONFIGURATION, BACKUP_STORAGE, REPOSITORY, RESTORE_SESSION

NOT_SATISFIED: Final = "PreRequisitesNotSatisfied"
ANOTHER_RUNS: Final = "AnotherBackupSessionRunning"
REPLACED: Final = "BackupReplaced"
"""Ours: True on a session that a later one cancelled, since the scheduler's concurrencyPolicy is Replace."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a session can't run: a documented reason and a sentence."""

    reason: str
    message: str


class Turn(msgspec.Struct, frozen=True):
    """A session that may run, but not yet: what it waits for."""

    message: str


class Destination(msgspec.Struct, frozen=True):
    """One Repository that the session writes to, and the name of its Snapshot."""

    use: RepositoryUse
    repository: Object
    storage: Object
    policy: Place | None
    snapshot: str


class Context(msgspec.Struct, frozen=True):
    """What a session needs to run."""

    obj: Object
    invoker: Object
    configuration: Configuration
    session: Session
    target: Target | None
    workload: Object
    works: tuple[Work, ...]
    destinations: tuple[Destination, ...]

    @property
    def namespace(self) -> str:
        """Where the Jobs run: beside the target, else beside the BackupConfiguration."""
        return self.target.namespace if self.target else self.configuration.place.namespace

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that a task which backs up files names."""
        found = (comma_list(work.parameters.get("paths", "")) for work in self.works if work.function == addons.VOLUME_BACKUP)
        return next(found, ()) or (executor.CLAIM_PATH,)


def gather(obj: Object, view: View) -> Context | Refusal:
    """Follow the references of a BackupSession."""
    namespace, name = namespace_of(obj), text(obj, "spec", "invoker", "name")
    invoker = view.get(BACKUP_CONFIGURATION, namespace, name)
    if invoker is None:
        return _missing(f"BackupConfiguration {namespace}/{name} not found")
    wanted = configuration(invoker)
    session = wanted.session(text(obj, "spec", "session"))
    if session is None:
        known = ", ".join(item.name for item in wanted.sessions)
        return _missing(f"BackupConfiguration {wanted.place} has no session {text(obj, 'spec', 'session')} (it has: {known})")
    workload = view.get(wanted.target.kind, wanted.target.namespace, wanted.target.name) if wanted.target else {}
    if workload is None:
        return _missing(f"the target {wanted.target.ref if wanted.target else ''} not found")
    destinations = _destinations(obj, wanted, session, view)
    if isinstance(destinations, Refusal):
        return destinations
    addon = view.get(ADDON, "", session.addon.name)
    if addon is None:
        return _missing(f"Addon {session.addon.name} not found")
    works = addons.works(session.addon, addon, addons.BACKUP)
    if len(works) < len(session.addon.tasks):
        return _missing(f"Addon {session.addon.name} has no longer every task of session {session.name}")
    return Context(
        obj=obj,
        invoker=invoker,
        configuration=wanted,
        session=session,
        target=wanted.target,
        workload=workload,
        works=works,
        destinations=destinations,
    )


def gate(obj: Object, view: View) -> Refusal | Turn | None:
    """Judge whether a new session may start: all is ready, nothing else runs, nothing writes to the target.

    With concurrencyPolicy Replace it waits for its turn while the earlier session of its name is being cancelled. It also
    waits until a younger one has been judged, which may have begun before this one bore its label.
    """
    found = gather(obj, view)
    if isinstance(found, Refusal):
        return found
    place = found.configuration.place
    if phase_of(found.invoker) != "Ready":
        return _missing(f"BackupConfiguration {place} is not Ready but {phase_of(found.invoker) or 'new'}: see its status")
    if found.configuration.paused:
        return _missing(f"BackupConfiguration {place} is paused")
    if found.target and any(not executor.work_names(work, found.target, found.workload, view) for work in found.works):
        return _missing(f"{found.target.ref} has no pods, so there is nothing to back up")
    others = [other for other in history.sessions(place.name, place.namespace, view) if name_of(other) != name_of(obj)]
    for other in others:
        if _blocks(other, obj):
            runs = f"BackupSession {place.namespace}/{name_of(other)} is still running"
            if found.session.replaces and text(other, "spec", "session") == found.session.name:
                if history.age(other) > history.age(obj):
                    return Refusal(ANOTHER_RUNS, f"{runs}; it is younger, and goes on since concurrencyPolicy is Replace")
                return Turn(f"{runs}; it is being cancelled, since concurrencyPolicy is Replace")
            return Refusal(ANOTHER_RUNS, runs)
    unjudged = next((other for other in others if not mapping(other, "status") and not deleting(other)), None)
    if unjudged is not None:
        return Turn(f"BackupSession {place.namespace}/{name_of(unjudged)} may have begun before this one could be seen")
    for restore in view.list(RESTORE_SESSION):
        if found.target and phase_of(restore) == "Running" and _writes_to(restore, found.target):
            there = f"{namespace_of(restore)}/{name_of(restore)}"
            return _missing(f"RestoreSession {there} is writing to the target")
    return None


def replacement(context: Context, view: View) -> Object | None:
    """Return the later session of the same name that waits for this one to be cancelled; None for no such session."""
    if not context.session.replaces:
        return None
    place, obj = context.configuration.place, context.obj
    waiting = (other for other in history.sessions(place.name, place.namespace, view) if not phase_of(other))
    same = (other for other in waiting if text(other, "spec", "session") == context.session.name and not deleting(other))
    return next((other for other in same if history.age(other) > history.age(obj)), None)


def _missing(message: str) -> Refusal:
    return Refusal(NOT_SATISFIED, message)


def _blocks(other: Object, obj: Object) -> bool:
    """Whether another session goes first: it has begun, or it is older. One that only waits for its own gate may be younger."""
    if phase_of(other) in history.FINISHED or not is_backup_configuration(mapping(other, "spec", "invoker")):
        return False
    return bool(phase_of(other)) or history.age(other) < history.age(obj)


def _writes_to(restore: Object, wanted: Target) -> bool:
    return target(mapping(restore, "spec", "target"), namespace_of(restore)) == wanted


def _destinations(obj: Object, wanted: Configuration, session: Session, view: View) -> tuple[Destination, ...] | Refusal:
    namespace = wanted.place.namespace
    backends = {backend.name: backend for backend in defaults.backends(wanted, view)}
    snapshots = names.snapshots(name_of(obj), [use.name for use in session.repositories])
    found: list[Destination] = []
    for use, snapshot in zip(session.repositories, snapshots, strict=True):
        backend = backends.get(use.backend)
        repository = view.get(REPOSITORY, namespace, use.name)
        if repository is None or deleting(repository):
            return _missing(f"Repository {namespace}/{use.name} not found")
        storage = (
            view.get(BACKUP_STORAGE, backend.storage.namespace, backend.storage.name) if backend and backend.storage else None
        )
        if storage is None or backend is None:
            return _missing(f"the BackupStorage of Repository {namespace}/{use.name} not found")
        found.append(Destination(use, repository, storage, backend.policy, snapshot))
    return tuple(found)
