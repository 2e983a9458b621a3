"""Repository: one directory of a BackupStorage for one application, and what lies in it.

It is initialised by a Job that writes `repository.yaml`; the restic repositories below it are made by the backups. Deleting
it removes the Snapshot objects, and with deletionPolicy WipeOut the data; else the data stays, so that a BackupStorage made
over it finds it again. It is Ready while it is initialised and its BackupStorage is Ready.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from holdfast.core.calls import Listed, RepositoryInit, Wipe
from holdfast.core.conditions import condition, is_true, remove, upsert
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Amend, Desired, Doomed, Note, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import (
    at,
    conditions_of,
    deleting,
    flag,
    items,
    mapping,
    name_of,
    namespace_of,
    phase_of,
    text,
    uid_of,
    why_not,
)
from holdfast.dialects.kubestash import initialize, names, runtime, sizes, storage, usage, validate, wipe
from holdfast.dialects.kubestash.decode import Place, place
from holdfast.dialects.kubestash.kinds import BACKUP_SESSION, BACKUP_STORAGE, REPOSITORY, SNAPSHOT
from holdfast.dialects.kubestash.recorded import TERMINAL

INITIALIZED: Final = initialize.Verdict(
    "RepositoryInitialized", "RepositoryInitializationSucceeded", "RepositoryInitializationFailed"
)
BACKEND: Final = "BackendReady"
"""Ours: False while an initialised Repository can't be used because of its BackupStorage or a pause; absent otherwise."""

RECENT: Final = 5


class RepositoryHandler:
    """Handles Repositories."""

    kind = REPOSITORY
    finalizer = names.FINALIZER

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge references, path and what this build can't do."""
        found: list[Problem] = []
        if old is not None and text(old, "spec", "path") != text(obj, "spec", "path"):
            found.append(Problem("spec.path", "can't change: make another Repository"))
        if not text(obj, "spec", "path").strip("/") or ".." in text(obj, "spec", "path").split("/"):
            found.append(Problem("spec.path", "needed: the path inside the backend, such as /demo/data, without '..'"))
        secret = place(mapping(obj, "spec", "encryptionSecret"), namespace_of(obj))
        if secret is not None:
            found += validate.shared_secret(secret, namespace_of(obj), refs, "spec.encryptionSecret")
        at_storage = storage_of(obj)
        if at_storage is None:
            found.append(Problem("spec.storageRef", "needed: name a BackupStorage"))
            return Problems(tuple(found))
        there = refs.get(BACKUP_STORAGE, at_storage.namespace, at_storage.name)
        if there is not None and not usage.admits(there, namespace_of(obj), refs):
            found.append(usage.refusal(there, namespace_of(obj), "spec.storageRef"))
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say that the initialising Job shall run when the storage is Ready; when deleted, that the Snapshots go first."""
        if deleting(obj):
            return _farewell(obj, view, now)
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        wanted = _initialized(obj, view, now)
        return wanted if isinstance(wanted, Problems) else msgspec.structs.replace(wanted, amend=_unlabelled(obj))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status: Ready or why not, and what its Snapshots sum up to."""
        conditions = conditions_of(obj)
        there = _ready_storage(obj, view)
        waits, said = initialize.held_back(outcome.runs), "Repository has been initialized successfully."
        if deleting(obj):
            job = names.repository_cleanup_job(name_of(obj))
            gone = wipe.verdict(obj, job, view, outcome, now) if wipe.wanted(obj) else None
            return {**mapping(obj, "status"), "conditions": upsert(conditions, gone, now) if gone else conditions}
        judged = initialize.outcome(obj, _attempt(obj, view, now), INITIALIZED, said, waits)
        if outcome.problems is not None:
            judged = condition(INITIALIZED.type, False, INITIALIZED.bad, str(outcome.problems))
        elif judged is None and isinstance(there, str) and not is_true(conditions, INITIALIZED.type):
            judged = condition(INITIALIZED.type, False, INITIALIZED.bad, there)
        if judged is not None:
            conditions = upsert(conditions, judged, now)
        ready = is_true(conditions, INITIALIZED.type)
        if flag(obj, "spec", "paused"):
            there = "it is paused: set spec.paused to false"
        if ready and isinstance(there, str):
            reason = "Paused" if flag(obj, "spec", "paused") else "BackupStorageNotReady"
            ready, conditions = False, upsert(conditions, condition(BACKEND, False, reason, there), now)
        else:
            conditions = remove(conditions, BACKEND)
        return {"phase": "Ready" if ready else "NotReady", "conditions": conditions, **_contents(obj, view)}


def storage_of(obj: Object) -> Place | None:
    """Return where the BackupStorage of a Repository is."""
    return place(mapping(obj, "spec", "storageRef"), namespace_of(obj))


def newest_first(snapshots: Sequence[Object]) -> list[Object]:
    """Sort Snapshots by the time of their data, those without one by their creation."""
    return sorted(snapshots, key=lambda item: (snapshot_time(item), name_of(item)), reverse=True)


def snapshot_time(snapshot: Object) -> str:
    """Return the time of a Snapshot's data, else of its creation, as RFC 3339 text."""
    return text(snapshot, "status", "snapshotTime") or text(snapshot, "metadata", "creationTimestamp")


def _initialized(obj: Object, view: View, now: datetime) -> Desired | Problems:
    """Return the Job that makes the place ready, where it is needed and the storage is Ready."""
    there = _ready_storage(obj, view)
    if isinstance(there, str) or flag(obj, "spec", "paused"):
        return Desired()
    name = name_of(obj)
    opened = storage.open_store(there, namespace_of(obj), f"storage-{name}", obj)
    if isinstance(opened, Problem):
        return Problems((opened,))
    job = initialize.job_of(obj, names.repository_init_job(name), opened)
    place = opened.at(text(obj, "spec", "path"))
    call = RepositoryInit(name, place, _document(obj), _listed(obj, opened)).call(opened.secrets)
    return initialize.desired(_attempt(obj, view, now), initialize.labelled(job, obj, INITIALIZED), call, opened.copies)


def _unlabelled(obj: Object) -> Amend | None:
    """Return the labels by which a Repository is found, where one that a person or a rediscovery made lacks them."""
    at_storage = storage_of(obj)
    if at_storage is None:
        return None
    wanted = names.repository_labels(at_storage.namespace, at_storage.name, text(obj, "spec", "path"))
    missing = {key: value for key, value in wanted.items() if text(obj, "metadata", "labels", key) != value}
    return Amend({"metadata": {"labels": missing}}) if missing else None


def _attempt(obj: Object, view: View, now: datetime) -> initialize.Attempt:
    return initialize.attempt(obj, names.repository_init_job(name_of(obj)), INITIALIZED, view, now)


def _ready_storage(obj: Object, view: View) -> Object | str:
    """Return the storage, or why it can't be used."""
    where = storage_of(obj)
    if where is None:
        return "spec.storageRef names no BackupStorage"
    there = view.get(BACKUP_STORAGE, where.namespace, where.name)
    if there is None:
        return f"BackupStorage {where} not found"
    if phase_of(there) == "Ready":
        return there
    why = why_not(there, "")
    return f"BackupStorage {where} is not Ready: {why}" if why else f"BackupStorage {where} is not Ready"


def _document(obj: Object) -> Object:
    meta = {key: value for key in ("name", "namespace", "labels") if (value := at(obj, "metadata", key))}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": meta, "spec": mapping(obj, "spec")}


def _contents(obj: Object, view: View) -> Object:
    """Return what the Snapshots that have ended sum up to: one write for each backup, not one for each of its steps."""
    every = view.list(SNAPSHOT, namespace_of(obj), owner=uid_of(obj))
    snapshots = newest_first([item for item in every if phase_of(item) in TERMINAL])
    good = [item for item in snapshots if phase_of(item) == "Succeeded"]
    newest: dict[str, str] = {}
    for item in good:
        for component in mapping(item, "status", "components").values():
            newest.setdefault(text(component, "path"), text(component, "size"))
    status: Object = {
        "snapshotCount": len(snapshots),
        "size": sizes.total(newest.values()),
        "recentSnapshots": [_recent(item) for item in snapshots[:RECENT]],
        "componentPaths": sorted(newest),
    }
    if good:
        status["lastBackupTime"] = snapshot_time(good[0])
        integrity = at(good[0], "status", "integrity")
        if isinstance(integrity, bool):
            status["integrity"] = integrity
    return status


def _recent(snapshot: Object) -> Object:
    found = {
        "name": name_of(snapshot),
        "phase": phase_of(snapshot) or "Pending",
        "session": text(snapshot, "spec", "session"),
        "size": text(snapshot, "status", "size"),
        "snapshotTime": text(snapshot, "status", "snapshotTime"),
    }
    return {key: value for key, value in found.items() if value}


def _listed(obj: Object, opened: storage.Store) -> Listed:
    return Listed(opened.root, namespace_of(obj), name_of(obj), text(obj, "spec", "path").strip("/"))


def _farewell(obj: Object, view: View, now: datetime) -> Desired:
    """Take the Snapshots along; with WipeOut delete the data once nobody reads or writes it."""
    namespace, name = namespace_of(obj), name_of(obj)
    there = wipe.storage_of(obj, view)
    wiping = wipe.wanted(obj) and there is not None and not deleting(there)
    if wiping and (busy := wipe.reader(namespace, name, "", view) or _writer(obj, view)):
        note = Note("DeletionWaits", f"its data is deleted when {busy} has ended")
        return Desired(notes=(note,))
    snapshots = view.list(SNAPSHOT, namespace, owner=uid_of(obj))
    if snapshots:
        why = f"Repository {namespace}/{name} was deleted; the data {'goes too' if wiping else 'stays'}"
        return Desired(doomed=tuple(Doomed(Ref(SNAPSHOT, namespace_of(item), name_of(item)), why) for item in snapshots))
    opened = storage.open_store(there, namespace, f"storage-{name}", obj) if wiping and there is not None else None
    if opened is None or there is None or isinstance(opened, Problem):
        return Desired(release=True)
    job = initialize.job_of(obj, names.repository_cleanup_job(name), opened, "cleaner")
    job = runtime.with_settings(job, mapping(there, "spec", "runtimeSettings"))
    call = Wipe(name, opened.at(text(obj, "spec", "path")), _listed(obj, opened)).call(opened.secrets)
    return wipe.erase(obj, job, call, opened.copies, view, now)


def _writer(obj: Object, view: View) -> str:
    """Return a BackupSession that is writing to the Repository; empty for none."""
    for session in view.list(BACKUP_SESSION, namespace_of(obj)):
        writes = any(text(entry, "repository") == name_of(obj) for entry in items(session, "status", "snapshots"))
        if writes and phase_of(session) in ("Pending", "Running"):
            return f"BackupSession {namespace_of(session)}/{name_of(session)}"
    return ""
