"""What the demo shows: steps, a live line of progress, and the table at the end."""

import sys
import time
from collections.abc import Sequence

import msgspec

from holdfast.core.objects import Object
from holdfast.core.times import parse_duration
from holdfast.dialects.kubestash.sizes import parse_bytes
from holdfast.embedded.read import items, mapping


class Row(msgspec.Struct, frozen=True):
    """One Snapshot in figures: bytes of the source, bytes added to the repository, seconds."""

    snapshot: str
    files: int
    bytes: int
    added: int
    seconds: float


def step(text: str) -> None:
    """Begin a part of the story."""
    print(f"\n== {text}", flush=True)


def note(text: str) -> None:
    """Tell one thing."""
    print(f"   {text}", flush=True)


class Live:
    """A line that is drawn again on a terminal, and said once a second elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._said = 0.0
        self._last = ""

    def show(self, text: str) -> None:
        """Draw it."""
        if not text or text == self._last:
            return
        self._last = text
        if self._terminal:
            print(f"\r\x1b[K   {text}", end="", flush=True)
        elif time.monotonic() - self._said >= 1:
            self._said = time.monotonic()
            note(text)

    def done(self) -> None:
        """Leave the line."""
        if self._terminal and self._last:
            print(flush=True)


def progress_text(component: Object) -> str:
    """Return a component's progress: files, bytes, rate, and the seconds left. Of a backup it stands with its statistics."""
    stats = items(component, "resticStats")
    found = mapping(stats[-1] if stats else component, "progress")
    if not found:
        return ""
    total, done = (
        parse_bytes(found.get("total", "")) or 0,
        parse_bytes(found.get("backupDone", found.get("restoreDone", ""))) or 0,
    )
    rate = parse_bytes(found.get("speed", "").removesuffix("/s")) or 0
    left = f", {(total - done) / rate:.0f} s left" if rate and total > done else ""
    files = f"{found.get('filesDone', 0)} of {found.get('totalFiles', 0)} files"
    return f"{files}, {size(done)} of {size(total)}, {size(rate)}/s{left}"


def row_of(snapshot: Object) -> Row:
    """Read a Snapshot's figures from its status."""
    files = total = added = 0
    seconds = 0.0
    for component in snapshot["status"]["components"].values():
        seconds += parse_duration(component.get("duration") or "0s").total_seconds()
        for stat in component["resticStats"]:
            files += int(stat["progress"]["filesDone"])
            total += parse_bytes(stat["size"]) or 0
            added += parse_bytes(stat["uploaded"]) or 0
    return Row(snapshot["metadata"]["name"], files, total, added, seconds)


def table(rows: Sequence[Row]) -> str:
    """Lay the figures out."""
    lines = [("snapshot", "files", "bytes", "added", "seconds", "MB/s")]
    for row in rows:
        rate = row.bytes / row.seconds / 1e6 if row.seconds else 0.0
        lines.append((row.snapshot, str(row.files), size(row.bytes), size(row.added), f"{row.seconds:.1f}", f"{rate:.0f}"))
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    return "\n".join("   " + _aligned(line, widths) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(line, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in rest)])


def size(count: float) -> str:
    """Return bytes as `12.3 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"
