"""Runs a command in a container of a running pod, from inside a Job, so that a restart of the operator adopts it.

The command's output goes to our log line by line, bounded; its exit code and last lines go into the report. Each try has its
own timeout. What was refused before the command began says so in the words of the API server.
"""

import asyncio
import sys
from typing import Final

from holdfast.core.cluster_calls import Exec
from holdfast.core.objects import Object
from holdfast.core.report import ItemResult, Report
from holdfast.kube.builtin import PODS
from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig
from holdfast.kube.errors import ApiError, Forbidden, NotFound, Unavailable
from holdfast.kube.execution import Ended
from holdfast.movers.attempts import tried
from holdfast.movers.cluster import own_cluster
from holdfast.movers.context import Context, MoverError, log, stopped

LOGGED: Final = 1 << 20
"""Bytes of output that go to the log; what comes after is counted only."""

_TAIL: Final = 800
"""Bytes of the end of the output that a report may quote."""

_LISTEN: Final = 0.1


class Tail:
    """Writes output to the log up to a limit, and keeps its end."""

    def __init__(self) -> None:
        self._end = b""
        self._seen = 0

    def __call__(self, channel: int, data: bytes) -> None:
        """Take some output of either channel."""
        room = max(LOGGED - self._seen, 0)
        self._seen += len(data)
        self._end = (self._end + data)[-_TAIL:]
        if room:
            sys.stdout.write(data[:room].decode(errors="replace"))
            sys.stdout.flush()

    def close(self) -> None:
        """End the log on a whole line, and say how much is not in it."""
        if self._end and not self._end.endswith(b"\n"):
            sys.stdout.write("\n")
        if self._seen > LOGGED:
            log(f"({self._seen - LOGGED} more bytes of output are not shown)")

    def words(self) -> str:
        """Return the last lines as one line."""
        return " ".join(self._end.decode(errors="replace").split())


def run(call: Exec, context: Context) -> Report:
    """Run the command until it ends well, within its tries."""
    if not call.command:
        raise MoverError("BadArguments", "the command is empty", "name a program")
    return run_through(own_cluster(), call, context)


def run_through(config: ClusterConfig, call: Exec, context: Context) -> Report:
    """Run the command through the API server of `config`."""
    what = f"{call.command[0]} in pod {call.namespace}/{call.pod}"
    item = tried(what, call.attempts, call.delay, context, lambda: asyncio.run(_attempt(call, context, config, what)))
    return Report(Exec.MOVER, items=(item,))


async def _attempt(call: Exec, context: Context, config: ClusterConfig, what: str) -> ItemResult:
    tail = Tail()
    async with Client(config, field_manager="holdfast-exec") as client:
        work = asyncio.create_task(_execute(call, client, tail))
        try:
            async with asyncio.timeout(call.timeout):
                ended = await _unless_stopped(work, context)
        except TimeoutError as error:
            raise _failed("Timeout", f"{what} did not end within {call.timeout} s", tail) from error
        except ApiError as error:
            raise _refusal(error, what, tail) from error
        finally:
            tail.close()
    if ended.code:
        if ended.code < 0:
            raise _failed("NotStarted", f"{what} could not be started: {ended.message}", tail)
        raise _failed("ExitCode", f"{what} ended with exit code {ended.code}", tail)
    log(f"{what} ended well")
    return ItemResult(f"{call.namespace}/{call.pod}{f'/{call.container}' if call.container else ''}", "0", tail.words())


async def _execute(call: Exec, client: Client, tail: Tail) -> Ended:
    if call.uid:
        pod: Object = await client.get(PODS, call.pod, call.namespace)
        if pod["metadata"].get("uid") != call.uid:
            message = f"pod {call.namespace}/{call.pod} is not the one that was meant: it has been replaced"
            raise MoverError("AnotherPod", message, "start the run again")
    return await client.exec(call.pod, call.namespace, call.command, container=call.container, output=tail)


async def _unless_stopped(work: "asyncio.Task[Ended]", context: Context) -> Ended:
    try:
        while not work.done():
            await asyncio.wait([work], timeout=_LISTEN)
            if context.stop.is_set():
                raise stopped()
        return work.result()
    finally:
        if not work.done():
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


def _refusal(error: ApiError, what: str, tail: Tail) -> MoverError:
    if isinstance(error, Forbidden):
        return MoverError("NotAllowed", f"{what}: {error.message}", "the Job's account needs create and get on pods/exec")
    if isinstance(error, NotFound):
        return MoverError("NotFound", f"{what}: {error.message}")
    if isinstance(error, Unavailable) and error.status == 0:
        return _failed("ConnectionLost", f"{what}: {error.message}; how it ended is not known", tail)
    return MoverError("Refused", f"{what}: {error.message}")


def _failed(reason: str, message: str, tail: Tail) -> MoverError:
    words = tail.words()
    return MoverError(reason, f"{message}: {words}" if words else message)
