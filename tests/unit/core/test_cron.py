"""Cron: what is accepted, what is refused with which words, and when a schedule is due."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from holdfast.core.cron import KUBERNETES, VIXIE, Cron, CronError


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def due(expression: str, after: datetime, count: int = 1, zone: str = "") -> list[datetime]:
    cron, found = Cron.parse(expression, zone=zone), []
    while len(found) < count:
        moment = cron.next_after(after)
        assert moment is not None
        found.append(moment)
        after = moment
    return found


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("*/5 * * * *", "2026-11-20 13:43:24", "2026-11-20 13:45"),
        ("0 4 * * *", "2026-11-20 04:00", "2026-11-21 04:00"),
        ("0 0 1,15 * *", "2026-11-15 00:00", "2026-12-01 00:00"),
        ("30 2 * * MON-FRI", "2026-11-20 03:00", "2026-11-23 02:30"),
        ("0 0 13 * fri", "2026-11-20 12:00", "2026-11-27 00:00"),
        ("0 0 29 2 ?", "2026-01-01 00:00", "2028-02-29 00:00"),
        ("@weekly", "2026-11-20 12:00", "2026-11-22 00:00"),
        ("@every 30m", "2026-11-20 12:10", "2026-11-20 12:30"),
        ("@every 6h", "2026-11-20 12:10", "2026-11-20 18:00"),
        ("5/20 0 * * *", "2026-11-20 00:05", "2026-11-20 00:25"),
        ("0 0 */2 * MON", "2026-11-20 12:00", "2026-11-21 00:00"),
    ],
)
def test_when_a_kubernetes_schedule_is_due(expression: str, after: str, expected: str) -> None:
    assert due(expression, at(after)) == [at(expected)]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("61 * * * *", "minute '61' is outside of 0-59"),
        ("* * * * 7", "day of week '7' is outside of 0-6"),
        ("* * * foo *", "month 'foo' is not a number"),
        ("0 0 * *", "has 4 fields instead of 5"),
        ("0 0 0 * * *", "has 6 fields instead of 5"),
        ("", "has 0 fields"),
        ("*/0 * * * *", "minute '*/0' has a step below 1"),
        ("20-10 * * * *", "runs backwards"),
        ("@every 7m", "does not divide an hour or a day"),
        ("@every soon", "'soon' is not a duration"),
        ("@reboot", "is not a known macro"),
        ("TZ=UTC 0 0 * * *", "names a time zone"),
        ("0 0 31 2 *", "is never due"),
        ("1,,2 * * * *", "minute ''"),
        ("1/2/3 * * * *", "minute '1/2/3'"),
    ],
)
def test_a_refusal_names_field_and_value(expression: str, words: str) -> None:
    with pytest.raises(CronError) as refused:
        Cron.parse(expression, grammar=KUBERNETES)
    assert words in str(refused.value)


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(CronError, match="IANA name"):
        Cron.parse("0 0 * * *", zone="Europe/Nowhere")


def test_a_due_time_in_the_hole_of_a_clock_change_is_due_once_after_it() -> None:
    # Berlin, 29 March 2026: 02:00 becomes 03:00, which is 01:00 UTC.
    found = due("15,45 2 * * *", at("2026-03-28 12:00"), 3, zone="Europe/Berlin")
    assert found == [at("2026-03-29 01:00"), at("2026-03-30 00:15"), at("2026-03-30 00:45")]


def test_an_interval_of_hours_that_meets_the_hole_is_due_after_it() -> None:
    assert due("0 */2 * * *", at("2026-03-29 00:00"), 2, zone="Europe/Berlin") == [
        at("2026-03-29 01:00"),
        at("2026-03-29 02:00"),
    ]


def test_an_hour_shown_twice_is_one_due_time_for_a_daily_job_and_two_for_an_interval() -> None:
    # Berlin, 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC.
    assert due("30 2 * * *", at("2026-10-24 12:00"), 2, zone="Europe/Berlin") == [
        at("2026-10-25 00:30"),
        at("2026-10-26 01:30"),
    ]
    half_hours = due("*/30 * * * *", at("2026-10-24 23:59"), 5, zone="Europe/Berlin")
    assert half_hours == [at("2026-10-25 00:00") + timedelta(minutes=30 * n) for n in range(5)]


def test_a_zone_that_skips_a_whole_day_still_fires() -> None:
    # Samoa had no 30 December 2011.
    assert due("0 12 30 12 *", at("2011-12-01 00:00"), zone="Pacific/Apia") == [at("2011-12-30 10:00")]


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    one = st.integers(low, high).map(str)
    span = st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda p: f"{min(p)}-{max(p)}")
    wide = st.integers(low, high - 1).flatmap(lambda first: st.integers(first + 1, high).map(lambda last: f"{first}-{last}"))
    stepped = st.tuples(wide, st.integers(1, high)).map(lambda p: f"{p[0]}/{p[1]}")
    star = st.one_of(st.just("*"), st.integers(1, high).map(lambda n: f"*/{n}"))
    return st.one_of(star, one, span, stepped, st.lists(st.one_of(one, span), min_size=1, max_size=3).map(",".join))


expressions = st.tuples(numbers(0, 59), numbers(0, 23), numbers(1, 31), numbers(1, 12), numbers(0, 6)).map(" ".join)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2034, 1, 1)).map(lambda d: d.replace(tzinfo=UTC))


@settings(max_examples=400, deadline=None)
@given(expressions, moments)
@example("0 0 29 2 *", at("2021-01-01 00:00"))
@example("0 0 13 * 5", at("2021-01-01 00:00"))
def test_agrees_with_cronsim_in_utc(expression: str, moment: datetime) -> None:
    try:
        expected = next(CronSim(expression, moment), None)
    except Exception:
        with pytest.raises(CronError):
            Cron.parse(expression, grammar=VIXIE)
        return
    assert Cron.parse(expression, grammar=VIXIE).next_after(moment) == expected


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(numbers(0, 59), numbers(0, 23)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    moments,
)
def test_agrees_with_cronsim_around_clock_changes(times: tuple[str, str], zone: str, moment: datetime) -> None:
    minute, hour = times
    interval = minute.startswith("*") or hour.startswith("*")
    assume(not interval or hour == "*")  # cronsim lets intervals fall into the hole
    expression = f"{minute} {hour} * 3,4,10,11 *"
    expected = next(CronSim(expression, moment.astimezone(ZoneInfo(zone)))).astimezone(UTC)
    found = Cron.parse(expression, grammar=VIXIE, zone=zone).next_after(moment)
    assert found is not None
    if expected <= moment:  # cronsim repeats an hour it has already fired in
        return
    assert found == expected


@settings(max_examples=200, deadline=None)
@given(expressions, moments, st.sampled_from(["", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia"]))
def test_due_times_only_move_forward(expression: str, moment: datetime, zone: str) -> None:
    try:
        cron = Cron.parse(expression, zone=zone)
    except CronError:
        return
    for _ in range(3):
        following = cron.next_after(moment)
        if following is None:
            return
        assert following > moment
        moment = following
