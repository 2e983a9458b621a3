"""What the Ledger of a session is told: due times from names, repetitions, what was skipped, what suspends it."""

from datetime import UTC, datetime, timedelta

from tests.unit.kubestash.builders import BC, SESSION, ready_world, run, session
from tests.unit.kubestash.world import World

from holdfast.core.ledger import Outcome, Schedule, keep
from holdfast.core.objects import Object
from holdfast.dialects.kubestash import names
from holdfast.dialects.kubestash.ticks import schedules

DUE = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)


def name_at(due: datetime) -> str:
    return names.backup_session(BC, SESSION, due)


def schedule(world: World) -> Schedule:
    return schedules(world.find("BackupConfiguration", BC), world)[0]


def ended(name: str, phase: str, *conditions: Object, **status: object) -> Object:
    made = session(name)
    made["status"] = {"phase": phase, "conditions": list(conditions), **status}
    return made


def test_a_session_that_the_cron_job_started_is_the_run_of_its_due_time() -> None:
    world = ready_world()
    world.now = DUE
    run(world, name_at(DUE), "id00000001")
    found = schedule(world)
    mark = found.marks[0]
    assert (found.part, found.suspended, mark.due, mark.outcome) == (SESSION, "", DUE, Outcome.RAN)
    assert mark.finished == DUE + timedelta(seconds=30)
    ledger, _ = keep(world.find("BackupConfiguration", BC), found, None, DUE + timedelta(minutes=1))
    assert ledger["record"]["ticks"][0]["run"] == name_at(DUE)


def test_a_session_that_a_person_started_is_nobodys_due_time() -> None:
    world = ready_world()
    world.add(ended("by-hand", "Succeeded"))
    assert schedule(world).marks == []


def test_a_failure_that_is_repeated_has_the_outcome_of_its_repetition() -> None:
    world = ready_world()
    why = {"type": "BackupFailed", "status": "True", "reason": "OOMKilled", "message": "it used too much"}
    first = ended(name_at(DUE), "Failed", why, nextRetry="2026-11-20T14:05:00Z")
    world.add(first)
    assert schedule(world).marks[0].outcome is Outcome.RUNNING
    again = ended(name_at(DUE + timedelta(minutes=5)), "Failed", why)
    again["metadata"]["annotations"] = {names.RETRY_OF: first["metadata"]["name"]}
    world.add({**first, "status": {**first["status"], "retried": True}})
    world.add(again)
    (mark,) = schedule(world).marks
    assert (mark.outcome, mark.reason, mark.run) == (Outcome.FAILED, "OOMKilled", name_at(DUE))
    again["status"]["phase"] = "Succeeded"
    world.add(again)
    assert schedule(world).marks[0].outcome is Outcome.RAN


def test_a_session_that_was_skipped_says_why() -> None:
    world = ready_world()
    why = {"type": "BackupSkipped", "status": "True", "reason": "AnotherSessionRuns", "message": "one still runs"}
    world.add(ended(name_at(DUE), "Skipped", why))
    mark = schedule(world).marks[0]
    assert (mark.outcome, mark.reason, mark.message) == (Outcome.SKIPPED, "AnotherSessionRuns", "one still runs")


def test_what_suspends_a_session_and_how_late_it_may_start_is_told() -> None:
    world = ready_world()
    configuration = world.find("BackupConfiguration", BC)
    configuration["spec"]["sessions"][0]["scheduler"] |= {"suspend": True, "startingDeadlineSeconds": 90}
    found = schedules(configuration, world)[0]
    assert (found.suspended, found.limit) == ("the session's scheduler is suspended", timedelta(seconds=90))
    configuration["spec"]["paused"] = True
    assert schedules(configuration, world)[0].suspended == "spec.paused is set"
