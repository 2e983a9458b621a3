"""`holdfast repo backup`: make a snapshot of files, of a stream, or of what a command prints."""

import argparse
import sys
from datetime import datetime
from typing import Any

import msgspec

from holdfast.cli.errors import HoldfastError
from holdfast.cli.repo import credentials, faults
from holdfast.cli.repo.context import Context
from holdfast.cli.repo.options import checked, size, tag_list
from holdfast.cli.repo.outcome import OK, PARTIAL
from holdfast.cli.repo.output import clock, human_bytes
from holdfast.repo.lists import read_paths, read_patterns
from holdfast.repo.repository import Repository
from holdfast.repo.result import BackupResult

HELP = """\
Files that are as the newest snapshot of the same host and paths has them are not read again. A
file that can't be read is named, the snapshot is made of the others, and the exit code is 3.
With --stdin-from-command the words after -- are a command; only when it ends with status 0 is
there a snapshot. Its environment has no passwords of repositories.

Examples:
  holdfast repo backup /etc /home --tag nightly --exclude '*.tmp' --exclude-caches
  holdfast repo backup --files-from list --one-file-system --json
  holdfast repo backup --stdin-filename shop.sql --stdin-from-command -- pg_dump shop
"""


class _Summary(msgspec.Struct, frozen=True, kw_only=True, tag_field="message_type", tag="summary"):
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
    dry_run: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("path", nargs="*", help="files and folders to store")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG[,TAG]", help="tag the snapshot (repeatable)")
    parser.add_argument("-H", "--host", default="", help="the host name to record (default: this machine's)")
    parser.add_argument("--time", default="", metavar="TIME", help="the time to record: '2026-01-31 18:00:00' (default: now)")
    parser.add_argument("-n", "--dry-run", action="store_true", help="read everything, write nothing, say what would be added")
    _add_sources(parser)
    _add_excludes(parser)
    _add_comparison(parser)


def _add_sources(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to store")
    group.add_argument("--files-from", action="append", default=[], metavar="FILE", help="paths and patterns, one a line")
    group.add_argument(
        "--files-from-verbatim", action="append", default=[], metavar="FILE", help="paths as they are, one a line"
    )
    group.add_argument("--files-from-raw", action="append", default=[], metavar="FILE", help="paths with a NUL byte after each")
    group.add_argument("--stdin", action="store_true", help="store what standard input gives, as one file")
    group.add_argument("--stdin-from-command", action="store_true", help="store what a command prints, as one file")
    group.add_argument("--stdin-filename", default="stdin", metavar="NAME", help="the name of that file (default: %(default)s)")


def _add_excludes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to leave out")
    group.add_argument("-e", "--exclude", action="append", default=[], metavar="PATTERN", help="leave out (repeatable)")
    group.add_argument("--iexclude", action="append", default=[], metavar="PATTERN", help="the same, ignoring case")
    group.add_argument("--exclude-file", action="append", default=[], metavar="FILE", help="patterns from a file, one a line")
    group.add_argument("--iexclude-file", action="append", default=[], metavar="FILE", help="the same, ignoring case")
    group.add_argument("--exclude-caches", action="store_true", help="leave out folders with a CACHEDIR.TAG")
    group.add_argument(
        "--exclude-if-present", action="append", default=[], metavar="NAME[:HEADER]", help="leave out folders with such a file"
    )
    group.add_argument("--exclude-larger-than", type=checked(size), default=0, metavar="SIZE", help="leave out larger files")
    group.add_argument("-x", "--one-file-system", action="store_true", help="don't enter other file systems")


def _add_comparison(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which files to read again")
    group.add_argument("--parent", default="", metavar="ID", help="compare with this snapshot instead of the newest alike")
    group.add_argument("-f", "--force", action="store_true", help="read every file, whatever a parent says")
    group.add_argument("--ignore-ctime", action="store_true", help="a file is unchanged though its ctime differs")
    group.add_argument("--ignore-inode", action="store_true", help="though its inode and ctime differ")


def run(context: Context) -> int:
    """Back up; a file that can't be read makes the exit code 3, and the snapshot is made of the rest."""
    from holdfast.repo.memory import settle_allocator

    arguments = context.arguments
    if not arguments.dry_run:
        context.insist_on_locks()
    settle_allocator()
    streamed = arguments.stdin or arguments.stdin_from_command
    common: dict[str, Any] = {
        "host": arguments.host or context.variable("HOST"),
        "tags": [tag for text in arguments.tag for tag in tag_list(text) if tag],
        "time": _moment(arguments.time) if arguments.time else None,
        "dry_run": arguments.dry_run,
        "progress": context.output.progress,
        "stop": context.stop,
    }
    with context.open_meanwhile("holdfast.repo.stream" if streamed else "holdfast.repo.backup") as repo:
        result = _stream(context, repo, common) if streamed else _files(context, repo, common)
    _report(context, result)
    return PARTIAL if result.partial else OK


def _files(context: Context, repo: Repository, common: dict[str, Any]) -> BackupResult:
    from holdfast.repo.backup import AUTO, backup

    arguments = context.arguments
    context.stops_itself = True
    paths = [*arguments.path]
    paths += [path for file in arguments.files_from for path in read_paths(file)]
    paths += [path for file in arguments.files_from_verbatim for path in read_paths(file, verbatim=True)]
    paths += [path for file in arguments.files_from_raw for path in read_paths(file, raw=True)]
    return backup(
        repo,
        paths,
        excludes=[*arguments.exclude, *(pattern for file in arguments.exclude_file for pattern in read_patterns(file))],
        excludes_ignoring_case=[
            *arguments.iexclude,
            *(pattern for file in arguments.iexclude_file for pattern in read_patterns(file)),
        ],
        exclude_if_present=arguments.exclude_if_present,
        exclude_caches=arguments.exclude_caches,
        parent="" if arguments.force else repo.snapshot(arguments.parent).id if arguments.parent else AUTO,
        one_file_system=arguments.one_file_system,
        max_file_bytes=arguments.exclude_larger_than,
        ignore_ctime=arguments.ignore_ctime,
        ignore_inode=arguments.ignore_inode,
        **common,
    )


def _stream(context: Context, repo: Repository, common: dict[str, Any]) -> BackupResult:
    """Interrupted by the first signal: a read that waits for a producer can't look at a flag."""
    from holdfast.repo.stream import backup_command, backup_stream

    arguments = context.arguments
    if arguments.stdin and arguments.stdin_from_command:
        raise HoldfastError("--stdin and --stdin-from-command are both given: leave one out")
    if arguments.stdin_from_command:
        env = credentials.without_secrets(context.env)
        return backup_command(repo, arguments.stdin_filename, arguments.path, env=env, **common)
    if arguments.path:
        raise HoldfastError(f"--stdin and the path {arguments.path[0]!r} are both given: leave one out")
    return backup_stream(repo, arguments.stdin_filename, sys.stdin.buffer, **common)


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").astimezone()
    except ValueError:
        raise HoldfastError(f"--time {text!r} is no time: write it as '2026-01-31 18:00:00'") from None


def _report(context: Context, result: BackupResult) -> None:
    output = context.output
    faults.report(output, "archival", result.errors, result.error_count)
    if output.json:
        output.document(_summary(result, dry_run=context.arguments.dry_run))
        return
    would = "would be " if context.arguments.dry_run else ""
    output.say(f"files:   {result.files_new} new, {result.files_changed} changed, {result.files_unmodified} unmodified")
    output.say(f"folders: {result.dirs_new} new, {result.dirs_changed} changed, {result.dirs_unmodified} unmodified")
    output.say(f"added:   {human_bytes(result.added_raw)}, {would}stored as {human_bytes(result.added_stored)}")
    output.say(f"read {result.files} files, {human_bytes(result.bytes_processed)} in {clock(result.seconds)}")
    if result.vanished:
        output.say(f"{result.vanished} files vanished meanwhile")
    if result.partial:
        output.warn(f"{result.error_count} files could not be read: they are not in the snapshot")
    output.line(f"snapshot {result.snapshot_id[:8]} saved" if result.snapshot_id else "nothing was written")


def _summary(result: BackupResult, *, dry_run: bool) -> _Summary:
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
        dry_run=dry_run,
    )
