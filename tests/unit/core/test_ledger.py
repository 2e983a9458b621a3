"""The record of a schedule: one entry for each due time, whatever happens to runs, controllers and clocks."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core import ledger
from holdfast.core.cron import Cron
from holdfast.core.ledger import KEPT, PATIENCE, Mark, Outcome, Schedule, keep, ledger_name
from holdfast.core.objects import Object
from holdfast.core.times import parse_time

START = datetime(2026, 11, 20, 0, 0, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
OWNER: Object = {"apiVersion": "shop.example/v1", "kind": "Plan", "metadata": {"name": "app", "namespace": "demo", "uid": "u1"}}


def at(hour: float) -> datetime:
    return START + hour * HOUR


def ran(hour: float, *, late: timedelta = timedelta(), outcome: Outcome = Outcome.RAN, **more: Any) -> Mark:
    started = at(hour) + late
    ended = None if outcome is Outcome.RUNNING else started + MINUTE
    return Mark(due=at(hour), run=f"run-{hour:g}", started=started, finished=ended, outcome=outcome, **more)


class Book:
    """A Ledger that is kept, pass after pass."""

    def __init__(self, text: str = "0 * * * *", **more: Any) -> None:
        self.given: dict[str, Any] = {"text": text, "since": START, **more}
        self.stored: Object | None = None
        self.wake: datetime | None = None
        self.writes = 0

    def look(self, hour: float, *marks: Mark, **changes: Any) -> Object:
        self.given |= changes
        found, self.wake = keep(OWNER, Schedule(**self.given, marks=marks), self.stored, at(hour))
        self.writes += found != self.stored
        self.stored = found
        return found["record"]

    @property
    def told(self) -> list[tuple[str, str, int]]:
        """Outcome, reason and count of each entry, oldest first."""
        assert self.stored is not None
        ticks = reversed(self.stored["record"].get("ticks", []))
        return [(tick["outcome"], tick.get("reason", ""), tick.get("count", 1)) for tick in ticks]


def test_each_due_time_gets_its_outcome_in_one_write() -> None:
    book = Book()
    book.look(0)
    assert (book.writes, book.wake) == (1, at(2) + PATIENCE)
    book.look(1, ran(1, outcome=Outcome.RUNNING))
    assert book.writes == 1
    record = book.look(1.1, ran(1))
    assert book.writes == 2
    assert record["ticks"] == [
        {
            "due": "2026-11-20T01:00:00Z",
            "outcome": "Ran",
            "run": "run-1",
            "started": "2026-11-20T01:00:00Z",
            "finished": "2026-11-20T01:01:00Z",
        }
    ]
    assert (record["ran"], record["through"]) == (1, "2026-11-20T01:00:00Z")
    book.look(1.5, ran(1))
    book.look(1.9)
    assert book.writes == 2


def test_failed_late_and_skipped_runs_say_so() -> None:
    book = Book()
    book.look(1.2, ran(1, outcome=Outcome.FAILED, reason="OOMKilled", message="out of memory"))
    book.look(2.5, ran(2, late=10 * MINUTE))
    record = book.look(3.2, ran(3, outcome=Outcome.SKIPPED, reason="Overlap"))
    assert book.told == [("Failed", "OOMKilled", 1), ("Late", "", 1), ("Skipped", "Overlap", 1)]
    assert [record[word] for word in ("ran", "late", "failed", "skipped")] == [0, 1, 1, 1]


def test_a_due_time_without_a_run_stays_open_until_the_next_one_is_due() -> None:
    book = Book()
    book.look(1.9)
    assert book.told == []
    assert book.wake == at(2) + PATIENCE
    book.look(1.95, ran(1, late=57 * MINUTE))
    assert book.told == [("Late", "", 1)]
    book.look(3 + 2 / 60)
    assert book.told == [("Late", "", 1), ("Skipped", "NotStarted", 1)]


def test_a_limit_for_late_starts_closes_a_due_time_sooner() -> None:
    book = Book(limit=30 * timedelta(seconds=1))
    book.look(1)
    assert book.wake == at(1) + timedelta(seconds=30) + PATIENCE
    book.look(1.05)
    assert book.told == [("Skipped", "NotStarted", 1)]


def test_a_downtime_is_told_as_one_entry_with_a_count() -> None:
    book = Book()
    book.look(0.5)
    record = book.look(6.5)
    assert book.told == [("Skipped", "Downtime", 5)]
    assert (record["ticks"][0]["until"], record["skipped"]) == ("2026-11-20T05:00:00Z", 5)
    book.look(6.6, ran(6, late=31 * MINUTE))
    assert book.told[-1] == ("Late", "", 1)


def test_a_run_that_was_still_going_on_is_the_reason_of_the_next() -> None:
    book = Book()
    slow = Mark(due=at(1), run="slow", outcome=Outcome.RUNNING, started=at(1))
    book.look(3.1, slow)
    assert book.told == [("Skipped", "Overlap", 1)]
    ended = Mark(due=at(1), run="slow", outcome=Outcome.RAN, started=at(1), finished=at(3.2))
    record = book.look(3.3, ended, ran(3, late=14 * MINUTE))
    assert book.told == [("Ran", "", 1), ("Skipped", "Overlap", 1), ("Late", "", 1)]
    assert record["ticks"][-1]["run"] == "slow"


def test_a_suspension_costs_no_write_and_is_told_when_it_is_over() -> None:
    book = Book()
    book.look(0.5)
    record = book.look(0.6, suspended="paused by spec.paused")
    assert (record["suspendedSince"], book.wake) == ("2026-11-20T00:36:00Z", None)
    writes = book.writes
    book.look(1.6)
    book.look(3.5)
    assert book.writes == writes
    book.look(4.5, suspended="")
    assert book.told == [("Skipped", "Suspended", 3)]
    record = book.look(5.5)
    assert book.told == [("Skipped", "Suspended", 4)]
    assert "suspendedSince" not in record


def test_the_latest_tick_of_a_suspension_may_be_caught_up() -> None:
    book = Book()
    book.look(0.5, suspended="paused")
    book.look(3.5, suspended="")
    book.look(3.6, ran(3, late=31 * MINUTE))
    assert book.told == [("Skipped", "Suspended", 2), ("Late", "", 1)]


def test_an_edit_ends_what_was_due_and_what_runs_is_pending() -> None:
    book = Book()
    book.look(1.1, ran(1))
    running = ran(3, outcome=Outcome.RUNNING)
    record = book.look(3.2, running, text="30 * * * *")
    assert book.told == [("Ran", "", 1), ("Skipped", "Edited", 1)]
    assert record["pending"] == ["2026-11-20T03:00:00Z"]
    book.look(3.6, ran(3), ran(3.5))
    assert book.told == [("Ran", "", 1), ("Skipped", "Edited", 1), ("Ran", "", 1), ("Ran", "", 1)]
    assert book.stored is not None
    assert "pending" not in book.stored["record"]


def test_a_clock_that_goes_back_changes_nothing() -> None:
    book = Book()
    book.look(2.1, ran(1), ran(2))
    writes = book.writes
    book.look(0.5, ran(1), ran(2))
    assert book.writes == writes
    book.look(2.2, ran(1), ran(2))
    assert book.writes == writes


def test_a_time_that_the_clock_skips_is_due_once_and_says_why_it_was_missed() -> None:
    since = datetime(2026, 3, 28, 12, tzinfo=UTC)
    given = Schedule(text="30 2 * * *", zone="Europe/Berlin", since=since)
    found, _ = keep(OWNER, given, None, since + timedelta(days=2))
    assert [(tick["due"], tick["reason"]) for tick in found["record"]["ticks"]] == [("2026-03-29T01:00:00Z", "DaylightSaving")]


def test_entries_are_bounded_and_counts_go_on() -> None:
    book = Book()
    for hour in range(1, 2 * KEPT):
        record = book.look(hour + 0.2, ran(hour))
    assert len(record["ticks"]) == KEPT
    assert record["ran"] == 2 * KEPT - 1


def test_a_very_long_downtime_is_told_in_bounded_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "MOST_TICKS", 50)
    book = Book("* * * * *")
    passes = 0
    while book.wake is None or book.wake <= at(4):
        record = book.look(4)
        passes += 1
    assert 4 < passes < 10
    assert record["skipped"] == 4 * 60 - 3
    assert len(book.told) <= 2


def test_a_ledger_of_another_object_of_the_name_is_begun_anew() -> None:
    book = Book()
    book.look(1.1, ran(1))
    assert book.stored is not None
    other = {**OWNER, "metadata": {**OWNER["metadata"], "uid": "u2"}}
    found, _ = keep(other, Schedule(text="0 * * * *", since=at(2)), book.stored, at(2.1))
    assert (found["record"]["ran"], found["record"]["since"]) == (0, "2026-11-20T02:00:00Z")


def test_names_and_owner_lead_back_to_the_schedule() -> None:
    assert ledger_name(OWNER) == "plan-app"
    found, _ = keep(OWNER, Schedule(text="0 * * * *", part="nightly", zone="Europe/Berlin", since=START), None, START)
    assert found["metadata"]["name"] == "plan-app.nightly"
    assert found["metadata"]["ownerReferences"][0]["uid"] == "u1"
    assert found["spec"] == {
        "kind": "Plan.shop.example",
        "name": "app",
        "part": "nightly",
        "schedule": "0 * * * *",
        "timeZone": "Europe/Berlin",
    }


def ticks_of(record: Object, cron: Cron) -> Iterator[datetime]:
    """Every due time that an entry speaks for."""
    for tick in record.get("ticks", []):
        first = parse_time(tick["due"])
        yield first
        yield from cron.between(first, parse_time(tick.get("until", tick["due"])))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_happens_each_due_time_has_exactly_one_outcome(data: st.DataObject) -> None:
    cron, book = Cron.parse("*/10 * * * *"), Book("*/10 * * * *")
    now, marks, suspended = START, dict[datetime, Mark](), ""
    for _ in range(data.draw(st.integers(1, 25), label="moves")):
        move = data.draw(st.sampled_from(["wait", "start", "end", "suspend", "delete", "look"]), label="move")
        due = max(cron.between(now - HOUR, now), default=now)
        if move == "wait":
            now += data.draw(st.sampled_from([1, 5, 9, 12, 45, 200]), label="minutes") * MINUTE
        elif move == "start" and due > START and due not in seen_of(book, cron):
            marks.setdefault(due, Mark(due=due, run=f"r{due:%H%M}", outcome=Outcome.RUNNING, started=now))
        elif move == "end" and (running := [mark for mark in marks.values() if mark.outcome is Outcome.RUNNING]):
            mark = data.draw(st.sampled_from(running), label="which")
            outcome = data.draw(st.sampled_from([Outcome.RAN, Outcome.FAILED, Outcome.SKIPPED]), label="how")
            marks[mark.due] = Mark(due=mark.due, run=mark.run, outcome=outcome, started=mark.started, finished=now)
        elif move == "suspend":
            suspended = "" if suspended else "paused"
        elif move == "delete" and marks:
            del marks[data.draw(st.sampled_from(sorted(marks)), label="gone")]
        else:
            check(book, cron, now, marks, suspended)
    ended = {due: mark for due, mark in marks.items() if mark.outcome is not Outcome.RUNNING}
    check(book, cron, now, ended, "")
    check(book, cron, now + 3 * HOUR, ended, "")
    assert book.stored is not None
    record = book.stored["record"]
    covered = sorted(ticks_of(record, cron))
    assert covered == list(cron.between(START, parse_time(record["through"])))
    assert sum(record[word] for word in ("ran", "late", "failed", "skipped")) == len(covered)
    assert covered == list(cron.between(START, now + 3 * HOUR - PATIENCE))[:-1]


def seen_of(book: Book, cron: Cron) -> set[datetime]:
    return set(ticks_of(book.stored["record"], cron)) if book.stored else set()


def check(book: Book, cron: Cron, now: datetime, marks: dict[datetime, Mark], suspended: str) -> None:
    """One pass; what was told before stays told, and a second pass says nothing new."""
    before = {tick["due"]: tick for tick in (book.stored or {"record": {}})["record"].get("ticks", [])}
    hour = (now - START) / HOUR
    after = {tick["due"]: tick for tick in book.look(hour, *marks.values(), suspended=suspended).get("ticks", [])}
    for due, tick in before.items():
        assert (after[due]["outcome"], after[due].get("reason")) == (tick["outcome"], tick.get("reason"))
    writes = book.writes
    book.look(hour, *marks.values(), suspended=suspended)
    assert book.writes == writes
