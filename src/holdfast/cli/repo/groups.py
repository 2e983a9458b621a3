"""Snapshots in groups by what they are of, and as tables and documents.

`forget` and `snapshots` treat snapshots of the same host and paths as one series, as the stock program does.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from holdfast.cli.repo.output import human_bytes, local_time, shown
from holdfast.repo.snapshot import Snapshot

FIELDS = ("host", "paths", "tags")


class Group(msgspec.Struct, frozen=True):
    """What the snapshots of a group have in common; a part by which they are not grouped is empty."""

    host: str = ""
    paths: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"host {self.host}"] if self.host else []
        parts += [f"paths {', '.join(map(shown, self.paths))}"] if self.paths else []
        parts += [f"tags {', '.join(self.tags)}"] if self.tags else []
        return "; ".join(parts) or "all snapshots"


def fields(text: str) -> tuple[str, ...]:
    """The parts of `--group-by`; empty for one group of all. Raises ValueError."""
    names = tuple({"path": "paths", "tag": "tags"}.get(name, name) for name in text.replace(" ", "").split(",") if name)
    unknown = [name for name in names if name not in FIELDS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is nothing to group by: use host, paths, tags")
    return names


def grouped(snapshots: Iterable[Snapshot], by: Sequence[str]) -> dict[Group, list[Snapshot]]:
    """The groups, in order of their names; within each the given order."""
    found: dict[Group, list[Snapshot]] = {}
    for snapshot in snapshots:
        group = Group(
            snapshot.hostname if "host" in by else "",
            tuple(sorted(snapshot.paths)) if "paths" in by else (),
            tuple(sorted(snapshot.tags)) if "tags" in by else (),
        )
        found.setdefault(group, []).append(snapshot)
    return {group: found[group] for group in sorted(found, key=lambda g: (g.host, g.paths, g.tags))}


def document(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as JSON: what its object holds, and its id, whole and short."""
    written: dict[str, Any] = msgspec.to_builtins(snapshot.written)
    return {**written, "id": snapshot.id, "short_id": snapshot.short_id}


HEADS = ("ID", "Time", "Host", "Tags", "Paths", "Size")


def row(snapshot: Snapshot) -> tuple[str, ...]:
    """The cells of a snapshot below HEADS."""
    return (
        snapshot.short_id,
        local_time(snapshot.time),
        shown(snapshot.hostname),
        "\n".join(map(shown, snapshot.tags)),
        "\n".join(map(shown, snapshot.paths)),
        human_bytes(snapshot.summary.total_bytes_processed) if snapshot.summary else "",
    )
