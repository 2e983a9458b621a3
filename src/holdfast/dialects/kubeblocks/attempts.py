"""A Job of a BackupRepo that has to succeed for each digest of what it depends on, and heals by itself.

After a failure it is tried again in growing pauses (ten seconds at first, as long as it has been failing later, ten minutes
at most): a corrected credential heals without anybody's help. A failed Job stays for people to read until the next one takes
its place; one for an older digest is removed at once.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.conditions import Condition, condition, find
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Doomed, Phase, StepState
from holdfast.core.ports import View
from holdfast.core.read import conditions_of, deleting, owned_by, text
from holdfast.core.times import format_time, optional_time
from holdfast.dialects.kubeblocks.kinds import JOB

DIGEST: Final = "holdfast.dev/digest"
"""Label on a Job: what it was made for."""
_PAUSE_MIN: Final = timedelta(seconds=10)
_PAUSE_MAX: Final = timedelta(minutes=10)


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be done. `name` is that of the Job, which is in `home`.

    `condition` tells how it went. `due`: when a Job shall be made while there is none; None while the last one still holds.
    """

    name: str
    home: str
    condition: str
    digest: str
    due: datetime | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """Where the Job is. `wanted`: it shall be there. `state` is that of a Job for the present digest."""

    wanted: bool = False
    state: StepState | None = None
    doomed: tuple[Doomed, ...] = ()
    wake_at: datetime | None = None


def observe(owner: Object, task: Task, view: View, now: datetime) -> Attempt:
    """Find out where the Job of a task is."""
    job, ref = view.get(JOB, task.home, task.name), Ref(JOB, task.home, task.name)
    if job is None:
        if task.due is not None and task.due <= now:
            return Attempt(wanted=True)
        return Attempt(wake_at=task.due)
    if deleting(job) or not owned_by(job, owner):
        return Attempt()
    if text(job, "metadata", "labels", DIGEST) != task.digest:
        return Attempt(doomed=(Doomed(ref, "what it depends on has changed: it is done anew"),))
    state = view.step(task.home, task.name)
    if state.phase is Phase.SUCCEEDED:
        later = task.due if task.due is not None and task.due > now else None
        return Attempt(state=state, doomed=(Doomed(ref, "it is done"),), wake_at=later)
    if state.phase is not Phase.FAILED:
        return Attempt(wanted=True, state=state)
    again = (state.finished or now) + _pause(owner, task, state, now)
    if now < again:
        return Attempt(wanted=True, state=state, wake_at=again)
    return Attempt(state=state, doomed=(Doomed(ref, "it failed, and is tried again"),))


def failure(task: Task, attempt: Attempt, reason: str) -> Condition:
    """Return the condition of a Job that failed: what its program said, and when it is tried again."""
    state = attempt.state or StepState()
    late = "timeout: " if state.reason == "DeadlineExceeded" else ""
    again = f"the next attempt is at {format_time(attempt.wake_at)}" if attempt.wake_at else "it is tried again"
    return condition(task.condition, False, reason, f"{late}{state.message or state.reason or 'the Job failed'}; {again}")


def _pause(owner: Object, task: Task, state: StepState, now: datetime) -> timedelta:
    present = find(conditions_of(owner), task.condition) or {}
    since = optional_time(text(present, "lastTransitionTime")) if present.get("status") == "False" else None
    failing = (state.finished or now) - since if since else timedelta()
    return min(max(failing, _PAUSE_MIN), _PAUSE_MAX)
