"""RestoreSession: bring one Snapshot back, into the claims of a workload, one claim, or claims made for it.

The Snapshot is chosen once and noted in `status.dependencies`; retention spares it from then on, and no Job starts before
that is written. Nothing is restored under a running application: while a pod mounts one of the claims, the session waits
and says which pod. One that comes later ends the restore: it can't be trusted any more. Only what the mover has read back
counts as restored.
"""

import enum
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.conditions import Condition, condition, upsert_all
from holdfast.core.labels import OWNER_UID
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Child, Desired, Doomed, Phase, Plan, Problem, Problems, RunKind, StepState
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.quantity import format_bytes
from holdfast.core.read import (
    conditions_of,
    deleting,
    items,
    lasted,
    mapping,
    name_of,
    namespace_of,
    phase_of,
    text,
    uid_of,
)
from holdfast.core.times import format_duration, format_time, optional_time, parse_time
from holdfast.dialects.kubestash import addons, decode, intrusion, restore_plan, runtime, validate
from holdfast.dialects.kubestash.executor import template_problems
from holdfast.dialects.kubestash.kinds import ADDON, JOB, RESTORE_SESSION, TARGETS
from holdfast.dialects.kubestash.restore_plan import Source, Wait

FINISHED: Final = ("Succeeded", "Failed", "Invalid")
VALIDATED: Final = "ValidationPassed"
TARGET_FOUND: Final = "RestoreTargetFound"
EXECUTOR: Final = "RestoreExecutorEnsured"
INCOMPLETE: Final = ("RestoreIncomplete", "RestoreExecutorTerminatedBeforeCompletion")
SOURCE_LIMIT: Final = timedelta(hours=1)
"""How long a session without a timeout waits for a source that does not exist: it may have been misspelt."""

STOP_GRACE: Final = timedelta(minutes=5)
_DURATIONS: Final = ("timeout", "restoreTimeout")


class RestoreSessionHandler:
    """Handles RestoreSessions."""

    kind = RESTORE_SESSION
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge source, target and task; the spec can't change."""
        found: list[Problem] = []
        if old is not None and mapping(old, "spec") != mapping(obj, "spec"):
            found.append(Problem("spec", "can't change: create another RestoreSession"))
        found += [*_source_problems(obj, refs), *_target_problems(obj), *_unsupported(obj), *_task_problems(obj, refs)]
        found += validate.durations(mapping(obj, "spec"), _DURATIONS, "spec")
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say which claims shall exist and, once nothing stands in the way, which Jobs shall fill them."""
        if deleting(obj) or phase_of(obj) in FINISHED:
            return Desired(release=deleting(obj), doomed=() if deleting(obj) else _left_over(obj, view))
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        where = _where(obj, view)
        if isinstance(where, Problem):
            return Problems((where,))
        deadline = _limit(obj, where)
        wake_at = deadline if deadline and deadline > now else None
        if where.restore is None:
            return Desired(wake_at=wake_at)
        if where.intrusions:
            return Desired(doomed=_running_jobs(where.restore.jobs, view))
        children = tuple(Child(claim, create_only=True) for claim in where.restore.claims)
        if where.wait is not None or (deadline is not None and now >= deadline and not where.begun):
            return Desired(children=children if where.wait and where.wait.make_claims else (), wake_at=wake_at)
        started = optional_time(text(obj, "metadata", "creationTimestamp"))
        plan = Plan(name="restore", kind=RunKind.RESTORE, steps=where.restore.steps, deadline=deadline, started=started)
        return Desired(children=children, secret_copies=where.restore.copies, runs=(plan,), wake_at=wake_at)

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status."""
        if phase_of(obj) in FINISHED:
            return mapping(obj, "status")
        if outcome.problems is not None:
            return _invalid(obj, str(outcome.problems), now)
        where = _where(obj, view)
        if isinstance(where, Problem):
            return _invalid(obj, str(where), now)
        return _progressed(obj, where, _held_back(outcome), view, now)


class Stage(enum.Enum):
    """How a component is doing, as its status says it."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: the source, what the restore needs, what it waits for, its Jobs and who came between, by component."""

    source: Source | None = None
    restore: restore_plan.Restore | None = None
    wait: Wait | None = None
    target_found: bool | None = None
    states: dict[str, StepState] = {}
    intrusions: dict[str, str] = {}

    @property
    def begun(self) -> bool:
        """Whether any Job was started."""
        return any(state.exists for state in self.states.values())


def _where(obj: Object, view: View) -> Where | Problem:
    source = restore_plan.find_source(obj, view)
    if isinstance(source, Problem):
        return source
    if isinstance(source, Wait):
        return Where(wait=source)
    target_found = restore_plan.target_found(obj, view)
    if target_found is False:
        return Where(source=source, wait=Wait(f"the target {restore_plan.target_of(obj)} is not there yet"), target_found=False)
    restore = restore_plan.restore(obj, source, view)
    if isinstance(restore, Problem):
        return restore
    states = {name: view.step(namespace, job) for name, namespace, job in restore.jobs}
    begun = bool(mapping(obj, "status", "components")) or any(state.exists for state in states.values())
    wait = None if begun else restore_plan.obstacle(obj, source, restore, view)
    met = intrusion.intrusions(obj, restore.written, states, view)
    return Where(source=source, restore=restore, wait=wait, target_found=target_found, states=states, intrusions=met)


def _left_over(obj: Object, view: View) -> tuple[Doomed, ...]:
    """Return the Jobs that still write for a session that has failed."""
    if phase_of(obj) != "Failed":
        return ()
    jobs = view.list(JOB, label=(OWNER_UID, uid_of(obj)))
    return _running_jobs([("", namespace_of(job), name_of(job)) for job in jobs], view)


def _running_jobs(jobs: Iterable[tuple[str, str, str]], view: View) -> tuple[Doomed, ...]:
    running = ((namespace, job) for _, namespace, job in jobs if view.step(namespace, job).phase is Phase.RUNNING)
    return tuple(Doomed(Ref(JOB, namespace, job), "its RestoreSession has failed") for namespace, job in running)


def _deadline(obj: Object) -> datetime | None:
    timeout = decode.duration(mapping(obj, "spec"), "restoreTimeout", "timeout")
    started = optional_time(text(obj, "metadata", "creationTimestamp"))
    return started + timeout if timeout and started else None


def _limit(obj: Object, where: Where) -> datetime | None:
    """Return when the session gives up what it does or waits for."""
    created = optional_time(text(obj, "metadata", "creationTimestamp"))
    lost = where.wait is not None and where.wait.reason == restore_plan.NOT_FOUND
    return _deadline(obj) or (created + SOURCE_LIMIT if lost and created else None)


def _why_over(where: Where, limit: datetime | None, now: datetime) -> str:
    """Return why nothing can follow any more; empty while something can."""
    if limit is None or now < limit:
        return ""
    if where.wait is not None and where.wait.reason == restore_plan.NOT_FOUND:
        return f"deadline exceeded: {where.wait.message}; waited until {format_time(limit)}"
    return f"deadline exceeded: the restore was not complete at {format_time(limit)}"


def _source_problems(obj: Object, refs: Refs) -> list[Problem]:
    source, field = mapping(obj, "spec", "dataSource"), "spec.dataSource"
    if not source:
        return [Problem(field, "needed: repository, and snapshot (a name or latest)")]
    moment, snapshot = mapping(source, "pitr"), text(source, "snapshot")
    if moment:
        if found := _moment_problems(moment, source, field):
            return found
    elif not snapshot:
        return [Problem(f"{field}.snapshot", "needed: the name of a Snapshot, or latest, unless pitr says a time")]
    if snapshot == "latest" and not text(source, "repository"):
        return [Problem(f"{field}.repository", "needed with snapshot latest: the name of a Repository")]
    secret = decode.place(mapping(source, "encryptionSecret"), namespace_of(obj))
    return validate.shared_secret(secret, namespace_of(obj), refs, f"{field}.encryptionSecret") if secret else []


def _moment_problems(moment: Object, source: Object, field: str) -> list[Problem]:
    if not text(source, "repository"):
        return [Problem(f"{field}.repository", "needed with pitr: the name of a Repository")]
    if text(source, "snapshot"):
        return [Problem(f"{field}.snapshot", "excludes pitr, which chooses the Snapshot by its time: keep one of them")]
    try:
        parse_time(text(moment, "targetTime"))
    except ValueError as error:
        return [Problem(f"{field}.pitr.targetTime", str(error))]
    return []


def _target_problems(obj: Object) -> list[Problem]:
    wanted = decode.target(mapping(obj, "spec", "target"), namespace_of(obj))
    use = decode.addon_use(mapping(obj, "spec", "addon"))
    field = "spec.addon.tasks[0]"
    templates = bool(use.tasks and use.tasks[0].claim_templates)
    if templates:
        namespace = wanted.namespace if wanted else namespace_of(obj)
        return template_problems(use.tasks[0], namespace, field)
    if wanted is None:
        return [Problem("spec.target", "needed unless targetVolumes.volumeClaimTemplates say which claims to make")]
    if wanted.kind not in TARGETS:
        known = ", ".join(str(kind) for kind in TARGETS)
        return [Problem("spec.target", f"{wanted.kind} is not supported yet: use one of {known}")]
    return addons.target_problems(use, wanted, "spec.addon")


def _unsupported(obj: Object) -> list[Problem]:
    found = [
        Problem(f"spec.hooks.{hook}", f"hooks.{hook} is not supported yet: remove it")
        for hook in ("preRestore", "postRestore")
        if items(obj, "spec", "hooks", hook)
    ]
    if mapping(obj, "spec", "manifestOptions"):
        found.append(Problem("spec.manifestOptions", "manifestOptions is not supported yet: remove it"))
    return found


def _task_problems(obj: Object, refs: Refs) -> list[Problem]:
    use, field = decode.addon_use(mapping(obj, "spec", "addon")), "spec.addon"
    found = addons.problems(use, addons.RESTORE, field)
    found += runtime.template_problems(use.template, f"{field}.jobTemplate")
    found += runtime.container_problems(use.settings, f"{field}.containerRuntimeSettings")
    addon = refs.get(ADDON, "", use.name) if use.name and not found else None
    return found + (addons.declared_problems(use, addon, addons.RESTORE, field) if addon else [])


def _invalid(obj: Object, message: str, now: datetime) -> Object:
    judged = condition(VALIDATED, False, "ResourceValidationFailed", message)
    conditions = upsert_all(conditions_of(obj), (judged,), now, restamp=True)
    return {**mapping(obj, "status"), "phase": "Invalid", "conditions": conditions, "duration": lasted(obj, now)}


def _held_back(outcome: Outcome) -> str:
    """Return why a Job of the restore has not been started; empty when nothing holds one."""
    states = outcome.runs["restore"].steps.items() if "restore" in outcome.runs else ()
    held = (f"{name}: {state.message}" for name, state in states if not state.exists and not state.phase.terminal)
    return next((said for said in held if not said.endswith(": starts")), "")


def _progressed(obj: Object, where: Where, held: str, view: View, now: datetime) -> Object:
    deadline, limit = _deadline(obj), _limit(obj, where)
    over = _why_over(where, limit, now)
    if where.wait is not None and where.wait.reason == restore_plan.NOT_FOUND and limit is not None:
        held = f"{where.wait.message}: waits until {format_time(limit)}"
    addon = text(obj, "spec", "addon", "name")
    dependencies = [_snapshot_dependency(obj, where)]
    dependencies.append({"kind": "Addon", "name": addon, "found": view.get(ADDON, "", addon) is not None})
    status: Object = {"dependencies": dependencies}
    if where.target_found is not None:
        status["targetFound"] = where.target_found
    if deadline is not None:
        status["restoreDeadline"] = format_time(deadline)
    components = {name: entry for name in where.states if (entry := _component(obj, name, where, over, now))}
    if where.restore is not None:
        status["totalComponents"] = len(where.restore.steps)
    if components:
        status["components"] = components
    status["phase"] = _phase(components, len(where.states), over)
    status["conditions"] = upsert_all(conditions_of(obj), _conditions(where, components, over or held), now, restamp=True)
    return {**status, "duration": lasted(obj, now)} if status["phase"] in FINISHED else status


def _snapshot_dependency(obj: Object, where: Where) -> Object:
    if where.source is not None:
        return {"kind": "Snapshot", "name": name_of(where.source.snapshot), "found": True}
    return {"kind": "Snapshot", "name": text(obj, "spec", "dataSource", "snapshot"), "found": False}


def _component(obj: Object, name: str, where: Where, over: str, now: datetime) -> Object:
    before, state = mapping(obj, "status", "components", name), where.states[name]
    if text(before, "phase") in (Stage.SUCCEEDED.value, Stage.FAILED.value):
        return before
    if name in where.intrusions:
        return {"phase": Stage.FAILED.value, **_took(state), "error": where.intrusions[name]}
    if state.phase is Phase.SUCCEEDED:
        return {"phase": Stage.SUCCEEDED.value, **_took(state), **_restored(state)}
    if state.phase is Phase.FAILED:
        return {"phase": Stage.FAILED.value, **_took(state), "error": state.message or state.reason or "the Job failed"}
    if where.intrusions:
        return {"phase": Stage.FAILED.value, "error": "stopped: a pod came to a claim of another component"}
    if state.exists and not _past_grace(obj, now):
        return {"phase": Stage.RUNNING.value, **_progress(state)}
    if over:
        return {"phase": Stage.FAILED.value, "error": over}
    if before:
        return {"phase": Stage.FAILED.value, "error": "its Job was deleted before it had finished"}
    return {}


def _past_grace(obj: Object, now: datetime) -> bool:
    """Whether a Job that won't be stopped has been waited for long enough."""
    deadline = _deadline(obj)
    return deadline is not None and now > deadline + STOP_GRACE


def _took(state: StepState) -> Object:
    if state.report and state.report.results:
        seconds = sum(result.seconds for result in state.report.results)
        return {"duration": format_duration(timedelta(milliseconds=round(seconds * 1000)))}
    if state.started and state.finished:
        return {"duration": format_duration(state.finished - state.started)}
    return {}


def _restored(state: StepState) -> Object:
    results = state.report.results if state.report else ()
    if not results:
        return {}
    size, files = sum(result.bytes for result in results), sum(result.files for result in results)
    seconds = sum(result.seconds for result in results)
    return {"progress": _figures(files, files, size, size, seconds, size / seconds if seconds else 0.0)}


def _progress(state: StepState) -> Object:
    if not state.progress:
        return {}
    now = state.progress[-1]
    figures = _figures(now.files_done, now.files_total, now.bytes_done, now.bytes_total, now.seconds, now.rate)
    return {"progress": figures}


def _figures(done: int, total: int, bytes_done: int, bytes_total: int, seconds: float, rate: float) -> Object:
    share = bytes_done / bytes_total if bytes_total else float(done > 0 and done == total)
    return {
        "secondsElapsed": int(seconds),
        "percentDone": f"{min(share, 1.0) * 100:.2f}%",
        "totalFiles": total,
        "filesDone": done,
        "restoreDone": format_bytes(bytes_done),
        "total": format_bytes(bytes_total),
        "speed": f"{format_bytes(int(rate))}/s",
    }


def _phase(components: Object, total: int, over: str) -> str:
    phases = [text(entry, "phase") for entry in components.values()]
    if not phases:
        return "Failed" if over else "Pending"
    if len(phases) < total or Stage.RUNNING.value in phases:
        return "Running"
    return "Failed" if Stage.FAILED.value in phases else "Succeeded"


def _conditions(where: Where, components: Object, held: str) -> Sequence[Condition]:
    found = [condition(VALIDATED, True, "ResourceValidationPassed", "Validation has been passed successfully.")]
    if where.target_found is not None:
        said = "Restore target has been found." if where.target_found else "Restore target has not been found."
        reason = "TargetFound" if where.target_found else "TargetNotFound"
        found.append(condition(TARGET_FOUND, where.target_found, reason, said))
    waiting = next((state for state in where.states.values() if state.message and not state.phase.terminal), None)
    if where.wait is not None:
        found.append(condition(EXECUTOR, False, where.wait.reason, held or where.wait.message))
    elif waiting is not None:
        found.append(condition(EXECUTOR, None, waiting.reason or "PodPending", waiting.message))
    elif where.states and all(state.exists for state in where.states.values()):
        said = "Restore executor has been ensured successfully."
        found.append(condition(EXECUTOR, True, "SuccessfullyEnsuredRestoreExecutor", said))
    elif held:
        found.append(condition(EXECUTOR, None, "WaitsToStart", held))
    if where.intrusions:
        said = "; ".join(f"{name}: {message}" for name, message in where.intrusions.items())
        return [*found, condition(INCOMPLETE[0], True, restore_plan.IN_USE, said)]
    lost = [name for name, state in where.states.items() if _is_lost(state, mapping(components, name))]
    if lost:
        said = "; ".join(f"{name}: {text(components, name, 'error')}" for name in lost)
        found.append(condition(INCOMPLETE[0], True, INCOMPLETE[1], said))
    return found


def _is_lost(state: StepState, component: Object) -> bool:
    return text(component, "phase") == Stage.FAILED.value and state.report is None
