"""`holdfast repo copy`: copy snapshots into this repository from another one."""

import argparse
from typing import TYPE_CHECKING

import msgspec

from holdfast.cli.repo import credentials
from holdfast.cli.repo.context import Context
from holdfast.cli.repo.options import add_filters, chosen
from holdfast.cli.repo.outcome import OK, PARTIAL
from holdfast.cli.repo.output import clock, human_bytes

if TYPE_CHECKING:
    from holdfast.repo.copy import CopyResult

HELP = """\
Snapshots and all that they need are opened with the source's key and sealed with the target's,
in flight. What the target has is not read, snapshots that were copied before are skipped, a
copy that was interrupted goes on where it was. --repo is the target. The source's password:
--from-password-file, --from-password-command, or the variables HOLDFAST_FROM_PASSWORD_FILE and
so on (RESTIC_FROM_... too).

Examples:
  holdfast repo copy --from-repo /srv/backup --from-password-file /etc/backup/password
  holdfast repo copy --from-repo s3:host/bucket/db latest --host db-0
"""


class _CopiedJson(msgspec.Struct, frozen=True, tag_field="message_type", tag="copied"):
    """One for each chosen snapshot; `new` is false for one that the target had."""

    source: str
    target: str
    new: bool


class _FailedJson(msgspec.Struct, frozen=True, tag_field="message_type", tag="error"):
    source: str
    message: str


class _Summary(msgspec.Struct, frozen=True, kw_only=True, tag_field="message_type", tag="summary"):
    """The last document: bytes as stored, seconds."""

    copied: int
    skipped: int
    failed: int
    blobs: int
    bytes_read: int
    bytes_stored: int
    total_duration: float
    dry_run: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("snapshot", nargs="*", help="only these snapshots of the source: ids, their beginnings, or latest")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be copied")
    add_from(parser)
    add_filters(parser, "without ids, or for latest")


def add_from(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a second repository."""
    group = parser.add_argument_group("the source")
    group.add_argument("--from-repo", default="", metavar="URL", help="where the source is")
    group.add_argument("--from-repository-file", default="", metavar="FILE", help="a file that holds its URL")
    group.add_argument("--from-password-file", default="", metavar="FILE", help="a file that holds its password")
    group.add_argument("--from-password-command", default="", metavar="COMMAND", help="a command that prints it")


def source_of(context: Context) -> credentials.Source:
    """Where the second repository and its password are given."""
    given = context.arguments
    return credentials.Source(
        repo=given.from_repo,
        repository_file=given.from_repository_file,
        password_file=given.from_password_file,
        password_command=given.from_password_command,
        infix="FROM_",
    )


def run(context: Context) -> int:
    """Copy; a snapshot that is damaged in the source is left out and makes the exit code 3."""
    from holdfast.repo.copy import copy
    from holdfast.repo.memory import settle_allocator

    settle_allocator()
    arguments, output = context.arguments, context.output
    context.stops_itself = True
    with context.open() as target, context.open(source_of(context)) as source:
        chosen_ids = [found.id for found in context.snapshots(source, arguments.snapshot, chosen(arguments))]
        result = copy(
            source,
            target,
            chosen_ids,
            dry_run=arguments.dry_run,
            lock_source=not context.options.no_lock,
            retry_lock=context.options.retry_lock.total_seconds(),
            progress=lambda told: output.bar(
                f"[{clock(told.seconds)}] {told.snapshots_done} of {told.snapshots_total} snapshots, "
                f"{human_bytes(told.bytes_done)} of {human_bytes(told.bytes_wanted)}"
            ),
            stop=context.stop,
        )
    _report(context, result)
    return PARTIAL if result.failures else OK


def _report(context: Context, result: "CopyResult") -> None:
    output, dry_run = context.output, context.arguments.dry_run
    for copied in result.snapshots:
        if output.json:
            output.document(_CopiedJson(copied.source, copied.target, copied.new))
        elif copied.new:
            output.say(f"snapshot {copied.source[:8]}: {'would be copied' if dry_run else copied.target[:8]}")
    for failed in result.failures:
        if output.json:
            output.document(_FailedJson(failed.source, failed.message))
        else:
            output.warn(f"snapshot {failed.source[:8]}: {failed.message}")
    if not output.json:
        size = human_bytes(result.bytes_read if dry_run else result.bytes_stored)
        done = f"{'would copy' if dry_run else 'copied'} {result.copied} snapshots"
        output.line(f"{done} with {size}, {result.skipped} were there already")
        return
    output.document(
        _Summary(
            copied=result.copied,
            skipped=result.skipped,
            failed=len(result.failures),
            blobs=result.blobs,
            bytes_read=result.bytes_read,
            bytes_stored=result.bytes_stored,
            total_duration=round(result.seconds, 3),
            dry_run=dry_run,
        )
    )
