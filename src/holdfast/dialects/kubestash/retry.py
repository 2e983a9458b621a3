"""Repeating a failed BackupSession: when, and as what.

The repetition is a new session with one retry less. Its name derives from the time that the failed one announced in
`nextRetry`, so however often the pass runs it is made once; `retried` is noted when it is seen.
"""

from datetime import datetime, timedelta

from holdfast.core.objects import Object
from holdfast.core.plan import Child, Desired
from holdfast.core.ports import View
from holdfast.core.read import deleting, flag, mapping, name_of, namespace_of, number, phase_of, text
from holdfast.core.times import format_time, optional_time
from holdfast.dialects.kubestash import decode, names, triggers
from holdfast.dialects.kubestash.decode import Session
from holdfast.dialects.kubestash.kinds import BACKUP_CONFIGURATION, BACKUP_SESSION, api_version


def planned(obj: Object, session: Session | None, now: datetime) -> Object:
    """Return `nextRetry` for a session that has just failed, or nothing when no retry is left."""
    left = decode.retries_left(mapping(obj, "spec"), session) if session else number(obj, "spec", "retryLeft") or 0
    if left < 1:
        return {}
    due = now + (session.delay if session else timedelta())
    created = optional_time(text(obj, "metadata", "creationTimestamp"))
    if created is not None and int(due.timestamp()) <= int(created.timestamp()):
        due = created + timedelta(seconds=1)
    return {"nextRetry": format_time(due)}


def desired(obj: Object, view: View, now: datetime) -> Desired:
    """Return the repetition of a failed session once it is due."""
    due = optional_time(text(obj, "status", "nextRetry"))
    if phase_of(obj) != "Failed" or due is None or flag(obj, "status", "retried"):
        return Desired()
    if now < due:
        return Desired(wake_at=due)
    child = _child(obj, due, view)
    return Desired(children=(Child(child, create_only=True),)) if child else Desired()


def noted(obj: Object, view: View) -> Object:
    """Return the final status, with `retried` once the repetition is there."""
    status = mapping(obj, "status")
    due = optional_time(text(obj, "status", "nextRetry"))
    if due is None or flag(obj, "status", "retried"):
        return status
    name = _name(obj, due)
    there = view.get(BACKUP_SESSION, namespace_of(obj), name)
    return {**status, "retried": True} if there is not None else status


def _name(obj: Object, due: datetime) -> str:
    return names.backup_session(text(obj, "spec", "invoker", "name"), text(obj, "spec", "session"), due)


def _child(obj: Object, due: datetime, view: View) -> Object | None:
    namespace, invoker = namespace_of(obj), text(obj, "spec", "invoker", "name")
    owner = view.get(BACKUP_CONFIGURATION, namespace, invoker)
    if owner is None or deleting(owner):
        return None
    session = decode.configuration(owner).session(text(obj, "spec", "session"))
    if session is None:
        return None
    left = decode.retries_left(mapping(obj, "spec"), session) - 1
    meta = triggers.session_metadata(owner, session.name)
    return {
        "apiVersion": api_version(BACKUP_SESSION),
        "kind": BACKUP_SESSION.kind,
        "metadata": {**meta, "name": _name(obj, due), "annotations": {names.RETRY_OF: name_of(obj)}},
        "spec": triggers.session_spec(invoker, session.name, left, text(obj, "spec", "backupTimeout")),
    }
