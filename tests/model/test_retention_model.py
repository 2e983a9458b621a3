"""Retention as a model: whatever the points and the rules, the promises hold."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.retention import Health, Keep, RecoveryPoint, retain

NOW = datetime(2026, 11, 20, 13, 30, tzinfo=UTC)
counts = st.none() | st.integers(0, 4)


@st.composite
def histories(draw: st.DrawFn) -> list[RecoveryPoint]:
    ages = draw(st.lists(st.integers(-5, 24 * 800), max_size=25))
    return [
        RecoveryPoint(
            id=f"p{index}",
            time=NOW - timedelta(hours=age),
            health=draw(st.sampled_from(Health)),
            group=draw(st.sampled_from(["a", "b"])),
            hold=draw(st.sampled_from(["", "", "", "paused"])),
            parents=tuple(draw(st.lists(st.integers(0, max(0, index - 1)).map("p{}".format), max_size=1))),
            verified=draw(st.booleans()),
        )
        for index, age in enumerate(ages)
    ]


rules = st.builds(
    Keep,
    last=counts,
    hourly=counts,
    daily=counts,
    weekly=counts,
    monthly=counts,
    yearly=counts,
    failed=counts,
    max_age=st.none() | st.integers(1, 800).map(lambda days: timedelta(days=days)),
)


@settings(max_examples=400, deadline=None)
@given(histories(), rules)
def test_promises(points: list[RecoveryPoint], keep: Keep) -> None:
    result = retain(points, keep, NOW)
    dropped = {verdict.point.id for verdict in result.dropped}
    stays = [verdict.point for verdict in result.kept]

    assert sorted(verdict.point.id for verdict in result.verdicts) == sorted(point.id for point in points)
    assert all(verdict.reasons for verdict in result.verdicts)
    assert not any(point.health is Health.ACTIVE or point.hold for point in points if point.id in dropped)
    assert not any(parent in dropped for point in stays for parent in point.parents)
    for group in ("a", "b"):
        for judged in (lambda point: True, lambda point: point.verified):
            good = [point for point in points if point.group == group and point.health is Health.GOOD and judged(point)]
            if good:
                assert max(good, key=lambda point: (point.time, point.id)).id not in dropped
    assert retain(stays, keep, NOW).dropped == ()
