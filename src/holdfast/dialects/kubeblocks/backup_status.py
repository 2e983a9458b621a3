"""The status of a Backup, from what its actions show."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.plan import OnError, Phase, Run, StepState
from holdfast.core.ports import View
from holdfast.core.quantity import parse_quantity
from holdfast.core.read import flag, items, mapping, name_of, text
from holdfast.core.times import format_duration, format_time, optional_time
from holdfast.dialects.kubeblocks import names, retention, snapshots
from holdfast.dialects.kubeblocks.backup_context import Context
from holdfast.dialects.kubeblocks.backup_plan import Action, Planned
from holdfast.dialects.kubeblocks.kinds import VOLUME_SNAPSHOT

FORMAT: Final = "0.1.0"
TERMINAL: Final = ("Completed", "Failed")
_UNITS: Final = ((1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki"))


def failed(obj: Object, why: str, now: datetime) -> Object:
    """Return the status of a Backup that failed before or without its actions."""
    status: Object = {**mapping(obj, "status"), "phase": "Failed", "failureReason": why}
    return _ended(obj, status, now)


def begun(context: Context, planned: Planned, now: datetime) -> Object:
    """Return the status of a Backup that begins: everything a later pass needs to go on, whatever becomes of the policy."""
    status: Object = {
        "formatVersion": FORMAT,
        "phase": "Running",
        "startTimestamp": format_time(now),
        "backupMethod": context.method,
        "actions": [_fresh(action) for action in planned.actions],
    }
    recorded = [found.target.wire([pod for pod in found.pods if pod is not None]) for found in context.targets]
    status |= {"target": recorded[0]} if len(recorded) == 1 else {"targets": recorded}
    if context.repo is not None:
        status |= {"backupRepoName": name_of(context.repo), "path": context.path}
        if text(context.repo, "spec", "accessMethod", default="Mount") == "Mount":
            status["persistentVolumeClaimName"] = names.claim(context.repo)
    optional = {
        "kopiaRepoPath": context.kopia,
        "parentBackupName": context.parent,
        "baseBackupName": context.base,
        "encryptionConfig": context.encryption,
    }
    status |= {key: value for key, value in optional.items() if value}
    return status | expiration(context.obj, status, now)


def progressed(obj: Object, planned: Planned, run: Run, view: View, now: datetime) -> Object:
    """Return the status of a Backup whose actions run or have ended."""
    before = mapping(obj, "status")
    actions = [_action(action, run, _entry(before, action.name), view) for action in planned.actions]
    status: Object = {**before, "actions": actions, **_totals(actions), **_extras(planned, run, before)}
    if taken := [snapshot for action in actions for snapshot in items(action, "volumeSnapshots")]:
        status["volumeSnapshots"] = taken
    if run.phase is Phase.FAILED or (run.phase is Phase.SUCCEEDED and _spoiled(planned, run)):
        return _ended(obj, {**status, "phase": "Failed", "failureReason": _cause(planned, actions) or run.message}, now)
    if run.phase is not Phase.SUCCEEDED:
        return status
    return _ended(obj, {**status, "phase": "Completed"}, now)


def _cause(planned: Planned, actions: Sequence[Object]) -> str:
    """Return why the first action failed whose failure is not accepted; empty when there is none."""
    for action, entry in zip(planned.actions, actions, strict=True):
        if text(entry, "phase") == "Failed" and any(step.on_error is OnError.FAIL for step in action.steps):
            return text(entry, "failureReason")
    return ""


def _spoiled(planned: Planned, run: Run) -> bool:
    """Whether a job ended well but what it saved does not read back."""
    steps = (step for action in planned.actions for step in action.steps if step.on_error is OnError.FAIL)
    return any(problem_of(run.steps[step.name]) for step in steps)


def problem_of(state: StepState) -> str:
    """Return what does not fit together in what a finished job saved; empty when all is well."""
    return str(state.report.details.get("problem", "")) if state.report else ""


def _ended(obj: Object, status: Object, now: datetime) -> Object:
    started = optional_time(text(status, "startTimestamp"))
    status["completionTimestamp"] = format_time(now)
    if started is not None:
        status["duration"] = format_duration(timedelta(seconds=round((now - started).total_seconds())))
    return status | expiration(obj, status, now)


def expiration(obj: Object, status: Object, now: datetime) -> Object:
    """Return when it may go: counted from its end, and before that from its start."""
    period = retention.period(text(obj, "spec", "retentionPeriod"))
    if not period:
        return {}
    completed = optional_time(text(status, "completionTimestamp")) if status["phase"] == "Completed" else None
    since = completed or optional_time(text(status, "startTimestamp")) or now
    return {"expiration": format_time(since + period)}


def _fresh(action: Action) -> Object:
    return {
        "name": action.name,
        "phase": "New",
        "actionType": "Job" if action.is_job else "",
        "objectRef": action.reference(),
        "targetPodName": action.pod,
    }


def _entry(status: Object, name: str) -> Object:
    found = [entry for entry in items(status, "actions") if text(entry, "name") == name]
    return found[0] if found else {}


def _action(action: Action, run: Run, before: Object, view: View) -> Object:
    if text(before, "phase") in TERMINAL:
        return before
    states = [run.steps[step.name] for step in action.steps]
    phase, why = _phase(states)
    entry: Object = {**_fresh(action), **before, "phase": phase}
    started = min((state.started for state in states if state.started), default=None)
    finished = max((state.finished for state in states if state.finished), default=None)
    entry |= {"startTimestamp": format_time(started)} if started else {}
    entry |= {"completionTimestamp": format_time(finished)} if finished and phase in TERMINAL else {}
    entry |= {"failureReason": why} if why and phase == "Failed" else {}
    return entry | (_told(_speaker(states)) if action.is_job else _snapshotted(action, view))


def _phase(states: Sequence[StepState]) -> tuple[str, str]:
    for state in states:
        if state.phase is Phase.FAILED:
            return ("Failed", state.message or state.reason)
        if state.phase is Phase.SUCCEEDED and (problem := problem_of(state)):
            return ("Failed", problem)
    if all(state.phase is Phase.SUCCEEDED for state in states):
        return ("Completed", "")
    return ("Running" if any(state.exists for state in states) else "New", "")


def _speaker(states: Sequence[StepState]) -> StepState:
    """Return which of a job and the look that may follow it has the last word."""
    return next((state for state in reversed(states) if state.report is not None), states[0])


def _told(state: StepState) -> Object:
    """Return what a job tells of its backup, at its end or while it runs; of Kubernetes objects how much was stored."""
    details = _details(state)
    objects = sum(result.stored for result in state.report.results) if state.report else 0
    size = details.get("totalSize") or details.get("storedBytes") or objects
    found: Object = {"totalSize": str(size)} if size else {}
    time_range = details.get("timeRange")
    return found | ({"timeRange": time_range} if isinstance(time_range, dict) and time_range else {})


def _details(state: StepState) -> Object:
    if state.report is not None:
        return dict(state.report.details)
    return dict(state.progress[-1].details) if state.progress else {}


def _snapshotted(action: Action, view: View) -> Object:
    """Return what the snapshots of an action show."""
    found: list[Object] = []
    times: list[str] = []
    for step, volume in zip(action.steps, action.volumes, strict=True):
        meta = step.child["metadata"]
        snapshot = view.get(VOLUME_SNAPSHOT, meta["namespace"], meta["name"])
        if snapshot is not None and flag(snapshot, "status", "readyToUse"):
            found.append(snapshots.status_of(snapshot, volume, action.target if action.target.name else None))
            times.append(text(snapshot, "status", "creationTime"))
    if not found:
        return {}
    sizes = [text(entry, "size") for entry in found if text(entry, "size")]
    status: Object = {"volumeSnapshots": found} | ({"totalSize": added(sizes)} if sizes else {})
    known = sorted(filter(None, times))
    return status | ({"timeRange": {"start": known[0], "end": known[-1]}} if known else {})


def _totals(actions: Sequence[Object]) -> Object:
    """Return size and time range over all actions: the sum, and the widest."""
    sizes = [text(action, "totalSize") for action in actions if text(action, "totalSize")]
    found: Object = {"totalSize": added(sizes)} if sizes else {}
    ranges = [mapping(action, "timeRange") for action in actions if mapping(action, "timeRange")]
    if not ranges:
        return found
    widest = dict(ranges[0])
    for key, choose in (("start", min), ("end", max)):
        if known := [text(each, key) for each in ranges if text(each, key)]:
            widest[key] = choose(known)
    return {**found, "timeRange": widest}


def added(sizes: Sequence[str]) -> str:
    """Return the sum of sizes. One alone stays as it was said; a sum is in the largest unit that divides it, else in bytes."""
    if len(sizes) == 1:
        return sizes[0]
    total = 0
    for size in sizes:
        try:
            total += round(parse_quantity(size))
        except ValueError:
            continue
    unit = next(((factor, name) for factor, name in _UNITS if total and total % factor == 0), (1, ""))
    return f"{total // unit[0]}{unit[1]}"


def _extras(planned: Planned, run: Run, before: Object) -> Object:
    """Return the facts that jobs told for the restore: a list of string maps."""
    found: list[Object] = []
    for action in planned.actions:
        for extra in items(_details(_speaker([run.steps[step.name] for step in action.steps])), "extras"):
            found.append({key: str(value) for key, value in extra.items()})
    known = found or items(before, "extras")
    return {"extras": known} if known else {}
