"""The attempts of a schedule or of a single backup in the documented shape: a map, where absent means absent."""

from collections.abc import Sequence

from holdfast.core.objects import Object
from holdfast.core.read import mapping, name_of, phase_of, text

ENDED = ("Completed", "Failed")


def told(before: Object, backups: Sequence[Object], total: int) -> Object:
    """Return `status.attempts` after these backups. What `before` remembers of backups that are gone stays."""
    ordered = sorted(backups, key=lambda backup: (text(backup, "metadata", "creationTimestamp"), name_of(backup)))
    running = [backup for backup in ordered if phase_of(backup) not in ENDED]
    ended = sorted((backup for backup in ordered if phase_of(backup) in ENDED), key=_end)
    good = [backup for backup in ended if phase_of(backup) == "Completed"]
    found: Object = {"total": total}
    if running:
        found["inProgress"] = _running(next((each for each in running if phase_of(each) == "InProgress"), running[0]))
    for name, those, build in (("last", ended, last), ("lastSuccessful", good, successful)):
        if those:
            found[name] = build(those[-1])
        elif name in before:
            found[name] = before[name]
    return found


def _end(backup: Object) -> tuple[str, str]:
    return text(backup, "status", "completedAt"), name_of(backup)


def _running(backup: Object) -> Object:
    status = mapping(backup, "status")
    started = text(status, "startedAt") or text(backup, "metadata", "creationTimestamp")
    found = {"startedAt": started, "status": text(status, "phase", default="Pending"), "message": text(status, "message")}
    return {name: value for name, value in found.items() if value}


def last(backup: Object) -> Object:
    """Return `attempts.last` of an ended backup; a completed one has no message."""
    status = mapping(backup, "status")
    found = {**successful(backup), "status": phase_of(backup)}
    message = text(status, "message")
    return {**found, "message": message} if message and phase_of(backup) == "Failed" else found


def successful(backup: Object) -> Object:
    """Return the two times of an ended backup. One that never began is said to have started when it was created."""
    status = mapping(backup, "status")
    started = text(status, "startedAt") or text(backup, "metadata", "creationTimestamp")
    return {"startedAt": started, "completedAt": text(status, "completedAt")}
