"""The figures of a restore as its status shows them: how long it took, how many files and bytes, how fast."""

from datetime import timedelta

from holdfast.core.objects import Object
from holdfast.core.plan import StepState
from holdfast.core.quantity import format_bytes
from holdfast.core.times import format_duration


def took(state: StepState) -> Object:
    """Return the duration of a component's restore, if it is known: what the mover says, else its Job."""
    if state.report and state.report.results:
        seconds = sum(result.seconds for result in state.report.results)
        return {"duration": format_duration(timedelta(milliseconds=round(seconds * 1000)))}
    if state.started and state.finished:
        return {"duration": format_duration(state.finished - state.started)}
    return {}


def restored(state: StepState) -> Object:
    """Return the progress of a component that is done."""
    results = state.report.results if state.report else ()
    if not results:
        return {}
    size, files = sum(result.bytes for result in results), sum(result.files for result in results)
    seconds = sum(result.seconds for result in results)
    return {"progress": _figures(files, files, size, size, seconds, size / seconds if seconds else 0.0)}


def progress(state: StepState) -> Object:
    """Return the progress of a component that is being restored; empty before its mover has said something."""
    if not state.progress:
        return {}
    now = state.progress[-1]
    figures = _figures(now.files_done, now.files_total, now.bytes_done, now.bytes_total, now.seconds, now.rate)
    return {"progress": figures}


def _figures(done: int, total: int, bytes_done: int, bytes_total: int, seconds: float, rate: float) -> Object:
    share = bytes_done / bytes_total if bytes_total else float(done > 0 and done == total)
    return {
        "secondsElapsed": int(seconds),
        "percentDone": f"{min(share, 1.0) * 100:.2f}%",
        "totalFiles": total,
        "filesDone": done,
        "restoreDone": format_bytes(bytes_done),
        "total": format_bytes(bytes_total),
        "speed": f"{format_bytes(int(rate))}/s",
    }
