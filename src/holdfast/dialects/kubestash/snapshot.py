"""Snapshot: what one session left in one Repository, component by component.

A session creates it with the list of its components; from then on its status follows from the Jobs of those components and
their reports. A component is done when its mover said so: a pod that was evicted, killed or deleted proves nothing, and
makes the Snapshot incomplete. The Snapshot ends when all of its components have, so that nothing that was written is lost
from the record.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.conditions import condition, find, upsert
from holdfast.core.labels import annotation
from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Phase, Problem, Problems, StepState
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.quantity import format_bytes
from holdfast.core.read import at, conditions_of, deleting, items, mapping, name_of, namespace_of, phase_of, text
from holdfast.core.report import Failure, Progress, RepositoryResult
from holdfast.core.times import format_duration, format_time, optional_time, parse_time
from holdfast.dialects.kubestash import executor, last_words, names, sizes, snapshot_wipe, verification, volume_snapshots, wipe
from holdfast.dialects.kubestash.decode import comma_list
from holdfast.dialects.kubestash.kinds import BACKUP_SESSION, SNAPSHOT
from holdfast.dialects.kubestash.recorded import TERMINAL, components_of

INCOMPLETE: Final = ("BackupIncomplete", "BackupExecutorTerminatedBeforeCompletion")
_DEADLINE: Final = "deadline exceeded: "
_DELETED: Final = " was deleted before it had finished"
_MUTABLE: Final = ("paused", "deletionPolicy")


class SnapshotHandler:
    """Handles Snapshots."""

    kind = SNAPSHOT
    finalizer = names.FINALIZER

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge a change: only pausing is left to people."""
        found: list[Problem] = []
        if old is not None and _frozen(obj) != _frozen(old):
            found.append(Problem("spec", "can't change: a Snapshot tells what was done"))
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Ask only to be looked at again when the session's time is over."""
        if deleting(obj):
            return snapshot_wipe.farewell(obj, view, now)
        if phase_of(obj) in TERMINAL:
            return Desired(hold=wipe.wanted(obj))
        deadline = optional_time(text(_session(obj, view) or {}, "status", "backupDeadline"))
        return Desired(wake_at=deadline if deadline and deadline > now else None, hold=wipe.wanted(obj))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status: what is known of each component, and the sum of it. A terminal one is final."""
        if deleting(obj) and wipe.wanted(obj):
            judged = wipe.verdict(obj, names.snapshot_cleanup_job(name_of(obj)), view, outcome, now)
            conditions = upsert(conditions_of(obj), judged, now) if judged else conditions_of(obj)
            return {**mapping(obj, "status"), **({"conditions": conditions} if conditions else {})}
        if annotation(obj, names.REDISCOVERED) and phase_of(obj) in ("", "Failed"):
            return mapping(obj, "status")
        if phase_of(obj) in TERMINAL:
            proven = verification.outcome_for(obj, view) if phase_of(obj) == "Succeeded" else {}
            told = last_words.recorded(obj, view, now)
            return {**mapping(obj, "status"), **proven, **({"conditions": told} if told else {})}
        over = _why_over(obj, _session(obj, view), now)
        found = [_component(obj, name, view, over) for name in components_of(obj)]
        status = _status(obj, found, now)
        same = {key: value for key, value in mapping(obj, "status").items() if key != "lastUpdateTime"} == status
        updated = text(obj, "status", "lastUpdateTime") if same else format_time(now)
        return {**status, "lastUpdateTime": updated}


class Part(msgspec.Struct, frozen=True):
    """One component: its status (empty before it begins), and whether it ended without a report."""

    name: str
    status: Object
    incomplete: bool = False
    started: str = ""


def failure_of(snapshot: Object) -> tuple[str, str]:
    """Return why a Snapshot failed, as (reason, message): what its first failed component says."""
    name = f"Snapshot {namespace_of(snapshot)}/{text(snapshot, 'metadata', 'name')}"
    for component, status in mapping(snapshot, "status", "components").items():
        if error := text(status, "error"):
            reason = "JobDeleted" if error.endswith(_DELETED) and error.startswith("Job ") else "SnapshotFailed"
            reason = "DeadlineExceeded" if error.startswith(_DEADLINE) else reason
            return reason, f"{name}: {component}: {error}"
    return "SnapshotFailed", f"{name} has failed"


def _frozen(obj: Object) -> Object:
    return {key: value for key, value in mapping(obj, "spec").items() if key not in _MUTABLE}


def _session(obj: Object, view: View) -> Object | None:
    return view.get(BACKUP_SESSION, namespace_of(obj), text(obj, "spec", "backupSession"))


def _why_over(obj: Object, session: Object | None, now: datetime) -> str:
    """Return why nothing can follow any more; empty while the session goes on."""
    name = text(obj, "spec", "backupSession")
    if session is None:
        return f"BackupSession {namespace_of(obj)}/{name} is gone"
    if phase_of(session) in ("Succeeded", "Failed", "Skipped"):
        return f"BackupSession {namespace_of(obj)}/{name} ended before this component"
    if replaced := find(conditions_of(session), "BackupReplaced"):
        return f"{_DEADLINE}{text(replaced, 'message')}"
    deadline = optional_time(text(session, "status", "backupDeadline"))
    if deadline is not None and now >= deadline:
        return f"{_DEADLINE}the backup was not complete at {format_time(deadline)} (its timeout)"
    return ""


def _component(obj: Object, name: str, view: View, over: str) -> Part:
    before = mapping(obj, "status", "components", name)
    if text(before, "phase") in TERMINAL:
        return Part(name, before, started=_started(before))
    namespace = text(obj, "spec", "appRef", "namespace", default=namespace_of(obj))
    if executor.kind_of(name) == executor.VOLUME:
        return _volumes(obj, name, namespace, view, over)
    job = names.component_job(text(obj, "spec", "backupSession"), name)
    state = view.step(namespace, job)
    if state.phase.terminal:
        return _ended(obj, name, state)
    if over:
        return Part(name, _failed(obj, name, over), incomplete=True)
    if state.exists:
        return Part(name, _running(obj, name, state))
    if before:
        return Part(name, _failed(obj, name, f"Job {namespace}/{job}{_DELETED}"), incomplete=True)
    return Part(name, {})


def _volumes(obj: Object, name: str, namespace: str, view: View, over: str) -> Part:
    """Return a component whose volumes the cluster's storage keeps."""
    state, stats = volume_snapshots.observed(obj, name, namespace, view)
    entry: Object = {"driver": "VolumeSnapshotter", **({"volumeSnapshotterStats": stats} if stats else {})}
    if state.phase is Phase.SUCCEEDED:
        return Part(name, {**entry, "phase": "Succeeded"}, started=text(stats[0], "volumeSnapshotTime") if stats else "")
    if state.phase is Phase.FAILED or over:
        return Part(name, {**entry, "phase": "Failed", "error": state.message or over}, incomplete=not state.exists)
    if state.exists:
        return Part(name, {**entry, "phase": "Running"})
    if mapping(obj, "status", "components", name):
        return Part(name, {**entry, "phase": "Failed", "error": f"a VolumeSnapshot of {name}{_DELETED}"}, incomplete=True)
    return Part(name, {})


def _ended(obj: Object, name: str, state: StepState) -> Part:
    repository = text(obj, "spec", "repository")
    said = state.message or state.reason or "the Job failed"
    if state.report is None:
        return Part(name, _failed(obj, name, said), incomplete=True)
    result = next((item for item in state.report.results if item.repository == repository), None)
    if result is None:
        return Part(name, _failed(obj, name, said if state.report.failure else f"the report does not mention {repository}"))
    entry = {**_base(obj, name), **_measured(obj, result)}
    if result.failure is not None:
        return Part(name, {**entry, "phase": "Failed", "error": _said(result.failure)}, started=result.started)
    return Part(name, {**entry, "phase": "Succeeded"}, started=result.started)


def _said(failure: Failure) -> str:
    return f"{failure.message} ({failure.hint})" if failure.hint else failure.message


def _base(obj: Object, name: str) -> Object:
    return {"path": names.component_path(text(obj, "spec", "session"), name), "driver": "Restic"}


def _failed(obj: Object, name: str, error: str) -> Object:
    return {**_base(obj, name), "phase": "Failed", "error": error}


def _running(obj: Object, name: str, state: StepState) -> Object:
    repository = text(obj, "spec", "repository")
    entry: Object = {**_base(obj, name), "phase": "Running"}
    progress = next((item for item in reversed(state.progress) if item.repository == repository), None)
    return {**entry, "resticStats": [{"progress": _progress(progress)}]} if progress else entry


def _progress(progress: Progress) -> Object:
    share = progress.bytes_done / progress.bytes_total if progress.bytes_total else 0.0
    return {
        "secondsElapsed": int(progress.seconds),
        "percentDone": f"{min(share, 1.0) * 100:.2f}%",
        "totalFiles": progress.files_total,
        "filesDone": progress.files_done,
        "backupDone": format_bytes(progress.bytes_done),
        "total": format_bytes(progress.bytes_total),
        "speed": f"{format_bytes(int(progress.rate))}/s",
    }


def _measured(obj: Object, result: RepositoryResult) -> Object:
    """Return what a report says of one component. Figures of a single path stand with it, those of several only in sum."""
    entry: Object = {"duration": format_duration(timedelta(milliseconds=round(result.seconds * 1000)))}
    if result.repository_bytes:
        entry["size"] = format_bytes(result.repository_bytes)
    if result.integrity is not None:
        entry["integrity"] = result.integrity
    paths = comma_list(text(obj, "metadata", "annotations", names.PATHS))
    stats = [_stat(result, index, paths) for index in range(len(result.snapshot_ids))]
    return {**entry, "resticStats": stats} if stats else entry


def _stat(result: RepositoryResult, index: int, paths: Sequence[str]) -> Object:
    flat: Object = {"id": result.snapshot_ids[index]}
    if index < len(paths):
        flat["hostPath"] = paths[index]
    if len(result.snapshot_ids) == 1:
        flat |= {"size": format_bytes(result.bytes), "uploaded": format_bytes(result.added)}
    summary = dict(flat)
    for key, value in (("startTime", result.started), ("endTime", result.finished)):
        if value:
            summary[key] = format_time(parse_time(value))
    done = Progress(
        repository=result.repository,
        files_done=result.files,
        files_total=result.files,
        bytes_done=result.bytes,
        bytes_total=result.bytes,
        seconds=result.seconds,
        rate=result.bytes / result.seconds if result.seconds else 0.0,
    )
    return {**flat, "summary": summary, "progress": {**_progress(done), "percentDone": "100.00%"}}


def _started(component: Object) -> str:
    times = (text(entry, "summary", "startTime") for entry in items(component, "resticStats"))
    return next((time for time in times if time), "")


def _status(obj: Object, parts: Sequence[Part], now: datetime) -> Object:
    begun = [part for part in parts if part.status]
    phases = [text(part.status, "phase") for part in begun]
    phase = _phase(phases, len(parts))
    status: Object = {"phase": phase, "totalComponents": len(parts)}
    conditions = conditions_of(obj)
    if any(part.incomplete for part in parts):
        said = "; ".join(f"{part.name}: {text(part.status, 'error')}" for part in parts if part.incomplete)
        conditions = upsert(conditions, condition(INCOMPLETE[0], True, INCOMPLETE[1], said), now, restamp=True)
    if conditions:
        status["conditions"] = conditions
    if begun:
        status["components"] = {part.name: part.status for part in begun}
    if phase in TERMINAL:
        status |= _summed(obj, begun)
    return status | ({"verificationStatus": "NotVerified"} if phase == "Succeeded" else {})


def _phase(phases: Sequence[str], total: int) -> str:
    if not phases:
        return "Pending"
    if len(phases) < total or "Running" in phases:
        return "Running"
    return "Failed" if "Failed" in phases else "Succeeded"


def _summed(obj: Object, parts: Iterable[Part]) -> Object:
    parts = list(parts)
    files = [part for part in parts if text(part.status, "driver") == "Restic"]
    started = min((part.started for part in parts if part.started), default="")
    taken = format_time(parse_time(started)) if started else text(obj, "metadata", "creationTimestamp")
    status: Object = {"snapshotTime": taken}
    if size := sizes.total(text(part.status, "size") for part in files):
        status["size"] = size
    verdicts = [at(part.status, "integrity") for part in files]
    if verdicts and all(isinstance(verdict, bool) for verdict in verdicts):
        status["integrity"] = all(verdicts)
    return status
