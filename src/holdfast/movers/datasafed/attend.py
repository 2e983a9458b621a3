"""The container beside a script of an ActionSet: its hands in the repository, and its voice.

It lives as long as the script does: the pod ends it (SIGTERM) once the script has ended, and what it then says is the report
of the step. The script may write what it knows of its backup into the info file, as JSON in the field names of the Backup's
status; every change of it is told as progress. At the end what was really stored is measured, and a record of the backup is
put beside it, by which a fresh cluster finds it again.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.core.calls import DatasafedAttend, DatasafedConclude
from holdfast.core.report import Progress, Report
from holdfast.movers.context import Context, log
from holdfast.movers.datasafed.faults import DatasafedError, NotThere
from holdfast.movers.datasafed.info import KNOWN, Details, Info
from holdfast.movers.datasafed.places import Item, Place
from holdfast.movers.datasafed.sealed import open_place
from holdfast.movers.datasafed.server import Server
from holdfast.movers.datasafed.settings import read_settings

LONGEST_DETAILS: Final = 3000
"""Bytes of details for which a report has room; extras that are longer stay in the record only."""


def attend(call: DatasafedAttend, context: Context) -> Report:
    """Serve until the pod ends this container, then tell what was saved."""
    server, info = Server(Path(call.folder)), Info(call.info)
    while not context.stop.is_set():
        server.serve(call.interval)
        if (details := info.changed(call.interval)) is not None:
            context.progress(Progress(call.MOVER, details=conclude(call, details) if call.lasting else details))
    server.close()
    if not call.info:
        return Report(call.MOVER)
    return Report(call.MOVER, details=bounded(conclude(call, info.read())))


def look(call: DatasafedConclude, _: Context) -> Report:
    """Tell what was saved in place of a sidecar that could not."""
    said: Details = {"extras": list(call.extras)} if call.extras else {}
    return Report(call.MOVER, details=bounded(conclude(call, said)))


def conclude(call: DatasafedAttend | DatasafedConclude, details: Details) -> Details:
    """Measure what was saved and write the record; what does not fit together is told as `problem`.

    A backup with a problem has failed and gets no record, so that no fresh cluster takes it for a good one.
    """
    try:
        settings = read_settings(os.environ)
        place = open_place(settings)
        stored = [item for item in _listed(place) if item.path != call.record_file]
        size = sum(item.size for item in stored)
        details = {**details, "storedBytes": size}
        if not stored and _says_something(details):
            return {**details, "problem": f"it says that it saved {details['totalSize']}, but nothing lies in the repository"}
        _read_back(place, stored)
        if call.record_file and stored and "problem" not in details:
            plain = msgspec.structs.replace(settings, kopia_root="")
            _record(call, open_place(plain), details)
    except DatasafedError as error:
        return {**details, "problem": f"what was saved can't be read back: {error}"}
    return details


def bounded(details: Details) -> Details:
    """Return details that fit into a report."""
    if len(msgspec.json.encode(details)) <= LONGEST_DETAILS:
        return details
    log("the extras of the info file are too long for the status of the Backup; its record in the repository has them")
    return {key: value for key, value in details.items() if key != "extras"}


def _listed(place: Place) -> list[Item]:
    try:
        return [item for item in place.list("", recursive=True) if not item.is_folder]
    except NotThere:
        return []


def _says_something(details: Mapping[str, Any]) -> bool:
    return str(details.get("totalSize", "0")).strip() not in ("", "0")


def _read_back(place: Place, stored: list[Item]) -> None:
    """Read the beginning of the largest file."""
    if stored:
        next(iter(place.read(max(stored, key=lambda item: item.size).path)), b"")


def _record(call: DatasafedAttend | DatasafedConclude, place: Place, details: Details) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = {key: value for key, value in details.items() if key in KNOWN}
    said.setdefault("totalSize", str(details["storedBytes"]))
    status = {**call.record.get("status", {}), **said, "completionTimestamp": now, "phase": "Completed"}
    document = {**call.record, "status": status}
    place.write(call.record_file, [msgspec.json.format(msgspec.json.encode(document)) + b"\n"])
