"""What commands print: text and tables for people, JSON documents for programs, progress for terminals.

Results go to standard output, everything about the way there to standard error. Names come from file systems and
repositories: control characters in them become escapes, so that no name can play tricks on a terminal.
"""

import os
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from holdfast.repo.result import Progress, printable

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


class Output:
    """Prints for one command."""

    def __init__(self, *, json: bool, quiet: bool, verbose: int = 0) -> None:
        self.json, self.quiet, self.verbose = json, quiet, verbose
        self._bar = sys.stderr.isatty() and not json and not quiet
        self._drawn = False
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")

    def line(self, text: str = "") -> None:
        """A line of the result."""
        self.end_progress()
        print(text)

    def say(self, text: str) -> None:
        """Something about the result that --quiet and --json leave out."""
        if not self.quiet and not self.json:
            self.line(text)

    def warn(self, text: str) -> None:
        """Something that went wrong without ending the command."""
        self.end_progress()
        print(text, file=sys.stderr)

    def document(self, value: object) -> None:
        """A JSON document on a line of its own."""
        sys.stdout.write(msgspec.json.encode(value).decode() + "\n")

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Columns; a cell of several lines makes its row as high."""
        self.end_progress()
        cells = [[cell.split("\n") for cell in row] for row in rows]
        widths = [max([len(head), *(len(line) for row in cells for line in row[column])]) for column, head in enumerate(heads)]
        print(_columns(heads, widths))
        print("-" * (sum(widths) + 2 * (len(widths) - 1)))
        for row in cells:
            for number in range(max(map(len, row))):
                print(_columns([cell[number] if number < len(cell) else "" for cell in row], widths))

    def progress(self, told: Progress) -> None:
        """Draw the bar, or with --json print a status document."""
        if self.json and not self.quiet:
            self.document(Status.of(told))
            sys.stdout.flush()
        elif self._bar:
            self.bar(_bar_text(told))

    def bar(self, text: str) -> None:
        """Draw a line over the last one, at a terminal only."""
        if self._bar:
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            print(f"\r\x1b[K{text[: width - 1]}", end="", file=sys.stderr, flush=True)
            self._drawn = True

    def end_progress(self) -> None:
        """Take the bar away."""
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._drawn = False


class Status(msgspec.Struct, frozen=True, tag_field="message_type", tag="status"):
    """The JSON of progress: bytes and seconds; totals and the percentage (0 to 1) are 0 until they are known."""

    seconds_elapsed: int
    percent_done: float
    total_files: int
    files_done: int
    total_bytes: int
    bytes_done: int

    @classmethod
    def of(cls, told: Progress) -> "Status":
        """What a run told."""
        done = min(told.bytes_done / told.bytes_total, 1.0) if told.bytes_total and told.totals_known else 0.0
        files, size = told.files_done, told.bytes_done
        return cls(int(told.seconds), round(done, 4), told.files_total, files, told.bytes_total, size)


def _bar_text(told: Progress) -> str:
    rate = told.bytes_done / told.seconds if told.seconds else 0
    done = f"{told.files_done} files, {human_bytes(told.bytes_done)}"
    text = f"[{clock(told.seconds)}] {done}"
    if told.totals_known and told.bytes_total:
        text = f"[{clock(told.seconds)}] {100 * min(told.bytes_done / told.bytes_total, 1):5.1f}%  {done} of "
        text += f"{told.files_total} files, {human_bytes(told.bytes_total)}"
        if rate:
            text += f", {clock(max(told.bytes_total - told.bytes_done, 0) / rate)} to go"
    return f"{text}, {human_bytes(rate)}/s"


def _columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def human_bytes(size: float) -> str:
    """`1.234 MiB`: three decimals, and none for bytes."""
    number = 0
    while size >= 1024 and number < len(_UNITS) - 1:
        size, number = size / 1024, number + 1
    return f"{size:.3f} {_UNITS[number]}" if number else f"{size:.0f} B"


def clock(seconds: float) -> str:
    """`1:02` or `3:04:05`."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def local_time(moment: datetime) -> str:
    """A time in the zone of the process, to the second."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def shown(name: str) -> str:
    """A name for a terminal: control characters and bytes that are not UTF-8 become escapes."""
    text = printable(name)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def since(began: float) -> float:
    """Seconds since a reading of the monotonic clock."""
    return time.monotonic() - began
