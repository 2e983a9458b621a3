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
from holdfast.core.objects import Object, Ref, owner_reference, ref_of
from holdfast.core.plan import Child, Desired, Doomed, Phase, Plan, Problem, Problems, RunKind, StepState
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import (
    conditions_of,
    deleting,
    lasted,
    mapping,
    name_of,
    namespace_of,
    phase_of,
    text,
    uid_of,
)
from holdfast.core.times import format_time, optional_time, parse_time
from holdfast.dialects.kubestash import (
    addons,
    decode,
    hook_steps,
    intrusion,
    last_words,
    manifests,
    names,
    restore_figures,
    restore_hooks,
    restore_plan,
    runtime,
    session_hooks,
    validate,
)
from holdfast.dialects.kubestash import hooks as hooks_rules
from holdfast.dialects.kubestash.executor import template_problems
from holdfast.dialects.kubestash.hook_steps import Result
from holdfast.dialects.kubestash.kinds import ADDON, BACKUP_CONFIGURATION, CORE, JOB, RESTORE_SESSION, TARGETS
from holdfast.dialects.kubestash.restore_plan import Wait
from holdfast.dialects.kubestash.restore_tasks import Source
from holdfast.dialects.kubestash.session_hooks import Hooks

FINISHED: Final = ("Succeeded", "Failed", "Invalid")
VALIDATED: Final = "ValidationPassed"
TARGET_FOUND: Final = "RestoreTargetFound"
EXECUTOR: Final = "RestoreExecutorEnsured"
INCOMPLETE: Final = ("RestoreIncomplete", "RestoreExecutorTerminatedBeforeCompletion")
SOURCE_LIMIT: Final = timedelta(hours=1)
"""How long a session without a timeout waits for a source that does not exist: it may have been misspelt."""

STOP_GRACE: Final = timedelta(minutes=5)
_DELETED: Final = "the RestoreSession was deleted"
_DURATIONS: Final = ("timeout", "restoreTimeout")
_CLAIM_TASKS: Final = ("volume-snapshot-restore", "volume-clone")
_FILE_TASKS: Final = ("logical-backup-restore",)


class RestoreSessionHandler:
    """Handles RestoreSessions."""

    kind = RESTORE_SESSION
    finalizer = names.FINALIZER

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge source, target and task; the spec can't change."""
        found: list[Problem] = []
        if old is not None and mapping(old, "spec") != mapping(obj, "spec"):
            found.append(Problem("spec", "can't change: create another RestoreSession"))
        found += [*_source_problems(obj, refs), *_target_problems(obj), *_manifest_problems(obj), *_task_problems(obj, refs)]
        found += _hook_problems(obj, refs)
        found += validate.durations(mapping(obj, "spec"), _DURATIONS, "spec")
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say which claims shall exist and, once nothing stands in the way, which Jobs shall fill them."""
        if phase_of(obj) in FINISHED:
            return Desired(release=deleting(obj), doomed=() if deleting(obj) else _left_over(obj, view), hold=False)
        if deleting(obj):
            return _cut_short(obj, restore_hooks.unwinding(obj, _DELETED, view), view)
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        where = _where(obj, view)
        if isinstance(where, Problem):
            hooks = restore_hooks.unwinding(obj, str(where), view)
            return Problems((where,)) if hooks.unwound else msgspec.structs.replace(_cut_short(obj, hooks, view), release=False)
        found = _next(obj, where, view, now)
        accounts = where.restore.accounts if where.restore else ()
        children = (*restore_hooks.access(obj), *accounts, *found.children)
        return msgspec.structs.replace(found, children=children, hold=bool(restore_hooks.listed(obj, "preRestore")))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status."""
        if phase_of(obj) in FINISHED:
            return mapping(obj, "status")
        if outcome.problems is not None:
            return _invalid(obj, str(outcome.problems), now)
        where = Problem("", _DELETED) if deleting(obj) else _where(obj, view)
        if isinstance(where, Problem):
            hooks = restore_hooks.unwinding(obj, str(where), view)
            told: Object = {"hooks": hooks.status} if hooks.status else {}
            open_ = deleting(obj) or not hooks.unwound
            return {**(mapping(obj, "status") if open_ else _invalid(obj, str(where), now)), **told}
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
    hooks: Hooks = Hooks()

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
    states = {name: view.step(ref.namespace, ref.name, ref.kind) for name, ref in restore.children}
    begun = bool(mapping(obj, "status", "components")) or any(state.exists for state in states.values())
    wait = None if begun else restore_plan.obstacle(obj, source, restore, view)
    met = intrusion.intrusions(obj, restore.written, states, view)
    ready = wait is None or wait.reason == restore_plan.IN_USE
    return Where(
        source=source,
        restore=restore,
        wait=wait,
        target_found=target_found,
        states=states,
        intrusions=met,
        hooks=restore_hooks.before(obj, view) if ready else Hooks(),
    )


class Verdict(msgspec.Struct, frozen=True):
    """How the restore itself stands: its components, the phase that follows from them, and why nothing can follow, if so."""

    components: Object
    phase: str
    over: str

    @property
    def error(self) -> str:
        """Why the restore failed; empty when it did not."""
        if self.phase != Stage.FAILED.value:
            return ""
        told = (f"{name}: {text(entry, 'error')}" for name, entry in self.components.items() if text(entry, "error"))
        return next(told, self.over or "the restore failed")


def _verdict(obj: Object, where: Where, now: datetime) -> Verdict:
    over = _why_over(where, _limit(obj, where), now)
    if where.hooks.blocked and not where.begun:
        return Verdict({}, Stage.FAILED.value, where.hooks.blocked)
    components = {name: entry for name in where.states if (entry := _component(obj, name, where, over, now))}
    return Verdict(components, _phase(components, len(where.states), over), over)


def _hooks(obj: Object, where: Where, verdict: Verdict, view: View, now: datetime) -> Hooks:
    """Return the hooks, also those after the restore once it is over."""
    if verdict.phase not in FINISHED:
        return where.hooks
    return restore_hooks.after(where.hooks, obj, Result(verdict.phase, lasted(obj, now), verdict.error), view)


def _next(obj: Object, where: Where, view: View, now: datetime) -> Desired:
    """Return what comes next: hooks, claims, and the Jobs that fill them once nothing stands in the way."""
    deadline, verdict = _limit(obj, where), _verdict(obj, where, now)
    hooks = _hooks(obj, where, verdict, view, now)
    restore = where.restore
    held = where.wait is not None or (deadline is not None and now >= deadline and not where.begun)
    work = () if restore is None or held or where.intrusions else restore.steps
    steps = session_hooks.steps(hooks, work)
    started = optional_time(text(obj, "metadata", "creationTimestamp"))
    plan = Plan(name="restore", kind=RunKind.RESTORE, steps=steps, deadline=deadline, started=started)
    make_claims = bool(work) or (where.wait is not None and where.wait.make_claims)
    return Desired(
        children=tuple(_new_claim(claim, obj) for claim in restore.claims) if restore and make_claims else (),
        secret_copies=restore.copies if restore and work else (),
        runs=(plan,) if steps else (),
        doomed=_running_jobs([ref for _, ref in restore.children], view) if restore and where.intrusions else (),
        wake_at=deadline if deadline and deadline > now else None,
    )


def _new_claim(claim: Object, obj: Object) -> Child:
    """Return a claim to make. It outlives its restore, unless that is only a test of a Snapshot."""
    if not text(obj, "metadata", "labels", names.VERIFIES):
        return Child(claim, create_only=True)
    return Child({**claim, "metadata": {**claim["metadata"], "ownerReferences": [owner_reference(obj)]}}, create_only=True)


def _cut_short(obj: Object, hooks: Hooks, view: View) -> Desired:
    """Stop a restore that can't go on, and undo what its first hooks did; then it may go."""
    spared = {name_of(step.child) for each in hooks.after or () for step in each.steps}
    jobs = [ref_of(job) for job in view.list(JOB, label=(OWNER_UID, uid_of(obj)))]
    running = _running_jobs([ref for ref in jobs if ref.name not in spared], view)
    if hooks.unwound:
        return Desired(doomed=running, release=True)
    plan = Plan(name="unwind", kind=RunKind.RESTORE, steps=hook_steps.after(hooks.after or (), ()))
    return Desired(runs=(plan,), doomed=running)


def _left_over(obj: Object, view: View) -> tuple[Doomed, ...]:
    """Return the Jobs that still write for a session that has failed."""
    if phase_of(obj) != "Failed":
        return ()
    return _running_jobs([ref_of(job) for job in view.list(JOB, label=(OWNER_UID, uid_of(obj)))], view)


def _running_jobs(refs: Iterable[Ref], view: View) -> tuple[Doomed, ...]:
    running = (ref for ref in refs if ref.kind == JOB and view.step(ref.namespace, ref.name).phase is Phase.RUNNING)
    return tuple(Doomed(ref, "its RestoreSession has failed") for ref in running)


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
    namespace = wanted.namespace if wanted else namespace_of(obj)
    found: list[Problem] = []
    for index, task in enumerate(use.tasks):
        if task.claim_templates:
            mounted = task.name not in _CLAIM_TASKS
            found += template_problems(task, namespace, f"spec.addon.tasks[{index}]", mounted=mounted)
        elif task.name in _FILE_TASKS and wanted is None:
            found.append(Problem("spec.target", "needed unless targetVolumes.volumeClaimTemplates say which claims to make"))
    if found or wanted is None:
        return found
    if wanted.kind not in TARGETS:
        known = ", ".join(str(kind) for kind in TARGETS)
        return [Problem("spec.target", f"{wanted.kind} has no volumes that this build can find: use one of {known}")]
    templates = any(task.claim_templates for task in use.tasks)
    return [] if templates else addons.target_problems(use, wanted, "spec.addon")


def _manifest_problems(obj: Object) -> list[Problem]:
    """Judge manifestOptions: databases belong to operators whose objects this build does not know."""
    options, field = mapping(obj, "spec", "manifestOptions"), "spec.manifestOptions"
    use = decode.addon_use(mapping(obj, "spec", "addon"))
    found = [
        Problem(
            f"{field}.{name}",
            f"{name} is for the objects of a database operator, which no Addon of this build restores: remove it",
        )
        for name in options
        if name != "workload"
    ]
    if "workload" in options and all(task.name != "manifest-restore" for task in use.tasks):
        found.append(Problem(f"{field}.workload", "is for the task manifest-restore, which is not among the tasks: remove it"))
    return found + manifests.account_problems(use, "spec.addon")


def _hook_problems(obj: Object, refs: Refs) -> list[Problem]:
    found: list[Problem] = []
    for name in ("preRestore", "postRestore"):
        listed, where = restore_hooks.listed(obj, name), f"spec.hooks.{name}"
        found += hooks_rules.problems(listed, namespace_of(obj), refs, where, first=name == "preRestore")
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
    verdict = _verdict(obj, where, now)
    components, over = verdict.components, verdict.over
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
    if where.restore is not None:
        status["totalComponents"] = len(where.restore.steps)
    if components:
        status["components"] = components
    hooks = _hooks(obj, where, verdict, view, now)
    if hooks.status:
        status["hooks"] = hooks.status
    if paused := _paused_backups(obj, view):
        status["pausedBackups"] = paused
    status["phase"] = _final(verdict, hooks)
    told = [*_conditions(where, components, over or held), *session_hooks.conditions(hooks, restore_hooks.VERDICTS)]
    over = (last_words.counted(),) if status["phase"] in FINISHED else ()
    status["conditions"] = upsert_all(conditions_of(obj), (*told, *over), now, restamp=True)
    return {**status, "duration": lasted(obj, now)} if status["phase"] in FINISHED else status


def _final(verdict: Verdict, hooks: Hooks) -> str:
    """Return the phase of the session: it runs until its hooks have ended, and fails with them."""
    if verdict.phase not in FINISHED:
        return Stage.RUNNING.value if hooks.status else verdict.phase
    if not hooks.unwound:
        return Stage.RUNNING.value
    return Stage.FAILED.value if hooks.failure else verdict.phase


def _paused_backups(obj: Object, view: View) -> list[Object]:
    """Return the BackupConfigurations whose sessions wait for the end of this restore, since they read its target."""
    wanted = restore_plan.target_of(obj)
    found = view.list(BACKUP_CONFIGURATION) if wanted else ()
    refs = [
        {"apiGroup": CORE, "kind": BACKUP_CONFIGURATION.kind, "name": name_of(item), "namespace": namespace_of(item)}
        for item in found
        if decode.target(mapping(item, "spec", "target"), namespace_of(item)) == wanted
    ]
    return sorted(refs, key=lambda ref: (ref["namespace"], ref["name"]))


def _snapshot_dependency(obj: Object, where: Where) -> Object:
    if where.source is not None:
        return {"kind": "Snapshot", "name": name_of(where.source.snapshot), "found": True}
    return {"kind": "Snapshot", "name": text(obj, "spec", "dataSource", "snapshot"), "found": False}


def _component(obj: Object, name: str, where: Where, over: str, now: datetime) -> Object:
    before, state = mapping(obj, "status", "components", name), where.states[name]
    if text(before, "phase") in (Stage.SUCCEEDED.value, Stage.FAILED.value):
        return before
    if name in where.intrusions:
        return {"phase": Stage.FAILED.value, **restore_figures.took(state), "error": where.intrusions[name]}
    if state.phase is Phase.SUCCEEDED:
        return {"phase": Stage.SUCCEEDED.value, **restore_figures.took(state), **restore_figures.restored(state)}
    if state.phase is Phase.FAILED:
        return {
            "phase": Stage.FAILED.value,
            **restore_figures.took(state),
            "error": state.message or state.reason or "the Job failed",
        }
    if where.intrusions:
        return {"phase": Stage.FAILED.value, "error": "stopped: a pod came to a claim of another component"}
    if state.exists and not _past_grace(obj, now):
        return {"phase": Stage.RUNNING.value, **restore_figures.progress(state)}
    if over:
        return {"phase": Stage.FAILED.value, "error": over}
    if before:
        return {"phase": Stage.FAILED.value, "error": "its Job was deleted before it had finished"}
    return {}


def _past_grace(obj: Object, now: datetime) -> bool:
    """Whether a Job that won't be stopped has been waited for long enough."""
    deadline = _deadline(obj)
    return deadline is not None and now > deadline + STOP_GRACE


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
