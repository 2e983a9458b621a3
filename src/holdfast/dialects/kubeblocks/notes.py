"""What people are told in events on a Backup or Restore: what its jobs wait for, and why it failed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.plan import Note, Phase, Step
from holdfast.core.ports import View
from holdfast.core.read import mapping, phase_of, text
from holdfast.core.times import optional_time
from holdfast.dialects.kubeblocks.kinds import SERVICE_ACCOUNT

_NEWS: Final = timedelta(minutes=5)
"""How old a failure may be to be told: a restart does not tell those of last year again."""


def waits(steps: Sequence[Step], view: View) -> tuple[Note, ...]:
    """Return what keeps running steps from their work, such as a Secret or an account that does not exist."""
    found: list[Note] = []
    for step in steps:
        meta = mapping(step.child, "metadata")
        state = view.step(text(meta, "namespace"), text(meta, "name"))
        if not state.exists or state.phase is not Phase.RUNNING:
            continue
        if state.reason and state.message:
            found.append(Note(state.reason, f"{step.name} waits: {state.message}", warning=True))
        elif missing := _missing_account(step.child, view):
            found.append(
                Note("ServiceAccountNotFound", f"{step.name} waits: {missing} does not exist: create it", warning=True)
            )
    return tuple(found)


def _missing_account(child: Object, view: View) -> str:
    """Return the account without which a Job gets no pod, if it is not there; the Job's own events are all that tells else."""
    namespace = text(child, "metadata", "namespace")
    account = text(child, "spec", "template", "spec", "serviceAccountName")
    there = not account or view.get(SERVICE_ACCOUNT, namespace, account) is not None
    return "" if there else f"ServiceAccount {namespace}/{account}"


def failure(obj: Object, why: str, now: datetime) -> tuple[Note, ...]:
    """Return the event of a failed object while it is news; nothing for one that did not fail."""
    ended = optional_time(text(obj, "status", "completionTimestamp"))
    if phase_of(obj) != "Failed" or ended is None or now - ended > _NEWS:
        return ()
    return (Note(f"{obj['kind']}Failed", why, warning=True),)
