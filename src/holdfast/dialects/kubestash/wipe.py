"""Deleting data because somebody deleted the object that stands for it, with deletionPolicy WipeOut.

The object stays until a Job has reported that the data is gone, so what remains is always visible; its condition says why the
Job failed and when it is tried again. Setting deletionPolicy to Delete lets the object go and keeps the data. A Secret that is
missing must not hold an object for ever: it goes then, and an event says that the data stays.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from holdfast.core.conditions import Condition
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Desired, Doomed, MoverCall, Note, Phase, SecretCopy
from holdfast.core.ports import Outcome, View
from holdfast.core.read import items, mapping, name_of, namespace_of, phase_of, text
from holdfast.dialects.kubestash import initialize
from holdfast.dialects.kubestash.decode import place
from holdfast.dialects.kubestash.kinds import BACKUP_STORAGE, JOB, REPOSITORY, RESTORE_SESSION

WIPED: Final = initialize.Verdict("DataWiped", "DataWipedOut", "FailedToWipeOutData")
"""Ours: whether the data of a deleted object is gone."""

_SECRET_MISSING: Final = "CreateContainerConfigError"
_READING: Final = ("", "Pending", "Running")


def wanted(obj: Object) -> bool:
    """Whether the data shall go with the object."""
    return text(obj, "spec", "deletionPolicy") == "WipeOut"


def erase(obj: Object, job: Object, call: MoverCall, copies: Sequence[SecretCopy], view: View, now: datetime) -> Desired:
    """Return what the end of an object asks for: its Job, another look, or that it may go."""
    found = _attempt(obj, job, view, now)
    state = found.state
    if state is not None and state.phase is Phase.SUCCEEDED:
        return Desired(release=True)
    if state is not None and state.phase is Phase.RUNNING and state.reason == _SECRET_MISSING:
        note = Note("DataStays", f"the data can't be deleted, and stays: {state.message}", warning=True)
        gone = Doomed(Ref(JOB, namespace_of(job), name_of(job)), "its Secret is missing")
        return Desired(release=True, notes=(note,), doomed=(gone,))
    return initialize.desired(found, initialize.labelled(job, obj, WIPED), call, copies)


def verdict(obj: Object, job: str, view: View, outcome: Outcome, now: datetime) -> Condition | None:
    """Return the condition that tells how far the Job of that name is; None while there is nothing to tell."""
    found = initialize.attempt(obj, job, WIPED, view, now)
    return initialize.outcome(obj, found, WIPED, "The data has been deleted.", initialize.held_back(outcome.runs))


def reader(namespace: str, repository: str, snapshot: str, view: View) -> str:
    """Return an unfinished RestoreSession that reads a Repository, or one Snapshot of it; empty for none."""
    for session in view.list(RESTORE_SESSION):
        source = mapping(session, "spec", "dataSource")
        if phase_of(session) not in _READING or text(source, "namespace", default=namespace_of(session)) != namespace:
            continue
        noted = {text(item, "name") for item in items(session, "status", "dependencies") if text(item, "kind") == "Snapshot"}
        named = {text(source, "snapshot"), *noted}
        if snapshot in named if snapshot else text(source, "repository") == repository:
            return f"RestoreSession {namespace_of(session)}/{name_of(session)}"
    return ""


def storage_of(repository: Object, view: View) -> Object | None:
    """Return the BackupStorage of a Repository; None when it is gone."""
    where = place(mapping(repository, "spec", "storageRef"), namespace_of(repository))
    return view.get(BACKUP_STORAGE, where.namespace, where.name) if where else None


def repository_of(snapshot: Object, view: View) -> Object | None:
    """Return the Repository of a Snapshot; None when it is gone."""
    return view.get(REPOSITORY, namespace_of(snapshot), text(snapshot, "spec", "repository"))


def _attempt(obj: Object, job: Object, view: View, now: datetime) -> initialize.Attempt:
    return initialize.attempt(obj, name_of(job), WIPED, view, now)
