from datetime import timedelta

from tests.unit.controllers.objects import NOW, ago

from holdfast.core.cron import Cron
from holdfast.core.objects import Object
from holdfast.core.times import format_time, parse_time
from holdfast.embedded.controllers.cronjob import SCHEDULED_AT, job_of
from holdfast.embedded.controllers.cronjob_decision import decide, last_due


def cronjob(created: float = 600, status: Object | None = None, **spec: object) -> Object:
    meta = {"name": "tick", "namespace": "demo", "uid": "cron-1", "creationTimestamp": ago(created)}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"template": {}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": meta,
        "spec": {"schedule": "*/5 * * * *", "jobTemplate": template, **spec},
        "status": status or {},
    }


def job(name: str, state: str = "", created: float = 60) -> Object:
    conditions = [{"type": state, "status": "True"}] if state else []
    meta = {"name": name, "namespace": "demo", "uid": f"uid-{name}", "creationTimestamp": ago(created)}
    done = {"completionTime": ago(created - 10)} if state == "Complete" else {}
    return {"metadata": meta, "status": {"conditions": conditions, **done}}


def test_a_due_time_starts_a_job_that_is_named_after_it() -> None:
    found = decide(cronjob(status={"lastScheduleTime": ago(300)}), [], NOW)
    assert found.start == NOW
    made = job_of(cronjob(), NOW)
    assert made["metadata"]["name"] == f"tick-{int(NOW.timestamp()) // 60}"
    assert made["metadata"]["annotations"][SCHEDULED_AT] == format_time(NOW)
    assert made["metadata"]["labels"] == {"app": "x"}
    assert found.status["lastScheduleTime"] == format_time(NOW)


def test_before_the_next_due_time_it_waits_until_then() -> None:
    found = decide(cronjob(status={"lastScheduleTime": ago(0)}), [], NOW + timedelta(seconds=60))
    assert (found.start, found.after) == (None, 240.0)


def test_after_a_downtime_it_starts_once_for_the_last_due_time() -> None:
    found = decide(cronjob(status={"lastScheduleTime": ago(86400)}), [], NOW + timedelta(seconds=90))
    assert found.start == NOW


def test_a_start_that_was_done_already_is_not_done_again() -> None:
    name = f"tick-{int(NOW.timestamp()) // 60}"
    found = decide(cronjob(status={"lastScheduleTime": ago(300)}), [job(name)], NOW)
    assert [each["name"] for each in found.status["active"]] == [name]
    assert found.status["lastScheduleTime"] == format_time(NOW)


def test_too_late_a_start_is_skipped_with_a_reason() -> None:
    found = decide(cronjob(startingDeadlineSeconds=30), [], NOW + timedelta(seconds=31))
    assert found.start is None
    assert found.notes[0].reason == "MissSchedule"


def test_forbid_holds_a_run_back_while_another_is_active_and_makes_up_for_it() -> None:
    obj = cronjob(concurrencyPolicy="Forbid", status={"lastScheduleTime": ago(300)})
    held = decide(obj, [job("tick-1")], NOW)
    assert held.start is None
    assert held.notes[0].reason == "JobAlreadyActive"
    assert decide(obj, [job("tick-1", "Complete")], NOW + timedelta(seconds=20)).start == NOW


def test_replace_deletes_what_runs() -> None:
    found = decide(cronjob(concurrencyPolicy="Replace"), [job("tick-1")], NOW)
    assert [each["metadata"]["name"] for each in found.delete] == ["tick-1"]
    assert found.status["active"] == []


def test_a_suspended_cronjob_starts_nothing_and_still_clears_its_history() -> None:
    jobs = [job(f"tick-{n}", "Complete", created=1000 - n) for n in range(5)]
    found = decide(cronjob(suspend=True), jobs, NOW)
    assert (found.start, found.after) == (None, None)
    assert [each["metadata"]["name"] for each in found.delete] == ["tick-0", "tick-1"]


def test_failed_and_successful_jobs_have_limits_of_their_own() -> None:
    jobs = [job(f"bad-{n}", "Failed", created=1000 - n) for n in range(3)] + [job("good", "Complete"), job("now")]
    found = decide(cronjob(suspend=True), jobs, NOW)
    assert [each["metadata"]["name"] for each in found.delete] == ["bad-0", "bad-1"]
    assert found.status["lastSuccessfulTime"] == ago(50)


def test_a_bad_schedule_is_told_and_nothing_starts() -> None:
    found = decide(cronjob(schedule="61 * * * *"), [], NOW)
    assert found.start is None
    assert found.notes[0].reason == "UnparseableSchedule"


def test_the_time_zone_counts() -> None:
    obj = cronjob(schedule="30 14 * * *", timeZone="Europe/Berlin", created=3600)
    assert decide(obj, [], parse_time("2026-11-20T13:30:10Z")).start == parse_time("2026-11-20T13:30:00Z")


def test_the_last_due_time_is_found_across_years() -> None:
    cron = Cron.parse("0 0 29 2 *")
    assert last_due(cron, NOW - timedelta(days=2000), NOW) == parse_time("2024-02-29T00:00:00Z")
    assert last_due(cron, NOW - timedelta(days=300), NOW) is None
