"""What counts of the info file of an ActionSet's script, and what is told of the rest."""

from pathlib import Path
from typing import Any

import pytest

from holdfast.movers.datasafed.info import Info, checked


def test_what_a_script_says_is_taken_with_moments_in_utc() -> None:
    span = {"start": "2026-01-01T02:00:00+02:00", "end": "2026-01-01T00:30:00.5Z", "timeZone": "+02:00"}
    found, problems = checked({"totalSize": 12, "timeRange": span, "extras": [{"lsn": "0/1", "count": 2}], "phase": "Failed"})

    assert problems == []
    assert found == {
        "totalSize": 12,
        "timeRange": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:30:00Z", "timeZone": "+02:00"},
        "extras": [{"lsn": "0/1", "count": "2"}],
    }


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"timeRange": {"start": "yesterday"}}, "timeRange.start: 'yesterday' is no moment"),
        ({"timeRange": {"end": 5}}, "timeRange.end: 5 is no moment"),
        ({"timeRange": {"timeZone": "Europe/Berlin"}}, "timeRange.timeZone: 'Europe/Berlin' is no offset"),
        ({"timeRange": "all"}, "timeRange: write an object"),
        ({"extras": ["x"]}, "extras: write a list of maps"),
        ({"extras": {"a": "b"}}, "extras: write a list of maps"),
        *(({"totalSize": size}, f"totalSize: {size!r} is no size") for size in ({"a": 1}, "many", "5 apples", "-7", True)),
    ],
)
def test_what_the_status_can_not_hold_is_left_out_and_told(said: dict[str, Any], expected: str) -> None:
    found, problems = checked(said)

    assert found == {}
    assert len(problems) == 1
    assert problems[0].startswith(expected)


@pytest.mark.parametrize("size", [0, 1.5e3, "12", "3Ki", "1.5Gi", "2Ti"])
def test_a_size_is_a_number_with_or_without_a_unit(size: object) -> None:
    assert checked({"totalSize": size}) == ({"totalSize": size}, [])


def test_empty_texts_count_as_not_said() -> None:
    assert checked({"totalSize": "", "timeRange": {"start": "", "end": ""}}) == ({}, [])


@pytest.mark.parametrize(("content", "problem"), [("", False), ("{}", False), ("[]", True), ('{"totalSize":', True)])
def test_a_file_that_is_no_json_object_is_a_problem_and_an_empty_one_is_none(
    tmp_path: Path, content: str, problem: bool
) -> None:
    (tmp_path / "info").write_text(content)

    assert ("problem" in Info(str(tmp_path / "info")).read()) == problem
