"""A one-time Job that has to succeed for each generation of its object, and heals by itself.

A failed Job stays for people to read, then is replaced: after a minute at first, after the time that it has been failing
for later on, ten minutes at most. One that was only cut short (its node went away, its pod was deleted) proves nothing and is
replaced at once, three times in a row at most; the count goes by way of the condition's message into the next Job's label.
A changed spec is tried at once. What has succeeded stays so for its generation, also
when the Job is gone; until a new generation has an outcome, the last one holds.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.conditions import Condition, condition, find, is_true
from holdfast.core.objects import Object, Ref, kind_of
from holdfast.core.plan import Desired, Doomed, MoverCall, Phase, Plan, Run, RunKind, SecretCopy, Step, StepState
from holdfast.core.ports import View
from holdfast.core.read import (
    conditions_of,
    deleting,
    generation_of,
    mapping,
    name_of,
    namespace_of,
    number,
    owned_by,
    text,
)
from holdfast.core.times import format_time, optional_time
from holdfast.dialects.kubestash import names, pods
from holdfast.dialects.kubestash.kinds import JOB
from holdfast.dialects.kubestash.storage import Store

GENERATION: Final = "holdfast.dev/generation"
RETRY: Final = "holdfast.dev/retry"
AT_ONCE: Final = 3
_CUT_SHORT: Final = frozenset({"NodeRestarted", "NodeShutdown", "NodeLost", "Evicted", "Deleted", "PodDeleted"})
_SAID: Final = re.compile(r"; tried again at once \((\d+) of \d+\)$")
_PAUSE_MIN: Final = timedelta(minutes=1)
_PAUSE_MAX: Final = timedelta(minutes=10)
_LIMIT: Final = timedelta(hours=1)


class Verdict(msgspec.Struct, frozen=True):
    """The names of a condition and of its reasons."""

    type: str
    good: str
    bad: str


class Attempt(msgspec.Struct, frozen=True):
    """Where the Job for the present generation is. `state` is None while there is no Job that counts.

    `next`: what to tell about the next attempt, after a failed one.
    """

    needed: bool
    state: StepState | None = None
    stale: Doomed | None = None
    wake_at: datetime | None = None
    next: str = ""


def job_of(obj: Object, name: str, opened: Store, component: str = "initializer") -> Object:
    """Build the Job, with the store it writes to. `component` is its documented label."""
    kind, namespace = kind_of(obj).kind, namespace_of(obj)
    return pods.job(
        name,
        namespace,
        names.labels(component, kind=kind, namespace=namespace, name=name_of(obj)),
        container=component,
        volumes=opened.volumes,
        mounts=opened.mounts,
        as_root=opened.as_root,
    )


def attempt(obj: Object, job: str, verdict: Verdict, view: View, now: datetime) -> Attempt:
    """Observe the Job of an object."""
    namespace, ref = namespace_of(obj), Ref(JOB, namespace_of(obj), job)
    found = view.get(JOB, namespace, job)
    if found is None or deleting(found):
        return Attempt(needed=found is None and not _done(obj, verdict))
    if not owned_by(found, obj) or text(found, "metadata", "labels", GENERATION) != str(generation_of(obj)):
        stale = Doomed(ref, "made for an earlier spec") if owned_by(found, obj) else None
        return Attempt(needed=False, stale=stale)
    state = view.step(namespace, job)
    if state.phase is not Phase.FAILED:
        return Attempt(needed=not _done(obj, verdict), state=state)
    doomed = Doomed(ref, f"it failed ({state.message}) and is tried again")
    before = text(found, "metadata", "labels", RETRY)
    retry = int(before) + 1 if before.isdecimal() else 1
    if state.reason in _CUT_SHORT and retry <= AT_ONCE:
        return Attempt(needed=False, state=state, stale=doomed, next=f"; tried again at once ({retry} of {AT_ONCE})")
    again = (state.finished or now) + _pause(obj, verdict, state, now)
    said = f"; the next attempt is at {format_time(again)}"
    if now >= again:
        return Attempt(needed=False, state=state, stale=doomed, next=said)
    return Attempt(needed=True, state=state, wake_at=again, next=said)


def desired(
    found: Attempt, job: Object, call: MoverCall, copies: Sequence[SecretCopy] = (), extra: Sequence[Doomed] = ()
) -> Desired:
    """Return what an attempt asks for: the Job, its replacement later, or nothing."""
    doomed = (*extra, found.stale) if found.stale else tuple(extra)
    if not found.needed:
        return Desired(doomed=doomed, wake_at=found.wake_at)
    step = Step(name="initialize", child=job, mover=call, deadline=_LIMIT)
    plan = Plan(name="initialize", kind=RunKind.INITIALIZE, steps=(step,))
    return Desired(doomed=doomed, runs=(plan,), secret_copies=tuple(copies), wake_at=found.wake_at)


def labelled(job: Object, obj: Object, verdict: Verdict) -> Object:
    """Return the Job with the generation that it is made for, and which immediate retry it is, if one."""
    meta = mapping(job, "metadata")
    labels = {**mapping(meta, "labels"), GENERATION: str(generation_of(obj))}
    said = _SAID.search(text(find(conditions_of(obj), verdict.type) or {}, "message"))
    if said is not None:
        labels[RETRY] = said.group(1)
    return {**job, "metadata": {**meta, "labels": labels}}


def outcome(obj: Object, found: Attempt, verdict: Verdict, success: str, waits: str = "") -> Condition | None:
    """Return the condition that the attempt proves; None while the last one holds.

    `waits`: why the Job has not been started. It is told, like what its pod waits for, unless an earlier spec still works.
    """
    generation = generation_of(obj)
    state = found.state or StepState(message=waits)
    if state.phase is Phase.SUCCEEDED:
        return condition(verdict.type, True, verdict.good, success, generation=generation)
    if state.phase is Phase.FAILED:
        said = state.message or state.reason or "the Job failed"
        return condition(verdict.type, False, verdict.bad, f"{said}{found.next}", generation=generation)
    if state.message and not is_true(conditions_of(obj), verdict.type):
        return condition(verdict.type, False, verdict.bad, f"not yet: {state.message}", generation=generation)
    return None


def held_back(runs: Mapping[str, Run]) -> str:
    """Return why the Job that shall run has not been started; empty when nothing holds it."""
    state = runs["initialize"].steps["initialize"] if "initialize" in runs else StepState()
    return state.message if not state.exists and state.message != "starts" else ""


def _done(obj: Object, verdict: Verdict) -> bool:
    present = find(conditions_of(obj), verdict.type)
    good = present is not None and present.get("status") == "True"
    return good and number(present or {}, "observedGeneration") == generation_of(obj)


def _pause(obj: Object, verdict: Verdict, state: StepState, now: datetime) -> timedelta:
    """Wait as long as it has been failing for: 1, 1, 2, 4, 8, then 10 minutes between attempts."""
    present = find(conditions_of(obj), verdict.type) or {}
    since = optional_time(present.get("lastTransitionTime")) if present.get("status") == "False" else None
    failing = (state.finished or now) - since if since else timedelta()
    return min(max(failing, _PAUSE_MIN), _PAUSE_MAX)
