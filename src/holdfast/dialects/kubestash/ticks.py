"""The schedules of a BackupConfiguration for its Ledgers: one for each session, with what became of each BackupSession.

A session's name ends in the second it was due. What a person started at another time belongs to no due time. A failed session
that is repeated has the outcome of its last repetition.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from holdfast.core.labels import annotation
from holdfast.core.ledger import Mark, Outcome, Schedule
from holdfast.core.objects import Object
from holdfast.core.ports import View
from holdfast.core.read import conditions_of, flag, name_of, namespace_of, number, phase_of, text
from holdfast.core.times import parse_time
from holdfast.dialects.kubestash import history, names
from holdfast.dialects.kubestash.backup_session import FAILURE, SKIPPED
from holdfast.dialects.kubestash.decode import Session, configuration

_OUTCOMES: Mapping[str, Outcome] = {
    "Succeeded": Outcome.RAN,
    "Failed": Outcome.FAILED,
    "Skipped": Outcome.SKIPPED,
}

_WHY: Mapping[Outcome, str] = {Outcome.FAILED: FAILURE, Outcome.SKIPPED: SKIPPED}
"""The condition that says why."""


def schedules(obj: Object, view: View) -> list[Schedule]:
    """Return a schedule for each session of a BackupConfiguration that is valid."""
    wanted = configuration(obj)
    found = history.sessions(name_of(obj), namespace_of(obj), view)
    born = parse_time(text(obj, "metadata", "creationTimestamp"))
    return [
        Schedule(
            text=session.schedule,
            part=session.name,
            since=born,
            suspended=_suspended(session, paused=wanted.paused),
            limit=_limit(session),
            marks=_marks(obj, session, [each for each in found if text(each, "spec", "session") == session.name]),
        )
        for session in wanted.sessions
        if session.schedule
    ]


def _suspended(session: Session, *, paused: bool) -> str:
    if paused:
        return "spec.paused is set"
    return "the session's scheduler is suspended" if flag(session.scheduler, "suspend") else ""


def _limit(session: Session) -> timedelta | None:
    seconds = number(session.scheduler, "startingDeadlineSeconds")
    return timedelta(seconds=seconds) if seconds is not None else None


def _marks(obj: Object, session: Session, found: Sequence[Object]) -> list[Mark]:
    repeated = {annotation(each, names.RETRY_OF): each for each in found if annotation(each, names.RETRY_OF)}
    head = names.backup_session_prefix(name_of(obj), session.name)
    marks: list[Mark] = []
    for each in found:
        rest = name_of(each).removeprefix(f"{head}-")
        if not (rest.isascii() and rest.isdigit()) or annotation(each, names.RETRY_OF):
            continue
        marks.append(_mark(each, datetime.fromtimestamp(int(rest), UTC), repeated))
    return marks


def _mark(first: Object, due: datetime, repeated: Mapping[str, Object]) -> Mark:
    last = first
    while name_of(last) in repeated:
        last = repeated[name_of(last)]
    outcome = _OUTCOMES.get(phase_of(last), Outcome.RUNNING)
    if outcome is Outcome.FAILED and history.to_repeat(last):
        outcome = Outcome.RUNNING
    nothing: Object = {}
    why = next((item for item in conditions_of(last) if item.get("type") == _WHY.get(outcome)), nothing)
    return Mark(
        due=due,
        run=name_of(first),
        outcome=outcome,
        started=parse_time(text(first, "metadata", "creationTimestamp")),
        finished=None if outcome is Outcome.RUNNING else history.ended(last),
        reason=text(why, "reason"),
        message=text(why, "message"),
    )
