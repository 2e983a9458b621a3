"""Times, durations, periods and sizes: read and written as the objects hold them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.quantity import format_bytes, parse_quantity
from holdfast.core.times import format_duration, format_time, parse_duration, parse_period, parse_time


def test_times_are_written_in_utc_without_a_fraction() -> None:
    moment = datetime(2026, 11, 20, 13, 43, 24, 999, tzinfo=UTC)
    assert format_time(moment) == "2026-11-20T13:43:24Z"


@pytest.mark.parametrize("text", ["2026-11-20T13:43:24Z", "2026-11-20T14:43:24+01:00", "2026-11-20t13:43:24z"])
def test_every_spelling_of_a_time_is_the_same_moment(text: str) -> None:
    assert parse_time(text) == datetime(2026, 11, 20, 13, 43, 24, tzinfo=UTC)


def test_a_time_with_nanoseconds_is_read_to_the_microsecond() -> None:
    assert parse_time("2026-11-20T13:43:24.123456789Z").microsecond == 123456


@pytest.mark.parametrize("text", ["", "2026-11-20", "2026-11-20T13:43:24", "yesterday", "2026-13-20T13:43:24Z"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "seconds", "written"),
    [
        ("30s", 30, "30s"),
        ("1h30m", 5400, "1h30m0s"),
        ("60s", 60, "1m0s"),
        ("1.5h", 5400, "1h30m0s"),
        ("250ms", 0.25, "250ms"),
        ("0", 0, "0s"),
        ("-10s", -10, "-10s"),
        ("1m0.5s", 60.5, "1m0.5s"),
    ],
)
def test_durations_read_and_write_as_in_go(text: str, seconds: float, written: str) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert format_duration(timedelta(seconds=seconds)) == written


@pytest.mark.parametrize("text", ["", "5", "1d", "h", "1h 30m", "--1s", "1s1", "1e9h", "9" * 30 + "h"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@given(st.timedeltas(timedelta(days=-4000), timedelta(days=4000)))
def test_a_written_duration_reads_back(value: timedelta) -> None:
    assert abs(parse_duration(format_duration(value)) - value) <= timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "days"), [("7d", 7), ("2w", 14), ("3mo", 90), ("1y2mo", 425), ("2mo1y", 425), ("24h", 1), ("1d2d", 2)]
)
def test_periods_count_years_of_365_and_months_of_30_days(text: str, days: int) -> None:
    assert parse_period(text) == timedelta(days=days)


def test_m_is_minutes_and_mo_months() -> None:
    assert parse_period("1m") == timedelta(minutes=1)
    assert parse_period("1mo") == timedelta(days=30)


@pytest.mark.parametrize("text", ["", "7", "30s", "-7d", "1.5d", "7D", "forever", "1y 2mo", "999999999y"])
def test_other_periods_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"period|longer"):
        parse_period(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1024, "1024 B"), (1025, "1.001 KiB"), (1 << 20, "1.000 MiB"), (1 << 52, "4096.000 TiB"), (1264, "1.234 KiB")],
)
def test_sizes_are_written_with_three_decimals(count: int, text: str) -> None:
    assert format_bytes(count) == text


def test_quantities() -> None:
    assert [parse_quantity(text) for text in ("10Gi", "1.5G", "500m", "1e3", "7")] == [10 * 2**30, 1.5e9, 0.5, 1000, 7]
    with pytest.raises(ValueError, match="64Mi"):
        parse_quantity("many")
