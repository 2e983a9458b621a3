"""Snapshots: what was backed up, when, from where, and the id of its tree."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from holdfast.repo.errors import Damaged
from holdfast.repo.times import parse_time


class Summary(msgspec.Struct, frozen=True):
    """Counts of the run that made a snapshot, in the stock program's words. Sizes in bytes, times RFC 3339."""

    backup_start: str = ""
    backup_end: str = ""
    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    dirs_new: int = 0
    dirs_changed: int = 0
    dirs_unmodified: int = 0
    data_blobs: int = 0
    tree_blobs: int = 0
    data_added: int = 0
    data_added_packed: int = 0
    total_files_processed: int = 0
    total_bytes_processed: int = 0


class SnapshotJson(msgspec.Struct, frozen=True, omit_defaults=True):
    """The JSON of a snapshot object, in its field order."""

    time: str
    parent: str | None = None
    tree: str = ""
    paths: list[str] = msgspec.field(default_factory=list[str])
    hostname: str = ""
    username: str = ""
    uid: int = 0
    gid: int = 0
    excludes: list[str] | None = None
    tags: list[str] | None = None
    original: str | None = None
    program_version: str = ""
    summary: Summary | None = None


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot as callers see it: `id` and `tree` in hexadecimal, `time` in UTC."""

    id: str
    time: datetime
    tree: str
    paths: tuple[str, ...]
    hostname: str
    username: str
    tags: tuple[str, ...]
    excludes: tuple[str, ...]
    parent: str
    summary: Summary | None
    program_version: str = ""

    @property
    def short_id(self) -> str:
        """The first eight digits, as people quote it."""
        return self.id[:8]


def encode_snapshot(snapshot: SnapshotJson) -> bytes:
    """The JSON to store."""
    return msgspec.json.encode(snapshot)


def decode_snapshot(ident: str, data: bytes) -> Snapshot:
    """Read a snapshot object. Raises Damaged."""
    try:
        raw = msgspec.json.decode(data, type=SnapshotJson)
        moment = parse_time(raw.time)
    except (msgspec.DecodeError, ValueError) as error:
        raise Damaged(f"snapshot {ident[:8]} is not readable: {error}") from error
    return Snapshot(
        id=ident,
        time=moment,
        tree=raw.tree,
        paths=tuple(raw.paths),
        hostname=raw.hostname,
        username=raw.username,
        tags=tuple(raw.tags or ()),
        excludes=tuple(raw.excludes or ()),
        parent=raw.parent or "",
        summary=raw.summary,
        program_version=raw.program_version,
    )


def find_parent(snapshots: Sequence[Snapshot], host: str, paths: Sequence[str], before: datetime) -> Snapshot | None:
    """The newest snapshot of the same host and paths that is not younger than `before`."""
    wanted = sorted(paths)
    fitting = [s for s in snapshots if s.hostname == host and sorted(s.paths) == wanted and s.time <= before]
    return max(fitting, key=lambda s: s.time, default=None)
