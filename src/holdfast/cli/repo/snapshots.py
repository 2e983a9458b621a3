"""`holdfast repo snapshots`: list them."""

import argparse

from holdfast.cli.repo.context import Context
from holdfast.cli.repo.groups import HEADS, Group, document, fields, grouped, row
from holdfast.cli.repo.options import add_filters, checked, chosen
from holdfast.repo.snapshot import Snapshot

HELP = """\
Takes no lock: nothing that a concurrent backup or prune does can harm a listing.

Examples:
  holdfast repo snapshots
  holdfast repo snapshots --host web-0 --tag nightly --latest 3
  holdfast repo snapshots --json | jq -r '.[].short_id'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("snapshot", nargs="*", help="only these: ids or the beginnings of ids, or latest")
    parser.add_argument("--latest", type=int, default=0, metavar="N", help="only the newest N of each host and paths")
    parser.add_argument(
        "-g", "--group-by", type=checked(fields), default=(), metavar="FIELDS", help="group by host, paths, tags"
    )
    add_filters(parser, "without ids")


def run(context: Context) -> int:
    """List them, oldest first."""
    arguments = context.arguments
    with context.open() as repo:
        found = context.snapshots(repo, arguments.snapshot, chosen(arguments))
    if arguments.latest > 0:
        kept = {snapshot.id for group in grouped(found, ("host", "paths")).values() for snapshot in group[-arguments.latest :]}
        found = [snapshot for snapshot in found if snapshot.id in kept]
    groups = grouped(found, arguments.group_by) if arguments.group_by else {}
    if context.output.json:
        context.output.document(_grouped(groups) if arguments.group_by else [document(snapshot) for snapshot in found])
        return 0
    for group, members in groups.items() if arguments.group_by else [(None, found)]:
        if group is not None:
            context.output.line(f"{group}:")
        context.output.table(HEADS, map(row, members))
        context.output.line(f"{len(members)} snapshots" if len(members) != 1 else "1 snapshot")
    return 0


def _grouped(groups: dict[Group, list[Snapshot]]) -> list[dict[str, object]]:
    return [
        {
            "group_key": {"hostname": group.host, "paths": group.paths, "tags": group.tags},
            "snapshots": [document(snapshot) for snapshot in members],
        }
        for group, members in groups.items()
    ]
