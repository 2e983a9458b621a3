"""Restore: a Backup, with what it builds on, back into claims; then what the database needs once it runs again.

Where a Restore is follows from its jobs: first those that fill claims, then, when the service's pods are ready and its probe
has succeeded, the steps for the running service. A Restore that only serves as the data source of claims does nothing itself.
"""

import enum
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Desired, Doomed, Phase, Plan, Problem, Problems, RunKind, Step, StepState
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import deleting, flag, items, mapping, name_of, namespace_of, phase_of, text, uid_of
from holdfast.core.times import optional_time, parse_time
from holdfast.dialects.kubeblocks import (
    notes,
    resources,
    restore_claims,
    restore_plan,
    restore_ready,
    restore_sources,
    restore_status,
    stuck,
)
from holdfast.dialects.kubeblocks.kinds import JOB, RESTORE
from holdfast.dialects.kubeblocks.refusal import Refusal, Wait
from holdfast.dialects.kubeblocks.restore_plan import Prepared, Work
from holdfast.dialects.kubeblocks.restore_ready import Probe, Ready
from holdfast.dialects.kubeblocks.restore_sources import Source

PATIENCE: Final = timedelta(hours=1)
"""How long the restored service may take to become ready."""

FINISHED: Final = ("Completed", "Failed", "AsDataSource")


class Stage(enum.Enum):
    """How far a Restore is."""

    PREPARE = "prepareData"
    WAIT = "wait"
    READY = "postReady"
    DONE = "done"
    FAIL = "fail"


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """The stage of a Restore, and what was found on the way there. `message` says what it waits for, or why it failed."""

    stage: Stage
    sources: Sequence[Source] = ()
    prepared: Prepared = Prepared()
    ready: Ready = Ready()
    probe: Probe | None = None
    message: str = ""
    since: datetime | None = None


class RestoreHandler:
    """Handles Restores. `home` is the controller's namespace."""

    kind = RESTORE
    finalizer = ""

    def __init__(self, home: str) -> None:
        self._home = home

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge what the schema can't: a moment that does not exist, and what is not supported."""
        if resources.included(obj) and mapping(obj, "spec", "prepareDataConfig", "dataSourceRef"):
            said = "a Restore that is the data source of claims brings no objects back: make another one for them"
            return Problems((Problem("spec.resources.included", said),))
        if flag(obj, "spec", "readyConfig", "jobAction", "target", "podSelector", "useParentSelectedPods"):
            field = "spec.readyConfig.jobAction.target.podSelector.useParentSelectedPods"
            return Problems((Problem(field, "a Restore has no parent whose pods could be taken: leave it out"),))
        moment = text(obj, "spec", "restoreTime")
        try:
            if moment:
                parse_time(moment)
        except ValueError:
            said = f"{moment} is no moment: write it as 2026-01-31T12:00:00Z"
            return Problems((Problem("spec.restoreTime", said),))
        return None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say what the Restore needs next."""
        if deleting(obj):
            return Desired(release=True)
        if phase_of(obj) in FINISHED:
            return _over(obj, view)
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        if phase_of(obj) != "Running":
            return Desired()
        return self._next(obj, self._where(obj, view, now), view, now)

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status."""
        if deleting(obj) or phase_of(obj) in FINISHED:
            return mapping(obj, "status")
        if outcome.problems is not None:
            return restore_status.failed(obj, str(outcome.problems), now)
        if phase_of(obj) != "Running":
            return self._first(obj, view, now)
        where = self._where(obj, view, now)
        actions = restore_status.actions(obj, where.prepared.works, where.ready.works, view)
        if where.stage is Stage.FAIL:
            return restore_status.failed(obj, where.message, now, actions, prepared=where.since is not None)
        if where.stage is Stage.DONE:
            return restore_status.completed(obj, now, actions, ready=bool(where.ready.works))
        return restore_status.running(obj, now, actions, where.stage.value, where.message)

    def _first(self, obj: Object, view: View, now: datetime) -> Object:
        if mapping(obj, "spec", "prepareDataConfig", "dataSourceRef"):
            return {**mapping(obj, "status"), "phase": "AsDataSource"}
        found = restore_sources.sources(obj, view)
        if not isinstance(found, Refusal):
            work = restore_plan.prepared(obj, found, view, self._home)
            if isinstance(work, Refusal):
                found = work
            elif not work.claims and not work.works and not restore_ready.wanted(obj, found):
                found = Refusal("NothingToDo", "the Restore names no claims, no objects and no step: nothing to do")
        if isinstance(found, Refusal):
            return restore_status.failed(obj, found.message, now)
        return restore_status.begun(obj, now)

    def _where(self, obj: Object, view: View, now: datetime) -> Where:
        found = restore_sources.sources(obj, view)
        if isinstance(found, Refusal):
            return Where(stage=Stage.FAIL, message=found.message)
        prepared = restore_plan.prepared(obj, found, view, self._home)
        if isinstance(prepared, Refusal):
            return Where(stage=Stage.FAIL, sources=found, message=prepared.message)
        prepared = msgspec.structs.replace(prepared, works=_marked(obj, prepared.works, "prepareData"))
        states = _states(prepared.works, view)
        if bad := _failure(prepared.works, states) or _lacking(prepared.works, view, now):
            return Where(stage=Stage.FAIL, sources=found, prepared=prepared, message=bad)
        open_ = any(not state.phase.terminal for state in states)
        unbound = "" if open_ else next(filter(None, (restore_claims.why_unbound(each, view) for each in prepared.claims)), "")
        if open_ or unbound:
            return Where(stage=Stage.PREPARE, sources=found, prepared=prepared, message=unbound)
        since = _since(obj, states, now)
        if not restore_ready.wanted(obj, found):
            return Where(stage=Stage.DONE, sources=found, prepared=prepared, since=since)
        return self._when_ready(obj, Where(stage=Stage.READY, sources=found, prepared=prepared, since=since), view, now)

    def _when_ready(self, obj: Object, where: Where, view: View, now: datetime) -> Where:
        begun = bool(items(obj, "status", "actions", "postReady"))
        late = where.since is not None and now >= where.since + PATIENCE
        probe = None if begun else restore_ready.probe(obj, where.since or now, view, now)
        if probe is not None:
            stage = Stage.FAIL if late else Stage.WAIT
            return msgspec.structs.replace(where, stage=stage, probe=probe, message=probe.said)
        ready = restore_ready.ready(obj, where.sources, view, self._home)
        if isinstance(ready, Wait) and not late:
            return msgspec.structs.replace(where, stage=Stage.WAIT, message=ready.message)
        if isinstance(ready, Refusal | Wait):
            return msgspec.structs.replace(where, stage=Stage.FAIL, message=ready.message)
        ready = msgspec.structs.replace(ready, works=_marked(obj, ready.works, "postReady"))
        states = _states(ready.works, view)
        where = msgspec.structs.replace(where, ready=ready)
        if bad := _failure(ready.works, states) or _lacking(ready.works, view, now):
            return msgspec.structs.replace(where, stage=Stage.FAIL, message=bad)
        return msgspec.structs.replace(where, stage=Stage.DONE) if all(state.phase.terminal for state in states) else where

    def _next(self, obj: Object, where: Where, view: View, now: datetime) -> Desired:
        if where.stage is Stage.FAIL:
            return Desired(doomed=_running_jobs(obj, view))
        started = optional_time(text(obj, "status", "startTimestamp"))
        if where.stage is Stage.PREPARE:
            claims = tuple(claim.child() for claim in restore_plan.due_claims(where.prepared, view))
            plan = Plan(name="prepare", kind=RunKind.RESTORE, steps=_steps(where.prepared.works), started=started)
            return Desired(
                children=(*where.prepared.children, *claims),
                secret_copies=where.prepared.copies,
                runs=(plan,) if plan.steps else (),
                notes=notes.waits(plan.steps, view),
                wake_at=min(stuck.due(plan.steps, view, now), default=None),
            )
        limit = where.since + PATIENCE if where.since else None
        if where.stage is Stage.WAIT:
            probe = where.probe
            steps = (probe.step,) if probe and probe.step else ()
            plan = Plan(name="probe", kind=RunKind.RESTORE, steps=steps)
            due = [at for at in (probe.at if probe else None, limit) if at]
            return Desired(children=where.prepared.children, runs=(plan,) if steps else (), wake_at=min(due, default=None))
        plan = Plan(name="ready", kind=RunKind.RESTORE, steps=_steps(where.ready.works), started=started)
        return Desired(
            children=where.ready.children,
            secret_copies=where.ready.copies,
            runs=(plan,),
            notes=notes.waits(plan.steps, view),
            wake_at=min(stuck.due(plan.steps, view, now), default=None),
        )


def _steps(works: Sequence[Work]) -> tuple[Step, ...]:
    return tuple(work.step for work in works)


def _states(works: Sequence[Work], view: View) -> list[StepState]:
    return [view.step(text(work.step.child, "metadata", "namespace"), work.job) for work in works]


def _marked(obj: Object, works: Sequence[Work], stage: str) -> tuple[Work, ...]:
    """Say of what the status shows as started that it was: what is gone then is not made again."""
    begun = {text(entry, "name") for entry in items(obj, "status", "actions", stage)}
    return tuple(
        msgspec.structs.replace(work, step=msgspec.structs.replace(work.step, begun=work.step.name in begun)) for work in works
    )


def _failure(works: Sequence[Work], states: Sequence[StepState]) -> str:
    """Return why the steps can't succeed any more, once none of them runs; empty while they can."""
    if any(state.phase is Phase.RUNNING for state in states):
        return ""
    for work, state in zip(works, states, strict=True):
        gone = work.step.begun and not state.exists
        if (state.phase is Phase.FAILED and work.step.on_error.value == "fail") or gone:
            why = "its Job was deleted before it had ended" if gone else state.message or state.reason
            return f"{work.step.name}: {why}"
    return ""


def _lacking(works: Sequence[Work], view: View, now: datetime) -> str:
    """Return what a job has waited for too long that is missing; empty when there is none."""
    found = stuck.reasons(_steps(works), view, now)
    return next((f"{name}: {why}" for name, why in found.items()), "")


def _since(obj: Object, states: Sequence[StepState], now: datetime) -> datetime:
    """Return when the claims were filled."""
    ends = [state.finished for state in states if state.finished]
    return max(ends, default=optional_time(text(obj, "status", "startTimestamp")) or now)


def _over(obj: Object, view: View) -> Desired:
    """Collect the jobs of a Completed Restore; those of a Failed one stay for people to read, but none goes on."""
    rights = resources.rights_over(obj, view)
    if phase_of(obj) != "Completed":
        return Desired(doomed=(*_running_jobs(obj, view), *rights))
    jobs = view.list(JOB, owner=uid_of(obj))
    done = [Doomed(Ref(JOB, namespace_of(job), name_of(job)), "its Restore is Completed") for job in jobs]
    return Desired(doomed=(*done, *rights))


def _running_jobs(obj: Object, view: View) -> tuple[Doomed, ...]:
    places = [(namespace_of(job), name_of(job)) for job in view.list(JOB, owner=uid_of(obj))]
    running = [place for place in places if view.step(*place).phase is Phase.RUNNING]
    return tuple(Doomed(Ref(JOB, *place), "its Restore has failed") for place in running)
