"""What the long-running commands share: options, the connection, and a clean end on SIGTERM or Ctrl-C."""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
from collections.abc import AsyncGenerator, Coroutine
from pathlib import Path

import uvloop

from holdfast.cli.children import signal_ready
from holdfast.cli.errors import HoldfastError
from holdfast.kube.config import ClusterConfig, ConfigError, in_cluster, load_kubeconfig


def add_service(parser: argparse.ArgumentParser) -> None:
    """Add the options of every service."""
    parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)


def add_kubeconfig(parser: argparse.ArgumentParser) -> None:
    """Add the options of a service that is a client of an API server."""
    add_service(parser)
    parser.add_argument(
        "--kubeconfig", type=Path, help="the API server to use (default: KUBECONFIG, else the pod's own account)"
    )
    parser.add_argument("--context", help="the kubeconfig's context (default: its current one)")


def connect(arguments: argparse.Namespace) -> ClusterConfig:
    """Return the connection that the options ask for."""
    path = arguments.kubeconfig or os.environ.get("KUBECONFIG", "").split(":")[0]
    try:
        return load_kubeconfig(path, arguments.context) if path else in_cluster()
    except ConfigError as error:
        raise HoldfastError(str(error)) from error


def serve(service: Coroutine[object, object, None]) -> int:
    """Run a service until it is told to stop; its own `finally` blocks end it cleanly."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_until_stopped(service))
    return 0


def settle() -> None:
    """Leave all that exists now out of the collector's rounds: what a service starts with lives as long as the service.

    A full round over the modules alone takes tens of milliseconds, in which no request is answered.
    """
    gc.collect()
    gc.freeze()


async def _until_stopped(service: Coroutine[object, object, None]) -> None:
    task = asyncio.ensure_future(service)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.asynccontextmanager
async def announce(ready: asyncio.Event, descriptor: int | None) -> AsyncGenerator[None]:
    """Tell the supervisor once `ready` is set."""

    async def tell() -> None:
        await ready.wait()
        signal_ready(descriptor)

    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
