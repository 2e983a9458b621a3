"""Backup: one copy of a target's data, from the first look to its end by age.

New: everything it refers to is found, or it fails with the reason. Running: what was picked stands in the status, and the
actions follow from it alone. Completed, Failed: final; workloads go, and in its time the Backup itself. See `backup_deletion`
for its end.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Amend, Desired, Doomed, Note, Phase, Problem, Problems, Run, SealedEntry
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import deleting, mapping, name_of, namespace_of, phase_of, text, uid_of
from holdfast.core.times import format_time, optional_time
from holdfast.dialects.kubeblocks import (
    backup_context,
    backup_deletion,
    backup_forget,
    backup_plan,
    backup_status,
    backup_words,
    continuous,
    expiry,
    names,
    notes,
    resources,
    retention,
    stuck,
)
from holdfast.dialects.kubeblocks.backup_context import Context
from holdfast.dialects.kubeblocks.backup_plan import Planned
from holdfast.dialects.kubeblocks.backup_status import TERMINAL
from holdfast.dialects.kubeblocks.kinds import BACKUP, JOB, SECRET
from holdfast.dialects.kubeblocks.refusal import Refusal, Wait


class BackupHandler:
    """Handles Backups. `home` is the controller's namespace; `seal`, if given, seals the password of a database."""

    kind = BACKUP
    finalizer = names.FINALIZER
    group = names.BACKUP_POLICY

    def __init__(self, home: str, seal: Callable[[str], str] | None = None) -> None:
        self._home, self._seal = home, seal

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge what the schema can't: the retention period."""
        given = text(obj, "spec", "retentionPeriod")
        try:
            retention.period(given)
        except ValueError as error:
            return Problems((Problem("spec.retentionPeriod", str(error)),))
        return None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say what the Backup needs next."""
        if deleting(obj):
            return backup_deletion.desired(obj, view, self._home, now)
        if _is_left_alone(obj):
            return Desired()
        if continuous.is_continuous(obj):
            over = _over(obj, view, now) if phase_of(obj) == "Completed" else Desired()
            own = continuous.desired(obj, view, self._home, now)
            return msgspec.structs.replace(own, doomed=(*own.doomed, *over.doomed), notes=over.notes, wake_at=over.wake_at)
        if phase_of(obj) in TERMINAL and not continuous.may_begin(obj, view):
            return _forgetting(_over(obj, view, now), backup_forget.desired(obj, view, self._home, now))
        if phase_of(obj) == "Running":
            return self._running(obj, view, now)
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        found = backup_context.gather(obj, view, self._home, now)
        if isinstance(found, Wait):
            return Desired(notes=(Note(found.reason, found.message),), wake_at=found.until)
        return Desired() if isinstance(found, Refusal) else Desired(amend=_amend(found))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status."""
        status = mapping(obj, "status")
        if deleting(obj):
            return backup_deletion.status(obj, view, self._home, outcome, now)
        if _is_left_alone(obj):
            return status
        if continuous.is_continuous(obj) and outcome.problems is None:
            refused = outcome.refused.get(continuous.runner_name(obj), "")
            return continuous.status(obj, view, self._home, refused, now)
        if phase_of(obj) in TERMINAL and not continuous.may_begin(obj, view):
            return status
        if outcome.problems is not None:
            return backup_status.failed(obj, str(outcome.problems), now)
        if phase_of(obj) != "Running":
            return self._first(obj, view, now)
        found = self._resumed(obj, view, now)
        if isinstance(found, Refusal):
            return backup_status.failed(obj, found.message, now)
        if isinstance(found, Wait):
            return status
        run = outcome.runs.get(backup_plan.RUN)
        return backup_status.progressed(obj, found[1], _patient(run, found[1], view, now), view, now) if run else status

    def _first(self, obj: Object, view: View, now: datetime) -> Object:
        found = backup_context.gather(obj, view, self._home, now)
        planned = backup_plan.planned(found, view, now) if isinstance(found, Context) else found
        if isinstance(planned, Wait):
            return {"phase": "New"}
        if isinstance(planned, Refusal):
            told = phase_of(obj) == "Failed" and text(obj, "status", "failureReason") == planned.message
            return mapping(obj, "status") if told else backup_status.failed(obj, planned.message, now)
        assert isinstance(found, Context)
        return backup_status.begun(found, planned, now)

    def _resumed(self, obj: Object, view: View, now: datetime) -> tuple[Context, Planned] | Refusal | Wait:
        context = backup_context.resume(obj, view, self._home)
        if isinstance(context, Refusal):
            return context
        planned = backup_plan.planned(context, view, now)
        return (context, planned) if isinstance(planned, Planned) else planned

    def _running(self, obj: Object, view: View, now: datetime) -> Desired:
        found = self._resumed(obj, view, now)
        if isinstance(found, Refusal):
            return Desired(doomed=_running_jobs(obj, view))
        if isinstance(found, Wait):
            told = (Note(found.reason, f"{found.message}: waits for its StatefulSet to bring it back"),)
            return Desired(amend=_marked(obj, now), notes=told, wake_at=found.until)
        context, planned = found
        plan = planned.plan(optional_time(text(obj, "status", "startTimestamp")))
        due = [at for step in plan.steps if (at := backup_words.owed(view, step.child, now)) is not None]
        lacking = stuck.reasons(plan.steps, view, now)
        gone = [step.child["metadata"] for step in plan.steps if step.name in lacking]
        return Desired(
            amend=_marked(obj, None),
            sealed=self._password(context),
            children=(*planned.children, *context.access.children),
            secret_copies=context.access.copies,
            runs=(plan,),
            notes=notes.waits(plan.steps, view),
            doomed=tuple(Doomed(Ref(JOB, meta["namespace"], meta["name"]), "it can't start") for meta in gone),
            wake_at=min([*due, *stuck.due(plan.steps, view, now)], default=None),
        )

    def _password(self, context: Context) -> SealedEntry | None:
        """Return how the password by which the database was reached is kept with a Full backup, as documented."""
        credential = context.targets[0].target.credential if context.targets else {}
        secret = text(credential, "secretName")
        if self._seal is None or not secret or context.backup_type != "Full":
            return None
        source, key = Ref(SECRET, context.namespace, secret), text(credential, "passwordKey", default="password")
        return SealedEntry(names.CONNECTION_PASSWORD, source, key, self._seal)


def _is_left_alone(obj: Object) -> bool:
    """Whether nobody shall touch a Backup: it says so, or it was found in a repository and its status comes."""
    found = text(obj, "metadata", "labels", names.REDISCOVERED) == "true" and not phase_of(obj)
    return found or names.is_true(obj, names.SKIP)


def _over(obj: Object, view: View, now: datetime) -> Desired:
    """Collect the workloads of a Completed Backup, stop those of a Failed one, and let it go when its time has come."""
    if phase_of(obj) == "Completed":
        jobs = view.list(JOB, owner=uid_of(obj))
        gone = tuple(Doomed(Ref(JOB, namespace_of(job), name_of(job)), "its Backup is Completed") for job in jobs)
    else:
        gone = _running_jobs(obj, view)
    gone = (*gone, *resources.rights_over(obj, view))
    verdict = expiry.verdict(obj, view, now)
    if verdict.expired:
        gone = (*gone, Doomed(Ref(BACKUP, namespace_of(obj), name_of(obj)), "it has expired"))
    kept = (Note("Kept", verdict.kept),) if verdict.kept else ()
    return Desired(doomed=gone, notes=kept, wake_at=verdict.wake_at)


def _forgetting(over: Desired, forget: Desired) -> Desired:
    """Return what both ask for."""
    due = [at for at in (over.wake_at, forget.wake_at) if at is not None]
    return msgspec.structs.replace(
        forget, doomed=(*over.doomed, *forget.doomed), notes=(*over.notes, *forget.notes), wake_at=min(due, default=None)
    )


def _running_jobs(obj: Object, view: View) -> tuple[Doomed, ...]:
    jobs = [(namespace_of(job), name_of(job)) for job in view.list(JOB, owner=uid_of(obj))]
    jobs = [place for place in jobs if place[1] != backup_forget.job_name(obj)]
    running = [place for place in jobs if view.step(*place).phase is Phase.RUNNING]
    return tuple(Doomed(Ref(JOB, *place), "its Backup has failed") for place in running)


def _amend(context: Context) -> Amend | None:
    """Return the labels and annotations that a Backup lacks."""
    meta = mapping(context.obj, "metadata")
    wanted = backup_context.labels_of(context)
    labels = {key: value for key, value in wanted.items() if mapping(meta, "labels").get(key) != value}
    patch: dict[str, Any] = {"labels": labels} if labels else {}
    pods = [name for found in context.targets for name in found.names]
    if len(pods) == 1 and text(meta, "annotations", names.TARGET_POD) != pods[0]:
        patch["annotations"] = {names.TARGET_POD: pods[0]}
    return Amend({"metadata": patch}) if patch else None


def _marked(obj: Object, now: datetime | None) -> Amend | None:
    """Keep since when a pod of the target is gone; None: it is there."""
    if bool(text(obj, "metadata", "annotations", names.TARGET_GONE)) == (now is not None):
        return None
    return Amend({"metadata": {"annotations": {names.TARGET_GONE: format_time(now) if now else None}}})


def _patient(run: Run, planned: Planned, view: View, now: datetime) -> Run:
    """Return the run with every job that owes its words as still running, and each that waits for nothing as failed."""
    steps = [step for action in planned.actions for step in action.steps]
    open_ = {step.name for step in steps if step.attendants and backup_words.owed(view, step.child, now) is not None}
    lacking = stuck.reasons(steps, view, now)
    if not open_ and not lacking:
        return run
    states = {name: msgspec.structs.replace(run.steps[name], phase=Phase.RUNNING) for name in open_}
    states |= {name: msgspec.structs.replace(run.steps[name], phase=Phase.FAILED, message=why) for name, why in lacking.items()}
    return msgspec.structs.replace(run, phase=Phase.RUNNING, steps={**run.steps, **states})
