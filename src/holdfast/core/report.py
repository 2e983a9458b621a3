"""What a mover says: one JSON report at its end, a stream of progress lines before.

The report is the container's termination message (4,096 bytes at most), the progress lines go to standard output, one
JSON document a line. Both cross process and version borders, so readers tolerate unknown fields and never trust size.
Neither ever holds a secret.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

MAX_REPORT_BYTES = 4096
"""The longest termination message that Kubernetes keeps."""

EXIT_AGAIN = 75
"""The exit code of a mover that began nothing and may be started again; a Job's podFailurePolicy tells it from all others."""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a step failed: a CamelCase reason for machines, a sentence for people, and the next thing to try.

    `again`: nothing was begun, so that the very same call may be tried once more (the mover then exits with `EXIT_AGAIN`).
    """

    reason: str
    message: str
    hint: str = ""
    again: bool = False


class RepositoryResult(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What one mover did in one repository. Counts are files and bytes; times are seconds and RFC 3339."""

    repository: str
    component: str = ""
    snapshot_ids: tuple[str, ...] = ()
    files: int = 0
    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    directories: int = 0
    bytes: int = 0
    added: int = 0
    stored: int = 0
    repository_bytes: int = 0
    seconds: float = 0.0
    started: str = ""
    finished: str = ""
    integrity: bool | None = None
    skipped_files: int = 0
    deleted: tuple[str, ...] = ()
    failure: Failure | None = None


class ItemResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one named part of a run, such as a table. `status` is a word of the dialect that asked."""

    name: str
    status: str
    message: str = ""


class ArchiveFile(msgspec.Struct, frozen=True):
    """One file as it was read back from its place; `size` in bytes."""

    name: str
    size: int
    sha256: str


class ArchiveResult(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """An archive of a control plane: where it lies, its files, the fingerprint of its key, what the database holds."""

    location: str
    files: tuple[ArchiveFile, ...] = ()
    key_id: str = ""
    store: str = ""
    revision: int = 0
    keys: int = 0
    hash: str = ""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of a mover: `failure` is absent exactly when everything that was asked is done and reads back.

    `items` are the named parts in the order of the request; `more` counts those for which the message had no room. `details`
    is what else the run told of itself, in the words of the dialect that asked.
    """

    mover: str
    results: tuple[RepositoryResult, ...] = ()
    failure: Failure | None = None
    items: tuple[ItemResult, ...] = ()
    more: int = 0
    archive: ArchiveResult | None = None
    details: Mapping[str, Any] = {}


class Progress(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One line of the progress stream of one repository. `eta` is seconds left, absent while it can't be known.

    `details` as in `Report`.
    """

    repository: str
    component: str = ""
    files_done: int = 0
    files_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    eta: float | None = None
    details: Mapping[str, Any] = {}


class ProgressLine(msgspec.Struct, frozen=True):
    """The envelope of a progress line on standard output: `{"progress": {...}}`; other lines are ordinary log."""

    progress: Progress


def decode_report(text: str) -> Report | None:
    """Read a termination message; None when it is not a report (a crash, a foreign program, a cut text)."""
    try:
        return msgspec.json.decode(text, type=Report)
    except msgspec.DecodeError:
        return None


def decode_progress(line: bytes) -> Progress | None:
    """Read one line of output; None when it is not a progress line."""
    if not line.startswith(b'{"progress"'):
        return None
    try:
        return msgspec.json.decode(line, type=ProgressLine).progress
    except msgspec.DecodeError:
        return None
