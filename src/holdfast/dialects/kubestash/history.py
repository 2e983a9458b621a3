"""Which finished BackupSessions of a BackupConfiguration go: only those of each session name that ended last are kept.

Skipped sessions did nothing, so they count apart: a schedule that is skipped all day must not push out what the last backup
said. The newest session that Succeeded and the newest one that ran at all stay whatever the limit is. Snapshots stay, they
are retention's matter. A session that is still to be repeated is spared, since its repetition is derived from it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Amend, Doomed
from holdfast.core.ports import View
from holdfast.core.read import conditions_of, deleting, flag, mapping, name_of, phase_of, text
from holdfast.core.times import optional_time, parse_duration
from holdfast.dialects.kubestash import names
from holdfast.dialects.kubestash.decode import Configuration, Session, is_backup_configuration
from holdfast.dialects.kubestash.kinds import BACKUP_SESSION

FINISHED = ("Succeeded", "Failed", "Skipped")


def sessions(configuration: str, namespace: str, view: View) -> list[Object]:
    """Return every BackupSession of a BackupConfiguration that bears its label, oldest first: see `unlabelled`."""
    label = (names.INVOKER_NAME, names.label_value(configuration))
    found = [
        obj
        for obj in view.list(BACKUP_SESSION, namespace, label=label)
        if is_backup_configuration(mapping(obj, "spec", "invoker")) and text(obj, "spec", "invoker", "name") == configuration
    ]
    return sorted(found, key=age)


def unlabelled(obj: Object) -> Amend | None:
    """Return the label by which its BackupConfiguration finds a BackupSession, where it is missing; None where it is there.

    Looked up without it, hundreds of BackupConfigurations would read each other's sessions in every pass.
    """
    invoker = mapping(obj, "spec", "invoker")
    wanted = names.label_value(text(invoker, "name"))
    if not is_backup_configuration(invoker) or not wanted or text(obj, "metadata", "labels", names.INVOKER_NAME) == wanted:
        return None
    return Amend({"metadata": {"labels": {names.INVOKER_NAME: wanted}}})


def age(obj: Object) -> tuple[str, str]:
    """Return a key that sorts sessions by creation."""
    return text(obj, "metadata", "creationTimestamp"), name_of(obj)


def surplus(wanted: Configuration, view: View) -> tuple[Doomed, ...]:
    """Return the finished sessions beyond each limit."""
    all_sessions = sessions(wanted.place.name, wanted.place.namespace, view)
    return tuple(doomed for session in wanted.sessions for doomed in _surplus(session, all_sessions, wanted))


def beyond(session: Session, wanted: Configuration, view: View) -> list[str]:
    """Return the names of finished sessions beyond the limit of one session which are not even going."""
    found = sessions(wanted.place.name, wanted.place.namespace, view)
    going = {name_of(obj) for obj in found if deleting(obj)}
    return [doomed.ref.name for doomed in _surplus(session, found, wanted) if doomed.ref.name not in going]


def ended(obj: Object) -> datetime:
    """Return when a finished session ended: what its duration says, else the last thing that its conditions tell."""
    created = optional_time(text(obj, "metadata", "creationTimestamp")) or datetime.min.replace(tzinfo=UTC)
    lasted = text(obj, "status", "duration")
    if lasted:
        return created + parse_duration(lasted)
    told = (optional_time(text(item, "lastTransitionTime")) for item in conditions_of(obj))
    return max((time for time in told if time is not None), default=created)


def _surplus(session: Session, found: Sequence[Object], wanted: Configuration) -> list[Doomed]:
    finished = [obj for obj in found if text(obj, "spec", "session") == session.name and phase_of(obj) in FINISHED]
    newest = sorted(finished, key=lambda obj: (ended(obj), *age(obj)), reverse=True)
    skipped = [obj for obj in newest if phase_of(obj) == "Skipped"]
    ran = [obj for obj in newest if phase_of(obj) != "Skipped"]
    spared = {name_of(obj) for obj in (*ran[:1], *[obj for obj in ran if phase_of(obj) == "Succeeded"][:1])}
    gone = [obj for obj in (*ran[session.history :], *skipped[session.history :]) if name_of(obj) not in spared]
    why = f"older than the last {session.history} finished sessions that sessionHistoryLimit keeps"
    return [Doomed(Ref(BACKUP_SESSION, wanted.place.namespace, name_of(obj)), why) for obj in gone if not to_repeat(obj)]


def to_repeat(obj: Object) -> bool:
    """Whether a failed session will be repeated, which has not been seen to happen yet."""
    return bool(text(obj, "status", "nextRetry")) and not flag(obj, "status", "retried")
