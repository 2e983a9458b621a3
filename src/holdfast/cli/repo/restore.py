"""`holdfast repo restore`: bring files back."""

import argparse
from collections.abc import Sequence

import msgspec

from holdfast.cli.repo import faults
from holdfast.cli.repo.context import Context
from holdfast.cli.repo.options import add_filters, chosen
from holdfast.cli.repo.outcome import OK, PARTIAL
from holdfast.cli.repo.output import clock, human_bytes, shown
from holdfast.repo.lists import read_patterns
from holdfast.repo.overwrite import RULES, Action
from holdfast.repo.restore_options import ActionHook
from holdfast.repo.result import RestoreResult, printable

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
    files_skipped: int
    files_unchanged: int
    entries_removed: int
    owners_not_set: int
    staged_at: str
    error_count: int
    total_duration: float
    dry_run: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("snapshot", help="an id, the beginning of one, or latest; with :/folder for a part of it")
    parser.add_argument("-t", "--target", required=True, metavar="FOLDER", help="where to; it is made when missing")
    parser.add_argument("-i", "--include", action="append", default=[], metavar="PATTERN", help="only these (repeatable)")
    parser.add_argument("-e", "--exclude", action="append", default=[], metavar="PATTERN", help="all but these (repeatable)")
    parser.add_argument("--iinclude", action="append", default=[], metavar="PATTERN", help="--include, ignoring case")
    parser.add_argument("--iexclude", action="append", default=[], metavar="PATTERN", help="--exclude, ignoring case")
    parser.add_argument("--include-file", action="append", default=[], metavar="FILE", help="patterns from a file, one a line")
    parser.add_argument("--exclude-file", action="append", default=[], metavar="FILE", help="patterns from a file, one a line")
    parser.add_argument("--only", action="append", default=[], metavar="PATH", help="this path, which must exist (repeatable)")
    parser.add_argument(
        "--overwrite", choices=RULES, default=RULES[0], help="what to do with files that are there (default: %(default)s)"
    )
    parser.add_argument("--delete", action="store_true", help="remove from restored folders what the snapshot does not have")
    parser.add_argument("--staging", action="store_true", help="move everything into place only when it is complete")
    parser.add_argument("-n", "--dry-run", action="store_true", help="write nothing; say what would be done")
    parser.add_argument("--no-verify", action="store_true", help="don't read back what was written")
    parser.add_argument("--no-sparse", action="store_true", help="write zeros instead of leaving holes")
    add_filters(parser, "for latest")


def run(context: Context) -> int:
    """Restore; a file that can't be restored makes the exit code 3."""
    arguments = context.arguments
    context.stops_itself = True
    with context.open_meanwhile("holdfast.repo.restore") as repo:
        from holdfast.repo.restore import restore

        snapshot, subfolder = context.snapshot(repo, arguments.snapshot, chosen(arguments))
        result = restore(
            repo,
            snapshot.id,
            arguments.target,
            subfolder=subfolder,
            paths=arguments.only,
            include=[*arguments.include, *_listed(arguments.include_file)],
            exclude=[*arguments.exclude, *_listed(arguments.exclude_file)],
            iinclude=arguments.iinclude,
            iexclude=arguments.iexclude,
            overwrite=arguments.overwrite,
            delete=arguments.delete,
            staging=arguments.staging,
            dry_run=arguments.dry_run,
            verify=not arguments.no_verify,
            sparse=not arguments.no_sparse,
            lock=not context.options.no_lock,
            progress=context.output.progress,
            on_action=_teller(context),
            stop=context.stop,
        )
    _report(context, result)
    return PARTIAL if result.partial else OK


class _ActionJson(msgspec.Struct, frozen=True, tag_field="message_type", tag="verbose_status"):
    """What was done to one entry of the target, or in a dry run would be."""

    action: str
    item: str
    size: int


def _listed(files: Sequence[str]) -> list[str]:
    """The patterns of all files. Raises SourceError."""
    return [pattern for file in files for pattern in read_patterns(file)]


def _teller(context: Context) -> ActionHook | None:
    """Tells every action: in a dry run, and with --verbose."""
    output = context.output
    if output.quiet or not (context.arguments.dry_run or output.verbose):
        return None

    def tell(action: Action, path: str, size: int) -> None:
        if output.json:
            output.document(_ActionJson(action.value, printable(path), size))
        else:
            output.line(f"{action.value:<9} {shown(path)}")

    return tell


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
                files_skipped=result.skipped,
                files_unchanged=result.unchanged,
                entries_removed=result.removed,
                owners_not_set=result.unowned,
                staged_at=result.staged_at,
                error_count=result.error_count,
                total_duration=round(result.seconds, 3),
                dry_run=context.arguments.dry_run,
            )
        )
        return
    if result.verified_files:
        output.say(f"read back and compared {result.verified_files} files, {human_bytes(result.verified_bytes)}")
    for number, text in (
        (result.skipped, "files were left as they are"),
        (result.unchanged, "files were unchanged"),
        (result.removed, "entries that the snapshot does not have were removed"),
        (result.unowned, "entries kept our user as their owner: only root can set another"),
    ):
        if number:
            output.say(f"{number} {text}")
    size, seconds = human_bytes(result.bytes_restored), clock(result.seconds)
    done = "would restore" if context.arguments.dry_run else "restored"
    output.line(f"{done} {result.files} files, {size} of snapshot {result.snapshot_id[:8]} in {seconds}")
    if result.staged_at:
        output.warn(f"nothing was moved into place; what was restored lies in {shown(result.staged_at)}")
    if result.partial:
        output.warn(f"{result.error_count} entries could not be restored")
