"""Kubejobs: one run each, from PENDING to one of five final states.

What a run works on is written into its status when it starts and never looked up again, so that a change of a definition, of
claims or of options in its course changes nothing for it. A cancelled run stops what it started, waits until all of it is
gone, and only then says so. A final state never changes; whatever a run left is removed after it, too, and a job that is
deleted with kubectl goes once nothing of it is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from holdfast.core.labels import OWNER_UID
from holdfast.core.objects import Object, ref_of
from holdfast.core.plan import Child, Desired, Doomed, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import deleting, flag, mapping, name_of, namespace_of, number, text, uid_of
from holdfast.core.times import format_time
from holdfast.dialects.cloudcasa import kinds, remote, ticks, tidying
from holdfast.dialects.cloudcasa.copy_job import CopyJob
from holdfast.dialects.cloudcasa.deletion_job import DeletionJob
from holdfast.dialects.cloudcasa.restore_job import RestoreJob
from holdfast.dialects.cloudcasa.scheduled import state_of

CLEANED_FOR: Final = 600
"""Seconds after its end in which what a run left is looked for."""

KEPT_FOR: Final = 90 * 86_400
"""Seconds after its end for which a job is remembered."""

WAITS: Final = timedelta(minutes=1)
"""After which a job that waits for its start looks again, to end in time."""

_MOST_LINES: Final = 100
_TEMPORARY: Final = (
    kinds.JOB,
    kinds.CLAIM,
    kinds.CONFIG_MAP,
    kinds.ROLE_BINDING,
    kinds.CLUSTER_ROLE_BINDING,
    kinds.SERVICE_ACCOUNT,
)


class Work(Protocol):
    """One kind of run."""

    def start(self, job: Object, view: View, now: datetime) -> Object:
        """Return the first status: what the run works on, or a final state with the reason why it can't run."""
        ...

    def desired(self, job: Object, view: View, now: datetime) -> Desired:
        """Say what shall exist and run now."""
        ...

    def status(self, job: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status, from what is seen."""
        ...


WORK: Final[Mapping[str, Work]] = {
    "KUBE_BACKUP": CopyJob(),
    "KUBE_OFFLOAD": CopyJob(),
    "KUBE_RESTORE": RestoreJob(),
    "DELETE_BACKUP": DeletionJob(),
}


class KubejobHandler:
    """Handles Kubejobs."""

    kind = kinds.KUBEJOB
    finalizer = "cloudcasa.holdfast.dev/leftovers"

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge that the job is one of an organisation, and that what it is to do does not change."""
        found: list[Problem] = []
        if not kinds.IDENT.fullmatch(name_of(obj)):
            found.append(Problem("metadata.name", f"{name_of(obj)!r} is no _id: use 24 hex digits"))
        namespace = refs.get(kinds.NAMESPACE, "", namespace_of(obj))
        if namespace is None or text(namespace, "metadata", "labels", kinds.ORGANIZATION_LABEL) != "true":
            found.append(Problem("metadata.namespace", f"{namespace_of(obj)} is no organisation"))
        if old is not None:
            before, after = mapping(old, "spec"), mapping(obj, "spec")
            changed = sorted(name for name in {*before, *after} - {"cancel"} if before.get(name) != after.get(name))
            found += [Problem(f"spec.{name}", "can't be changed: a job does what it was made for") for name in changed]
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say what shall exist and run because of a job."""
        if deleting(obj):
            return _going(obj, view, now)
        if _is_final(obj):
            return _after(obj, view, now)
        if flag(obj, "spec", "cancel") or text(obj, "spec", "skip"):
            return Desired(doomed=leftovers(obj, view), wake_at=now + WAITS)
        problems = self.validate(obj, None, view)
        if problems is not None:
            return problems
        if not started(obj) or remote.cluster_of(obj, view) is not None:
            return Desired(wake_at=now + WAITS)
        return WORK[text(obj, "spec", "type")].desired(obj, view, now)

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status."""
        before = mapping(obj, "status")
        if _is_final(obj) or deleting(obj):
            return before
        status = _with_line(before, self._status(obj, view, outcome, now), now)
        if text(status, "state") in kinds.FINAL_STATES:
            status = {**status, "terminal": True, "start_time": status.get("start_time", ticks.seconds(now))}
            return {**status, "end_time": ticks.seconds(now)}
        return {**status, "terminal": False}

    def _status(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        before = mapping(obj, "status")
        if outcome.problems is not None:
            return {**before, "state": "FAILED", "message": str(outcome.problems)}
        if why := text(obj, "spec", "skip"):
            return {**before, "state": "SKIPPED", "message": why}
        if (cluster := remote.cluster_of(obj, view)) is not None:
            return remote.status(obj, cluster, view, now)
        if flag(obj, "spec", "cancel"):
            if leftovers(obj, view):
                return {**before, "state": state_of(obj), "message": "is being cancelled"}
            return {**before, "state": "CANCELLED", "message": "was cancelled; nothing of it is left"}
        work = WORK[text(obj, "spec", "type")]
        if not started(obj):
            first = work.start(obj, view, now)
            if text(first, "state") == "PENDING":
                return first
            return {"jobrunner": "holdfast", "start_time": ticks.seconds(now), **first}
        if outcome.refused:
            what = "; ".join(f"{name}: {said}" for name, said in sorted(outcome.refused.items()))
            return {**before, "message": f"waits: {what}"}
        return work.status(obj, view, outcome, now)


def started(obj: Object) -> bool:
    """Whether it is written down what a job works on."""
    return number(obj, "status", "start_time") is not None


def leftovers(obj: Object, view: View) -> tuple[Doomed, ...]:
    """Return what a job made for itself and is still there. Snapshots are its own until a recovery point holds them."""
    looked = _TEMPORARY if text(obj, "status", "snapshot_inst") else (*_TEMPORARY, kinds.VOLUME_SNAPSHOT)
    found = [each for kind in looked for each in view.list(kind, label=(OWNER_UID, uid_of(obj)))]
    kept = [each for each in found if not text(each, "metadata", "annotations", kinds.OUTLIVES)]
    return tuple(Doomed(ref_of(each), "its job has ended") for each in kept)


def _after(obj: Object, view: View, now: datetime) -> Desired:
    """Say what shall be after the end: nothing of it is left, and in time the job itself goes."""
    ended = number(obj, "status", "end_time") or 0
    age = ticks.seconds(now) - ended
    if age > KEPT_FOR:
        return Desired(doomed=(Doomed(ref_of(obj), "ended long ago"),))
    forgotten = ticks.moment(ended) + timedelta(seconds=KEPT_FOR + 1)
    left = leftovers(obj, view) if age <= CLEANED_FOR else ()
    if left:
        return Desired(doomed=left, wake_at=forgotten)
    match tidying.due(obj, view, now):
        case datetime() as later:
            return Desired(wake_at=later)
        case None:
            return Desired(wake_at=forgotten)
        case job:
            return Desired(children=(Child(job, create_only=True),), wake_at=now + WAITS)


def _going(obj: Object, view: View, now: datetime) -> Desired:
    """Say what shall be while a job is being deleted: it goes once nothing of it is left, and somebody removes its data."""
    if left := leftovers(obj, view):
        return Desired(doomed=left)
    match tidying.due(obj, view, now):
        case datetime() as later:
            return Desired(wake_at=later)
        case None:
            return Desired(release=True)
        case job:
            return Desired(children=(Child(job, create_only=True),), wake_at=now + WAITS)


def _is_final(obj: Object) -> bool:
    return state_of(obj) in kinds.FINAL_STATES


def _with_line(before: Object, status: Object, now: datetime) -> Object:
    """Add what changed to the progress lines."""
    said = f"{text(status, 'state')}: {text(status, 'message')}".removesuffix(": ")
    if said == f"{text(before, 'state')}: {text(before, 'message')}".removesuffix(": "):
        return status
    lines: Sequence[str] = before.get("activity") or []
    return {**status, "activity": [*lines, f"{format_time(now)} {said}"][-_MOST_LINES:]}
