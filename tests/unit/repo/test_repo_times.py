"""Times of files as trees hold them: in the zone of the process, exact, and for every year that a file system knows."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from holdfast.repo.times import format_ns, parse_ns, parse_time

SUMMER, WINTER, BEFORE_STANDARD_TIME = 1_751_371_200, 1_735_732_800, -3_000_000_000
FIRST_SECOND, LAST_SECOND = -62_167_219_200, 253_402_300_799

PROGRAM = """
import json, sys
from holdfast.repo.times import format_ns
print(json.dumps([format_ns(second * 10**9) for second in map(int, sys.argv[1:])]))
"""


def written_in(zone: str, *seconds: int) -> list[str]:
    """What a process with this `TZ` writes."""
    command = [sys.executable, "-c", PROGRAM, *map(str, seconds)]
    done = subprocess.run(command, env={**os.environ, "TZ": zone}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("zone", "summer", "winter"),
    [
        ("Europe/Berlin", "2025-07-01T14:00:00+02:00", "2025-01-01T13:00:00+01:00"),
        ("America/St_Johns", "2025-07-01T09:30:00-02:30", "2025-01-01T08:30:00-03:30"),
        ("Asia/Kathmandu", "2025-07-01T17:45:00+05:45", "2025-01-01T17:45:00+05:45"),
        (":Europe/London", "2025-07-01T13:00:00+01:00", "2025-01-01T12:00:00Z"),
        ("CET-1CEST", "2025-07-01T12:00:00Z", "2025-01-01T12:00:00Z"),
        ("no/such/zone", "2025-07-01T12:00:00Z", "2025-01-01T12:00:00Z"),
        ("", "2025-07-01T12:00:00Z", "2025-01-01T12:00:00Z"),
    ],
)
def test_file_times_are_written_in_the_zone_of_the_process(zone: str, summer: str, winter: str) -> None:
    assert written_in(zone, SUMMER, WINTER) == [summer, winter]


def test_a_zone_that_is_not_whole_minutes_from_utc_is_written_in_utc_so_that_no_second_is_lost() -> None:
    assert written_in("Europe/Berlin", BEFORE_STANDARD_TIME) == ["1874-12-07T18:40:00Z"]


@pytest.mark.parametrize("zone", ["Pacific/Apia", "America/New_York", "Africa/Monrovia"])
def test_times_written_in_any_zone_read_back_exactly(zone: str) -> None:
    seconds = [FIRST_SECOND, BEFORE_STANDARD_TIME, -700_000_000, -1, 0, WINTER, SUMMER, 1 << 33, LAST_SECOND - 86_400]

    assert [parse_ns(text) for text in written_in(zone, *seconds)] == [second * 10**9 for second in seconds]


@given(some.integers(min_value=FIRST_SECOND * 10**9, max_value=LAST_SECOND * 10**9 + 999_999_999))
@example(FIRST_SECOND * 10**9)
@example(LAST_SECOND * 10**9 + 999_999_999)
@example(-1)
def test_every_nanosecond_of_the_years_0_to_9999_comes_back(ns: int) -> None:
    assert parse_ns(format_ns(ns)) == ns


@pytest.mark.parametrize(
    ("second", "text"),
    [
        (FIRST_SECOND - 86_400, "0000-12-31T00:00:00Z"),
        (-(1 << 63), "0000-01-27T08:29:52Z"),
        (LAST_SECOND + 1, "9999-01-01T00:00:00Z"),
        (LAST_SECOND + 1 + 59 * 86_400, "9999-03-01T00:00:00Z"),
        ((1 << 63) - 1, "9999-12-04T15:30:07Z"),
    ],
)
def test_years_that_can_not_be_written_become_the_nearest_that_can(second: int, text: str) -> None:
    assert format_ns(second * 10**9) == text


@pytest.mark.parametrize(
    "text", ["2025-02-30T00:00:00Z", "2025-01-01T24:00:00Z", "2025-01-01", "", "\u0662025-01-01T00:00:00Z"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|day|month|hour|range"):
        parse_ns(text)


def test_a_moment_outside_of_the_years_that_python_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="outside of the years"):
        parse_time("0000-06-01T00:00:00Z")
