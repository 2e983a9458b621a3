"""Keeping the Ledgers of objects that have schedules, in each pass over them: one write for what is new, none else.

They are written before anything is deleted in that pass, since what is deleted may be what they tell of.

A Ledger that can't be written never holds a run up: it says so in the log, and the next pass tries again.
"""

from datetime import datetime, timedelta
from typing import Final

from holdfast.core.advance import in_line
from holdfast.core.kinds import LEDGER
from holdfast.core.ledger import keep, ledger_name
from holdfast.core.objects import Object
from holdfast.core.ports import Handler, Scheduled
from holdfast.core.read import deleting, namespace_of
from holdfast.engine.view import PassView
from holdfast.kube.resource import Resource

FIRST: Final = timedelta(seconds=20)
"""How long after a schedule its Ledger is made: a thousand schedules at once shall be Ready before they are recorded."""

LEDGERS: Final = Resource(LEDGER.group, "v1alpha1", LEDGER.kind, "ledgers")


def due_ledgers(owner: Object, handler: Handler, view: PassView, now: datetime) -> list[Object]:
    """Return the Ledgers of an object that must be written; the view is told when to look again."""
    if not isinstance(handler, Scheduled) or deleting(owner):
        return []
    found: list[Object] = []
    for schedule in handler.schedules(owner, view, now):
        there = view.get(LEDGER, namespace_of(owner), ledger_name(owner, schedule.part))
        if there is None and now < schedule.since + FIRST:
            view.times.append(schedule.since + FIRST)
            continue
        wanted, wake = keep(owner, schedule, there, now)
        if wake is not None:
            view.times.append(wake)
        if there is None or not in_line(wanted, there, view):
            found.append(wanted)
    return found
