"""When a policy is due: zones and daylight saving, several schedules, and what downtime makes of due times.

A number in a name is that of the behaviour of the API that it shows.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from holdfast.dialects.cloudcasa import ticks


def policy(*schedules: dict[str, Any], zone: str = "UTC") -> dict[str, Any]:
    return {"name": "p", "timezone": zone, "schedules": list(schedules)}


def entry(cron: str, days: int = 7, *, locked: bool = False) -> dict[str, Any]:
    return {"retainDays": days, "locked": locked, "schedule": {"cronSpec": cron}}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_13_local_time_is_kept_across_daylight_saving() -> None:
    new_york = policy(entry("30 0 * * MON,FRI"), zone="America/New_York")

    winter = ticks.due(new_york, at("2026-03-06T00:00"), at("2026-03-06T12:00"))
    summer = ticks.due(new_york, at("2026-03-09T00:00"), at("2026-03-09T12:00"))

    assert winter.run is not None
    assert winter.run.at == at("2026-03-06T05:30")
    assert summer.run is not None
    assert summer.run.at == at("2026-03-09T04:30"), "the clocks went forward on 8 March"
    assert summer.next == at("2026-03-13T04:30")


def test_the_parts_of_a_schedule_mean_what_the_expression_means() -> None:
    parts = {"retainDays": 1, "schedule": {"minute": "15", "hour": "2", "dayOfWeek": "sun"}}
    both = {"retainDays": 1, "schedule": {"minute": "15", "cronSpec": "0 5 * * *"}}
    hourly = {"retainDays": 1, "schedule": {"minute": "*", "hour": "3"}}

    sunday = ticks.due(policy(parts), at("2026-11-21T00:00"), at("2026-11-21T00:00")).next
    assert sunday == at("2026-11-22T02:15")
    assert ticks.due(policy(both), at("2026-11-21T00:00"), at("2026-11-21T00:00")).next == at("2026-11-21T05:00")
    assert ticks.due(policy(hourly), at("2026-11-21T03:10"), at("2026-11-21T03:10")).next == at("2026-11-21T03:11")


def test_schedules_that_are_due_together_make_one_run_that_is_kept_longest() -> None:
    several = policy(entry("0 0 * * *", 7), entry("0 0 * * SUN", 30, locked=True), entry("0 12 * * *", 90))

    saturday = ticks.due(several, at("2026-11-20T23:00"), at("2026-11-21T00:00")).run
    sunday = ticks.due(several, at("2026-11-21T23:00"), at("2026-11-22T00:00")).run

    assert saturday == ticks.Tick(at("2026-11-21T00:00"), 7, locked=False)
    assert sunday == ticks.Tick(at("2026-11-22T00:00"), 30, locked=True)


def test_after_downtime_the_newest_runs_late_and_the_others_are_counted() -> None:
    found = ticks.due(policy(entry("0 * * * *")), at("2026-11-20T00:30"), at("2026-11-21T10:20"))

    assert found.run is not None
    assert found.run.at == at("2026-11-21T10:00")
    assert (found.missed, found.first_missed, found.last_missed) == (33, at("2026-11-20T01:00"), at("2026-11-21T09:00"))
    assert found.next == at("2026-11-21T11:00")


def test_years_of_downtime_still_end_at_the_newest_due_time() -> None:
    found = ticks.due(policy(entry("* * * * *")), at("2020-01-01T00:00"), at("2026-11-21T10:20"))

    assert found.run is not None
    assert found.run.at == at("2026-11-21T10:20")
    assert found.missed >= 1000


def test_nothing_is_due_between_two_due_times() -> None:
    found = ticks.due(policy(entry("0 0 * * *")), at("2026-11-21T00:00"), at("2026-11-21T00:00") + timedelta(hours=5))

    assert found == ticks.Due(next=at("2026-11-22T00:00"))
