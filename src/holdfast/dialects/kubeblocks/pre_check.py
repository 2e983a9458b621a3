"""The check of a BackupRepo: a Job that writes, reads, lists and deletes a file there.

It runs for each new digest of what it depends on, again an hour after it went well, and after a failure in growing pauses
(ten seconds at first, as long as it has been failing later, ten minutes at most): a corrected credential heals by itself. A
failed Job stays for people to read until the next one takes its place; one for an older digest is removed at once.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.conditions import Condition, condition, find, is_true
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Doomed, Phase, StepState
from holdfast.core.ports import View
from holdfast.core.read import conditions_of, deleting, owned_by, text
from holdfast.core.times import format_time, optional_time
from holdfast.dialects.kubeblocks import names
from holdfast.dialects.kubeblocks.kinds import CLAIM, JOB

PASSED: Final = "PreCheckPassed"
DIGEST: Final = "holdfast.dev/digest"
"""On a Job: what it was made for."""
AGAIN: Final = timedelta(hours=1)
LIMIT: Final = timedelta(minutes=15)
_PAUSE_MIN: Final = timedelta(seconds=10)
_PAUSE_MAX: Final = timedelta(minutes=10)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Where the check is. `wanted`: its Job shall be there. `state` is that of a Job for the present digest."""

    digest: str
    wanted: bool
    state: StepState | None = None
    doomed: tuple[Doomed, ...] = ()
    wake_at: datetime | None = None

    @property
    def ended(self) -> datetime | None:
        """When the Job ended, if it has."""
        return self.state.finished if self.state is not None and self.state.phase.terminal else None


def observe(repo: Object, digest: str, home: str, view: View, now: datetime) -> Check:
    """Find out where the check of a repository is."""
    name = names.pre_check(repo)
    job, ref = view.get(JOB, home, name), Ref(JOB, home, name)
    if job is not None and (deleting(job) or not owned_by(job, repo)):
        return Check(digest=digest, wanted=False)
    if job is None:
        due = _due(repo, digest)
        if due is None or due <= now:
            return Check(digest=digest, wanted=True)
        return Check(digest=digest, wanted=False, doomed=leftovers(repo, home), wake_at=due)
    if text(job, "metadata", "labels", DIGEST) != digest:
        stale = Doomed(ref, "the repository has changed: it is checked anew")
        return Check(digest=digest, wanted=False, doomed=(stale, *leftovers(repo, home)[1:]))
    state = view.step(home, name)
    if state.phase is Phase.SUCCEEDED:
        return Check(digest=digest, wanted=False, state=state, doomed=leftovers(repo, home), wake_at=now + AGAIN)
    if state.phase is not Phase.FAILED:
        return Check(digest=digest, wanted=True, state=state)
    again = (state.finished or now) + _pause(repo, state, now)
    if now < again:
        return Check(digest=digest, wanted=True, state=state, wake_at=again)
    return Check(digest=digest, wanted=False, state=state, doomed=(Doomed(ref, "it failed, and is tried again"),))


def verdict(repo: Object, check: Check, waits: str) -> Condition:
    """Return the condition. `waits`: why the Job has not started. A repository that is only checked again stays as it was."""
    state = check.state
    if state is not None and state.phase is Phase.SUCCEEDED:
        return condition(PASSED, True, "PreCheckSucceeded", "a file was written, read, listed and deleted there")
    if state is not None and state.phase is Phase.FAILED:
        said = state.message or state.reason or "the Job failed"
        late = "timeout: " if state.reason == "DeadlineExceeded" else ""
        again = f"; the next attempt is at {format_time(check.wake_at)}" if check.wake_at else "; it is tried again"
        return condition(PASSED, False, "PreCheckFailed", f"{late}{said}{again}")
    before = find(conditions_of(repo), PASSED)
    if before is not None and text(repo, "status", "preCheckDigest") == check.digest and before.get("status") != "Unknown":
        return condition(PASSED, before.get("status") == "True", before.get("reason", ""), before.get("message", ""))
    message = waits or (state.message if state is not None else "") or "it is being checked"
    return condition(PASSED, None, "DigestChanged", message)


def leftovers(repo: Object, home: str) -> tuple[Doomed, ...]:
    """Return what a check leaves behind: its Job, and the claim that it tried."""
    name = names.pre_check(repo)
    return (Doomed(Ref(JOB, home, name), "the check is over"), Doomed(Ref(CLAIM, home, name), "the check is over"))


def _due(repo: Object, digest: str) -> datetime | None:
    """Return when the next check is due while no Job is there; None for at once."""
    last = optional_time(text(repo, "status", "lastPreCheckTime"))
    good = is_true(conditions_of(repo), PASSED) and text(repo, "status", "preCheckDigest") == digest
    return last + AGAIN if good and last is not None else None


def _pause(repo: Object, state: StepState, now: datetime) -> timedelta:
    present = find(conditions_of(repo), PASSED) or {}
    since = optional_time(text(present, "lastTransitionTime")) if present.get("status") == "False" else None
    failing = (state.finished or now) - since if since else timedelta()
    return min(max(failing, _PAUSE_MIN), _PAUSE_MAX)
