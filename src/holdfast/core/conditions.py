"""Conditions: the list in a status that says what holds, since when, and why.

Two habits exist. Kubernetes moves `lastTransitionTime` only when the status of a condition changes; KubeStash moves it
whenever reason, message or generation change too. Both leave a condition alone when nothing differs, so a pass over an
unchanged object writes nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from holdfast.core.objects import Object
from holdfast.core.times import format_time

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What holds. `generation` is the spec it was judged on; None leaves observedGeneration out."""

    type: str
    status: str
    reason: str
    message: str = ""
    generation: int | None = None


def condition(type_: str, holds: bool | None, reason: str, message: str = "", *, generation: int | None = None) -> Condition:
    """Build a Condition from a truth value; None means Unknown."""
    status = UNKNOWN if holds is None else TRUE if holds else FALSE
    return Condition(type=type_, status=status, reason=reason, message=message, generation=generation)


def upsert(present: Sequence[Object] | None, new: Condition, now: datetime, *, restamp: bool = False) -> list[Object]:
    """Return the list with `new` in it, in the place of the old one of its type, else at the end.

    `lastTransitionTime` moves when the status changes, or with `restamp` when anything changes.
    """
    old = find(present, new.type)
    if old is not None and _same(old, new):
        return list(present or ())
    moved = old is None or restamp or old.get("status") != new.status
    since = format_time(now) if moved or old is None else old.get("lastTransitionTime", format_time(now))
    entry: Object = {
        "type": new.type,
        "status": new.status,
        "reason": new.reason,
        "message": new.message,
        "lastTransitionTime": since,
    }
    if new.generation is not None:
        entry["observedGeneration"] = new.generation
    if old is None:
        return [*(present or ()), entry]
    return [entry if item is old else item for item in present or ()]


def upsert_all(
    present: Sequence[Object] | None, new: Iterable[Condition], now: datetime, *, restamp: bool = False
) -> list[Object]:
    """Upsert several conditions in order."""
    result = list(present or ())
    for item in new:
        result = upsert(result, item, now, restamp=restamp)
    return result


def remove(present: Sequence[Object] | None, type_: str) -> list[Object]:
    """Return the list without the condition of that type."""
    return [item for item in present or () if item.get("type") != type_]


def find(present: Sequence[Object] | None, type_: str) -> Object | None:
    """Return the condition of that type."""
    return next((item for item in present or () if item.get("type") == type_), None)


def is_true(present: Sequence[Object] | None, type_: str) -> bool:
    """Whether the condition is there and True."""
    return (find(present, type_) or {}).get("status") == TRUE


def is_false(present: Sequence[Object] | None, type_: str) -> bool:
    """Whether the condition is there and False: an absent one is neither true nor false."""
    return (find(present, type_) or {}).get("status") == FALSE


def _same(old: Object, new: Condition) -> bool:
    return (
        old.get("status") == new.status
        and old.get("reason") == new.reason
        and old.get("message", "") == new.message
        and old.get("observedGeneration") == new.generation
    )
