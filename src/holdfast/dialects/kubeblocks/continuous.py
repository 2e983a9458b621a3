"""Continuous Backups: a StatefulSet that stores the log of a database as it is written, for as long as its schedule wants.

The command never ends; what it says of itself (its time range above all) is told by the sidecar and stands in the status. When
no pod of the target is ready the StatefulSet rests. A Backup without a schedule runs until it is deleted; one whose schedule is
gone or off is Completed, and runs again when that is back.
"""

from datetime import datetime
from typing import Final

import msgspec

from holdfast.core.labels import STEP
from holdfast.core.objects import Object, Ref, bounded_name, owner_reference
from holdfast.core.plan import Child, Desired, Doomed
from holdfast.core.ports import Refs, View
from holdfast.core.read import deleting, items, mapping, name_of, namespace_of, number, phase_of, text, uid_of
from holdfast.core.times import format_time
from holdfast.dialects.kubeblocks import (
    backup_context,
    backup_plan,
    backup_status,
    names,
    stuck,
    targets,
    triggers,
    worker,
    workload,
)
from holdfast.dialects.kubeblocks.backup_context import Context, TargetPods
from holdfast.dialects.kubeblocks.kinds import BACKUP_SCHEDULE, POD, STATEFUL_SET
from holdfast.dialects.kubeblocks.refusal import Refusal

ACTION: Final = "dp-backup-0"


def is_continuous(obj: Object) -> bool:
    """Whether a Backup that has begun is continuous."""
    return text(obj, "metadata", "labels", names.BACKUP_TYPE) == "Continuous" and bool(text(obj, "status", "startTimestamp"))


def runner_name(obj: Object) -> str:
    """Name the StatefulSet of a Backup."""
    return bounded_name(name_of(obj), 52)


def may_begin(obj: Object, refs: Refs) -> bool:
    """Whether a Backup that failed before it began is continuous and still wanted: what kept it may have been mended."""
    if phase_of(obj) != "Failed" or text(obj, "status", "startTimestamp"):
        return False
    return backup_context.type_of(obj, refs) == "Continuous" and wanted(obj, refs)


def desired(obj: Object, view: View, home: str, now: datetime) -> Desired:
    """Say what the Backup needs: its StatefulSet, or that it goes."""
    runner = view.get(STATEFUL_SET, namespace_of(obj), runner_name(obj))
    found = _context(obj, view, home) if wanted(obj, view) else None
    if not isinstance(found, Context):
        gone = runner is not None and not deleting(runner)
        why = found.message if found is not None else "its schedule wants it no more"
        ref = Ref(STATEFUL_SET, namespace_of(obj), runner_name(obj))
        return Desired(doomed=(Doomed(ref, why),) if gone else ())
    child = _child(found)
    accounts = worker.children(found.namespace)
    children = (*accounts, *found.access.children, *((child,) if child else ()))
    waits = stuck.of_runner(view, runner) if runner is not None else None
    due = waits.end if waits is not None and waits.end > now else None
    return Desired(children=children, secret_copies=found.access.copies, wake_at=due)


def status(obj: Object, view: View, home: str, refused: str, now: datetime) -> Object:
    """Return the status: phase and action follow the StatefulSet, size and time range what its command says.

    `refused` is what the server has against the StatefulSet.
    """
    before = mapping(obj, "status")
    if not wanted(obj, view):
        return before if phase_of(obj) == "Completed" else _completed(obj, before, now)
    found = _context(obj, view, home)
    runner = view.get(STATEFUL_SET, namespace_of(obj), runner_name(obj))
    why = found.message if isinstance(found, Refusal) else refused or _trouble(runner, view, now)
    ready = number(runner or {}, "status", "availableReplicas") or 0
    action: Object = {
        "name": ACTION,
        "phase": "Failed" if why else "Running",
        "actionType": "StatefulSet",
        "availableReplicas": ready,
        "objectRef": {
            "apiVersion": "apps/v1",
            "kind": STATEFUL_SET.kind,
            "name": runner_name(obj),
            "namespace": namespace_of(obj),
        },
        "startTimestamp": text(before, "startTimestamp"),
        **({"failureReason": why} if why else {}),
    }
    told = _told(obj, view)
    kept = {key: value for key, value in before.items() if key not in ("completionTimestamp", "duration", "expiration")}
    status: Object = {**kept, **told, "phase": "Failed" if why else "Running", "actions": [{**action, **told}]}
    status.pop("failureReason", None)
    if not isinstance(found, Refusal) and len(found.targets) == 1:
        picked = found.targets[0]
        status["target"] = picked.target.wire([pod for pod in picked.pods if pod is not None])
    return {**status, "failureReason": why} if why else status


def wanted(obj: Object, refs: Refs) -> bool:
    """Whether the Backup shall run: its schedule has an entry for it that is on; or it has no schedule."""
    label = text(obj, "metadata", "labels", names.BACKUP_SCHEDULE)
    if not label:
        return True
    owners = [each for each in refs.list(BACKUP_SCHEDULE, namespace_of(obj)) if bounded_name(name_of(each)) == label]
    return any(
        triggers.enabled(entry, is_continuous=True) and triggers.name(schedule, entry) == name_of(obj)
        for schedule in owners
        if not deleting(schedule)
        for entry in items(schedule, "spec", "schedules")
    )


def _context(obj: Object, view: View, home: str) -> Context | Refusal:
    """Return what the Backup works on now: its pod is picked again whenever the last one is not ready."""
    found = backup_context.resume(obj, view, home)
    if isinstance(found, Refusal):
        return found
    picked = found.targets[0]
    pods = [pod for pod in picked.pods if pod is not None and targets.is_ready(pod)]
    if not pods:
        fresh = targets.pick(picked.target, found.namespace, view)
        if isinstance(fresh, Refusal):
            return fresh
        pods = fresh[:1]
    again = TargetPods(picked.target, tuple(name_of(pod) for pod in pods), tuple(pods))
    return msgspec.structs.replace(found, targets=(again,))


def _child(context: Context) -> Child | None:
    """Return the StatefulSet. One pod stores the log; two would store it twice."""
    picked = context.targets[0]
    pod = picked.pods[0]
    if pod is None:
        return None
    raw = mapping(context.action_set, "spec", "backup", "backupData")
    spec, attendants = backup_plan.pod_of(context, picked.target, pod, raw, "backupdata", told=True, lasting=True)
    labels = {**backup_plan.labels(context), STEP: ACTION}
    name = runner_name(context.obj)
    spec["restartPolicy"] = "Always"
    selector = {names.BACKUP_NAME: labels[names.BACKUP_NAME], STEP: ACTION}
    made: Object = {
        "apiVersion": "apps/v1",
        "kind": STATEFUL_SET.kind,
        "metadata": {
            "name": name,
            "namespace": context.namespace,
            "labels": labels,
            "ownerReferences": [owner_reference(context.obj)],
        },
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": selector},
            "template": workload.template(labels, spec),
        },
    }
    return Child(made, attendants=attendants)


def _trouble(runner: Object | None, view: View, now: datetime) -> str:
    """Return why the StatefulSet's pod does not work, if it keeps failing or has waited too long for its start."""
    if runner is None:
        return ""
    for pod in view.list(POD, namespace_of(runner), owner=uid_of(runner)):
        for container in items(pod, "status", "containerStatuses"):
            if text(container, "state", "waiting", "reason") == "CrashLoopBackOff":
                last = mapping(container, "lastState", "terminated")
                said = text(last, "message").strip() or f"it ended with exit code {number(last, 'exitCode')}"
                return f"container {text(container, 'name')} keeps failing: {said[-500:]}"
    waits = stuck.of_runner(view, runner)
    return stuck.told(waits, runner) if waits is not None and now >= waits.end else ""


def _told(obj: Object, view: View) -> Object:
    state = view.step(namespace_of(obj), runner_name(obj), STATEFUL_SET)
    details = dict(state.progress[-1].details) if state.progress else {}
    size = details.get("totalSize") or details.get("storedBytes")
    found: Object = {"totalSize": str(size)} if size else {}
    time_range = mapping(details, "timeRange")
    return found | ({"timeRange": time_range} if time_range else {})


def _completed(obj: Object, before: Object, now: datetime) -> Object:
    actions = [{**action, "phase": "Completed", "availableReplicas": 0} for action in items(before, "actions")]
    status: Object = {**before, "phase": "Completed", "completionTimestamp": format_time(now), "actions": actions}
    status.pop("failureReason", None)
    return status | backup_status.expiration(obj, status, now)
