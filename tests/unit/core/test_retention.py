"""Retention: the rules one by one, each with the reason that a person would read."""

from datetime import UTC, datetime, timedelta

from holdfast.core.retention import Health, Keep, RecoveryPoint, retain

NOW = datetime(2026, 11, 20, 13, 30, tzinfo=UTC)


def point(name: str, hours_ago: float, **more: object) -> RecoveryPoint:
    return RecoveryPoint(id=name, time=NOW - timedelta(hours=hours_ago), **more)  # type: ignore[arg-type]


def kept(points: list[RecoveryPoint], keep: Keep) -> set[str]:
    return {verdict.point.id for verdict in retain(points, keep, NOW).kept}


def test_last_keeps_the_newest() -> None:
    points = [point(str(age), age) for age in range(5)]
    assert kept(points, Keep(last=2)) == {"0", "1"}


def test_a_daily_rule_keeps_the_newest_of_each_day_in_utc() -> None:
    points = [point("today-noon", 1), point("today-early", 12), point("yesterday", 15), point("two-days", 48)]
    assert kept(points, Keep(daily=2)) == {"today-noon", "yesterday"}


def test_rules_add_up_and_say_why() -> None:
    points = [point("a", 0), point("b", 1), point("c", 24 * 40)]
    verdicts = {verdict.point.id: verdict for verdict in retain(points, Keep(last=1, monthly=2), NOW).verdicts}
    assert verdicts["a"].reasons == ("last 1", "monthly 2026-11", "newest good one")
    assert verdicts["b"].reasons == ("no rule keeps it (last=1, monthly=2)",)
    assert verdicts["c"].reasons == ("monthly 2026-10",)


def test_weeks_are_iso_weeks() -> None:
    # Friday, Monday of the same week, Sunday before.
    points = [point("fri", 0), point("mon", 24 * 4), point("sun", 24 * 5)]
    assert kept(points, Keep(weekly=2)) == {"fri", "sun"}


def test_without_counts_everything_stays_until_it_is_too_old() -> None:
    points = [point("new", 1), point("old", 24 * 8)]
    assert kept(points, Keep(max_age=timedelta(days=7))) == {"new"}
    assert kept(points, Keep()) == {"new", "old"}


def test_the_newest_good_one_outlives_every_rule() -> None:
    points = [point("failed", 1, health=Health.BAD), point("good", 24 * 400), point("older", 24 * 401)]
    assert kept(points, Keep(last=0, max_age=timedelta(hours=1), failed=0)) == {"good"}


def test_the_newest_verified_one_stays_beside_it() -> None:
    points = [point("new", 1), point("proven", 2, verified=True), point("proven-before", 3, verified=True)]
    assert kept(points, Keep(last=1)) == {"new", "proven"}


def test_failed_ones_are_counted_on_their_own() -> None:
    points = [
        point("f1", 1, health=Health.BAD),
        point("f2", 2, health=Health.BAD),
        point("g1", 3),
        point("g2", 4),
        point("g3", 5),
    ]
    assert kept(points, Keep(last=2, failed=1)) == {"f1", "g1", "g2"}


def test_what_runs_or_is_held_stays() -> None:
    points = [
        point("good", 1),
        point("running", 24 * 30, health=Health.ACTIVE),
        point("restoring", 24 * 31, hold="RestoreSession demo/r reads it"),
        point("gone", 24 * 32),
    ]
    retention = retain(points, Keep(last=1, max_age=timedelta(days=1)), NOW)
    assert {verdict.point.id for verdict in retention.dropped} == {"gone"}
    assert ("RestoreSession demo/r reads it",) in [verdict.reasons for verdict in retention.kept]


def test_a_kept_point_keeps_its_whole_chain() -> None:
    points = [point("inc2", 1, parents=("inc1",)), point("inc1", 2, parents=("full",)), point("full", 3), point("other", 4)]
    assert kept(points, Keep(last=1)) == {"inc2", "inc1", "full"}


def test_groups_do_not_shield_or_spend_each_others_points() -> None:
    points = [point("d1", 1, group="daily"), point("d2", 2, group="daily"), point("m1", 24 * 90, group="monthly")]
    assert kept(points, Keep(last=1)) == {"d1", "m1"}


def test_a_drop_for_age_says_how_old_and_which_limit() -> None:
    retention = retain([point("a", 0), point("b", 48)], Keep(max_age=timedelta(days=1)), NOW)
    assert retention.dropped[0].reasons == ("from 2026-11-18T13:30:00Z, older than 24h0m0s",)
