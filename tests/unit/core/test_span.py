"""Spans reach back by the calendar."""

from datetime import UTC, datetime

import pytest

from holdfast.core.span import Span, parse_span


@pytest.mark.parametrize(
    ("span", "moment", "expected"),
    [
        ("1m", "2026-03-31T12:00", "2026-03-03T12:00"),
        ("1m", "2024-03-31T12:00", "2024-03-02T12:00"),
        ("1y", "2024-02-29T00:00", "2023-03-01T00:00"),
        ("2m", "2026-01-15T00:00", "2025-11-15T00:00"),
        ("1y5m7d2h", "2026-11-21T01:00", "2025-06-13T23:00"),
        ("9999y", "2026-11-21T01:00", "0001-01-01T00:00"),
        ("0h", "2026-11-21T01:00", "2026-11-21T01:00"),
    ],
)
def test_a_span_reaches_back_by_the_calendar(span: str, moment: str, expected: str) -> None:
    start = datetime.fromisoformat(moment).replace(tzinfo=UTC)

    assert parse_span(span).before(start) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "1", "d", "1w", "1d 2h", "-1d", "1d1d", "1.5d", "1234567d"])
def test_what_is_no_span_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not a span such as 1y5m7d2h"):
        parse_span(text)


def test_a_span_is_written_as_it_is_read() -> None:
    assert str(parse_span("2h7d1y")) == "1y7d2h"
    assert str(Span()) == "0h"
