"""Retention: which recovery points stay, which go, and why, as a pure function.

Every API says what to keep in its own words; a dialect turns them into `Keep`, and this module alone decides. It
promises: the newest good point and the newest verified one of a group are never dropped, whatever the rules say;
nothing is dropped that is running, held (paused, being restored or copied) or needed by a point that stays; each
verdict carries its reasons. The executor may only delete what a verdict names.

Counts, `within` and `oldest` mean what the flags of the same names mean to the stock program, so that the same rules keep the
same points; on top of it comes the promise about the newest.
"""

import enum
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import msgspec

from holdfast.core.span import Span
from holdfast.core.times import format_duration, format_time

UNLIMITED = -1
"""As a count: one point of every period, however long ago."""


class Health(enum.Enum):
    """What a recovery point is good for."""

    ACTIVE = "active"  # not finished: never judged
    GOOD = "good"
    BAD = "bad"


class RecoveryPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One point that data can be taken from. Rules count within a `group`: one repository and schedule.

    `hold` says why it must not go now; `parents` are the ids without which it can't be read.
    """

    id: str
    time: datetime
    health: Health = Health.GOOD
    group: str = ""
    hold: str = ""
    parents: tuple[str, ...] = ()
    verified: bool = False


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """What to keep. A count keeps the newest point of each of the latest N periods, or UNLIMITED. Periods are
    those of `zone`, None for each point's own; weeks are ISO weeks.

    `within` keeps all points, and `within_hourly` and so on the newest of each period, that are younger than the span before
    the newest point that is not in the future. With `oldest`, a count that is not reached keeps the oldest point too, which
    later fills it. Without any count or span every good point stays until `max_age`, which is absolute. `failed` counts the
    bad ones to keep for people to look at; None keeps them until `max_age`.
    """

    last: int | None = None
    hourly: int | None = None
    daily: int | None = None
    weekly: int | None = None
    monthly: int | None = None
    yearly: int | None = None
    within: Span | None = None
    within_hourly: Span | None = None
    within_daily: Span | None = None
    within_weekly: Span | None = None
    within_monthly: Span | None = None
    within_yearly: Span | None = None
    oldest: bool = False
    zone: tzinfo | None = UTC
    max_age: timedelta | None = None
    failed: int | None = 1

    def at(self, point: RecoveryPoint) -> datetime:
        """The time of a point in the zone that counts."""
        return point.time if self.zone is None else point.time.astimezone(self.zone)

    @property
    def counts(self) -> dict[str, int]:
        """The counts that are set, in order."""
        named = {name: getattr(self, name) for name in ("last", *_PERIODS)}
        return {name: count for name, count in named.items() if count is not None}

    @property
    def spans(self) -> dict[str, Span]:
        """The spans that are set, in order, by the periods that they thin out to; `within` thins out nothing."""
        named = {name: getattr(self, name) for name in ("within", *(f"within_{period}" for period in _PERIODS))}
        return {name: span for name, span in named.items() if span is not None}


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of one point, and why."""

    point: RecoveryPoint
    keep: bool
    reasons: tuple[str, ...]


class Retention(msgspec.Struct, frozen=True):
    """Every verdict, newest point first."""

    verdicts: tuple[Verdict, ...]

    @property
    def kept(self) -> tuple[Verdict, ...]:
        """Those that stay."""
        return tuple(verdict for verdict in self.verdicts if verdict.keep)

    @property
    def dropped(self) -> tuple[Verdict, ...]:
        """Those that go."""
        return tuple(verdict for verdict in self.verdicts if not verdict.keep)


def _week(moment: datetime) -> str:
    year, week, _ = moment.isocalendar()
    return f"{year}-W{week:02}"


_PERIODS: dict[str, Callable[[datetime], str]] = {
    "hourly": lambda moment: moment.strftime("%Y-%m-%dT%H"),
    "daily": lambda moment: moment.strftime("%Y-%m-%d"),
    "weekly": _week,
    "monthly": lambda moment: moment.strftime("%Y-%m"),
    "yearly": lambda moment: moment.strftime("%Y"),
}


def retain(points: Iterable[RecoveryPoint], keep: Keep, now: datetime) -> Retention:
    """Judge every point, each among those of its group."""
    ordered = sorted(points, key=lambda point: (point.time, point.id), reverse=True)
    reasons: dict[str, list[str]] = {point.id: [] for point in ordered}
    for group in dict.fromkeys(point.group for point in ordered):
        _judge_group([point for point in ordered if point.group == group], keep, now, reasons)
    _keep_parents(ordered, reasons)
    return Retention(tuple(_verdict(point, reasons[point.id], keep, now) for point in ordered))


def _judge_group(points: Sequence[RecoveryPoint], keep: Keep, now: datetime, reasons: dict[str, list[str]]) -> None:
    good = [point for point in points if point.health is Health.GOOD]
    bad = [point for point in points if point.health is Health.BAD]
    for point in points:
        if point.health is Health.ACTIVE:
            reasons[point.id].append("not finished")
        if point.hold:
            reasons[point.id].append(point.hold)
    for point, reason in [*_good_reasons(good, keep, now), *_bad_reasons(bad, keep)]:
        if not _too_old(point, keep, now):
            reasons[point.id].append(reason)
    for label, candidates in (("newest good one", good), ("newest verified one", [point for point in good if point.verified])):
        if candidates:
            reasons[candidates[0].id].append(label)


def _good_reasons(good: Sequence[RecoveryPoint], keep: Keep, now: datetime) -> Iterable[tuple[RecoveryPoint, str]]:
    if not keep.counts and not keep.spans:
        yield from ((point, "no count limits them") for point in good)
    for name, count in keep.counts.items():
        if name == "last":
            yield from ((point, f"last {count}") for point in (good if count == UNLIMITED else good[:count]))
        else:
            yield from _newest_of_each(good, name, count, keep, good[-1:])
    newest = next((point for point in good if point.time < now), None)
    if newest is None:
        return
    for name, span in keep.spans.items():
        since = span.before(keep.at(newest))
        young = [point for point in good if point.time > since]
        if name == "within":
            yield from ((point, f"within {span}") for point in young)
            continue
        for point, reason in _newest_of_each(young, name.removeprefix("within_"), UNLIMITED, keep, good[-1:]):
            yield point, f"within {span}: {reason}"


def _newest_of_each(
    points: Sequence[RecoveryPoint], name: str, count: int, keep: Keep, oldest: Sequence[RecoveryPoint]
) -> Iterable[tuple[RecoveryPoint, str]]:
    used, last = 0, ""
    for point in points:
        if used == count:
            return
        bucket = _PERIODS[name](keep.at(point))
        if bucket != last:
            used, last = used + 1, bucket
            yield point, f"{name} {bucket}"
        elif keep.oldest and point in oldest:
            yield point, f"oldest, until there are enough {name} ones"


def _bad_reasons(bad: Sequence[RecoveryPoint], keep: Keep) -> Iterable[tuple[RecoveryPoint, str]]:
    kept = bad if keep.failed is None else bad[: keep.failed]
    return ((point, "failed ones that are kept to be looked at") for point in kept)


def _keep_parents(points: Sequence[RecoveryPoint], reasons: dict[str, list[str]]) -> None:
    by_id = {point.id: point for point in points}
    waiting = [point for point in points if reasons[point.id]]
    while waiting:
        child = waiting.pop()
        for parent in child.parents:
            if parent not in by_id:
                continue
            if not reasons[parent]:
                waiting.append(by_id[parent])
            reasons[parent].append(f"{child.id} needs it")


def _verdict(point: RecoveryPoint, reasons: Sequence[str], keep: Keep, now: datetime) -> Verdict:
    if reasons:
        return Verdict(point, True, tuple(reasons))
    if keep.max_age is not None and _too_old(point, keep, now):
        limit = format_duration(keep.max_age)
        return Verdict(point, False, (f"from {format_time(point.time)}, older than {limit}",))
    if point.health is Health.BAD:
        return Verdict(point, False, (f"failed, and newer failed ones fill the limit of {keep.failed}",))
    rules = ", ".join(f"{name}={rule}" for name, rule in [*keep.counts.items(), *keep.spans.items()])
    return Verdict(point, False, (f"no rule keeps it ({rules})",))


def _too_old(point: RecoveryPoint, keep: Keep, now: datetime) -> bool:
    return keep.max_age is not None and now - point.time > keep.max_age
