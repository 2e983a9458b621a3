"""`holdfast repo diff`: what changed between two snapshots."""

import argparse

import msgspec

from holdfast.cli.repo.context import Context
from holdfast.cli.repo.output import human_bytes, shown
from holdfast.repo.browse import Trees, start
from holdfast.repo.compare import Comparison, Side
from holdfast.repo.result import printable

HELP = """\
Each line begins with what happened:
  +  added                    M  the content of a file was modified
  -  removed                  U  only metadata was updated (with --metadata)
  T  the type changed         ?  the content changed and all metadata stayed: look at that disk

Added and removed bytes are those of blobs that only one of the two needs, before compression.

Examples:
  holdfast repo diff 4f1d2a latest
  holdfast repo diff 4f1d2a:/etc latest:/etc --metadata
"""


class _Change(msgspec.Struct, frozen=True, tag_field="message_type", tag="change"):
    path: str
    modifier: str


class _Statistics(msgspec.Struct, frozen=True, tag_field="message_type", tag="statistics"):
    source_snapshot: str
    target_snapshot: str
    changed_files: int
    added: Side
    removed: Side


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("before", help="a snapshot: an id, latest, or one of these with :/folder")
    parser.add_argument("after", help="the snapshot to compare it with")
    parser.add_argument("--metadata", action="store_true", help="show entries of which only metadata differ")


def run(context: Context) -> int:
    """Print the changes as they are found, then the sums."""
    arguments, output = context.arguments, context.output
    with context.reading() as repo:
        trees = Trees(repo)
        before, old_folder = context.snapshot(repo, arguments.before)
        after, new_folder = context.snapshot(repo, arguments.after)
        output.say(f"from snapshot {before.short_id} to {after.short_id}:")
        comparison = Comparison(repo, trees, metadata=arguments.metadata)
        for change in comparison.changes(start(trees, before, old_folder), start(trees, after, new_folder)):
            if output.json:
                output.document(_Change(printable(change.path), change.letters))
            else:
                output.line(f"{change.letters:<4} {shown(change.path)}")
        sums = comparison.sums
    if output.json:
        output.document(_Statistics(before.id, after.id, sums.changed, sums.added, sums.removed))
        return 0
    output.line()
    output.line(f"files:   {sums.added.files} added, {sums.removed.files} removed, {sums.changed} changed")
    output.line(f"folders: {sums.added.dirs} added, {sums.removed.dirs} removed")
    output.line(f"others:  {sums.added.others} added, {sums.removed.others} removed")
    for word, side in (("added", sums.added), ("removed", sums.removed)):
        output.line(f"{word}: {human_bytes(side.bytes)} in {side.data_blobs} data blobs and {side.tree_blobs} tree blobs")
    return 0
