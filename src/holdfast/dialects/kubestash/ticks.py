"""The schedules of a BackupConfiguration for its Ledgers: one for each session, with what became of each BackupSession, and one
for each repository that a BackupVerifier has tested, with its first attempts.

A session's name ends in the second it was due. What a person started at another time belongs to no due time. A failed session
that is repeated has the outcome of its last repetition.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from holdfast.core.labels import annotation
from holdfast.core.ledger import Mark, Outcome, Schedule
from holdfast.core.objects import Object
from holdfast.core.ports import View
from holdfast.core.read import conditions_of, flag, mapping, name_of, namespace_of, number, phase_of, text
from holdfast.core.times import parse_time
from holdfast.dialects.kubestash import history, names, verifier
from holdfast.dialects.kubestash.backup_session import FAILURE, SKIPPED
from holdfast.dialects.kubestash.decode import Session, configuration
from holdfast.dialects.kubestash.kinds import VERIFICATION

_OUTCOMES: Mapping[str, Outcome] = {
    "Succeeded": Outcome.RAN,
    "Failed": Outcome.FAILED,
    "Skipped": Outcome.SKIPPED,
}

_WHY: Mapping[Outcome, str] = {Outcome.FAILED: FAILURE, Outcome.SKIPPED: SKIPPED}
"""The condition of a BackupSession that says why; of a test it is the last one."""


def schedules(obj: Object, view: View) -> list[Schedule]:
    """Return a schedule for each session of a BackupConfiguration that is valid."""
    wanted = configuration(obj)
    found = history.sessions(name_of(obj), namespace_of(obj), view)
    born = parse_time(text(obj, "metadata", "creationTimestamp"))
    backups = [
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
    return [*backups, *_tests(obj, view)]


def _tests(obj: Object, view: View) -> list[Schedule]:
    """Return the schedules of the CronJobs that `verifier.children` makes; they count from when both objects are there."""
    wanted = configuration(obj)
    label = (names.INVOKER_NAME, names.label_value(name_of(obj)))
    found = view.list(VERIFICATION, namespace_of(obj), label=label) if verifier.tested(wanted, view) else ()
    made: list[Schedule] = []
    for session, use, by in verifier.tested(wanted, view):
        scheduler = mapping(by, "spec", "scheduler")
        head = names.verification_prefix(use.name, session.name)
        seconds = number(scheduler, "startingDeadlineSeconds")
        mine = [(each, name_of(each).removeprefix(f"{head}-")) for each in found]
        made.append(
            Schedule(
                text=text(scheduler, "schedule"),
                part=f"verify-{use.name}-{session.name}",
                since=max(parse_time(text(each, "metadata", "creationTimestamp")) for each in (obj, by)),
                suspended=_why_suspended(scheduler, paused=wanted.paused),
                limit=timedelta(seconds=seconds) if seconds is not None else None,
                marks=[
                    _mark(each, datetime.fromtimestamp(int(rest), UTC), {})
                    for each, rest in mine
                    if rest.isascii() and rest.isdigit()
                ],
            )
        )
    return made


def _suspended(session: Session, *, paused: bool) -> str:
    return _why_suspended(session.scheduler, paused=paused)


def _why_suspended(scheduler: Object, *, paused: bool) -> str:
    if paused:
        return "spec.paused is set"
    return "the session's scheduler is suspended" if flag(scheduler, "suspend") else ""


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
    told = conditions_of(last) if outcome in _WHY else []
    why: Object = next((item for item in told if item.get("type") == _WHY[outcome]), told[-1] if told else {})
    return Mark(
        due=due,
        run=name_of(first),
        outcome=outcome,
        started=parse_time(text(first, "metadata", "creationTimestamp")),
        finished=None if outcome is Outcome.RUNNING else history.ended(last),
        reason=text(why, "reason"),
        message=text(why, "message"),
    )
