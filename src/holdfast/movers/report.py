"""How a mover is heard: progress lines on standard output, one report in the container's termination message.

Kubernetes keeps 4,096 bytes of the message, and a report that is cut is no report. So long texts are shortened first, then
the list of deleted snapshots (what is left out is deleted already and found gone next time), then named items: those that
went well are counted instead of named, and what failed is named for as long as there is room. Ids are never cut.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import msgspec

from holdfast.core.report import MAX_REPORT_BYTES, Failure, Progress, ProgressLine, Report, RepositoryResult

TERMINATION_LOG = Path("/dev/termination-log")
INTERVAL = 0.5
"""Seconds between two progress lines of one repository."""


class ProgressWriter:
    """Writes progress lines, at most one per repository, component and interval, and always the last one."""

    def __init__(self, out: TextIO | None = None, *, now: Callable[[], float] = time.monotonic) -> None:
        self._out = out or sys.stdout
        self._now = now
        self._last: dict[tuple[str, str], float] = {}
        self._held: dict[tuple[str, str], Progress] = {}

    def __call__(self, progress: Progress) -> None:
        """Write a line, or hold it back until its time has come."""
        key, now = (progress.repository, progress.component), self._now()
        if now - self._last.get(key, -INTERVAL) < INTERVAL:
            self._held[key] = progress
            return
        self._last[key] = now
        self._held.pop(key, None)
        self._write(progress)

    def flush(self) -> None:
        """Write what was held back."""
        for progress in self._held.values():
            self._write(progress)
        self._held.clear()

    def _write(self, progress: Progress) -> None:
        self._out.write(msgspec.json.encode(ProgressLine(progress)).decode() + "\n")
        self._out.flush()


def write_report(report: Report, path: Path = TERMINATION_LOG) -> None:
    """Leave the report as the termination message, or on standard output outside of a pod, which has no such file."""
    data = encode_report(report)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    except OSError:
        print(data.decode(), flush=True)


def encode_report(report: Report) -> bytes:
    """Encode a report in at most `MAX_REPORT_BYTES`, saying less where it must."""
    for text, deleted in ((1000, 1000), (500, 40), (200, 20), (100, 10), (60, 0)):
        short = _shortened(report, text, deleted)
        data = msgspec.json.encode(short)
        if len(data) <= MAX_REPORT_BYTES:
            return data
    for kept in range(len(report.items) - 1, 0, -1):
        data = msgspec.json.encode(_without_items(short, kept))
        if len(data) <= MAX_REPORT_BYTES:
            return data
    failure = report.failure or Failure(
        "ReportTooLong", f"the results of {len(report.results)} repositories do not fit into {MAX_REPORT_BYTES} bytes"
    )
    return msgspec.json.encode(Report(report.mover, (), _shorter(failure, 500)))


def _shortened(report: Report, text: int, deleted: int) -> Report:
    results = tuple(_shorter_result(result, text, deleted) for result in report.results)
    items = tuple(msgspec.structs.replace(item, message=_cut(item.message, text)) for item in report.items)
    failure = _shorter(report.failure, text) if report.failure else None
    return msgspec.structs.replace(report, results=results, failure=failure, items=items)


def _without_items(report: Report, kept: int) -> Report:
    """Return the report with `kept` items in their order, those with a message first to stay."""
    ranked = sorted(range(len(report.items)), key=lambda at: (not report.items[at].message, at))
    items = tuple(report.items[at] for at in sorted(ranked[:kept]))
    return msgspec.structs.replace(report, items=items, more=len(report.items) - kept)


def _shorter_result(result: RepositoryResult, text: int, deleted: int) -> RepositoryResult:
    failure = _shorter(result.failure, text) if result.failure else None
    return msgspec.structs.replace(result, failure=failure, deleted=result.deleted[:deleted])


def _shorter(failure: Failure, limit: int) -> Failure:
    return Failure(failure.reason[:80], _cut(failure.message, limit), _cut(failure.hint, limit), failure.again)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
