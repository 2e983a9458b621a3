"""Has an Antfly cluster back itself up, and finds out what really came of it.

The server writes the data; this program asks once and then only looks. The backup's id belongs to the Job, so whatever
happens to the connection the outcome can be found in the server's listing. A request of which it is not known whether it
arrived is never repeated: the server may be at work on it. A backup counts as good only when every table that was asked
for completed and the listing shows it; whatever is missing is named.
"""

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from holdfast.core.calls import AntflyBackup
from holdfast.core.report import Failure, ItemResult, Report, RepositoryResult
from holdfast.core.run_id import JOB_NAME, JOB_UID, run_id
from holdfast.core.times import format_time
from holdfast.movers.antfly import AntflyError, Client, Listed, NoAnswer, Outcome, mover_error, patiently
from holdfast.movers.context import Context, MoverError, log

T = TypeVar("T")

POLL, LONGEST_POLL = 1.0, 30.0
"""Seconds between two looks at the listing: the first, and what it grows to."""

REACH_SECONDS = 120.0
"""How long a server that can't be reached is tried before the pod gives up and leaves the next try to its Job."""

READ_BACK_SECONDS = 60.0
"""How long a finished backup may take to appear in the listing: stores need not list at once what was written."""

COMPLETED, FAILED, SKIPPED = "Completed", "Failed", "Skipped"

_STATUSES = {"completed": COMPLETED, "failed": FAILED, "skipped": SKIPPED}
_NAMED = 5
"""How many tables a message names."""


def run(call: AntflyBackup, context: Context) -> Report:
    """Make the backup or adopt it, and report id, times and tables."""
    return _Run(call, context).report()


class _Run:
    def __init__(self, call: AntflyBackup, context: Context) -> None:
        self._call, self._context = call, context
        self._client = Client(call.server, context)
        self._until = time.monotonic() + call.timeout
        self._started = datetime.now(UTC)
        self._id = _identity(call)

    def report(self) -> Report:
        log(f"backup {self._id} of {self._client.name} to {self._call.location}")
        try:
            items, failure = self._outcome()
        except AntflyError as error:
            raise mover_error(error) from error
        done = RepositoryResult(
            self._id,
            started=format_time(self._started),
            finished=format_time(datetime.now(UTC)),
            seconds=round((datetime.now(UTC) - self._started).total_seconds(), 3),
            integrity=True if failure is None else None,
        )
        log(f"backup {self._id} {'failed: ' + failure.message if failure else 'completed'}")
        return Report(AntflyBackup.MOVER, (done,), failure, items)

    def _outcome(self) -> tuple[tuple[ItemResult, ...], Failure | None]:
        wanted = self._call.tables or self._reach(self._client.tables)
        found = self._reach(lambda: self._client.find(self._call.location, self._id))
        if found is None and not self._call.adopt_job:
            try:
                return self._judged(self._ask())
            except NoAnswer as error:
                log(f"{error}; looking for the backup in the listing")
        return self._adopted(found or self._awaited(self._left()), wanted)

    def _ask(self) -> Outcome:
        log("asking the server; it may work for a long time")
        return self._reach(
            lambda: self._client.backup(self._id, self._call.location, self._call.tables, within=max(self._left(), 1.0))
        )

    def _judged(self, outcome: Outcome) -> tuple[tuple[ItemResult, ...], Failure | None]:
        """Judge the server's answer, and read back a good one."""
        items = tuple(
            ItemResult(table.name, _STATUSES.get(table.status, FAILED), table.error or _unsaid(table.status))
            for table in outcome.tables
        )
        answered = {item.name for item in items}
        items += tuple(
            ItemResult(name, FAILED, "the server did not mention it") for name in self._call.tables if name not in answered
        )
        bad = [item for item in items if item.status != COMPLETED]
        if bad:
            return items, _partial(bad, len(items))
        if outcome.status != "completed":
            return items, Failure("BackupFailed", f"the server says that the backup is {outcome.status!r}")
        if not items:
            return items, Failure("NothingBackedUp", "the server backed up no table", "create a table, or name one in tables")
        listed = self._awaited(min(READ_BACK_SECONDS, max(self._left(), POLL)))
        return self._adopted(listed, [item.name for item in items])

    def _adopted(self, listed: Listed, wanted: Sequence[str]) -> tuple[tuple[ItemResult, ...], Failure | None]:
        """Judge a listed backup: the listing names only tables that are complete."""
        names = dict.fromkeys([*wanted, *listed.names])
        items = tuple(
            ItemResult(name, COMPLETED) if name in listed.names else ItemResult(name, FAILED, "is not in the backup")
            for name in names
        )
        bad = [item for item in items if item.status != COMPLETED]
        return items, _partial(bad, len(items)) if bad else None

    def _awaited(self, seconds: float) -> Listed:
        """Wait until the listing shows the backup. Raises MoverError when it does not in time."""
        until, pause = time.monotonic() + seconds, POLL
        while True:
            try:
                found = self._client.find(self._call.location, self._id)
            except AntflyError as error:
                log(f"{error}; looking again")
                found = None
            if found is not None:
                return found
            left = until - time.monotonic()
            if left <= 0:
                raise MoverError(
                    "BackupNotListed",
                    f"{self._client.name} lists no backup {self._id} at {self._call.location}",
                    "the server may still be at work on it: look at its log before you start another one",
                )
            self._pause(min(pause, left))
            pause = min(pause * 1.5, LONGEST_POLL)

    def _reach(self, call: Callable[[], T]) -> T:
        return patiently(call, self._context, min(REACH_SECONDS, self._left()))

    def _left(self) -> float:
        return self._until - time.monotonic()

    def _pause(self, seconds: float) -> None:
        self._context.stop.wait(seconds)
        self._context.check()


def _identity(call: AntflyBackup) -> str:
    """Return the backup's id. Raises MoverError outside of a Job."""
    job, uid = call.adopt_job or os.environ.get(JOB_NAME, ""), call.adopt_uid or os.environ.get(JOB_UID, "")
    if not job or not uid:
        raise MoverError("NoJob", f"{JOB_NAME} and {JOB_UID} are not set", "run it in a Job made from the schedule's CronJob")
    return run_id(call.owner, call.cron_job, job, uid)


def _unsaid(status: str) -> str:
    return "" if status == "completed" else f"the server says {status!r} and gives no reason"


def _partial(bad: Sequence[ItemResult], total: int) -> Failure:
    named = "; ".join(f"table {item.name}: {item.message}" for item in bad[:_NAMED])
    more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    if len(bad) == total:
        return Failure("BackupFailed", f"no table was backed up: {named}{more}")
    return Failure("PartialBackup", f"{len(bad)} of {total} tables are missing: {named}{more}")
