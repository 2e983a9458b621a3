"""Snapshots: what was backed up, when, from where, and the id of its tree."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from holdfast.repo.documents import decode
from holdfast.repo.errors import Damaged
from holdfast.repo.times import parse_time, zone_of


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
    """A snapshot as callers see it: `id` and `tree` in hexadecimal, `time` in UTC; `written` is what its object says.

    `original` is the id of the snapshot that this one was copied from, empty for one that was made here.
    """

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
    original: str = ""
    program_version: str = ""
    written: SnapshotJson = SnapshotJson(time="")

    @property
    def own_time(self) -> datetime:
        """The time in the zone in which the snapshot was made."""
        return self.time.astimezone(zone_of(self.written.time))

    @property
    def short_id(self) -> str:
        """The first eight digits, as people quote it."""
        return self.id[:8]


def encode_snapshot(snapshot: SnapshotJson) -> bytes:
    """The JSON to store."""
    return msgspec.json.encode(snapshot)


_decoder = msgspec.json.Decoder(SnapshotJson)


def decode_snapshot(ident: str, data: bytes) -> Snapshot:
    """Read a snapshot object. Raises Damaged."""
    try:
        raw = decode(_decoder, data, f"snapshot {ident[:8]}")
        moment = parse_time(raw.time)
    except ValueError as error:
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
        original=raw.original or "",
        program_version=raw.program_version,
        written=raw,
    )


def find_parent(snapshots: Sequence[Snapshot], host: str, paths: Sequence[str], before: datetime) -> Snapshot | None:
    """The newest snapshot of the same host and paths that is not younger than `before`."""
    wanted = sorted(paths)
    fitting = [s for s in snapshots if s.hostname == host and sorted(s.paths) == wanted and s.time <= before]
    return max(fitting, key=lambda s: s.time, default=None)


class Filter(msgspec.Struct, frozen=True):
    """Which snapshots are meant: of any of the hosts, with any of the sets of tags whole, and with every one of the paths.

    What is empty does not restrict. An empty set of tags means snapshots without any tag.
    """

    hosts: tuple[str, ...] = ()
    tags: tuple[tuple[str, ...], ...] = ()
    paths: tuple[str, ...] = ()

    def matches(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot is meant."""
        if self.hosts and snapshot.hostname not in self.hosts:
            return False
        if self.tags and not any(_tagged(snapshot, wanted) for wanted in self.tags):
            return False
        return set(self.paths) <= set(snapshot.paths)


def _tagged(snapshot: Snapshot, wanted: tuple[str, ...]) -> bool:
    return set(wanted) <= set(snapshot.tags) if any(wanted) else not snapshot.tags


ANY = Filter()


def split_address(text: str) -> tuple[str, str]:
    """`id:subfolder` in its two parts; the subfolder is empty when there is none."""
    ident, _, subfolder = text.partition(":")
    return ident, subfolder
