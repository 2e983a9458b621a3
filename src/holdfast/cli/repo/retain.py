"""`holdfast repo retain`: keep snapshots for longer, in a bucket with object lock."""

import argparse
from datetime import UTC, datetime, timedelta

import msgspec

from holdfast.cli.repo.context import Context
from holdfast.cli.repo.options import add_filters, chosen
from holdfast.repo.retention import extend_retention

HELP = """\
Everything that restoring the snapshots takes is kept at least so many days from now; no date is
made earlier. Each backup and each copy does that for its own snapshots, for the days of
s3.object-lock-days.

Examples:
  holdfast repo retain latest --days 365 -o s3.object-lock-mode=COMPLIANCE -o s3.object-lock-days=30
  HOLDFAST_S3_OBJECT_LOCK_MODE=GOVERNANCE HOLDFAST_S3_OBJECT_LOCK_DAYS=30 holdfast repo retain --days 90
"""


class _Retained(msgspec.Struct, frozen=True, tag_field="message_type", tag="retained"):
    """`moved` are paths of objects whose date was moved."""

    until: datetime
    snapshots: list[str]
    moved: list[str]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("snapshot", nargs="*", help="these snapshots: ids, their beginnings, or latest")
    parser.add_argument("--days", type=int, required=True, metavar="N", help="how many days from now")
    add_filters(parser, "without ids, or for latest")


def run(context: Context) -> int:
    """Extend, and say what was moved."""
    with context.reading() as repo:
        idents = [found.id for found in context.snapshots(repo, context.arguments.snapshot, chosen(context.arguments))]
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=context.arguments.days)
        moved = sorted(extend_retention(repo, idents, until))
    if context.output.json:
        context.output.document(_Retained(until, idents, moved))
    else:
        context.output.line(
            f"{len(idents)} snapshots are kept until {until:%Y-%m-%d %H:%M} UTC: {len(moved)} objects were moved"
        )
    return 0
