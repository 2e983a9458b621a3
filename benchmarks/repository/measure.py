"""The cost of a process as the kernel accounts it, and what several runs of two programs say about each other."""

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """One run: seconds of wall clock, seconds of CPU (children included), peak resident set of the largest process in MiB."""

    wall: float
    cpu: float
    rss: float


class Spread(NamedTuple):
    """The median of several figures, and the smallest and the largest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def spread(figures: Sequence[float]) -> Spread:
    """Of at least one figure."""
    return Spread(statistics.median(figures), min(figures), max(figures))


def ratios(ours: Sequence[Cost], theirs: Sequence[Cost]) -> dict[str, Spread]:
    """Ours by theirs, run by run: the runs of one round were neighbours in time, so a machine that drifts harms little."""
    return {
        field: spread([getattr(a, field) / max(getattr(b, field), 1e-9) for a, b in zip(ours, theirs, strict=True)])
        for field in Cost._fields
    }


def run(argv: Sequence[str], env: Mapping[str, str], *, feed: Sequence[str] = (), cwd: Path | None = None) -> Cost:
    """Run a program to its end; with `feed` another one's output is its input, and counts in the wall clock only.

    Raises SystemExit when one of them fails: a figure of a failed run is worth nothing.
    """
    started = time.monotonic()
    source = subprocess.Popen(feed, env=dict(env), stdout=subprocess.PIPE) if feed else None
    with open(os.devnull, "wb") as null:
        child = subprocess.Popen(
            argv, env=dict(env), stdin=source.stdout if source else None, stdout=null, stderr=subprocess.PIPE, cwd=cwd
        )
    if source is not None and source.stdout is not None:
        source.stdout.close()
    assert child.stderr is not None
    words = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stderr.close()
    if source is not None and source.wait():
        raise SystemExit(f"{feed[0]} ended with status {source.returncode}")
    if child.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with status {child.returncode}:\n{words.decode(errors='replace')[-2000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def size_of(folder: Path) -> float:
    """MiB of all files below a folder."""
    return sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file()) / 2**20
