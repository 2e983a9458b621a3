"""BackupSession: one run of one session, from the gate to the last cleanup.

Where a session is follows from what exists: its Snapshots, their Jobs, the Jobs of retention. `_where` reads that off, and
both `compile` (what next?) and `project` (what to tell?) follow it, so they can't disagree. A terminal phase is final;
after it only the repetition of a failed session may be noted.
"""

import enum
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.conditions import Condition, condition, find, is_true, upsert_all
from holdfast.core.labels import OWNER_UID
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Desired, Doomed, Phase, Plan, Problem, Problems, RunKind, Step, StepState
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import (
    conditions_of,
    deleting,
    lasted,
    mapping,
    name_of,
    namespace_of,
    number,
    phase_of,
    strings,
    text,
    uid_of,
)
from holdfast.core.times import format_time, optional_time
from holdfast.dialects.kubestash import (
    backup_context,
    backup_hooks,
    backup_plan,
    cleanup,
    decode,
    executor,
    history,
    hook_steps,
    last_words,
    names,
    retry,
    session_hooks,
    validate,
    volume_snapshots,
)
from holdfast.dialects.kubestash.backup_context import Context, Refusal, Turn
from holdfast.dialects.kubestash.cleanup import Cleanup
from holdfast.dialects.kubestash.hook_steps import Result
from holdfast.dialects.kubestash.kinds import BACKUP_SESSION, JOB, SNAPSHOT
from holdfast.dialects.kubestash.recorded import TERMINAL, components_of
from holdfast.dialects.kubestash.session_hooks import Hooks
from holdfast.dialects.kubestash.snapshot import failure_of

SKIPPED: Final = "BackupSkipped"
SNAPSHOTS: Final = "SnapshotsEnsured"
EXECUTOR: Final = "BackupExecutorEnsured"
CLEANER: Final = "RetentionPolicyExecutorEnsured"
INCOMPLETE: Final = "SnapshotCleanupIncomplete"
HISTORY: Final = "SessionHistoryCleaned"
STOP_GRACE: Final = timedelta(minutes=5)
CLEAN_QUIET: Final = timedelta(seconds=10)
"""How long retention may run before the status tells of it."""

_DELETED: Final = "the BackupSession was deleted"
FAILURE: Final = "BackupFailed"
"""Ours: the reason of a failed session in one place, beside the conditions that KubeStash documents."""

PENDING_LONG: Final = "PodHasBeenInPendingStateForLongerThanExpected"


class Stage(enum.Enum):
    """How far a session is."""

    SKIP = enum.auto()
    WAIT = enum.auto()
    FAIL = enum.auto()
    PREPARE = enum.auto()
    BACKUP = enum.auto()
    UNWIND = enum.auto()
    CLEAN = enum.auto()
    DONE = enum.auto()


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """The stage of a session, with what was found on the way there."""

    stage: Stage
    refusal: Refusal | None = None
    context: Context | None = None
    snapshots: tuple[Object, ...] = ()
    states: tuple[StepState, ...] = ()
    cleanups: tuple[Cleanup, ...] = ()
    deadline: datetime | None = None
    replaced: str = ""
    hooks: Hooks = Hooks()


class BackupSessionHandler:
    """Handles BackupSessions."""

    kind = BACKUP_SESSION
    finalizer = names.FINALIZER

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge the spec, which can't change."""
        found: list[Problem] = []
        invoker = mapping(obj, "spec", "invoker")
        if old is not None and mapping(old, "spec") != mapping(obj, "spec"):
            found.append(Problem("spec", "can't change: create another BackupSession"))
        if not decode.is_backup_configuration(invoker):
            given = text(invoker, "kind") or "an empty kind"
            found.append(Problem("spec.invoker.kind", f"{given} is not supported yet: use BackupConfiguration"))
        if not text(invoker, "name"):
            found.append(Problem("spec.invoker.name", "needed: the name of a BackupConfiguration"))
        if not text(obj, "spec", "session"):
            found.append(Problem("spec.session", "needed: the name of a session of the BackupConfiguration"))
        if (number(obj, "spec", "retryLeft") or 0) < 0:
            found.append(Problem("spec.retryLeft", "is negative: use 0 or more"))
        found += validate.durations(mapping(obj, "spec"), ("backupTimeout",), "spec")
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say what the session needs next: Snapshots, the backup's Jobs, retention's Jobs, or its repetition."""
        if not deleting(obj) and (amend := history.unlabelled(obj)) is not None:
            return Desired(amend=amend, hold=self.finalizer in strings(obj, "metadata", "finalizers"))
        if phase_of(obj) in history.FINISHED:
            again = Desired(release=True) if deleting(obj) else retry.desired(obj, view, now)
            doomed = _running_jobs(obj, view) if phase_of(obj) == "Failed" else ()
            return msgspec.structs.replace(again, doomed=doomed, hold=False)
        if deleting(obj):
            return _cut_short(obj, backup_hooks.unwinding(obj, _DELETED, view), view)
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        where = _where(obj, view, now)
        if where.stage in (Stage.FAIL, Stage.UNWIND):
            return msgspec.structs.replace(_cut_short(obj, where.hooks, view), release=False, hold=False)
        if where.context is None or where.stage in (Stage.SKIP, Stage.WAIT):
            return Desired(hold=False)
        frozen = bool(backup_hooks.listed(where.context.session, "preBackup"))
        if where.stage is Stage.PREPARE:
            made = backup_plan.snapshots(where.context, view)
            return Problems((made,)) if isinstance(made, Problem) else Desired(children=made, hold=frozen)
        found = _running(obj, where, view, now)
        return found if isinstance(found, Problems) else msgspec.structs.replace(found, hold=frozen)

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status; before it can be found by others, nothing is told of it."""
        if not deleting(obj) and history.unlabelled(obj) is not None:
            return mapping(obj, "status")
        if phase_of(obj) in history.FINISHED:
            return retry.noted(obj, view)
        if deleting(obj):
            hooks = backup_hooks.unwinding(obj, _DELETED, view).status
            return {**mapping(obj, "status"), **({"hooks": hooks} if hooks else {})}
        where = _where(obj, view, now)
        if outcome.problems is not None:
            refusal = Refusal(backup_context.NOT_SATISFIED, str(outcome.problems))
            return _failed(obj, where, refusal, now) if phase_of(obj) or where.snapshots else _skipped(obj, refusal, now)
        if where.stage is Stage.SKIP and where.refusal is not None:
            return _skipped(obj, where.refusal, now)
        if where.stage is Stage.WAIT and where.refusal is not None:
            return _waiting(obj, where.refusal, now)
        if where.stage is Stage.UNWIND and where.refusal is not None:
            return {**mapping(obj, "status"), "hooks": where.hooks.status}
        if where.stage is Stage.FAIL and where.refusal is not None:
            return _failed(obj, where, where.refusal, now)
        held = _held_back(outcome)
        if not held and (_just_prepared(obj, where) or (_just_cleaning(where, now) and not _held_back(outcome, "retention"))):
            return mapping(obj, "status")
        return _progressed(obj, where, held, view, now)


def _just_prepared(obj: Object, where: Where) -> bool:
    """Whether only the Snapshots are there: what follows in the next moment is told together with them, in one write."""
    begun = any(state.exists for state in where.states) or bool(where.hooks.status)
    return where.stage is Stage.BACKUP and not begun and not phase_of(obj) and not where.hooks.blocked


def _just_cleaning(where: Where, now: datetime) -> bool:
    """Whether retention has only begun: mostly it ends in a moment, and is told together with the end, in one write."""
    return where.stage is Stage.CLEAN and not where.hooks.status and now < cleanup.began(where.cleanups, now) + CLEAN_QUIET


def _where(obj: Object, view: View, now: datetime) -> Where:
    if not phase_of(obj) and (refusal := backup_context.gate(obj, view)) is not None:
        if isinstance(refusal, Turn):
            return Where(stage=Stage.WAIT, refusal=Refusal("WaitsToStart", refusal.message))
        return Where(stage=Stage.SKIP, refusal=refusal)
    context = backup_context.gather(obj, view)
    if isinstance(context, Refusal):
        hooks = backup_hooks.unwinding(obj, context.message, view)
        stage = Stage.FAIL if hooks.unwound else Stage.UNWIND
        return Where(stage=stage, refusal=context, snapshots=_known_snapshots(obj, view), hooks=hooks)
    namespace, name = namespace_of(obj), name_of(obj)
    found = [view.get(SNAPSHOT, namespace, destination.snapshot) for destination in context.destinations]
    snapshots = tuple(snapshot for snapshot in found if snapshot is not None)
    foreign = next((snapshot for snapshot in snapshots if text(snapshot, "spec", "backupSession") != name), None)
    if foreign is not None:
        owner = text(foreign, "spec", "backupSession")
        message = f"Snapshot {namespace}/{name_of(foreign)} belongs to BackupSession {owner}"
        return Where(stage=Stage.FAIL, refusal=Refusal("FailedToEnsureSnapshots", message))
    if len(snapshots) < len(found):
        if not is_true(conditions_of(obj), SNAPSHOTS):
            return Where(stage=Stage.PREPARE, context=context, snapshots=snapshots)
        there = {name_of(snapshot) for snapshot in snapshots}
        gone = ", ".join(item.snapshot for item in context.destinations if item.snapshot not in there)
        message = f"Snapshot {namespace}/{gone} was deleted before this session had finished"
        return Where(
            stage=Stage.FAIL, refusal=Refusal("FailedToEnsureSnapshots", message), context=context, snapshots=snapshots
        )
    states = _states(obj, context, snapshots, view)
    hooks = backup_hooks.before(obj, context.configuration, context.session, view)
    reading = not hooks.blocked and any(phase_of(snapshot) not in TERMINAL for snapshot in snapshots)
    replaced = text(find(conditions_of(obj), backup_context.REPLACED) or {}, "message")
    deadline = optional_time(text(obj, "status", "backupDeadline")) if replaced else _deadline(obj, context)
    if reading and not replaced and (other := backup_context.replacement(context, view)) is not None:
        replaced = f"BackupSession {namespace}/{name_of(other)} replaces it, since concurrencyPolicy is Replace"
        deadline = min(now, deadline or now)
    where = Where(
        stage=Stage.BACKUP,
        context=context,
        snapshots=snapshots,
        states=states,
        deadline=deadline,
        replaced=replaced,
        hooks=hooks,
    )
    if reading or _live(states, deadline, now):
        return where
    hooks = backup_hooks.after(hooks, obj, context.configuration, context.session, _result(obj, where, now), view)
    where = msgspec.structs.replace(where, hooks=hooks)
    if not hooks.unwound or hooks.blocked:
        return msgspec.structs.replace(where, stage=Stage.DONE) if hooks.unwound else where
    cleanups = cleanup.cleanups(context, view, now)
    stage = Stage.CLEAN if any(item.phase == cleanup.PENDING for item in cleanups) else Stage.DONE
    return msgspec.structs.replace(where, stage=stage, cleanups=cleanups)


def _result(obj: Object, where: Where, now: datetime) -> Result:
    """Return how the backup went, for the hooks after it."""
    failed = _failures(where)
    return Result("Failed" if failed else "Succeeded", lasted(obj, now), failed[1] if failed else "")


def _cut_short(obj: Object, hooks: Hooks, view: View) -> Desired:
    """Stop the backup of a session that can't go on, and undo what its first hooks did; then it may go."""
    running = _running_jobs(obj, view, spared=tuple(step for each in hooks.after or () for step in each.steps))
    if hooks.unwound:
        return Desired(doomed=running, release=True)
    plan = Plan(name="unwind", kind=RunKind.BACKUP, steps=hook_steps.after(hooks.after or (), ()))
    return Desired(runs=(plan,), doomed=running)


def _states(obj: Object, context: Context, snapshots: Sequence[Object], view: View) -> tuple[StepState, ...]:
    found: list[StepState] = []
    for component in components_of(snapshots[0]):
        if executor.kind_of(component) == executor.VOLUME:
            found.append(volume_snapshots.observed(snapshots[0], component, context.namespace, view)[0])
        else:
            found.append(view.step(context.namespace, names.component_job(name_of(obj), component)))
    return tuple(found)


def _live(states: Sequence[StepState], deadline: datetime | None, now: datetime) -> bool:
    """Whether a Job still has to end. One that won't be stopped is not waited for for ever."""
    if deadline is not None and now > deadline + STOP_GRACE:
        return False
    return any(state.exists and not state.phase.terminal for state in states)


def _known_snapshots(obj: Object, view: View) -> tuple[Object, ...]:
    listed = (text(entry, "name") for entry in mapping(obj, "status").get("snapshots") or ())
    found = (view.get(SNAPSHOT, namespace_of(obj), name) for name in listed)
    return tuple(snapshot for snapshot in found if snapshot is not None)


def _deadline(obj: Object, context: Context) -> datetime | None:
    timeout = decode.duration(mapping(obj, "spec"), "backupTimeout") or context.session.timeout
    started = optional_time(text(obj, "metadata", "creationTimestamp"))
    return started + timeout if timeout and started else None


def _running(obj: Object, where: Where, view: View, now: datetime) -> Desired | Problems:
    """Keep the backup's plan until the end, so that its Jobs are looked after, and add retention's when it is time."""
    assert where.context is not None
    deadline = where.deadline
    backup = backup_plan.plan(where.context, where.snapshots, deadline, where.hooks, view)
    if isinstance(backup, Problem):
        return Problems((backup,))
    steps = tuple(item.step for item in where.cleanups if item.step is not None)
    runs = (backup.plan, Plan(name="retention", kind=RunKind.RETENTION, steps=steps)) if steps else (backup.plan,)
    return Desired(
        runs=runs,
        secret_copies=(*backup.copies, *(copy for item in where.cleanups for copy in item.copies)),
        doomed=tuple(doomed for item in where.cleanups for doomed in item.doomed),
        wake_at=min((at for at in (deadline, _quiet_until(where, now)) if at and at > now), default=None),
    )


def _quiet_until(where: Where, now: datetime) -> datetime | None:
    return cleanup.began(where.cleanups, now) + CLEAN_QUIET if where.stage is Stage.CLEAN else None


def _running_jobs(obj: Object, view: View, spared: Sequence[Step] = ()) -> tuple[Doomed, ...]:
    """Return the Jobs that still run for a session that has failed, whatever became of its Snapshots, but for `spared`."""
    kept = {name_of(step.child) for step in spared}
    jobs = ((namespace_of(job), name_of(job)) for job in view.list(JOB, label=(OWNER_UID, uid_of(obj))))
    running = [at for at in jobs if at[1] not in kept and view.step(*at).phase is Phase.RUNNING]
    return tuple(Doomed(Ref(JOB, namespace, job), "its BackupSession has failed") for namespace, job in running)


def _waiting(obj: Object, refusal: Refusal, now: datetime) -> Object:
    """Return the status of a session whose turn has not come: without a phase, since it has not been judged yet."""
    judged = condition(EXECUTOR, None, refusal.reason, refusal.message)
    return {**mapping(obj, "status"), "conditions": upsert_all(conditions_of(obj), (judged,), now, restamp=True)}


def _skipped(obj: Object, refusal: Refusal, now: datetime) -> Object:
    judged = condition(SKIPPED, True, refusal.reason, refusal.message)
    return {
        **mapping(obj, "status"),
        "phase": "Skipped",
        "conditions": upsert_all(conditions_of(obj), (judged,), now, restamp=True),
    }


def _failed(obj: Object, where: Where, refusal: Refusal, now: datetime) -> Object:
    type_ = SNAPSHOTS if refusal.reason == "FailedToEnsureSnapshots" else EXECUTOR
    reason = refusal.reason if type_ == SNAPSHOTS else "FailedToEnsureBackupExecutor"
    failure = condition(FAILURE, True, refusal.reason, refusal.message)
    judged = (condition(type_, False, reason, refusal.message), failure, last_words.counted())
    status: Object = {
        **mapping(obj, "status"),
        "phase": "Failed",
        "duration": lasted(obj, now),
        "conditions": upsert_all(conditions_of(obj), judged, now, restamp=True),
    }
    if where.hooks.status:
        status["hooks"] = where.hooks.status
    if where.snapshots:
        status["snapshots"] = [_listed(snapshot, "Failed") for snapshot in where.snapshots]
    return {**status, **retry.planned(obj, where.context.session if where.context else None, now)}


def _held_back(outcome: Outcome, run: str = "backup") -> str:
    """Return why a Job of the backup, or of another run, has not been started; empty when nothing holds one."""
    states = outcome.runs[run].steps.items() if run in outcome.runs else ()
    held = (f"{name}: {state.message}" for name, state in states if not state.exists and not state.phase.terminal)
    return next((said for said in held if not said.endswith(": starts")), "")


def _progressed(obj: Object, where: Where, held: str, view: View, now: datetime) -> Object:
    assert where.context is not None
    context = where.context
    over = (_cleaned(obj, context, view), last_words.counted()) if where.stage is Stage.DONE else ()
    conditions = upsert_all(conditions_of(obj), (*_conditions(where, held), *over), now, restamp=True)
    status: Object = {"phase": _phase(where), "totalSnapshots": len(context.destinations), "conditions": conditions}
    if where.snapshots:
        began = any(state.exists for state in where.states)
        status["snapshots"] = [_listed(snapshot, began=began) for snapshot in where.snapshots]
    if where.hooks.status:
        status["hooks"] = where.hooks.status
    deadline = where.deadline or _deadline(obj, context)
    if deadline is not None:
        status |= {"sessionDeadline": format_time(deadline), "backupDeadline": format_time(deadline)}
    if where.cleanups:
        status["retentionPolicy"] = [item.status for item in where.cleanups]
    if where.stage is Stage.DONE:
        status["duration"] = lasted(obj, now)
    if status["phase"] == "Failed" and not where.replaced:
        status |= retry.planned(obj, context.session, now)
    return status


def _cleaned(obj: Object, context: Context, view: View) -> Condition:
    """Return whether the earlier sessions that the history has no room for are gone, or at least going."""
    left = history.beyond(context.session, context.configuration, view)
    return last_words.history_cleaned(HISTORY, "Session", [name for name in left if name != name_of(obj)])


def _phase(where: Where) -> str:
    if where.stage is Stage.PREPARE or not where.snapshots:
        return "Pending"
    if where.stage is not Stage.DONE:
        return "Running"
    failed = bool(where.hooks.failure) or any(phase_of(snapshot) == "Failed" for snapshot in where.snapshots)
    return "Failed" if failed or any(item.phase == cleanup.FAILED for item in where.cleanups) else "Succeeded"


def _conditions(where: Where, held: str) -> list[Condition]:
    found: list[Condition] = []
    if where.stage is not Stage.PREPARE:
        found.append(condition(SNAPSHOTS, True, "SuccessfullyEnsuredSnapshots", "Snapshots have been ensured successfully."))
    if where.states and all(state.exists for state in where.states):
        said = "Backup executor has been ensured successfully."
        found.append(condition(EXECUTOR, True, "SuccessfullyEnsuredBackupExecutor", said))
    elif held:
        found.append(condition(EXECUTOR, None, "WaitsToStart", held))
    found += session_hooks.conditions(where.hooks, backup_hooks.VERDICTS)
    if where.replaced:
        found.append(condition(backup_context.REPLACED, True, "ConcurrencyPolicyReplace", where.replaced))
    waiting = next((state for state in where.states if state.message and not state.phase.terminal), None)
    if waiting is not None:
        found.append(condition(PENDING_LONG, None, waiting.reason or "PodPending", waiting.message))
    elif where.context is not None and find(conditions_of(where.context.obj), PENDING_LONG) is not None:
        found.append(condition(PENDING_LONG, False, "PodStarted", "No pod of this session waits to be started."))
    if where.cleanups and all(item.begun for item in where.cleanups):
        said = "Retention policy executor has been ensured successfully."
        found.append(condition(CLEANER, True, "SuccessfullyEnsuredRetentionPolicyExecutor", said))
    if where.stage is Stage.DONE and (failed := _failures(where)):
        found.append(condition(FAILURE, True, *failed))
    lost = [item for item in where.cleanups if item.lost]
    if lost:
        said = "; ".join(f"{item.repository}: {item.error}" for item in lost)
        found.append(condition(INCOMPLETE, True, "SnapshotCleanupTerminatedBeforeCompletion", said))
    return found


def _failures(where: Where) -> tuple[str, str] | None:
    """Return why the session failed, as (reason, message): the first component that did, else the first retention."""
    if where.replaced:
        return "Replaced", where.replaced
    if where.hooks.blocked:
        return backup_hooks.VERDICTS.before[2], where.hooks.blocked
    bad = [state for state in where.states if state.phase is Phase.FAILED]
    if bad:
        return bad[0].reason or "BackupFailed", bad[0].message or "the backup failed"
    snapshots = [snapshot for snapshot in where.snapshots if phase_of(snapshot) == "Failed"]
    if snapshots:
        return failure_of(snapshots[0])
    if where.hooks.failure:
        return backup_hooks.VERDICTS.after[2], where.hooks.failure
    cleanups = [item for item in where.cleanups if item.phase == cleanup.FAILED]
    return ("RetentionFailed", f"{cleanups[0].repository}: {cleanups[0].error}") if cleanups else None


def _listed(snapshot: Object, otherwise: str = "", *, began: bool = False) -> Object:
    """Return the entry of a Snapshot; `otherwise` is its phase unless it is terminal.

    When its executor `began`, it runs: that is told at once, and not by another write when the Snapshot says so itself.
    """
    phase = phase_of(snapshot) or "Pending"
    phase = "Running" if began and phase == "Pending" else phase
    app = mapping(snapshot, "spec", "appRef")
    return {
        "name": name_of(snapshot),
        "phase": otherwise if otherwise and phase not in TERMINAL else phase,
        **({"appRef": app} if app else {}),
        "repository": text(snapshot, "spec", "repository"),
    }
