"""The status of a Restore: phase, conditions, and how far each step is."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from holdfast.core.conditions import Condition, condition, upsert_all
from holdfast.core.objects import Object
from holdfast.core.plan import Phase, StepState
from holdfast.core.ports import View
from holdfast.core.read import conditions_of, items, mapping, name_of, text
from holdfast.core.times import format_duration, format_time, optional_time
from holdfast.dialects.kubeblocks.restore_plan import Work

VALID: Final = "ValidationPassed"
PREPARE: Final = "PrepareData"
READY: Final = "PostReady"
STEPS: Final = ("prepareData", "postReady")

Actions = dict[str, list[Object]]


def begun(obj: Object, now: datetime) -> Object:
    """Return the status of a Restore that begins."""
    passed = condition(VALID, True, "ValidateSuccessfully", "What the Restore refers to was found.")
    return {
        **mapping(obj, "status"),
        "phase": "Running",
        "startTimestamp": format_time(now),
        "conditions": upsert_all(conditions_of(obj), (passed,), now),
    }


def running(obj: Object, now: datetime, actions: Actions, stage: str, message: str) -> Object:
    """Return the status of a Restore under way. `message` is what it waits for."""
    type_ = PREPARE if stage == STEPS[0] else READY
    found = [condition(type_, False, "Processing", message or "The steps run.")]
    if type_ == READY:
        found.insert(0, condition(PREPARE, True, "Succeed", "The claims are filled."))
    return _status(obj, "Running", found, now, actions)


def completed(obj: Object, now: datetime, actions: Actions, *, ready: bool) -> Object:
    """Return the status of a Restore that has ended well."""
    found = [condition(PREPARE, True, "Succeed", "The claims are filled.")]
    if ready:
        found.append(condition(READY, True, "Succeed", "The steps for the running service are done."))
    return _ended(obj, _status(obj, "Completed", found, now, actions), now)


def failed(obj: Object, why: str, now: datetime, actions: Actions | None = None, *, prepared: bool = False) -> Object:
    """Return the status of a Restore that has failed. `prepared`: its claims were filled before."""
    if not text(obj, "status", "startTimestamp"):
        found = [condition(VALID, False, "ValidateFailed", why)]
    else:
        found = [condition(READY if prepared else PREPARE, False, "Failed", why)]
    return _ended(obj, _status(obj, "Failed", found, now, actions or {}), now)


def actions(obj: Object, prepare: Sequence[Work], ready: Sequence[Work], view: View) -> Actions:
    """Return the entries of all steps that have started."""
    found: Actions = {}
    for stage, works in zip(STEPS, (prepare, ready), strict=True):
        before = {text(entry, "name"): entry for entry in items(obj, "status", "actions", stage)}
        for work in works:
            state = view.step(text(work.step.child, "metadata", "namespace"), work.job)
            known = before.get(work.step.name)
            if known is not None and text(known, "status") != "Processing":
                entry = known
            elif state.exists or known is not None:
                entry = _entry(work, state)
            else:
                continue
            found.setdefault(stage, []).append(entry)
    return found


def _entry(work: Work, state: StepState) -> Object:
    words = {Phase.SUCCEEDED: "Completed", Phase.FAILED: "Failed", Phase.SKIPPED: "Failed"}
    said = state.message if state.exists else "its Job was deleted before it had ended"
    entry: Object = {
        "name": work.step.name,
        "backupName": name_of(work.source.backup),
        "objectKey": f"Job/{work.job}",
        "status": words.get(state.phase, "Processing") if state.exists else "Failed",
    }
    times = {"startTime": state.started, "endTime": state.finished}
    entry |= {key: format_time(moment) for key, moment in times.items() if moment is not None}
    return entry | ({"message": said} if said else {})


def _status(obj: Object, phase: str, found: Sequence[Condition], now: datetime, steps: Actions) -> Object:
    status: Object = {**mapping(obj, "status"), "phase": phase, "conditions": upsert_all(conditions_of(obj), found, now)}
    return status | ({"actions": steps} if steps else {})


def _ended(obj: Object, status: Object, now: datetime) -> Object:
    started = optional_time(text(obj, "status", "startTimestamp")) or now
    lasted = timedelta(seconds=round((now - started).total_seconds()))
    return {
        **status,
        "startTimestamp": format_time(started),
        "completionTimestamp": format_time(now),
        "duration": format_duration(lasted),
    }
