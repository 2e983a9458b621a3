"""RetentionPolicy: which Snapshots are kept. It does nothing itself; sessions ask `keep_of` after each backup."""

from datetime import datetime, timedelta
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import at, deleting, flag, mapping, name_of, namespace_of, number, text
from holdfast.core.retention import Keep
from holdfast.core.times import parse_period
from holdfast.dialects.kubestash import usage
from holdfast.dialects.kubestash.kinds import RETENTION_POLICY

_COUNTS: Final = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
_FAILED: Final = 1


class RetentionPolicyHandler:
    """Handles RetentionPolicies: it only judges them."""

    kind = RETENTION_POLICY
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge period, counts, usage policy and the one default per namespace."""
        found = [*usage.problems(obj), *_rules(obj)]
        if flag(obj, "spec", "default"):
            for other in refs.list(RETENTION_POLICY, namespace_of(obj)):
                if name_of(other) != name_of(obj) and flag(other, "spec", "default"):
                    there = f"RetentionPolicy {namespace_of(other)}/{name_of(other)}"
                    found.append(Problem("spec.default", f"{there} is the namespace's default already: only one can be"))
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Ask for nothing: a policy acts through the sessions that name it."""
        return Desired(release=deleting(obj))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the present status: this kind has none."""
        return mapping(obj, "status")


def keep_of(policy: Object) -> Keep | Problem:
    """Return the rules of a policy, or what is wrong with them."""
    if found := _rules(policy):
        return found[0]
    period = text(policy, "spec", "maxRetentionPeriod")
    failed = number(policy, "spec", "failedSnapshots", "last")
    counts = {name: number(policy, "spec", "successfulSnapshots", name) for name in _COUNTS}
    return Keep(
        last=counts["last"],
        hourly=counts["hourly"],
        daily=counts["daily"],
        weekly=counts["weekly"],
        monthly=counts["monthly"],
        yearly=counts["yearly"],
        max_age=parse_period(period) if period else None,
        failed=_FAILED if failed is None else failed,
    )


def _rules(obj: Object) -> list[Problem]:
    found: list[Problem] = []
    period = text(obj, "spec", "maxRetentionPeriod")
    if period:
        try:
            if parse_period(period) <= timedelta():
                found.append(Problem("spec.maxRetentionPeriod", f"{period} keeps nothing: use a period such as 30d"))
        except ValueError as error:
            found.append(Problem("spec.maxRetentionPeriod", str(error)))
    elif at(obj, "spec", "successfulSnapshots") is None:
        found.append(Problem("spec", "needs maxRetentionPeriod or successfulSnapshots: it would keep everything for ever"))
    for group in ("successfulSnapshots", "failedSnapshots"):
        for name in _COUNTS:
            if (number(obj, "spec", group, name) or 0) < 0:
                found.append(Problem(f"spec.{group}.{name}", "is negative: use 0 or more"))
    return found
