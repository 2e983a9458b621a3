"""Due times of BackupSchedules: each has one Backup with the name that the CronJob's pod would give it, made without a pod."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.kubeblocks.memory import GROUP, JOB, Memory, thing

from holdfast.core.calls import Trigger
from holdfast.core.ledger import Outcome
from holdfast.core.objects import Kind, Object
from holdfast.dialects.kubeblocks import triggers
from holdfast.dialects.kubeblocks.backup_schedule import BackupScheduleHandler
from holdfast.movers.trigger import name_of


def world(*entries: Object, instance: str = "shop") -> Memory:
    labels = {"app.kubernetes.io/instance": instance} if instance else {"app": "db"}
    methods = [{"name": name, "actionSetName": "dump"} for name in ("dump", "other")]
    memory = Memory(
        thing("ActionSet", "dump", backup={"backupData": JOB}),
        thing("BackupPolicy", "shop", backupMethods=methods, target={"podSelector": {"matchLabels": labels}}),
        thing("BackupSchedule", "nightly", backupPolicyName="shop", schedules=list(entries)),
        now=datetime(2026, 11, 20, 13, 42, 30, tzinfo=UTC),
    )
    memory.handlers.pop(Kind(GROUP, "Backup"))
    memory.settle()
    return memory


def entry(cron: str, method: str = "dump", **more: Any) -> Object:
    return {"backupMethod": method, "cronExpression": cron, "enabled": True, **more}


def test_a_due_time_has_one_backup_named_as_the_cron_jobs_pod_names_it() -> None:
    memory = world(entry("45 13 * * *"))
    assert memory.names("Backup") == []
    assert datetime(2026, 11, 20, 13, 45, tzinfo=UTC) in memory.wakes

    memory.later(seconds=151)
    for _ in range(3):
        memory.settle()
        memory.later(seconds=10)
    assert memory.names("Backup") == ["shop-20261120134500"]
    _, arguments, _ = memory.call(memory.names("CronJob")[0], "CronJob")
    pods = {key: value for key, value in arguments["document"].items() if key != "metadata"}
    made = memory.find("Backup", "shop-20261120134500")
    assert {key: made[key] for key in pods} | {"spec": {**made["spec"], "deletionPolicy": "Delete"}} == {
        **pods,
        "spec": {**pods["spec"], "deletionPolicy": "Delete"},
    }
    assert arguments["document"]["metadata"]["labels"].items() <= made["metadata"]["labels"].items()


def test_a_backup_of_a_due_time_that_a_person_deletes_does_not_come_back() -> None:
    memory = world(entry("45 13 * * *"))
    memory.later(seconds=151)
    memory.settle()
    memory.delete("Backup", "shop-20261120134500", "default")
    memory.later(seconds=5)
    memory.settle()
    assert memory.names("Backup") == []


def test_a_due_time_long_ago_is_left_to_the_cron_job_and_its_deadline() -> None:
    memory = world(entry("45 13 * * *"))
    memory.later(minutes=10)
    memory.settle()
    assert memory.names("Backup") == []


@pytest.mark.parametrize("cron", ["42 13 * * *", "42 * * * *"])
def test_a_due_time_before_the_entry_was_in_force_is_not_made_up(cron: str) -> None:
    assert world(entry(cron)).names("Backup") == []


def test_entries_of_one_minute_get_names_of_their_own() -> None:
    memory = world(entry("45 13 * * *"), entry("45 13 * * *", "other", name="second"))
    memory.later(seconds=151)
    memory.settle()
    assert memory.names("Backup") == ["shop-dump-20261120134500", "shop-second-20261120134500"]


def test_without_an_instance_the_name_of_the_schedule_is_taken() -> None:
    memory = world(entry("45 13 * * *"), instance="")
    memory.later(seconds=151)
    memory.settle()
    assert memory.names("Backup") == ["nightly-20261120134500"]


def test_the_pod_of_a_cron_job_names_a_backup_after_the_same_minute() -> None:
    call = Trigger("backups", "shop", {}, triggers.STAMP)
    assert name_of(call, int(datetime(2026, 11, 20, 13, 45, tzinfo=UTC).timestamp())) == "shop-20261120134500"


@pytest.mark.parametrize(
    ("cron", "expected"),
    [("*/5 * * * *", "300s"), ("0 */2 * * *", "7200s"), ("30 1 * * *", "60s"), ("@hourly", "60s")],
)
def test_a_continuous_backup_learns_how_often_to_store_the_log(cron: str, expected: str) -> None:
    assert triggers.interval(cron) == expected


def test_the_ledger_has_each_due_time_once_with_what_became_of_it() -> None:
    memory = world(entry("45 * * * *"), entry("0 0 * * *", "other", enabled=False))
    memory.later(seconds=151)
    memory.settle()
    made = memory.find("Backup", "shop-dump-20261120134500")
    made["status"] = {"phase": "Failed", "failureReason": "no space", "completionTimestamp": "2026-11-20T13:46:00Z"}
    schedule = memory.find("BackupSchedule", "nightly")
    first, second = BackupScheduleHandler().schedules(schedule, memory, memory.now)
    assert (first.part, first.text, first.suspended) == ("dump", "45 * * * *", "")
    assert [(mark.due, mark.run, mark.outcome, mark.message) for mark in first.marks] == [
        (datetime(2026, 11, 20, 13, 45, tzinfo=UTC), "shop-dump-20261120134500", Outcome.FAILED, "no space")
    ]
    assert (second.part, second.suspended, list(second.marks)) == ("other", "the entry is not enabled", [])
