"""Snapshots that are copies of others: how they are written, and how they are recognised.

A copy keeps every field of its snapshot, known to us or not. Its `original` is the id under which the snapshot was first made,
however many repositories it went through, as the stock program's copies have it; so each program recognises the other's
copies. A snapshot counts as copied when the target holds one of the same origin that says the same: a copy whose tags were
changed afterwards is another snapshot.
"""

from collections.abc import Iterable

import msgspec

from holdfast.repo.documents import decode, parse_id
from holdfast.repo.errors import Damaged, ObjectNotFound
from holdfast.repo.repository import Repository
from holdfast.repo.store import path_of
from holdfast.repo.times import parse_ns


class Record(msgspec.Struct, frozen=True):
    """A snapshot for copying: `id` in its repository, `document` its raw JSON, the rest is decoded from it."""

    id: str
    document: bytes
    moment: int
    fields: "_Fields"

    @property
    def origin(self) -> str:
        """The id under which the snapshot was first made."""
        return self.fields.original or self.id

    @property
    def short_id(self) -> str:
        """The first eight digits, as people quote it."""
        return self.id[:8]

    @property
    def tree(self) -> bytes:
        """The id of the root tree. Raises Damaged."""
        try:
            return parse_id(self.fields.tree)
        except Damaged as error:
            raise Damaged(f"snapshot {self.short_id}: {error}") from error

    def same_as(self, other: "Record") -> bool:
        """Whether two snapshots say the same, whatever their parents and ids."""
        return (self.moment, self.fields.telling) == (other.moment, other.fields.telling)


class _Fields(msgspec.Struct, frozen=True):
    time: str
    tree: str = ""
    parent: str | None = None
    paths: list[str] | None = None
    hostname: str = ""
    username: str = ""
    uid: int = 0
    gid: int = 0
    excludes: list[str] | None = None
    tags: list[str] | None = None
    original: str | None = None

    @property
    def telling(self) -> tuple[object, ...]:
        """What two copies of one snapshot share; paths and tags are sets."""
        return (
            self.tree,
            self.hostname,
            self.username,
            self.uid,
            self.gid,
            self.excludes or [],
            sorted(self.paths or ()),
            sorted(self.tags or ()),
        )


_decoder = msgspec.json.Decoder(_Fields)


def read_records(repo: Repository) -> list[Record]:
    """All snapshots of a repository, oldest first. One that vanishes meanwhile is left out. Raises Damaged."""
    found: list[Record] = []
    for entry in repo.store.list("snapshots"):
        try:
            document = repo.load_json(path_of("snapshots", entry.name))
            fields = decode(_decoder, document, f"{repo.store.location}: snapshot {entry.name[:8]}")
            found.append(Record(entry.name, document, parse_ns(fields.time), fields))
        except ObjectNotFound:
            continue
        except ValueError as error:
            raise Damaged(f"{repo.store.location}: snapshot {entry.name[:8]} is not readable: {error}") from error
    return sorted(found, key=lambda record: (record.moment, record.id))


class Known:
    """The snapshots of a target by the ids under which copies of them are recognised."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._by_origin: dict[str, list[Record]] = {}
        for record in records:
            for ident in {record.id, record.origin}:
                self._by_origin.setdefault(ident, []).append(record)

    def find(self, record: Record) -> str:
        """The id of the target's copy of a snapshot; empty when there is none."""
        candidates = self._by_origin.get(record.origin, [])
        return next((candidate.id for candidate in candidates if candidate.same_as(record)), "")


def copied_document(record: Record, parent: str) -> bytes:
    """The JSON of the copy: everything as it was, but its origin, and the id that its parent has in the target (or none)."""
    fields = msgspec.json.decode(record.document, type=dict[str, msgspec.Raw])
    fields.pop("parent", None)
    if parent:
        fields["parent"] = msgspec.Raw(msgspec.json.encode(parent))
    fields["original"] = msgspec.Raw(msgspec.json.encode(record.origin))
    return msgspec.json.encode(fields)
