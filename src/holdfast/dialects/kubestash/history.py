"""Which finished BackupSessions of a BackupConfiguration go: only the newest of each session name are kept.

Snapshots stay, they are retention's matter. A session that is still to be repeated is spared, since its repetition is
derived from it.
"""

from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Doomed
from holdfast.core.ports import View
from holdfast.dialects.kubestash.decode import Configuration, Session, is_backup_configuration
from holdfast.dialects.kubestash.kinds import BACKUP_SESSION
from holdfast.dialects.kubestash.read import flag, mapping, name_of, phase_of, text

FINISHED = ("Succeeded", "Failed", "Skipped")


def sessions(configuration: str, namespace: str, view: View) -> list[Object]:
    """Return every BackupSession of a BackupConfiguration, also those that people made, oldest first."""
    found = [
        obj
        for obj in view.list(BACKUP_SESSION, namespace)
        if is_backup_configuration(mapping(obj, "spec", "invoker")) and text(obj, "spec", "invoker", "name") == configuration
    ]
    return sorted(found, key=age)


def age(obj: Object) -> tuple[str, str]:
    """Return a key that sorts sessions by creation."""
    return text(obj, "metadata", "creationTimestamp"), name_of(obj)


def surplus(wanted: Configuration, view: View) -> tuple[Doomed, ...]:
    """Return the finished sessions beyond each limit."""
    all_sessions = sessions(wanted.place.name, wanted.place.namespace, view)
    return tuple(doomed for session in wanted.sessions for doomed in _surplus(session, all_sessions, wanted))


def _surplus(session: Session, found: list[Object], wanted: Configuration) -> list[Doomed]:
    finished = [obj for obj in found if text(obj, "spec", "session") == session.name and phase_of(obj) in FINISHED]
    gone = finished[: -session.history] if session.history else finished
    why = f"older than the last {session.history} finished sessions that sessionHistoryLimit keeps"
    return [Doomed(Ref(BACKUP_SESSION, wanted.place.namespace, name_of(obj)), why) for obj in gone if not _to_repeat(obj)]


def _to_repeat(obj: Object) -> bool:
    return bool(text(obj, "status", "nextRetry")) and not flag(obj, "status", "retried")
