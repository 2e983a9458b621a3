"""What a job says of what it saved: waited for while its pod is there, and found out by a Job of our own when it is lost.

The sidecar of a job measures, reads back and records what was saved once the command has ended. If it is killed in that second
its words are lost, and the Job has succeeded all the same. Nothing is Completed on that alone: another Job looks then. What
only the command knew and had not told before, such as the time range, stays unknown.
"""

from datetime import datetime, timedelta
from typing import Final

from holdfast.core.calls import DatasafedConclude
from holdfast.core.objects import Object
from holdfast.core.plan import Phase, Step
from holdfast.core.ports import View
from holdfast.core.read import items, name_of, text, uid_of
from holdfast.dialects.kubeblocks import backup_env, env, names, record, workload
from holdfast.dialects.kubeblocks.backup_context import Context
from holdfast.dialects.kubeblocks.kinds import JOB, POD
from holdfast.dialects.kubeblocks.targets import Target

GRACE: Final = timedelta(seconds=10)
"""How long a finished job whose pod is there may owe what it saved."""

SUFFIX: Final = "-check"
_DEADLINE: Final = timedelta(hours=1)


def owed(view: View, child: Object, now: datetime) -> datetime | None:
    """Return until when a finished job is waited for that has not said yet what it saved; None for any other."""
    if child["kind"] != JOB.kind:
        return None
    meta = child["metadata"]
    state = view.step(meta["namespace"], meta["name"])
    if state.phase is not Phase.SUCCEEDED or state.report is not None or state.finished is None:
        return None
    until = state.finished + GRACE
    job = view.get(JOB, meta["namespace"], meta["name"]) or {}
    return until if until > now and view.list(POD, meta["namespace"], owner=uid_of(job)) else None


def check(context: Context, target: Target, pod: str, saving: Step, labels: Object, view: View, now: datetime) -> Step | None:
    """Return the step that looks at what the step `saving` stored, if that has succeeded without a word; else None."""
    meta = saving.child["metadata"]
    state = view.step(meta["namespace"], meta["name"])
    if state.phase is not Phase.SUCCEEDED or state.report is not None or owed(view, saving.child, now) is not None:
        return None
    entries = {text(entry, "name"): entry for entry in items(context.obj, "status", "actions")}
    if text(entries.get(saving.name, {}), "phase") in ("Completed", "Failed"):
        return None
    access, name = context.access, f"{saving.name}{SUFFIX}"
    container: Object = {
        "name": "check",
        "env": env.merge(access.env, backup_env.attendant(context, target, pod)),
        "volumeMounts": list(access.mounts),
        "securityContext": dict(workload.ATTENDANT_CONTEXT),
    }
    spec: Object = {"restartPolicy": "Never", "containers": [container], "volumes": list(access.volumes)}
    job = names.job(f"{name}-{name_of(context.obj)}-{names.uid8(context.obj)}")
    child = workload.job(job, context.namespace, labels, spec, workload.BACKOFF)
    child["spec"]["template"]["metadata"].pop("annotations")
    extras = tuple(items(context.obj, "status", "extras"))
    call = DatasafedConclude(record.document(context), names.RECORD_FILE, extras)
    return Step(name=name, child=child, mover=call.call(), needs=(saving.name,), deadline=_DEADLINE)
