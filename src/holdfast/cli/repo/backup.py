"""`holdfast repo backup`: make a snapshot."""

import argparse
from datetime import datetime

import msgspec

from holdfast.cli.errors import HoldfastError
from holdfast.cli.repo import faults
from holdfast.cli.repo.context import Context
from holdfast.cli.repo.options import checked, size, tag_list
from holdfast.cli.repo.outcome import OK, PARTIAL
from holdfast.cli.repo.output import clock, human_bytes
from holdfast.repo.result import BackupResult

HELP = """\
Examples:
  holdfast repo backup /etc /home --tag nightly --exclude '*.tmp'
  holdfast repo backup /srv --one-file-system --json
"""


class _Summary(msgspec.Struct, frozen=True, tag_field="message_type", tag="summary", kw_only=True):
    """The last document. Bytes; seconds; `data_added` is before compression, `data_added_packed` what the store got."""

    files_new: int
    files_changed: int
    files_unmodified: int
    dirs_new: int
    dirs_changed: int
    dirs_unmodified: int
    data_added: int
    data_added_packed: int
    total_files_processed: int
    total_bytes_processed: int
    total_duration: float
    backup_start: datetime
    backup_end: datetime
    snapshot_id: str
    error_count: int
    vanished: int


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("path", nargs="+", help="files and folders to store")
    parser.add_argument("-e", "--exclude", action="append", default=[], metavar="PATTERN", help="leave out (repeatable)")
    parser.add_argument("--exclude-larger-than", type=checked(size), default=0, metavar="SIZE", help="leave out larger files")
    parser.add_argument("-x", "--one-file-system", action="store_true", help="don't enter other file systems")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG[,TAG]", help="tag the snapshot (repeatable)")
    parser.add_argument("-H", "--host", default="", help="the host name to record (default: this machine's)")
    parser.add_argument("--time", default="", metavar="TIME", help="the time to record: '2026-01-31 18:00:00' (default: now)")
    parser.add_argument("--parent", default="", metavar="ID", help="compare with this snapshot instead of the newest alike")
    parser.add_argument("-f", "--force", action="store_true", help="read every file, whatever a parent says")


def run(context: Context) -> int:
    """Back up; a file that can't be read makes the exit code 3, and the snapshot is made of the rest."""
    from holdfast.repo.backup import AUTO, backup
    from holdfast.repo.memory import settle_allocator

    context.insist_on_locks()
    settle_allocator()
    arguments = context.arguments
    context.stops_itself = True
    with context.open() as repo:
        result = backup(
            repo,
            arguments.path,
            excludes=arguments.exclude,
            host=arguments.host or context.variable("HOST"),
            tags=[tag for text in arguments.tag for tag in tag_list(text) if tag],
            time=_moment(arguments.time) if arguments.time else None,
            parent="" if arguments.force else repo.snapshot(arguments.parent).id if arguments.parent else AUTO,
            one_file_system=arguments.one_file_system,
            max_file_bytes=arguments.exclude_larger_than,
            progress=context.output.progress,
            stop=context.stop,
        )
    _report(context, result)
    return PARTIAL if result.partial else OK


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").astimezone()
    except ValueError:
        raise HoldfastError(f"--time {text!r} is no time: write it as '2026-01-31 18:00:00'") from None


def _report(context: Context, result: BackupResult) -> None:
    output = context.output
    faults.report(output, "archival", result.errors, result.error_count)
    if output.json:
        output.document(_summary(result))
        return
    output.say(f"files:   {result.files_new} new, {result.files_changed} changed, {result.files_unmodified} unmodified")
    output.say(f"folders: {result.dirs_new} new, {result.dirs_changed} changed, {result.dirs_unmodified} unmodified")
    output.say(f"added:   {human_bytes(result.added_raw)}, stored as {human_bytes(result.added_stored)}")
    output.say(f"read {result.files} files, {human_bytes(result.bytes_processed)} in {clock(result.seconds)}")
    if result.vanished:
        output.say(f"{result.vanished} files vanished meanwhile")
    if result.partial:
        output.warn(f"{result.error_count} files could not be read: they are not in the snapshot")
    output.line(f"snapshot {result.snapshot_id[:8]} saved")


def _summary(result: BackupResult) -> _Summary:
    return _Summary(
        files_new=result.files_new,
        files_changed=result.files_changed,
        files_unmodified=result.files_unmodified,
        dirs_new=result.dirs_new,
        dirs_changed=result.dirs_changed,
        dirs_unmodified=result.dirs_unmodified,
        data_added=result.added_raw,
        data_added_packed=result.added_stored,
        total_files_processed=result.files,
        total_bytes_processed=result.bytes_processed,
        total_duration=round(result.seconds, 3),
        backup_start=result.started,
        backup_end=result.finished,
        snapshot_id=result.snapshot_id,
        error_count=result.error_count,
        vanished=result.vanished,
    )
