"""`holdfast repo check`: prove that the repository is whole."""

import argparse
from typing import TYPE_CHECKING

import msgspec

from holdfast.cli.repo.context import Context
from holdfast.cli.repo.outcome import FAILED, OK
from holdfast.cli.repo.output import human_bytes

if TYPE_CHECKING:
    from holdfast.repo.findings import CheckProgress

HELP = """\
Without options the structure is checked: every pack that is named is there and long enough,
everything that a snapshot reaches is indexed. With --read-data every byte is read and compared
with its hash.

Examples:
  holdfast repo check
  holdfast repo check --read-data
  holdfast repo check --read-data-subset 1/7
  holdfast repo check --read-data-subset 5%
"""


class _Summary(msgspec.Struct, frozen=True, tag_field="message_type", tag="summary", kw_only=True):
    """The document: what was found, in words, and the ids of the snapshots that it hurts."""

    num_errors: int
    problems: tuple[str, ...]
    hurt_snapshots: tuple[str, ...]
    snapshots: int
    packs: int
    blobs: int
    orphan_packs: int
    duplicate_blobs: int
    packs_read: int
    bytes_read: int


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--read-data", action="store_true", help="read and compare all data")
    parser.add_argument(
        "--read-data-subset",
        default="",
        metavar="PART",
        help="read a part: n/m for the n-th of m, a percentage, or a size (500M)",
    )


def run(context: Context) -> int:
    """Check; anything that is found makes the exit code 1."""
    from holdfast.repo.check import check
    from holdfast.repo.subset import ALL, parse_subset

    output = context.output
    context.stops_itself = True
    with context.open() as repo:
        result = check(
            repo,
            read_data=context.arguments.read_data,
            subset=parse_subset(context.arguments.read_data_subset) if context.arguments.read_data_subset else ALL,
            lock=not context.options.no_lock,
            progress=lambda done: output.bar(_bar(done)),
            stop=context.stop,
        )
    if output.json:
        output.document(
            _Summary(
                num_errors=result.finding_count,
                problems=result.problems,
                hurt_snapshots=result.hurt,
                snapshots=result.snapshots,
                packs=result.packs,
                blobs=result.blobs,
                orphan_packs=result.orphans,
                duplicate_blobs=result.duplicates,
                packs_read=result.packs_read,
                bytes_read=result.bytes_read,
            )
        )
        return OK if result.ok else FAILED
    for problem in result.problems:
        output.warn(problem)
    output.say(f"{result.snapshots} snapshots, {result.packs} packs, {result.blobs} blobs")
    if result.orphans:
        output.say(f"{result.orphans} packs are in no index: left by a writer that was killed; `prune` removes them")
    if result.bytes_read:
        output.say(f"read {human_bytes(result.bytes_read)}")
    if result.ok:
        output.line("no problems were found")
        return OK
    hurt = ", ".join(ident[:8] for ident in result.hurt) or "no snapshot"
    output.warn(f"{result.finding_count} problems were found; they hurt {hurt}")
    return FAILED


def _bar(done: "CheckProgress") -> str:
    if done.phase == "trees":
        return f"{done.done} trees"
    return f"{human_bytes(done.bytes_done)} of {human_bytes(done.bytes_total)} read"
