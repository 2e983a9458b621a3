"""AntflyRestore: one Job that restores once, and what it said of each table.

It waits, Pending, while its cluster is not there. Once begun, its spec is settled and it never begins again: a Job that is
deleted is a failed restore. Completed means that the server shows the data of every table that was to be restored.
"""

from datetime import datetime
from typing import Final

from holdfast.core.calls import AntflyRestore, AntflyServer
from holdfast.core.conditions import Condition, condition, remove, upsert_all
from holdfast.core.objects import Object
from holdfast.core.plan import Desired, MoverCall, Note, Phase, Plan, Problems, Run, RunKind, Step, StepState
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import conditions_of, deleting, generation_of, mapping, phase_of, text
from holdfast.core.times import format_time
from holdfast.dialects.antfly import clusters, decode, jobs, names, validate
from holdfast.dialects.antfly.decode import Restore
from holdfast.dialects.antfly.kinds import CLUSTER, RESTORE

PLAN: Final = "restore"
JOB_READY: Final = "JobReady"
_FINAL: Final = ("Completed", "Failed")


class AntflyRestoreHandler:
    """Handles AntflyRestores."""

    kind = RESTORE
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge an AntflyRestore by itself, and refuse another spec once it has begun."""
        return validate.restore(obj, old)

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Return the one run, once the cluster is there; nothing when it has ended."""
        if deleting(obj) or _ended(obj):
            return Desired()
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        wanted = decode.restore(obj)
        cluster = view.get(CLUSTER, wanted.cluster.namespace, wanted.cluster.name)
        judged = clusters.readiness(wanted.cluster, cluster)
        begun = bool(text(obj, "status", "startTime"))
        if not judged.usable and not begun:
            return Desired(notes=(Note(judged.reason, judged.message, warning=True),))
        step = Step(
            name=PLAN,
            child=_job(wanted),
            mover=_call(wanted, cluster),
            deadline=wanted.timeout,
            begun=begun,
        )
        return Desired(runs=(Plan(name=PLAN, kind=RunKind.RESTORE, steps=(step,)),), notes=_notes(obj, wanted, view))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status: phase, tables, conditions."""
        if _ended(obj):
            return mapping(obj, "status")
        generation = generation_of(obj)
        if outcome.problems is not None:
            problems = outcome.problems
            judged = condition(JOB_READY, False, problems.items[0].reason, str(problems), generation=generation)
            conditions = upsert_all(conditions_of(obj), [judged], now)
            said = str(problems)
            return {"phase": "Failed", "observedGeneration": generation, "message": said, "conditions": conditions}
        wanted = decode.restore(obj)
        cluster = view.get(CLUSTER, wanted.cluster.namespace, wanted.cluster.name)
        judged = clusters.readiness(wanted.cluster, cluster)
        run = outcome.runs.get(PLAN)
        given = clusters.credentials(wanted.cluster, cluster, wanted.place.namespace, wanted.storage, generation)
        kept = conditions_of(obj) if given else remove(conditions_of(obj), clusters.CREDENTIALS)
        if run is None:
            waits = condition(JOB_READY, False, judged.reason, judged.message, generation=generation)
            told = [waits, judged.condition(generation), *given]
            message, status = f"waits: {judged.message}", {"phase": "Pending"}
        else:
            status, message = _progress(obj, wanted, run)
            told = [_job_ready(wanted, run, generation), judged.condition(generation), *given]
        return {**status, "message": message, "observedGeneration": generation, "conditions": upsert_all(kept, told, now)}


def _ended(obj: Object) -> bool:
    """Whether a restore that had begun has ended: that never changes."""
    return phase_of(obj) in _FINAL and bool(text(obj, "status", "startTime"))


def _job(wanted: Restore) -> Object:
    labels = names.restore_labels(wanted.place.name)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.restore_job(wanted.place.name),
            "namespace": wanted.place.namespace,
            "labels": labels,
        },
        "spec": jobs.job_spec("restore", labels, timeout=wanted.timeout, retries=wanted.retries),
    }


def _call(wanted: Restore, cluster: Object | None) -> MoverCall:
    """Return what the mover is told. It gives up a little before its Job is stopped, so that it can still say why."""
    token, secrets = jobs.token_of(wanted.storage)
    return AntflyRestore(
        server=AntflyServer(clusters.endpoint(wanted.cluster, cluster), str(wanted.cluster), token),
        location=wanted.storage.location,
        backup_id=wanted.backup_id,
        mode=wanted.mode,
        timeout=jobs.patience(wanted.timeout),
        tables=wanted.tables,
    ).call(secrets)


def _progress(obj: Object, wanted: Restore, run: Run) -> tuple[Object, str]:
    """Return phase, times and tables of a run, and a sentence on it."""
    state = run.steps[PLAN]
    job = names.restore_job(wanted.place.name)
    if not state.exists and not state.phase.terminal:
        return {"phase": "Pending"}, state.message
    started = format_time(state.started) if state.started else text(obj, "metadata", "creationTimestamp")
    status: Object = {
        "startTime": text(obj, "status", "startTime", default=started),
        "jobName": job,
        "tables": _tables(wanted, state),
    }
    if run.phase is Phase.SUCCEEDED:
        count = sum(table["status"] == "Completed" for table in status["tables"])
        left = len(status["tables"]) - count
        skipped = f", {left} left alone" if left else ""
        done = format_time(state.finished) if state.finished else status["startTime"]
        return {
            **status,
            "phase": "Completed",
            "completionTime": done,
        }, f"{count} table{'' if count == 1 else 's'} restored{skipped}"
    if run.phase.terminal:
        done = format_time(state.finished) if state.finished else status["startTime"]
        return {**status, "phase": "Failed", "completionTime": done}, _why(state)
    return {**status, "phase": "Running"}, state.message or "the server loads the tables"


def _tables(wanted: Restore, state: StepState) -> list[Object]:
    """Return the tables: by the report, else by what the mover has said so far."""
    if state.report and state.report.items:
        return [
            {"name": item.name, "status": item.status, **({"error": item.message} if item.message else {})}
            for item in state.report.items
        ]
    moving = {progress.repository: progress.files_done for progress in state.progress}
    words = {None: "Pending", 0: "Restoring", 1: "Completed"}
    ended = "Failed" if state.phase.terminal else ""
    return [
        {"name": name, "status": (ended and moving.get(name) != 1 and ended) or words[moving.get(name)]}
        for name in dict.fromkeys([*wanted.tables, *moving])
    ]


def _job_ready(wanted: Restore, run: Run, generation: int) -> Condition:
    state, job = run.steps[PLAN], names.restore_job(wanted.place.name)
    if run.phase is Phase.SUCCEEDED:
        return condition(JOB_READY, True, "JobCompleted", f"Job {job} restored everything", generation=generation)
    if run.phase.terminal:
        return condition(JOB_READY, False, "JobFailed", _why(state), generation=generation)
    if not state.exists:
        return condition(JOB_READY, False, "JobPending", state.message or f"Job {job} starts", generation=generation)
    return condition(JOB_READY, True, "JobRunning", f"Job {job} runs", generation=generation)


def _notes(obj: Object, wanted: Restore, view: View) -> tuple[Note, ...]:
    """Return the event of an end that the status does not show yet."""
    state = view.step(wanted.place.namespace, names.restore_job(wanted.place.name))
    if not text(obj, "status", "startTime") or not state.phase.terminal:
        return ()
    if state.phase is Phase.SUCCEEDED:
        return (Note("RestoreCompleted", f"backup {wanted.backup_id} is restored"),)
    return (Note("RestoreFailed", _why(state), warning=True),)


def _why(state: StepState) -> str:
    """Return why a restore failed. One whose pod left no report may have begun something that the server finishes alone."""
    why = state.message or state.reason
    if state.report is not None:
        return why
    return f"{why}; the server may go on with what was begun: look at the tables before you make another AntflyRestore"
