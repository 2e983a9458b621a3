"""`holdfast-mover run`: carry out the call in the environment variable HOLDFAST_CALL.

Imports little, since one of these starts for every step: a mover's own module is imported when its call is known. Exit
code 0 means that everything that was asked is done; 1 that the report says what is not; 2 that there was no proper call;
75 that nothing was begun, so that the call may be tried again.
"""

import importlib
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import msgspec

from holdfast.core.calls import Call, decode_call
from holdfast.core.report import EXIT_AGAIN, Failure, Report
from holdfast.movers.context import Context, MoverError, log, stop_on_signals
from holdfast.movers.priority import settle_priority
from holdfast.movers.report import ProgressWriter, write_report
from holdfast.repo.arrays import without_threads
from holdfast.repo.memory import settle_allocator

CALL_VARIABLE = "HOLDFAST_CALL"

PROGRAMS: Mapping[str, str] = {
    "storage-init": "holdfast.movers.storage:initialize_storage",
    "repository-init": "holdfast.movers.storage:initialize_repository",
    "wipe": "holdfast.movers.storage:wipe",
    "repository-check": "holdfast.movers.repository_check:run",
    "record-discovery": "holdfast.movers.record_discovery:run",
    "storage-wipe": "holdfast.movers.storage:wipe_storage",
    "volume-backup": "holdfast.movers.backup:run",
    "volume-restore": "holdfast.movers.restore:run",
    "retention": "holdfast.movers.retention:run",
    "trigger": "holdfast.movers.trigger:run",
    "antfly-backup": "holdfast.movers.antfly_backup:run",
    "antfly-restore": "holdfast.movers.antfly_restore:run",
    "antfly-retention": "holdfast.movers.antfly_retention:run",
    "antfly-health": "holdfast.movers.antfly_health:run",
    "control-plane-backup": "holdfast.movers.control_plane:run",
    "archive-delete": "holdfast.movers.control_plane:delete",
    "exec": "holdfast.movers.exec:run",
    "http": "holdfast.movers.http:request",
    "tcp": "holdfast.movers.http:connect",
    "datasafed-install": "holdfast.movers.datasafed.jobs:install",
    "datasafed-attend": "holdfast.movers.datasafed.attend:attend",
    "datasafed-conclude": "holdfast.movers.datasafed.attend:look",
    "datasafed-delete": "holdfast.movers.datasafed.jobs:delete",
    "record-delete": "holdfast.movers.datasafed.jobs:forget",
    "manifests-backup": "holdfast.movers.manifests_backup:run",
    "manifests-restore": "holdfast.movers.manifests_restore:run",
}
"""Where the program of each mover lives: `module:function`, called with the call and a Context."""


class Envelope(msgspec.Struct, frozen=True):
    """What HOLDFAST_CALL holds."""

    mover: str
    arguments: dict[str, object]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the console script."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words != ["run"]:
        print("usage: holdfast-mover run   (started inside a Job, with the call in HOLDFAST_CALL)", file=sys.stderr)
        return 2
    try:
        envelope = msgspec.json.decode(os.environ.get(CALL_VARIABLE, ""), type=Envelope)
        call = decode_call(envelope.mover, envelope.arguments)
    except (msgspec.DecodeError, KeyError) as error:
        message = f"{CALL_VARIABLE} is not a call this version knows: {error}"
        write_report(Report("unknown", failure=Failure("BadCall", message, "use the same version for operator and mover")))
        print(f"holdfast-mover: {message}", file=sys.stderr)
        return 2
    settle_allocator()
    settle_priority(os.environ)
    stop, progress = threading.Event(), ProgressWriter()
    stop_on_signals(stop)
    report = perform(envelope.mover, call, Context(progress, stop))
    progress.flush()
    write_report(report)
    if report.failure:
        hint = f" ({report.failure.hint})" if report.failure.hint else ""
        log(f"failed: {report.failure.reason}: {report.failure.message}{hint}")
    if report.failure is None:
        return 0
    return EXIT_AGAIN if report.failure.again else 1


def perform(mover: str, call: Call, context: Context) -> Report:
    """Run one call. Whatever goes wrong ends in a report, never in a traceback without one."""
    module, _, function = PROGRAMS[mover].partition(":")
    with without_threads():
        program = cast(Callable[[Call, Context], Report], getattr(importlib.import_module(module), function))
    try:
        return program(call, context)
    except MoverError as error:
        return Report(mover, failure=error.failure)
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
        message = f"{type(error).__name__}: {error}"
        return Report(mover, failure=Failure("InternalError", message, "this is a fault of Holdfast: please report it"))
