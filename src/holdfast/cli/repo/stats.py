"""`holdfast repo stats`: how much there is."""

import argparse

import msgspec

from holdfast.cli.repo.context import Context
from holdfast.cli.repo.options import add_filters, chosen
from holdfast.cli.repo.output import human_bytes
from holdfast.repo.browse import Trees
from holdfast.repo.stats import MODES, Counted, count

HELP = """\
Ways to count:
  restore-size       the files of each snapshot as a restore would write them (the default)
  files-by-contents  files with the same content once, over all snapshots
  raw-data           the blobs that the snapshots need, as they lie in the repository

Examples:
  holdfast repo stats latest
  holdfast repo stats --mode raw-data --host web-0
"""


class _StatsJson(msgspec.Struct, frozen=True, omit_defaults=True):
    total_size: int
    snapshots_count: int
    total_file_count: int | None = None
    total_blob_count: int | None = None
    total_uncompressed_size: int | None = None
    compression_ratio: float | None = None


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("snapshot", nargs="*", help="only these: ids or the beginnings of ids, or latest")
    parser.add_argument("--mode", choices=MODES, default=MODES[0], help="how to count (default: %(default)s)")
    add_filters(parser, "without ids")


def run(context: Context) -> int:
    """Count."""
    arguments, output = context.arguments, context.output
    with context.reading() as repo:
        trees = Trees(repo)
        found = count(repo, trees, context.snapshots(repo, arguments.snapshot, chosen(arguments)), arguments.mode)
    if output.json:
        output.document(_json(found))
        return 0
    output.line(f"snapshots: {found.snapshots}")
    if found.entries:
        output.line(f"{'files' if arguments.mode == 'files-by-contents' else 'entries'}: {found.entries}")
    if found.blobs:
        output.line(f"blobs: {found.blobs}")
        output.line(f"size before compression: {human_bytes(found.plain_bytes)}")
        output.line(f"compression: {_ratio(found):.2f} times smaller")
    output.line(f"size: {human_bytes(found.bytes)}")
    return 0


def _ratio(found: Counted) -> float:
    return found.plain_bytes / found.bytes if found.bytes else 0.0


def _json(found: Counted) -> _StatsJson:
    if not found.blobs:
        return _StatsJson(found.bytes, found.snapshots, found.entries)
    return _StatsJson(found.bytes, found.snapshots, None, found.blobs, found.plain_bytes, round(_ratio(found), 3))
