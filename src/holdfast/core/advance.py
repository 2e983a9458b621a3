"""The one decision-maker: from what shall be and what is, to the effects that bring it nearer.

`advance` is a pure function, called again and again until it has nothing to say. It never remembers: a run is derived
anew from its plan and its children each time, so a restart resumes and two passes can't start a twin. It promises that
no step starts before what it needs, that every run ends (past the plan's deadline its ordinary steps are stopped or
skipped), and that steps for ALWAYS and FAILURE still run then: what a first step froze, a last one thaws.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from holdfast.core.diff import covers, stamped
from holdfast.core.effects import (
    AddFinalizer,
    AmendOwner,
    AnnotateSealed,
    Apply,
    CopySecret,
    Create,
    Delete,
    Effect,
    Emit,
    HoldSecret,
    PatchStatus,
    ReleaseFinalizer,
    Requeue,
)
from holdfast.core.kinds import JOB
from holdfast.core.labels import APPLIED, annotation, owner_uid
from holdfast.core.objects import Kind, Object, ref_of
from holdfast.core.plan import Child, Desired, OnError, Phase, Plan, Run, Step, StepState, When
from holdfast.core.ports import View

STOP_GRACE: Final = timedelta(minutes=2)
"""How long past a deadline a stopped step may still be seen before its run goes on without it."""

OBJECT_DEADLINE: Final = timedelta(days=1)
"""The deadline of a step without a Job for which nobody set one: no controller of the cluster minds it for us."""

NEED_FAILED: Final = "NeedFailed"
NOT_NEEDED: Final = "NotNeeded"
DEADLINE: Final = "DeadlineExceeded"
DELETED: Final = "Deleted"


class World(View, Protocol):
    """What a decision may look at: the cluster, and what limits a start."""

    def admit(self, plan: Plan, step: Step) -> str:
        """Return why a step that could start must wait (a budget, a missing Secret); empty when it may start."""
        ...

    def settled(self, wanted: Object, actual: Object) -> bool:
        """Whether exactly this was applied and the server made `actual` of it, in its own spelling."""
        ...


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. `first` comes before the status is written, `last` after it. `requeue` holds at most one time."""

    first: tuple[Effect, ...] = ()
    last: tuple[Effect, ...] = ()
    runs: Mapping[str, Run] = {}
    requeue: Requeue | None = None

    def effects(self, status: PatchStatus | None) -> tuple[Effect, ...]:
        """Return every effect in the order in which it must happen."""
        return (*self.first, *((status,) if status else ()), *self.last, *((self.requeue,) if self.requeue else ()))


def advance(owner: Object, desired: Desired, world: World, now: datetime, *, finalizer: str = "") -> Decision:
    """Decide about one object. `finalizer` is the one its handler holds."""
    first, last = _holds(owner, desired, finalizer)
    first += [AmendOwner(desired.amend)] if desired.amend else []
    if desired.sealed and not annotation(owner, desired.sealed.annotation):
        first.append(AnnotateSealed(desired.sealed))
    first += [HoldSecret(hold) for hold in desired.secret_holds]
    first += _children(desired.children, world)
    runs: dict[str, Run] = {}
    starts: list[Effect] = []
    times = [desired.wake_at]
    for plan in desired.runs:
        pass_ = _Pass(owner, plan, world, now)
        runs[plan.name] = pass_.run()
        starts += pass_.effects
        times += pass_.times
    if not desired.runs or any(isinstance(effect, Create) for effect in starts):
        first += [CopySecret(copy) for copy in desired.secret_copies]
    first += starts
    notes: list[Effect] = [Emit(note) for note in desired.notes]
    wake = min((at for at in times if at is not None), default=None)
    return Decision(
        first=tuple(first),
        last=(*notes, *_doomed(desired, world), *last),
        runs=runs,
        requeue=Requeue(max(wake, now)) if wake else None,
    )


class _Looking:
    """A world in which nothing holds a start back, for looks that start nothing."""

    def __init__(self, view: View) -> None:
        self.get, self.list, self.step = view.get, view.list, view.step

    def admit(self, plan: Plan, step: Step) -> str:
        return ""

    def settled(self, wanted: Object, actual: Object) -> bool:
        return False


def look(owner: Object, plan: Plan, view: View, now: datetime) -> Run:
    """Return how far a plan is, without starting or stopping anything: for a handler whose next move hangs on it."""
    return _Pass(owner, plan, _Looking(view), now).run()


def _holds(owner: Object, desired: Desired, finalizer: str) -> tuple[list[Effect], list[Effect]]:
    """Return the effects on the finalizer: to take it before anything else, or to release it after everything else."""
    if not finalizer:
        return [], []
    held = finalizer in owner["metadata"].get("finalizers", ())
    if not owner["metadata"].get("deletionTimestamp"):
        return ([] if held or not desired.hold else [AddFinalizer(finalizer)]), []
    return [], ([ReleaseFinalizer(finalizer)] if held and desired.release else [])


def _children(children: Sequence[Child], world: World) -> list[Effect]:
    effects: list[Effect] = []
    for child in children:
        actual = world.get(ref_of(child.object).kind, *_place(child.object))
        if child.create_only:
            effects += [] if actual is not None else [Create(child.object)]
        elif actual is None or not in_line(child.object, actual, world):
            effects.append(Apply(stamped(child.object)))
    return effects


def in_line(wanted: Object, actual: Object, world: World) -> bool:
    """Whether the owned fields of a child are as wanted, and none is left that is wanted no more."""
    wanted = stamped(wanted)
    same = annotation(actual, APPLIED) == annotation(wanted, APPLIED)
    return same and (covers(actual, wanted) or world.settled(wanted, actual))


def _doomed(desired: Desired, world: World) -> list[Effect]:
    effects: list[Effect] = []
    for doomed in desired.doomed:
        actual = world.get(doomed.ref.kind, doomed.ref.namespace, doomed.ref.name)
        if actual is not None and not actual["metadata"].get("deletionTimestamp"):
            effects.append(Delete(doomed.ref, actual["metadata"]["uid"], doomed.reason))
    return effects


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


class _Pass:
    """One look at one plan: the state of each step, in the order of their needs."""

    def __init__(self, owner: Object, plan: Plan, world: World, now: datetime) -> None:
        self._owner, self._plan, self._world, self._now = owner, plan, world, now
        self._late = plan.deadline is not None and now >= plan.deadline
        self._states: dict[str, StepState] = {}
        self.effects: list[Effect] = []
        self.times: list[datetime | None] = []

    def run(self) -> Run:
        for step in in_order(self._plan.steps):
            self._states[step.name] = self._state(step)
        phase, reason, message = self._outcome()
        if not phase.terminal and not self._late:
            self.times.append(self._plan.deadline)
        return Run(
            name=self._plan.name,
            kind=self._plan.kind,
            phase=phase,
            reason=reason,
            message=message,
            steps={step.name: self._states[step.name] for step in self._plan.steps},
        )

    def _state(self, step: Step) -> StepState:
        namespace, name = _place(step.child)
        kind = ref_of(step.child).kind
        child = self._world.get(kind, namespace, name)
        if child is None or owner_uid(child) != self._owner["metadata"]["uid"]:
            return self._absent(step, taken=child is not None)
        seen = self._world.step(namespace, name, kind, step.until)
        if seen.phase.terminal or not (limit := self._limit(step, kind, seen)):
            return seen
        if self._now < limit:
            self.times.append(limit)
            return seen
        return self._stopped(step, child, seen, limit)

    def _limit(self, step: Step, kind: Kind, seen: StepState) -> datetime | None:
        """Return when this running step must be stopped. A Job minds its own deadline first, and is ours after a grace."""
        if kind == JOB:
            own = seen.started + step.deadline + STOP_GRACE if seen.started and step.deadline else None
        else:
            own = seen.started + (step.deadline or OBJECT_DEADLINE) if seen.started else None
        whole = self._plan.deadline if step.when is When.SUCCESS else None
        return min((at for at in (own, whole) if at), default=None)

    def _stopped(self, step: Step, child: Object, seen: StepState, limit: datetime) -> StepState:
        if not child["metadata"].get("deletionTimestamp"):
            self.effects.append(
                Delete(ref_of(child), child["metadata"]["uid"], f"step {step.name} is past its deadline", wait=True)
            )
        if self._now < limit + STOP_GRACE:
            self.times.append(limit + STOP_GRACE)
            return msgspec.structs.replace(seen, reason=DEADLINE, message="is being stopped: it is past its deadline")
        text = f"did not end by its deadline{_because(seen)}"
        return msgspec.structs.replace(seen, phase=Phase.FAILED, reason=DEADLINE, message=text, finished=self._now)

    def _absent(self, step: Step, *, taken: bool) -> StepState:
        ordinary = step.when is When.SUCCESS
        if step.begun:
            if self._late and ordinary:
                return _ended(Phase.FAILED, DEADLINE, "was stopped at the deadline of its run")
            return _ended(Phase.FAILED, DELETED, f"{ref_of(step.child)} was deleted before it had ended")
        needs = [(name, self._states[name]) for name in step.needs]
        skipped = self._skip(step, needs)
        if skipped is not None:
            return skipped
        if self._late and ordinary:
            return _ended(Phase.SKIPPED, DEADLINE, "had not started by the deadline of its run")
        open_ = [name for name, state in needs if not state.phase.terminal]
        if open_:
            return _waiting(f"waits for {', '.join(open_)}")
        if taken:
            return _waiting(f"{ref_of(step.child)} was not made for this object: waits until it is gone")
        refusal = self._world.admit(self._plan, step)
        if refusal:
            return _waiting(refusal)
        self.effects.append(Create(step.child, step, self._plan.name))
        return _waiting("starts")

    def _skip(self, step: Step, needs: Sequence[tuple[str, StepState]]) -> StepState | None:
        """Return the end of a step that can't start any more."""
        if step.when is When.SUCCESS:
            bad = [(name, state) for name, state in needs if state.phase.terminal and not self._good(name, state)]
            if not bad:
                return None
            name, state = bad[0]
            reason = NOT_NEEDED if all(state.reason == NOT_NEEDED for _, state in bad) else NEED_FAILED
            return _ended(Phase.SKIPPED, reason, f"{name} {state.phase.value.lower()}{_because(state)}")
        ended = all(state.phase.terminal for _, state in needs)
        if step.when is When.FAILURE and ended and not any(_failed(state) for _, state in needs):
            return _ended(Phase.SKIPPED, NOT_NEEDED, "nothing failed")
        return None

    def _good(self, name: str, state: StepState) -> bool:
        if state.phase is Phase.SUCCEEDED:
            return True
        return state.phase is Phase.FAILED and self._on_error(name) is OnError.CONTINUE

    def _on_error(self, name: str) -> OnError:
        return next(step.on_error for step in self._plan.steps if step.name == name)

    def _outcome(self) -> tuple[Phase, str, str]:
        states = self._states
        if not all(state.phase.terminal for state in states.values()):
            begun = any(state.exists or state.phase.terminal for state in states.values())
            waits = [(name, state) for name, state in states.items() if state.message and not state.phase.terminal]
            name, state = next(
                ((name, state) for name, state in waits if state.reason), waits[0] if waits else ("", StepState())
            )
            return Phase.RUNNING if begun else Phase.WAITING, state.reason, f"{name}: {state.message}" if name else ""
        for name, state in states.items():
            cut = state.phase is Phase.SKIPPED and state.reason == DEADLINE
            if cut or (state.phase is Phase.FAILED and self._on_error(name) is OnError.FAIL):
                return Phase.FAILED, state.reason, f"{name}: {state.message}"
        return Phase.SUCCEEDED, "", ""


def _waiting(message: str) -> StepState:
    return StepState(message=message)


def _ended(phase: Phase, reason: str, message: str) -> StepState:
    return StepState(phase=phase, reason=reason, message=message)


def _because(state: StepState) -> str:
    return f": {state.message}" if state.message else ""


def _failed(state: StepState) -> bool:
    return state.phase is Phase.FAILED or (state.phase is Phase.SKIPPED and state.reason != NOT_NEEDED)


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Return the steps so that each comes after those it needs. Raises ValueError for a circle or an unknown need."""
    left = list(steps)
    placed: set[str] = set()
    ordered: list[Step] = []
    while left:
        ready = [step for step in left if placed.issuperset(step.needs)]
        if not ready:
            names = ", ".join(step.name for step in left)
            raise ValueError(f"steps {names} need each other or a step that is not in the plan")
        ordered += ready
        placed.update(step.name for step in ready)
        left = [step for step in left if step.name not in placed]
    return ordered
