"""What a change of status is worth telling in an event, for every kind of every dialect by one rule.

Events are the log that people read first (`kubectl describe`, `kubectl events`): a run that ended, however it ended, and
something that worked and no longer does. Statuses say the same to whoever looks at the right object at the right time.
"""

from typing import Final

from holdfast.core.conditions import FALSE
from holdfast.core.objects import Object
from holdfast.core.plan import Note
from holdfast.core.read import items, text

_ENDED: Final = ("Succeeded", "Completed", "COMPLETED")
"""Good ends of a run."""

_BAD: Final = ("Failed", "Skipped", "Invalid", "FAILED", "PARTIAL", "SKIPPED", "CANCELLED")
"""Ends that somebody should look at, and objects that can't be used as they are written."""

_FALLS: Final = {"Ready": ("NotReady",), "Available": ("Unavailable",), "Active": ("Failed",)}
"""What worked, and the phases that say it no longer does. An object that is not ready yet is not news."""

_WORDS: Final = ("failureReason", "message", "error", "reason")
"""Fields of a status that say why, the most telling first."""


def news(kind: str, before: Object, after: Object) -> tuple[Note, ...]:
    """Return the event of what became of an object of that kind between two statuses; nothing while it only goes on.

    Its reason is the kind and the phase, as in `BackupSessionFailed`; its message is what the status itself says of it.
    """
    was, now = _phase(before), _phase(after)
    if now == was:
        return ()
    if now in _ENDED:
        return (Note(_reason(kind, now), _said(after) or f"it is {now.lower()}"),)
    if now in _BAD or now in _FALLS.get(was, ()):
        return (Note(_reason(kind, now), _why(before, after) or f"it is {now}; its status says more", warning=True),)
    return ()


def _phase(status: Object) -> str:
    """Return the phase, which the objects of the REST API call their state."""
    return text(status, "phase") or text(status, "state")


def _reason(kind: str, phase: str) -> str:
    return kind + (phase.capitalize() if phase.isupper() else phase)


def _why(before: Object, after: Object) -> str:
    """Return the status' own words: of a field that says why, else of the condition that changed last and holds badly."""
    if said := _said(after):
        return said
    known = items(before, "conditions")
    changed = [each for each in items(after, "conditions") if each not in known and text(each, "message")]
    bad = [each for each in changed if _troubled(each)]
    return text((bad or changed)[-1], "message") if changed else ""


def _said(status: Object) -> str:
    return next((words for name in _WORDS if (words := text(status, name))), "")


def _troubled(condition: Object) -> bool:
    """Whether a condition tells of something that is not as it should be."""
    return any(word in text(condition, "type") for word in ("Fail", "Skip")) or text(condition, "status") == FALSE
