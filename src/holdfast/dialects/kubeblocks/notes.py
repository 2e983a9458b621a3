"""What people are told in events on a Backup or Restore: what its jobs wait for, and why it failed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.plan import Note, Step
from holdfast.core.ports import View
from holdfast.core.read import phase_of, text
from holdfast.core.times import optional_time
from holdfast.dialects.kubeblocks import stuck

_NEWS: Final = timedelta(minutes=5)
"""How old a failure may be to be told: a restart does not tell those of last year again."""


def waits(steps: Sequence[Step], view: View) -> tuple[Note, ...]:
    """Return what keeps running steps from their work, such as a Secret or an account that does not exist."""
    found = [(step.name, stuck.obstacle(view, step.child)) for step in steps]
    return tuple(
        Note(each.reason, f"{name} waits: {each.message}", warning=True) for name, each in found if each and each.message
    )


def failure(obj: Object, why: str, now: datetime) -> tuple[Note, ...]:
    """Return the event of a failed object while it is news; nothing for one that did not fail."""
    ended = optional_time(text(obj, "status", "completionTimestamp"))
    if phase_of(obj) != "Failed" or ended is None or now - ended > _NEWS:
        return ()
    return (Note(f"{obj['kind']}Failed", why, warning=True),)
