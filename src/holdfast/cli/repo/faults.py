"""Files that could not be read or restored, as lines and documents."""

from collections.abc import Sequence

import msgspec

from holdfast.cli.repo.output import Output, shown
from holdfast.repo.result import FileError


class _Message(msgspec.Struct, frozen=True):
    message: str


class _FaultJson(msgspec.Struct, frozen=True, tag_field="message_type", tag="error"):
    error: _Message
    during: str
    item: str


def report(output: Output, during: str, errors: Sequence[FileError], count: int) -> None:
    """Tell each fault, and how many more there are than could be kept."""
    for fault in errors:
        if output.json:
            output.document(_FaultJson(_Message(fault.message), during, fault.path))
        else:
            output.warn(f"{shown(fault.path)}: {fault.message}")
    if count > len(errors):
        output.warn(f"and {count - len(errors)} more")
