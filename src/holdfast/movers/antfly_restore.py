"""Has an Antfly cluster load a backup, and is content only when the data is there.

The server's own answer means no more than that it has begun, and it drops a table before it has looked at the backup. So
everything that can be known before is looked at first: that the backup is listed, that every table is completely in it, and
what exists. Tables that are to be replaced go one after the other: when one fails, the others have not been touched.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from holdfast.core.calls import AntflyRestore
from holdfast.core.report import Failure, ItemResult, Progress, Report, RepositoryResult
from holdfast.core.times import format_time
from holdfast.movers.antfly import AntflyError, Client, NoAnswer, Table, mover_error, patiently
from holdfast.movers.context import Context, MoverError, log

REACH_SECONDS = 120.0
"""How long a server that can't be reached is tried before anything has begun."""

EMPTY_SECONDS = 120.0
"""How long a table that is there may hold nothing: one that was empty in the backup can't be told from data that is lost."""

POLL, LONGEST_POLL = 0.5, 10.0
"""Seconds between two looks at the tables: the first, and what it grows to."""

PENDING, COMPLETED, FAILED, SKIPPED = "Pending", "Completed", "Failed", "Skipped"
FAIL, SKIP, OVERWRITE = "fail_if_exists", "skip_if_exists", "overwrite"
_NAMED = 5


class _Failed(Exception):
    """The end of the restore, with what became of each table so far."""

    def __init__(self, reason: str, message: str, hint: str = "", *, again: bool = False) -> None:
        super().__init__(message)
        self.failure = Failure(reason, message, hint, again)


def run(call: AntflyRestore, context: Context) -> Report:
    """Restore, wait, and report each table."""
    return _Run(call, context).report()


class _Run:
    def __init__(self, call: AntflyRestore, context: Context) -> None:
        self._call, self._context = call, context
        self._client = Client(call.server, context)
        self._until = time.monotonic() + call.timeout
        self._started = datetime.now(UTC)
        self._tables: dict[str, ItemResult] = {}
        self._begun = False

    def report(self) -> Report:
        log(f"restore of backup {self._call.backup_id} from {self._call.location} into {self._client.name}")
        failure = None
        try:
            self._restore()
        except _Failed as failed:
            failure = failed.failure
        except (AntflyError, MoverError) as error:
            found = error.failure if isinstance(error, MoverError) else mover_error(error).failure
            failure = msgspec.structs.replace(found, again=found.again and not self._begun)
        for name, item in self._tables.items():
            if failure and self._begun and item.status == PENDING:
                self._tables[name] = ItemResult(name, FAILED, "was not restored: another table had failed")
        done = RepositoryResult(
            self._call.backup_id,
            started=format_time(self._started),
            finished=format_time(datetime.now(UTC)),
            seconds=round((datetime.now(UTC) - self._started).total_seconds(), 3),
            integrity=True if failure is None else None,
        )
        return Report(AntflyRestore.MOVER, (done,), failure, tuple(self._tables.values()))

    def _restore(self) -> None:
        names = self._chosen()
        self._tables = {name: ItemResult(name, PENDING) for name in names}
        present = set(patiently(self._client.tables, self._context, self._patience()))
        there = [name for name in names if name in present]
        if there and self._call.mode == FAIL:
            for name in there:
                self._tables[name] = ItemResult(name, FAILED, "exists already")
            raise _Failed(
                "TablesExist",
                f"nothing was restored: {_listed(there)} already there",
                f"drop them, or make another AntflyRestore with restoreMode {SKIP} or {OVERWRITE}",
            )
        if self._call.mode == SKIP:
            for name in there:
                self._tables[name] = ItemResult(name, SKIPPED, "exists already")
            names = tuple(name for name in names if name not in present)
        groups = [(name,) for name in names] if self._call.mode == OVERWRITE else [names] if names else []
        for group in groups:
            self._begin(group, replaced=bool(present & set(group)))
            self._await(group)

    def _chosen(self) -> tuple[str, ...]:
        """Return the tables to restore, all of them in the backup."""
        call = self._call
        listed = patiently(lambda: self._client.backups(call.location), self._context, self._patience())
        found = next((each for each in listed if each.backup_id == call.backup_id), None)
        if found is None:
            newest = sorted(listed, key=lambda each: each.timestamp, reverse=True)[:_NAMED]
            there = ", ".join(each.backup_id for each in newest) or "none"
            raise _Failed("BackupNotFound", f"there is no backup {call.backup_id} at {call.location}", f"newest there: {there}")
        absent = [name for name in call.tables if name not in found.names]
        if absent:
            hint = f"it holds {', '.join(found.names) or 'no table'}"
            raise _Failed("TableNotInBackup", f"backup {call.backup_id} lacks {', '.join(absent)}", hint)
        if not found.names:
            raise _Failed("BackupEmpty", f"backup {call.backup_id} holds no complete table", "restore another backup")
        return call.tables or found.names

    def _begin(self, names: Sequence[str], *, replaced: bool) -> None:
        """Start tables. When the answer is lost they are waited for, unless the old data can't be told from the new."""
        self._context.check()
        call = self._call
        log(f"asking the server to restore {', '.join(names)}")
        within = max(self._left(), 1.0)
        self._begun = True
        try:
            answer = patiently(
                lambda: self._client.restore(call.backup_id, call.location, names, call.mode, within=within),
                self._context,
                self._patience(),
            )
        except NoAnswer as error:
            if replaced:
                raise
            log(f"{error}; looking at the tables")
            return
        for table in answer.tables:
            if table.status == "failed":
                self._tables[table.name] = ItemResult(table.name, FAILED, table.error or "the server gives no reason")
            elif table.status == "skipped":
                self._tables[table.name] = ItemResult(table.name, SKIPPED, "exists already")

    def _await(self, names: Sequence[str]) -> None:
        """Wait for the data of every table that was begun. Raises when one has failed."""
        waiting = {name: _Waiting() for name in names if self._tables[name].status == PENDING}
        pause = POLL
        while waiting:
            for name, seen in list(waiting.items()):
                table = self._look(name)
                if table is not None and (ended := seen.judge(name, table)) is not None:
                    self._tables[name] = ended
                    del waiting[name]
                size = table.storage.bytes if table else 0
                self._context.progress(Progress(name, files_done=int(name not in waiting), files_total=1, bytes_done=size))
            if not waiting:
                break
            if self._left() <= 0:
                for name in waiting:
                    self._tables[name] = ItemResult(name, FAILED, "its data was not there when the time was over")
                break
            self._context.stop.wait(min(pause, max(self._left(), 0.01)))
            self._context.check()
            pause = min(pause * 1.5, LONGEST_POLL)
        bad = [self._tables[name] for name in names if self._tables[name].status == FAILED]
        if bad:
            named = "; ".join(f"table {item.name}: {item.message}" for item in bad[:_NAMED])
            raise _Failed("RestoreFailed", named, "the log of the Antfly server says more")

    def _look(self, name: str) -> Table | None:
        try:
            return self._client.table(name)
        except AntflyError as error:
            log(f"{error}; looking again")
            return None

    def _patience(self) -> float:
        return min(REACH_SECONDS, max(self._left(), 0.0))

    def _left(self) -> float:
        return self._until - time.monotonic()


class _Waiting:
    """What was seen of one table so far."""

    def __init__(self) -> None:
        self._size = -1
        self._since = time.monotonic()

    def judge(self, name: str, table: Table) -> ItemResult | None:
        """Return how the table ended: loaded, and no larger than at the last look; or there and empty for too long."""
        if table.loaded:
            settled = table.storage.bytes == self._size
            self._size = table.storage.bytes
            return ItemResult(name, COMPLETED) if settled else None
        if table.shards and time.monotonic() - self._since >= EMPTY_SECONDS:
            why = f"is there, and still holds nothing after {EMPTY_SECONDS:.0f}s (right only if it was empty in the backup)"
            return ItemResult(name, FAILED, why)
        return None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{'tables' if len(names) > 1 else 'table'} {', '.join(names[:_NAMED])}{more} {'are' if len(names) > 1 else 'is'}"
