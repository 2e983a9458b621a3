"""`holdfast repo restore`: bring files back."""

import argparse

import msgspec

from holdfast.cli.repo import faults
from holdfast.cli.repo.context import Context
from holdfast.cli.repo.options import add_filters, chosen
from holdfast.cli.repo.outcome import OK, PARTIAL
from holdfast.cli.repo.output import clock, human_bytes
from holdfast.repo.result import RestoreResult

HELP = """\
Full paths are made below the target; with :/folder the content of that folder lands directly in
it. Every file is read back and compared after it was written, unless --no-verify says
otherwise.

Examples:
  holdfast repo restore latest --target /tmp/all
  holdfast repo restore latest:/etc --target /tmp/etc
  holdfast repo restore 4f1d2a --target / --include /home/anna/thesis
"""


class _Summary(msgspec.Struct, frozen=True, tag_field="message_type", tag="summary", kw_only=True):
    """The last document. Bytes; seconds; `verified` are files that were read back."""

    snapshot_id: str
    files_restored: int
    dirs_restored: int
    links_restored: int
    others_restored: int
    bytes_restored: int
    verified_files: int
    verified_bytes: int
    error_count: int
    total_duration: float


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("snapshot", help="an id, the beginning of one, or latest; with :/folder for a part of it")
    parser.add_argument("-t", "--target", required=True, metavar="FOLDER", help="where to; it is made when missing")
    parser.add_argument("-i", "--include", action="append", default=[], metavar="PATTERN", help="only these (repeatable)")
    parser.add_argument("-e", "--exclude", action="append", default=[], metavar="PATTERN", help="all but these (repeatable)")
    parser.add_argument("--no-verify", action="store_true", help="don't read back what was written")
    parser.add_argument("--no-sparse", action="store_true", help="write zeros instead of leaving holes")
    add_filters(parser, "for latest")


def run(context: Context) -> int:
    """Restore; a file that can't be restored makes the exit code 3."""
    from holdfast.repo.restore import restore

    arguments = context.arguments
    context.stops_itself = True
    with context.open() as repo:
        snapshot, subfolder = context.snapshot(repo, arguments.snapshot, chosen(arguments))
        result = restore(
            repo,
            snapshot.id,
            arguments.target,
            subfolder=subfolder,
            include=arguments.include,
            exclude=arguments.exclude,
            verify=not arguments.no_verify,
            sparse=not arguments.no_sparse,
            lock=not context.options.no_lock,
            progress=context.output.progress,
            stop=context.stop,
        )
    _report(context, result)
    return PARTIAL if result.partial else OK


def _report(context: Context, result: RestoreResult) -> None:
    output = context.output
    faults.report(output, "restore", result.errors, result.error_count)
    if output.json:
        output.document(
            _Summary(
                snapshot_id=result.snapshot_id,
                files_restored=result.files,
                dirs_restored=result.directories,
                links_restored=result.links,
                others_restored=result.others,
                bytes_restored=result.bytes_restored,
                verified_files=result.verified_files,
                verified_bytes=result.verified_bytes,
                error_count=result.error_count,
                total_duration=round(result.seconds, 3),
            )
        )
        return
    if result.verified_files:
        output.say(f"read back and compared {result.verified_files} files, {human_bytes(result.verified_bytes)}")
    size, seconds = human_bytes(result.bytes_restored), clock(result.seconds)
    output.line(f"restored {result.files} files, {size} of snapshot {result.snapshot_id[:8]} in {seconds}")
    if result.partial:
        output.warn(f"{result.error_count} entries could not be restored")
