"""`holdfast repo forget`: remove snapshots, by rules or by name."""

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from holdfast.cli.errors import HoldfastError
from holdfast.cli.repo.context import Context
from holdfast.cli.repo.groups import HEADS, Group, document, fields, grouped, row
from holdfast.cli.repo.options import add_filters, checked, chosen, tag_list
from holdfast.cli.repo.prune import add_limits, prune_as_asked, tell
from holdfast.core.retention import UNLIMITED, Keep, RecoveryPoint, Retention, retain
from holdfast.core.span import Span, parse_span
from holdfast.repo.maintain import forget
from holdfast.repo.repository import Repository
from holdfast.repo.snapshot import Snapshot

HELP = """\
With ids these snapshots are removed, whatever they are. With --keep-... every group of
snapshots of one host and the same paths is judged by the rules, and what no rule keeps is
removed. The newest snapshot of a group is always kept. Counts keep the newest snapshot of each
of the latest N hours, days, ISO weeks, months, years that have one, in the zone in which the
snapshot was made; while there are fewer, the oldest snapshot stays too. Spans reach back from
the newest snapshot. Space comes back with `prune`. A snapshot that can't be read is named and
stays, the others are judged, and the exit code is 3; by its id it can be given up.

Examples:
  holdfast repo forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run
  holdfast repo forget --keep-within 14d --keep-within-monthly 1y --keep-tag release
  holdfast repo forget 4f1d2a 88be01
"""

_PERIODS = ("hourly", "daily", "weekly", "monthly", "yearly")
_SHORT = {"last": "-l", "hourly": "-H", "daily": "-d", "weekly": "-w", "monthly": "-m", "yearly": "-y"}


class Judged(msgspec.Struct, frozen=True):
    """A group and what becomes of its snapshots, newest first."""

    group: Group
    snapshots: Mapping[str, Snapshot]
    retention: Retention


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("snapshot", nargs="*", help="remove these: ids or the beginnings of ids")
    rules = parser.add_argument_group("what to keep")
    for name, short in _SHORT.items():
        text = "the newest N snapshots" if name == "last" else f"one snapshot of each of the latest N {name} periods"
        rules.add_argument(short, f"--keep-{name}", type=checked(_count), metavar="N", help=f"{text}, or 'unlimited'")
    rules.add_argument("--keep-within", type=checked(parse_span), metavar="SPAN", help="all that are younger: 1y5m7d2h")
    for name in _PERIODS:
        text = f"one of each {name} period that is younger"
        rules.add_argument(f"--keep-within-{name}", type=checked(parse_span), metavar="SPAN", help=text)
    rules.add_argument(
        "--keep-tag", action="append", default=[], metavar="TAG[,TAG]", help="all with all of these tags (repeatable)"
    )
    parser.add_argument(
        "-g", "--group-by", type=checked(fields), default=("host", "paths"), metavar="FIELDS",
        help="judge apart what differs in these (default: host,paths; '' for one group)",
    )  # fmt: skip
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be removed, and why")
    parser.add_argument("--prune", action="store_true", help="prune when snapshots were removed")
    add_limits(parser)
    add_filters(parser, "without ids", short_host=False)


def run(context: Context) -> int:
    """Decide, tell, remove."""
    context.insist_on_locks()
    arguments = context.arguments
    keep = _keep(arguments)
    if arguments.snapshot:
        if keep is not None:
            raise HoldfastError("ids and --keep-... are both given: name the snapshots, or give rules")
        return _by_name(context)
    if keep is None:
        raise HoldfastError("no rule was given, nothing was removed: give at least one --keep-..., or the ids of snapshots")
    with context.open() as repo:
        found = context.snapshots(repo, [], chosen(arguments))
        judged = [_judge(group, members, keep, arguments) for group, members in grouped(found, arguments.group_by).items()]
        if not context.output.json:
            for one in judged:
                _tell(context, one)
        going = [verdict.point.id for one in judged for verdict in one.retention.dropped]
        gone = [] if arguments.dry_run else _remove(context, repo, going)
    if context.output.json:
        context.output.document([_document(one) for one in judged])
    elif arguments.dry_run:
        context.output.line(f"would remove {len(going)} snapshots; nothing was changed")
    else:
        context.output.line(f"removed {len(gone)} snapshots")
    return 0


def _count(text: str) -> int:
    if text == "unlimited":
        return UNLIMITED
    if not text.isdecimal():
        raise ValueError(f"{text!r} is no count: use a number, or 'unlimited'")
    return int(text)


def _keep(arguments: argparse.Namespace) -> Keep | None:
    """The rules; None when there are none."""
    given = vars(arguments)
    counts: dict[str, int] = {name: given[f"keep_{name}"] for name in _SHORT if given[f"keep_{name}"]}
    names = ("within", *(f"within_{name}" for name in _PERIODS))
    spans: dict[str, Span] = {name: given[f"keep_{name}"] for name in names if given[f"keep_{name}"]}
    if not (counts or spans or arguments.keep_tag):
        return None
    rules: dict[str, Any] = {**(counts or {"last": 0}), **spans}
    return Keep(**rules, oldest=True, zone=None)


def _judge(group: Group, members: list[Snapshot], keep: Keep, arguments: argparse.Namespace) -> Judged:
    wanted = [tag_list(text) for text in arguments.keep_tag]
    points = [RecoveryPoint(id=found.id, time=found.own_time, hold=_hold(found, wanted)) for found in members]
    return Judged(group, {found.id: found for found in members}, retain(points, keep, datetime.now(UTC)))


def _hold(snapshot: Snapshot, wanted: list[tuple[str, ...]]) -> str:
    tags = next((tags for tags in wanted if set(tags) <= set(snapshot.tags)), None)
    return "" if tags is None else f"tagged {','.join(tags)}"


def _remove(context: Context, repo: Repository, going: list[str]) -> list[str]:
    gone = forget(repo, going) if going else []
    if gone and context.arguments.prune:
        context.stops_itself = True
        result = prune_as_asked(context, repo, dry_run=False)
        if not context.output.json:
            tell(context, result)
    return gone


def _by_name(context: Context) -> int:
    arguments, output = context.arguments, context.output
    with context.open() as repo:
        found = list(dict.fromkeys(_full_id(context, repo, ident) for ident in arguments.snapshot))
        gone = found if arguments.dry_run else _remove(context, repo, found)
    if output.json:
        output.document([{"message_type": "forgotten", "ids": gone}])
        return 0
    for ident in found:
        output.line(f"{'would remove' if arguments.dry_run else 'removed'} snapshot {ident[:8]}")
    return 0


def _full_id(context: Context, repo: Repository, ident: str) -> str:
    """By id a snapshot goes unread, so that one that is damaged can be given up. Raises NoSnapshot."""
    return context.snapshot(repo, ident)[0].id if ident == "latest" else repo.snapshot_id(ident)


def _tell(context: Context, judged: Judged) -> None:
    output = context.output
    if output.quiet:
        return
    output.line(f"{judged.group}:")
    for title, verdicts in (("keep", judged.retention.kept), ("remove", judged.retention.dropped)):
        if not verdicts:
            continue
        output.line(f"{title} {len(verdicts)}:")
        rows = [(*row(judged.snapshots[verdict.point.id]), "\n".join(verdict.reasons)) for verdict in verdicts]
        output.table((*HEADS, "Why"), rows)
    output.line()


def _document(judged: Judged) -> dict[str, object]:
    group, retention = judged.group, judged.retention
    return {
        "host": group.host,
        "paths": group.paths,
        "tags": group.tags,
        "keep": [document(judged.snapshots[verdict.point.id]) for verdict in retention.kept],
        "remove": [document(judged.snapshots[verdict.point.id]) for verdict in retention.dropped],
        "reasons": [
            {"id": verdict.point.id, "keep": verdict.keep, "matches": verdict.reasons} for verdict in retention.verdicts
        ],
    }
