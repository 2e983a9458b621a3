"""The cost of a process as the kernel accounts it, and what several runs of two programs say about each other."""

import json
import os
import statistics
import subprocess
import sys
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
    """Run a program to its end through `launcher`; with `feed` another one's output is its input, and its time is waited for.

    Raises SystemExit when one of them fails: a figure of a failed run is worth nothing.
    """
    source = subprocess.Popen(feed, env=dict(env), stdout=subprocess.PIPE) if feed else None
    told, tell = os.pipe()
    launched = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launcher.py")), str(tell), *argv]
    with os.fdopen(told) as answer, open(os.devnull, "wb") as null:
        stdin = source.stdout if source else None
        child = subprocess.Popen(
            launched, env=dict(env), stdin=stdin, stdout=null, stderr=subprocess.PIPE, cwd=cwd, pass_fds=(tell,)
        )
        os.close(tell)
        if source is not None and source.stdout is not None:
            source.stdout.close()
        _, words = child.communicate()
        wall, cpu, peak, status = json.loads(answer.read() or "[0, 0, 0, 1]")
    if source is not None and source.wait():
        raise SystemExit(f"{feed[0]} ended with status {source.returncode}")
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise SystemExit(f"{' '.join(argv)} ended with status {code}:\n{words.decode(errors='replace')[-2000:]}")
    return Cost(wall, cpu, peak / 1024)


def size_of(folder: Path) -> float:
    """MiB of all files below a folder."""
    return sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file()) / 2**20
