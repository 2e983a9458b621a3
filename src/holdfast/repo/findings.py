"""What a check finds, and what it tells meanwhile."""

import threading
from typing import Literal

import msgspec

MOST_FINDINGS = 200
"""Findings kept in full; beyond it only their number is known."""

MOST_PATHS = 3
"""Paths named for each finding."""

Kind = Literal["config", "key", "snapshot", "index", "pack", "blob", "tree"]
"""What is damaged."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is damaged: in words, the whole id of the object or blob, and whom it hurts.

    `snapshots` are the ids of those that need it, `paths` a few of the places, each with the short id of a snapshot in front.
    """

    kind: Kind
    text: str
    id: str
    snapshots: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


class CheckProgress(msgspec.Struct, frozen=True):
    """How far a check is: `packs` are read, `trees` are walked. Totals are 0 while they are not known; bytes are those read."""

    phase: Literal["packs", "trees"]
    done: int
    total: int
    bytes_done: int
    bytes_total: int


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a check saw.

    `problems` are the findings in words, `hurt` the ids of the snapshots that are not whole. `orphans` are packs that no index
    names, `duplicates` blobs that lie in more than one pack, `unused` blobs that no snapshot needs: left by killed writers or
    forgotten snapshots, harmless, removed by prune. `packs_read` and `bytes_read` tell how much data was compared.
    """

    findings: tuple[Finding, ...]
    finding_count: int
    hurt: tuple[str, ...]
    snapshots: int
    packs: int
    blobs: int
    trees: int
    orphans: int
    duplicates: int
    packs_read: int
    bytes_read: int

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.finding_count

    @property
    def problems(self) -> tuple[str, ...]:
        """The findings in words, each with whom it hurts."""
        return tuple(describe(finding) for finding in self.findings)


def describe(finding: Finding) -> str:
    """A finding as one line."""
    if not finding.snapshots:
        return finding.text
    names = ", ".join(ident[:8] for ident in finding.snapshots[:5]) + (" and others" if len(finding.snapshots) > 5 else "")
    where = f", at {', '.join(finding.paths)}" if finding.paths else ""
    return f"{finding.text}; it hurts snapshot {names}{where}"


class Findings:
    """Collects, from any thread. A blob that is broken is remembered with the first finding that broke it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._kept: list[Finding] = []
        self.count = 0
        self.broken: dict[bytes, int] = {}
        """Blobs that can't be read, with the number of the finding; beyond those kept it is the last one's."""

    def add(self, kind: Kind, ident: str, text: str) -> int:
        """Record; returns the finding's number, by which `broken` and `hurts` name it."""
        with self._mutex:
            self.count += 1
            if len(self._kept) < MOST_FINDINGS:
                self._kept.append(Finding(kind=kind, text=text, id=ident))
            return min(self.count, MOST_FINDINGS) - 1

    def break_blob(self, blob: bytes, number: int) -> None:
        """Remember that a blob can't be read because of a finding."""
        with self._mutex:
            self.broken.setdefault(blob, number)

    def hurts(self, number: int, snapshot: str, path: str) -> None:
        """A snapshot needs what a finding is about, at this path."""
        found = self._kept[number]
        if snapshot not in found.snapshots:
            found = msgspec.structs.replace(found, snapshots=(*found.snapshots, snapshot))
        if len(found.paths) < MOST_PATHS and path:
            found = msgspec.structs.replace(found, paths=(*found.paths, f"{snapshot[:8]}:{path}"))
        self._kept[number] = found

    @property
    def kept(self) -> tuple[Finding, ...]:
        """All that were kept."""
        return tuple(self._kept)
