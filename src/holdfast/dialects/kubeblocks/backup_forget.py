"""A Backup that ends Failed leaves no record behind: else a new cluster would find it in the bucket and take it for a good one.

The record is written beside the data of each pod when its job ends, before it is known how the others and the steps after it
end. The files themselves stay until the Backup is deleted, for people to look at.
"""

from datetime import datetime, timedelta
from typing import Final

from holdfast.core.calls import RecordDelete
from holdfast.core.objects import Object, Ref, bounded_name
from holdfast.core.plan import Desired, Doomed, Note, Phase, Plan, RunKind, Step
from holdfast.core.ports import View
from holdfast.core.read import items, name_of, namespace_of, phase_of, text
from holdfast.dialects.kubeblocks import names, repos, workload
from holdfast.dialects.kubeblocks.access import Access
from holdfast.dialects.kubeblocks.kinds import JOB, POD
from holdfast.dialects.kubeblocks.refusal import Refusal

AGAIN: Final = timedelta(minutes=5)
"""How long after a failed attempt the next one begins."""

_DEADLINE: Final = timedelta(hours=1)


def desired(obj: Object, view: View, home: str, now: datetime) -> Desired:
    """Say what removes the records of a Failed Backup; nothing when it can have none, or while its pods may still write one."""
    name = job_name(obj)
    if phase_of(obj) != "Failed" or not _has_stored(obj) or _writes(obj, view, name):
        return Desired()
    reached = repos.reach(text(obj, "status", "backupRepoName"), namespace_of(obj), view, home)
    if isinstance(reached, Refusal):
        return Desired()
    state = view.step(namespace_of(obj), name)
    if state.phase is Phase.FAILED and state.finished is not None:
        again = state.finished + AGAIN
        note = Note("RecordStays", f"a new cluster would take this Backup for a good one: {state.message}", warning=True)
        ref = Ref(JOB, namespace_of(obj), name)
        doomed = (Doomed(ref, "it has failed and is tried again"),) if now >= again else ()
        return Desired(notes=(note,), doomed=doomed, wake_at=None if doomed else again)
    plan = Plan(name="forget", kind=RunKind.WIPE, steps=(_step(obj, name, reached.access),))
    return Desired(children=reached.access.children, secret_copies=reached.access.copies, runs=(plan,))


def job_name(obj: Object) -> str:
    """Name the Job that removes the records of a Backup."""
    return names.job(f"{names.uid8(obj)}-forget-{name_of(obj)}")


def _has_stored(obj: Object) -> bool:
    """Whether a job has begun that may have written a record."""
    actions = items(obj, "status", "actions")
    begun = any(text(each, "name").startswith("dp-backup") and text(each, "startTimestamp") for each in actions)
    return begun and bool(text(obj, "status", "backupRepoName")) and name_of(obj) in text(obj, "status", "path").split("/")


def _writes(obj: Object, view: View, own: str) -> bool:
    pods = view.list(POD, namespace_of(obj), label=(names.BACKUP_NAME, bounded_name(name_of(obj))))
    return any(phase_of(pod) not in ("Succeeded", "Failed") and not name_of(pod).startswith(own) for pod in pods)


def _step(obj: Object, name: str, access: Access) -> Step:
    container: Object = {
        "name": "forget",
        "env": list(access.env),
        "volumeMounts": list(access.mounts),
        "securityContext": dict(workload.ATTENDANT_CONTEXT),
    }
    spec: Object = {"restartPolicy": "Never", "containers": [container], "volumes": list(access.volumes)}
    labels = {names.BACKUP_NAME: bounded_name(name_of(obj)), names.MANAGED_BY: names.MANAGER}
    child = workload.job(name, namespace_of(obj), labels, spec, workload.BACKOFF)
    child["spec"]["template"]["metadata"].pop("annotations")
    call = RecordDelete(path=text(obj, "status", "path"), name=name_of(obj), file=names.RECORD_FILE)
    return Step(name="forget", child=child, mover=call.call(), deadline=_DEADLINE)
