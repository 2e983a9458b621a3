"""What the Ledgers of an AntflyBackup and of a ClusterBackupSchedule are told of their runs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.fields.scene import Scene
from tests.golden.test_antfly_golden import cluster, sample

from holdfast.core.ledger import Outcome, Schedule
from holdfast.core.objects import Object
from holdfast.core.run_id import run_id
from holdfast.dialects.antfly import names as antfly_names
from holdfast.dialects.antfly.dialect import Antfly
from holdfast.dialects.kubeblocks.dialect import KubeBlocks
from holdfast.dialects.mirantis.kinds import SCHEDULE_LABEL
from holdfast.dialects.mirantis.ticks import schedule as mirantis_schedule

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
DUE = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)


def antfly(obj: Object, *others: Object) -> Schedule:
    (handler,) = [each for each in Antfly().handlers if each.kind.kind == "AntflyBackup"]
    (found,) = handler.schedules(obj, Scene([obj, *others], [], NOW), NOW)  # type: ignore[attr-defined]
    return found


def job(backup: Object) -> Object:
    """A Job that the CronJob of a backup made for DUE."""
    name = f"{antfly_names.cron_job(backup['metadata']['name'])}-{int(DUE.timestamp()) // 60}"
    labels = antfly_names.backup_labels(backup["metadata"]["name"]) | {"holdfast.dev/mover": "antfly-backup"}
    meta = {"name": name, "namespace": "production", "uid": "j1", "labels": labels, "creationTimestamp": "2026-11-20T14:00:01Z"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "status": {"startTime": "2026-11-20T14:00:01Z"}}


def record(backup: Object, made: Object, **fields: str) -> Object:
    name, namespace = backup["metadata"]["name"], backup["metadata"]["namespace"]
    ident = run_id(f"{namespace}/{name}", antfly_names.cron_job(name), made["metadata"]["name"], made["metadata"]["uid"])
    return {"backupId": ident, "startTime": "2026-11-20T14:00:01Z", **fields}


def test_a_job_of_the_cron_job_is_the_run_of_its_minute_and_ends_with_its_record() -> None:
    backup = sample("daily-backup")
    made = job(backup)
    (mark,) = antfly(backup, cluster(), made).marks
    assert (mark.due, mark.outcome) == (DUE, Outcome.RUNNING)
    ended = record(backup, made, status="Completed", completionTime="2026-11-20T14:03:00Z")
    (mark,) = antfly({**backup, "status": {"recentBackups": [ended]}}, cluster(), made).marks
    assert (mark.outcome, mark.finished) == (Outcome.RAN, DUE + timedelta(minutes=3))
    bad = record(backup, made, status="Failed", completionTime="2026-11-20T14:03:00Z", error="the table is locked")
    (mark,) = antfly({**backup, "status": {"recentBackups": [bad]}}, cluster(), made).marks
    assert (mark.outcome, mark.message) == (Outcome.FAILED, "the table is locked")


def test_a_cluster_that_is_not_there_suspends_the_schedule() -> None:
    backup = sample("daily-backup")
    assert antfly(backup, cluster()).suspended == ""
    assert antfly(backup).suspended.startswith("its cluster is not ready: ")
    backup["spec"]["suspend"] = True
    assert antfly(backup, cluster()).suspended == "spec.suspend is set"


def scheduled(name: str = "nightly") -> Object:
    meta = {"name": name, "namespace": "k0s", "uid": "u1", "creationTimestamp": "2026-11-20T10:00:00Z"}
    spec = {"schedule": "\u201c0 * * * *\u201d", "targetCluster": "c"}
    return {"apiVersion": "kaas.mirantis.com/v1alpha1", "kind": "ClusterBackupSchedule", "metadata": meta, "spec": spec}


def backup_of(schedule: Object, name: str, **status: Any) -> Object:
    meta = {"name": name, "namespace": "k0s", "creationTimestamp": "2026-11-20T14:00:02Z"}
    meta["labels"] = {SCHEDULE_LABEL: schedule["metadata"]["name"]}  # type: ignore[assignment]
    kind = {"apiVersion": "kaas.mirantis.com/v1alpha1", "kind": "ClusterBackup"}
    return {**kind, "metadata": meta, "spec": {"targetCluster": "c"}, "status": status}


def test_a_cluster_backup_is_the_run_of_the_minute_in_its_name() -> None:
    obj = scheduled()
    good = backup_of(obj, "nightly-202611201300", phase="Completed", completedAt="2026-11-20T13:05:00Z")
    bad = backup_of(obj, "nightly-202611201400", phase="Failed", message="no room", completedAt="2026-11-20T14:05:00Z")
    found = mirantis_schedule(obj, Scene([obj, good, bad], [], NOW), "Europe/Prague")
    assert (found.text, found.zone) == ("0 * * * *", "Europe/Prague")
    marks = {mark.due: mark for mark in found.marks}
    assert marks[DUE - timedelta(hours=1)].outcome is Outcome.RAN
    assert (marks[DUE].outcome, marks[DUE].message) == (Outcome.FAILED, "no room")


def test_a_name_that_was_cut_is_found_by_its_creation() -> None:
    obj = scheduled("n" * 60)
    cut = backup_of(obj, f"{'n' * 54}-0a1b2c3d", phase="InProgress")
    (mark,) = mirantis_schedule(obj, Scene([obj, cut], [], NOW), "").marks
    assert (mark.due, mark.outcome) == (DUE, Outcome.RUNNING)


def test_a_backup_of_a_schedule_is_the_run_of_the_second_in_its_name() -> None:
    (handler,) = [each for each in KubeBlocks("holdfast-system").handlers if each.kind.kind == "BackupSchedule"]
    entry = {"name": "nightly", "backupMethod": "dump", "cronExpression": "0 * * * *", "enabled": True}
    meta = {"name": "s", "namespace": "demo", "uid": "u1", "creationTimestamp": "2026-11-20T10:00:00Z"}
    kind = {"apiVersion": "dataprotection.kubeblocks.io/v1alpha1", "kind": "BackupSchedule"}
    spec = {"backupPolicyName": "p", "schedules": [entry], "startingDeadlineMinutes": 5}
    made = {"name": "db-nightly-20261120140000", "namespace": "demo", "creationTimestamp": "2026-11-20T14:00:01Z"}
    labels = {"dataprotection.kubeblocks.io/backup-schedule": "s"}
    status = {"phase": "Failed", "failureReason": "no room", "completionTimestamp": "2026-11-20T14:02:00Z"}
    backup = {
        **kind,
        "kind": "Backup",
        "metadata": {**made, "labels": labels},
        "spec": {"backupMethod": "dump"},
        "status": status,
    }
    obj = {**kind, "metadata": meta, "spec": spec}
    (found,) = handler.schedules(obj, Scene([obj, backup], [], NOW), NOW)  # type: ignore[attr-defined]
    assert (found.part, found.limit, found.suspended) == ("nightly", timedelta(minutes=5), "")
    assert [(mark.due, mark.outcome, mark.message) for mark in found.marks] == [(DUE, Outcome.FAILED, "no room")]
    entry["enabled"] = False
    assert handler.schedules(obj, Scene([obj], [], NOW), NOW)[0].suspended == "the entry is not enabled"  # type: ignore[attr-defined]
