"""The processes of a control plane: started, watched, started again when they die, and never left behind.

Each child asks the kernel to kill it when its parent dies, so that `kill -9` of the supervisor leaves nothing running. A child
says that it serves by one line on a pipe whose number it is given; nobody has to poll it.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.cli.errors import HoldfastError
from holdfast.cli.lifeline import die_with_parent

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
HEALTHY_AFTER = 60.0
"""Seconds after which a child counts as well, and its next death as its first."""

GRACE = 15.0
"""Seconds between asking a child to end and killing it."""


class Child:
    """One child process and its log. `command` is what follows `holdfast`."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name, self.command, self.log = name, tuple(command), log
        self.process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self, say: Callable[[str], None]) -> None:
        """Start it and return once it serves. Raises HoldfastError with the end of its log when it does not."""
        rotate(self.log)
        ready = await self._spawn()
        if not await _line(ready):
            code = await self._end()
            raise HoldfastError(f"{self.name} ended with {describe(code)} before it served:\n{tail(self.log)}")
        self._task = asyncio.create_task(self._watch(say))

    async def stop(self) -> None:
        """Ask it to end, kill it when it does not, and wait until it is gone."""
        self._stopping = True
        process = self.process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), GRACE)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self, say: Callable[[str], None]) -> None:
        pause = FIRST_PAUSE
        while True:
            started = time.monotonic()
            code = await self._end()
            if self._stopping:
                return
            pause = FIRST_PAUSE if time.monotonic() - started > HEALTHY_AFTER else pause
            say(f"{self.name} ended with {describe(code)}; starting it again in {pause:g} s (log: {self.log})")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            await _line(await self._spawn())

    async def _spawn(self) -> asyncio.StreamReader:
        reading, writing = os.pipe()
        try:
            with self.log.open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", "holdfast.cli.main", *self.command, "--ready-fd", str(writing)),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(writing,),
                    start_new_session=True,
                    preexec_fn=die_with_parent(),
                )
        finally:
            os.close(writing)
        return await _reader(reading)

    async def _end(self) -> int:
        return await self.process.wait() if self.process else 0


def signal_ready(descriptor: int | None) -> None:
    """Tell the parent that we serve now."""
    if descriptor is not None:
        with contextlib.suppress(BrokenPipeError):
            os.write(descriptor, b"ready\n")
        os.close(descriptor)


def describe(code: int) -> str:
    """Return an exit code in words."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def tail(log: Path, lines: int = 8) -> str:
    """Return the last lines of a log."""
    text = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(f"  {line}" for line in text[-lines:]) or "  (it said nothing)"


def rotate(log: Path) -> None:
    """Keep the log of the last life beside the one that begins."""
    if log.exists():
        log.replace(log.with_suffix(".log.1"))


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb"))
    return reader


async def _line(reader: asyncio.StreamReader) -> bytes:
    return await reader.readline()
