"""`holdfast repo prune`: give back the space of what no snapshot needs."""

import argparse

import msgspec

from holdfast.cli.errors import HoldfastError
from holdfast.cli.repo import credentials
from holdfast.cli.repo.context import Context
from holdfast.cli.repo.output import human_bytes
from holdfast.repo.prune import PruneOptions, PruneResult, prune
from holdfast.repo.repository import Repository
from holdfast.repo.stock import Access

HELP = """\
The work is done by stock restic, which must be installed, behind floors of ours: nobody else
may work in the repository, nothing in it may be damaged, and afterwards the roots of all
snapshots are read again.

Examples:
  holdfast repo prune --dry-run
  holdfast repo prune --max-unused 10% --max-repack-size 50G
"""


class PruneJson(msgspec.Struct, frozen=True, tag_field="message_type", tag="prune"):
    """The document. Bytes and numbers; sizes of blobs are rounded as restic reports them, those of the store are exact."""

    dry_run: bool
    verified: bool
    removed_blobs: int
    removed_bytes: int
    repacked_bytes: int
    remaining_bytes: int
    unused_left_bytes: int
    packs_deleted: int
    bytes_before: int
    bytes_after: int


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be removed")
    add_limits(parser)


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add what limits a prune."""
    group = parser.add_argument_group("limits of pruning")
    group.add_argument("--max-unused", default="", metavar="LIMIT", help="unused data to tolerate: 5%%, 10G, unlimited")
    group.add_argument("--max-repack-size", default="", metavar="SIZE", help="write at most this much anew: 50G")
    group.add_argument("--repack-small", action="store_true", help="merge small packs too")


def run(context: Context) -> int:
    """Prune."""
    context.insist_on_locks()
    context.stops_itself = True
    with context.open() as repo:
        result = prune_as_asked(context, repo, dry_run=context.arguments.dry_run)
    if context.output.json:
        context.output.document(prune_json(result))
    else:
        tell(context, result)
    return 0


def prune_as_asked(context: Context, repo: Repository, *, dry_run: bool) -> PruneResult:
    """Run a prune with the limits of the command line. Raises HoldfastError, and what `prune` does."""
    arguments = context.arguments
    url = credentials.location(context.source, context.env)
    try:
        return prune(
            repo,
            Access(url, context.settings, context.password, context.options.limit_upload, context.options.limit_download),
            options=PruneOptions(arguments.max_unused, arguments.max_repack_size, repack_small=arguments.repack_small),
            dry_run=dry_run,
            wait_seconds=context.options.retry_lock.total_seconds(),
            stop=context.stop,
        )
    except ValueError as error:
        raise HoldfastError(str(error)) from error


def prune_json(result: PruneResult) -> PruneJson:
    """The document of a prune."""
    return PruneJson(**{name: getattr(result, name) for name in PruneJson.__struct_fields__})


def tell(context: Context, result: PruneResult) -> None:
    """The figures for people."""
    output = context.output
    would = "would remove" if result.dry_run else "removed"
    output.say(f"{would} {result.removed_blobs} blobs, {human_bytes(result.removed_bytes)}")
    output.say(f"{'would repack' if result.dry_run else 'repacked'} {human_bytes(result.repacked_bytes)}")
    output.say(f"unused and left: {human_bytes(result.unused_left_bytes)}")
    if result.dry_run:
        output.line("nothing was changed")
        return
    output.line(f"the repository takes {human_bytes(result.bytes_after)}, {human_bytes(result.freed_bytes)} less than before")
    if not result.verified:
        output.warn("the roots were not read again: somebody else locked the repository; run `check`")
