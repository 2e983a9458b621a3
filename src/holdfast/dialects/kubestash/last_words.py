"""The conditions with which runs end: that they are counted, that older ones went, that a Snapshot is recorded.

KubeStash documents them as steps of its own controller. Here they are told in a write that happens anyway, and none of them
decides a phase: a backup that can be restored has not failed because an older session could not be deleted.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from holdfast.core.conditions import Condition, condition, find, upsert_all
from holdfast.core.objects import Object
from holdfast.core.ports import View
from holdfast.core.read import conditions_of, items, name_of, namespace_of, text
from holdfast.dialects.kubestash.kinds import BACKUP_SESSION, REPOSITORY

METRICS: Final = "MetricsPushed"
UPLOADED: Final = "SnapshotMetadataUploaded"
LISTED: Final = "RecentSnapshotListUpdated"


def counted() -> Condition:
    """Return that a run is in the figures that the operator serves; nothing is pushed anywhere."""
    return condition(METRICS, True, "SuccessfullyPushedMetrics", "The run is counted in the metrics that the operator serves.")


def history_cleaned(type_: str, what: str, left: Sequence[str]) -> Condition:
    """Return whether the history of `what` is as short as it shall be; `left` are the sessions that should be gone."""
    reasons = {True: f"SuccessfullyCleaned{what}History", False: f"FailedToClean{what}History"}
    said = (
        f"still there beyond the history limit: {', '.join(left)}" if left else "No session beyond the history limit is left."
    )
    return condition(type_, not left, reasons[not left], said)


def recorded(snapshot: Object, view: View, now: datetime) -> list[Object]:
    """Return the conditions of a Snapshot that has ended, with where it was recorded once its session knows.

    Its record is uploaded by the retention Job of its session, so it holds when that was applied.
    """
    present = conditions_of(snapshot)
    if find(present, UPLOADED) is not None:
        return present
    session = view.get(BACKUP_SESSION, namespace_of(snapshot), text(snapshot, "spec", "backupSession"))
    repository = text(snapshot, "spec", "repository")
    entries = items(session or {}, "status", "retentionPolicy")
    entry = next((item for item in entries if text(item, "repository") == repository), None)
    if entry is None or text(entry, "phase") not in ("Applied", "FailedToApply"):
        return present
    return upsert_all(present, (_uploaded(entry), _listed(snapshot, view)), now)


def _uploaded(entry: Object) -> Condition:
    if text(entry, "phase") == "Applied":
        said = "The Snapshot is recorded beside its data."
        return condition(UPLOADED, True, "SuccessfullyUploadedSnapshotMetadata", said)
    said = f"the retention Job, which records it beside its data, failed: {text(entry, 'error')}"
    return condition(UPLOADED, False, "FailedToUploadSnapshotMetadata", said)


def _listed(snapshot: Object, view: View) -> Condition:
    """Return whether the Repository tells of the Snapshot: among the recent ones, or pushed out by newer ones."""
    place = f"{namespace_of(snapshot)}/{text(snapshot, 'spec', 'repository')}"
    there = view.get(REPOSITORY, namespace_of(snapshot), text(snapshot, "spec", "repository"))
    recent = items(there or {}, "status", "recentSnapshots")
    if any(text(item, "name") == name_of(snapshot) for item in recent):
        return condition(LISTED, True, "SuccessfullyUpdatedRecentSnapshotList", f"Repository {place} lists the Snapshot.")
    said = f"Repository {place} does not list the Snapshot among its recent ones"
    return condition(LISTED, False, "FailedToUpdateRecentSnapshotList", said)
