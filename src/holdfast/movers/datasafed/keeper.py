"""A program that takes the end of its input for the end of a file, and must not where only its writer has died.

A shell, the keeper, starts the program and holds the writing end of its input as well. One line tells it that all was written;
the end of its own input instead means that the writer is gone, and it kills the program before it lets go of the pipe. The
keeper is there before the program, so at no moment does the writer's death look like the end of the file. Both are a process
group of their own: what is meant for the writer does not reach them.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, Self, cast

_KEEPER = """
exec 3<&0 <"/proc/self/fd/$0"
"$@" <&3 3<&- >/dev/null & program=$!
exec 3<&-
if read -r done; then exec >/dev/null; wait "$program"; exit $?; fi
kill -9 "$program"
"""
"""Starts with the program's input as its standard input, that pipe's writing end as its standard output, and the writer's
line on the descriptor that $0 names."""


class Kept:
    """The program `command`, running. A context: left in any way before `finish`, it kills the program."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        source, self._sink = os.pipe()
        line, self._life = os.pipe()
        try:
            self._keeper = subprocess.Popen(
                ["/bin/sh", "-c", _KEEPER, str(line), *command],
                stdin=source,
                stdout=self._sink,
                stderr=subprocess.PIPE,
                env=env,
                pass_fds=(line,),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._sink)
            os.close(self._life)
            raise
        finally:
            os.close(source)
            os.close(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._keeper.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._keeper.pid, signal.SIGKILL)
            self._keeper.wait()
        self._let_go()
        cast(IO[bytes], self._keeper.stderr).close()

    def write(self, block: bytes) -> None:
        """Hand a block over. Raises BrokenPipeError when the program has ended."""
        view = memoryview(block)
        while view:
            view = view[os.write(self._sink, view) :]

    def finish(self) -> tuple[int, bytes]:
        """Let the program see the end of its input; returns its exit code and what it said on standard error."""
        os.write(self._life, b"done\n")
        self._let_go()
        said = cast(IO[bytes], self._keeper.stderr).read()
        return self._keeper.wait(), said

    def _let_go(self) -> None:
        for handle in (self._sink, self._life):
            if handle >= 0:
                os.close(handle)
        self._sink = self._life = -1
