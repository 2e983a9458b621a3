"""The Ledger: what became of each due time of a schedule. Made and kept by the engine (`core.ledger`); users only read it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import UNSET

from holdfast.schema.fields import Maybe, Time, Wire, doc
from holdfast.schema.kind import AGE, Column, KindSpec


class LedgerSpec(Wire):
    """Which schedule it is about."""

    kind: Annotated[
        str, doc("Kind and group of the object that has the schedule, such as BackupConfiguration.core.kubestash.com.")
    ]
    name: Annotated[str, doc("Name of that object, in the same namespace.")]
    schedule: Annotated[str, doc("Cron expression, as the record was last kept for it.")]
    part: Maybe[Annotated[str, doc("Which of several schedules of that object, such as the name of a session.")]] = UNSET
    time_zone: Maybe[Annotated[str, doc("IANA name of the time zone of the schedule; absent means UTC.")]] = UNSET


class Tick(Wire):
    """What became of one due time, or of several in a row that were skipped for the same reason."""

    due: Annotated[Time, doc("The due time, or the first of several.")]
    outcome: Annotated[
        Literal["Ran", "Late", "Failed", "Skipped"],
        doc("Ran in time, ran late (begun more than two minutes after it was due), failed, or skipped."),
    ]
    reason: Maybe[Annotated[str, doc("Why it failed or was skipped, in one word.")]] = UNSET
    message: Maybe[Annotated[str, doc("Why it failed or was skipped, in a sentence.")]] = UNSET
    run: Maybe[Annotated[str, doc("Name of the run that this due time started.")]] = UNSET
    started: Maybe[Annotated[Time, doc("When the run began.")]] = UNSET
    finished: Maybe[Annotated[Time, doc("When the run ended.")]] = UNSET
    until: Maybe[Annotated[Time, doc("The last due time of several.")]] = UNSET
    count: Maybe[Annotated[int, doc("How many due times this entry speaks for; absent means one.")]] = UNSET


class Record(Wire):
    """What became of the due times. Counts go on when old entries leave the list."""

    since: Annotated[Time, doc("Due times after this moment are recorded.")]
    through: Annotated[Time, doc("Every due time up to this one has its entry or is counted.")]
    ran: Annotated[int, doc("How many ran in time.")] = 0
    late: Annotated[int, doc("How many ran late.")] = 0
    failed: Annotated[int, doc("How many failed.")] = 0
    skipped: Annotated[int, doc("How many were skipped.")] = 0
    suspended_since: Maybe[Annotated[Time, doc("Since when the schedule is suspended; its due times are entered later.")]] = (
        UNSET
    )
    suspended_until: Maybe[Annotated[Time, doc("When it was resumed, until the due times before that are entered.")]] = UNSET
    suspended_reason: Maybe[Annotated[str, doc("What suspends it.")]] = UNSET
    pending: Maybe[Annotated[list[Time], doc("Due times of the schedule before an edit whose runs go on.")]] = UNSET
    ticks: Maybe[Annotated[list[Tick], doc("The newest entries, the newest first.")]] = UNSET


class Ledger(Wire):
    """The record of one schedule: each due time has exactly one outcome, also long after its run is gone."""

    spec: Annotated[LedgerSpec, doc("Which schedule it is about.")]
    record: Annotated[Record, doc("What became of its due times.")]


KINDS: Final = (
    KindSpec(
        group="holdfast.dev",
        version="v1alpha1",
        kind="Ledger",
        plural="ledgers",
        type=Ledger,
        categories=("holdfast",),
        columns=(
            Column("Schedule", ".spec.schedule"),
            Column("Last", ".record.ticks[0].outcome"),
            Column("Due", ".record.ticks[0].due", "date"),
            Column("Reason", ".record.ticks[0].reason"),
            Column("Ran", ".record.ran", "integer"),
            Column("Late", ".record.late", "integer"),
            Column("Failed", ".record.failed", "integer"),
            Column("Skipped", ".record.skipped", "integer"),
            AGE,
        ),
    ),
)
"""Every kind of the group."""
