"""How a command ends: exit codes, the last message, and signals.

Codes are the stock program's. An error is one message on standard error, or one JSON document there with --json. SIGINT and
SIGTERM end a command in order: one that can stop by itself is asked to, any other is interrupted where it is, and either way
its locks are given back. The third signal ends the process at once; the lock that this leaves is recognised as dead. SIGHUP
is left alone: with it stock restic asks whether the holder of a lock lives (see `repo.hangup`).
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

import msgspec

from holdfast.cli.errors import HoldfastError
from holdfast.cli.repo.context import Context
from holdfast.repo.errors import NoRepository, RepositoryError, RepositoryLocked, Stopped, WrongPassword

OK = 0
FAILED = 1
USAGE = 2
PARTIAL = 3
NO_REPOSITORY = 10
LOCKED = 11
WRONG_PASSWORD = 12
INTERRUPTED = 130
BROKEN_PIPE = 141

EXIT_CODES: dict[int, str] = {
    OK: "done",
    FAILED: "failed: the message says what was wrong",
    USAGE: "the command line is wrong",
    PARTIAL: "done in part: some files or snapshots could not be read or restored",
    NO_REPOSITORY: "there is no repository",
    LOCKED: "the repository is locked by somebody else",
    WRONG_PASSWORD: "the password is wrong",
    INTERRUPTED: "stopped by a signal, in order",
    BROKEN_PIPE: "whoever read the output went away",
}

_BY_ERROR: tuple[tuple[type[RepositoryError], int], ...] = (
    (NoRepository, NO_REPOSITORY),
    (RepositoryLocked, LOCKED),
    (WrongPassword, WRONG_PASSWORD),
    (Stopped, INTERRUPTED),
)


class _ExitError(msgspec.Struct, frozen=True, tag_field="message_type", tag="exit_error"):
    """The last document on standard error of a command that failed with --json."""

    code: int
    message: str


def describe_exit_codes() -> str:
    """A table for people."""
    return "\n".join(f"  {code:3}  {text}" for code, text in EXIT_CODES.items())


def run_guarded(arguments: argparse.Namespace, command: Callable[[Context], int]) -> int:
    """Run a command with signals handled, and turn what it raises into a message and a code."""
    context = Context(arguments, os.environ)
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    interrupts = _Interrupts(context)
    for number in previous:
        signal.signal(number, interrupts)
    try:
        code = command(context)
        sys.stdout.flush()
        return PARTIAL if code == OK and context.passed_over else code
    except BrokenPipeError:
        _discard_output()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return _fail(context, INTERRUPTED, "interrupted")
    except (RepositoryError, HoldfastError) as error:
        code = next((code for kind, code in _BY_ERROR if isinstance(error, kind)), FAILED)
        return _fail(context, code, str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(context, FAILED, f"{where}{error.strerror or error}")
    finally:
        context.output.end_progress()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _fail(context: Context, code: int, message: str) -> int:
    """Tell why. What fails after a signal fails because of it."""
    code = INTERRUPTED if context.stop.is_set() else code
    context.output.end_progress()
    if context.output.json:
        print(msgspec.json.encode(_ExitError(code, message)).decode(), file=sys.stderr)
    else:
        print(f"holdfast repo {context.arguments.repo_command}: {message}", file=sys.stderr)
    return code


class _Interrupts:
    """The handler of signals."""

    def __init__(self, context: Context) -> None:
        self._context, self._count = context, 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        self._context.stop.set()
        if self._count >= 3:
            os._exit(INTERRUPTED)
        if self._count == (2 if self._context.stops_itself else 1):
            _discard_output()
            raise KeyboardInterrupt


def _discard_output() -> None:
    """Send what is still written to standard output nowhere: nothing on the way out may wait for a reader, or need one."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
