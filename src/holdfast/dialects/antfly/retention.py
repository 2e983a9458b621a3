"""Retention of stored backups: off unless annotations of an AntflyBackup ask for it, and then after each good backup.

One deletion of an AntflyBackup runs or waits at a time; what follows later good backups comes after it. The last good backup
always stays, and so does what an AntflyRestore that has not ended names.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from holdfast.core.calls import AntflyRetention, AntflyServer
from holdfast.core.conditions import Condition, condition
from holdfast.core.labels import MOVER, annotation
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Doomed, Phase, Plan, Problem, Run, RunKind, SecretFiles, Step
from holdfast.core.ports import View
from holdfast.core.read import name_of, namespace_of, text, uid_of
from holdfast.core.times import parse_period
from holdfast.dialects.antfly import clusters, jobs, names
from holdfast.dialects.antfly.decode import Backup
from holdfast.dialects.antfly.kinds import JOB, RESTORE

PLAN: Final = "retention"
APPLIED: Final = "RetentionApplied"
PATIENCE: Final = timedelta(minutes=30)
_MOUNT: Final = "storage"


class Rules(msgspec.Struct, frozen=True):
    """What stays: the newest `last`, and what is younger than `age`."""

    last: int = 0
    age: timedelta = timedelta()


def rules(obj: Object) -> Rules | None:
    """Return the rules of an AntflyBackup that passed validation; None when nothing is ever deleted."""
    last, age = annotation(obj, names.KEEP_LAST), annotation(obj, names.KEEP_FOR)
    return Rules(int(last or 0), parse_period(age) if age else timedelta()) if last or age else None


def problems(obj: Object) -> Sequence[Problem]:
    """Judge the annotations."""
    found: list[Problem] = []
    last, age = annotation(obj, names.KEEP_LAST), annotation(obj, names.KEEP_FOR)
    if last and not (last.isascii() and last.isdigit() and 1 <= int(last) <= 100_000):
        found.append(_problem(names.KEEP_LAST, f"{last!r} is not a number from 1 on"))
    if age:
        try:
            parse_period(age)
        except ValueError as error:
            found.append(_problem(names.KEEP_FOR, str(error)))
    key = names.KEEP_LAST if last else names.KEEP_FOR
    if (last or age) and not text(obj, "spec", "destination", "location").startswith("s3://"):
        found.append(_problem(key, "only backups in S3 can be deleted: the servers have no call for it"))
    elif (last or age) and not text(obj, "spec", "destination", "credentialsSecret", "name"):
        found.append(_problem(key, "needs spec.destination.credentialsSecret, with keys that may list and delete"))
    return found


def plans(obj: Object, wanted: Backup, cluster: Object | None, newest: str, view: View) -> tuple[Plan, ...]:
    """Return the deletion that follows the newest good backup; none while there is no such backup."""
    ruled = rules(obj)
    if ruled is None or not newest:
        return ()
    token, secrets = jobs.token_of(wanted.storage)
    call = AntflyRetention(
        server=AntflyServer(clusters.endpoint(wanted.cluster, cluster), str(wanted.cluster), token),
        location=wanted.storage.location,
        owner=str(wanted.place),
        credentials_dir=f"/holdfast/secrets/{_MOUNT}",
        keep_last=ruled.last,
        keep_seconds=int(ruled.age.total_seconds()),
        spared=tuple(sorted({newest, *_read_now(view)})),
    )
    labels = names.retention_labels()
    job: Object = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": _present(obj, wanted, ruled, newest, view), "namespace": wanted.place.namespace, "labels": labels},
        "spec": jobs.job_spec("retention", labels, timeout=PATIENCE, retries=1),
    }
    step = Step(
        name=PLAN, child=job, mover=call.call((*secrets, SecretFiles(_MOUNT, wanted.storage.secret))), deadline=PATIENCE
    )
    return (Plan(name=PLAN, kind=RunKind.RETENTION, steps=(step,)),)


def outdated(obj: Object, wanted: Backup, newest: str, view: View) -> tuple[Doomed, ...]:
    """Return the Jobs of earlier deletions."""
    ruled = rules(obj)
    keep = _present(obj, wanted, ruled, newest, view) if ruled else ""
    old = [name for name in _jobs(obj, view) if name != keep and view.step(wanted.place.namespace, name).phase.terminal]
    return tuple(Doomed(Ref(JOB, wanted.place.namespace, name), "a later deletion follows") for name in old)


def told(run: Run | None, generation: int) -> Sequence[Condition]:
    """Return how the last deletion went, or why the present one can't begin."""
    if run is None:
        return ()
    state = run.steps[PLAN]
    if not run.phase.terminal:
        if not state.exists or not state.message:
            return ()
        return (condition(APPLIED, False, state.reason or "Waiting", f"waits: {state.message}", generation=generation),)
    if run.phase is not Phase.SUCCEEDED:
        return (condition(APPLIED, False, state.reason or "RetentionFailed", state.message, generation=generation),)
    gone = [ident for result in state.report.results for ident in result.deleted] if state.report else []
    said = f"deleted {', '.join(gone)}" if gone else "nothing had to go"
    return (condition(APPLIED, True, "RetentionApplied", said, generation=generation),)


def _problem(key: str, message: str) -> Problem:
    return Problem(f"metadata.annotations[{key}]", message, "ValidationFailed")


def _present(obj: Object, wanted: Backup, ruled: Rules, newest: str, view: View) -> str:
    """Name the Job to look at: an earlier one that has not ended, else that of the newest good backup."""
    mine = names.retention_job(wanted.place.name, f"{newest} {ruled.last} {ruled.age}")
    jobs = _jobs(obj, view)
    open_ = [name for name in jobs if not view.step(wanted.place.namespace, name).phase.terminal]
    return mine if mine in jobs else next(iter(open_), mine)


def _jobs(obj: Object, view: View) -> list[str]:
    found = view.list(JOB, namespace_of(obj), owner=uid_of(obj))
    return sorted(name_of(job) for job in found if text(job, "metadata", "labels", MOVER) == AntflyRetention.MOVER)


def _read_now(view: View) -> set[str]:
    """Return the backups that a restore which has not ended names."""
    restores = view.list(RESTORE)
    open_ = [obj for obj in restores if text(obj, "status", "phase") not in ("Completed", "Failed")]
    return {text(obj, "spec", "source", "backupId") for obj in open_}
