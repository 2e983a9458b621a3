"""`holdfast operator`: the backup engine, and for the embedded API server also the controllers that a cluster brings along.

The engine acts only while this process holds the Lease, so that two operators of one cluster never write against each other.
"""

import argparse
import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

from holdfast import __version__
from holdfast.cli.choice import choose
from holdfast.cli.datadir import DataDir
from holdfast.cli.dialects import KINDS, resources
from holdfast.cli.health import Health, OperatorMetrics, served
from holdfast.cli.install import install, supply
from holdfast.cli.joblogs import JobLogs
from holdfast.cli.service import add_kubeconfig, announce, connect, serve
from holdfast.core.ports import Dialect
from holdfast.dialects.cloudcasa.dialect import CloudCasa
from holdfast.embedded.controllers.run import run_controllers
from holdfast.engine.budgets import Budget
from holdfast.engine.shell import Engine
from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig, load_kubeconfig
from holdfast.kube.events import EventRecorder
from holdfast.kube.lease import Elector
from holdfast.movers.fills import movers

_log = logging.getLogger(__name__)

LEASE = "holdfast-operator"

LEASE_SECONDS = 10.0
"""How long a Lease holds: whoever stands by takes over within 15 s of a leader's death."""

FAREWELL = 2.0
"""Seconds that the last events are given to be written when the engine stops."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_kubeconfig(parser)
    parser.add_argument("--data-dir", type=Path, help="run the built-in controllers too, with their volumes here")
    parser.add_argument("--install", action="store_true", help="install CRDs, Addons and roles first, if the account may")
    parser.add_argument(
        "--api", action="append", default=[], choices=tuple(KINDS), help="speak only this API, also on CRDs of another product"
    )
    parser.add_argument("--image", default=f"holdfast:{__version__}", help="the image of movers (default: %(default)s)")
    limits = Budget()
    for option, number, where in (
        ("--max-active", limits.total, "in all"),
        ("--max-active-per-namespace", limits.per_namespace, "in one namespace"),
    ):
        text = f"Jobs of backups and restores that run at a time {where}; 0 for no limit (default: %(default)s)"
        parser.add_argument(option, type=int, default=number, metavar="N", help=text)
    parser.add_argument("--listen", default="", help="serve /livez, /readyz and /metrics on HOST:PORT (default: not at all)")
    parser.add_argument("--lease-namespace", default="kube-system", help="where the Lease lives (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop."""
    return serve(_operate(arguments, connect(arguments)))


async def _operate(arguments: argparse.Namespace, config: ClusterConfig) -> None:
    serving, controlling = asyncio.Event(), asyncio.Event()
    health = Health()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(served(arguments.listen, health))
        await stack.enter_async_context(announce(serving, arguments.ready_fd))
        client = await stack.enter_async_context(Client(config, field_manager="holdfast"))
        leasing = await stack.enter_async_context(Client(config, field_manager="holdfast", max_in_flight=2))
        elector = Elector(leasing, LEASE, arguments.lease_namespace, _identity(arguments), duration=LEASE_SECONDS)
        async with asyncio.TaskGroup() as group:
            if arguments.install:
                await install(client)
            if arguments.data_dir:
                data = DataDir(arguments.data_dir)
                whole = load_kubeconfig(data.controllers_kubeconfig)
                own = await stack.enter_async_context(Client(whole, field_manager="holdfast-controllers"))
                await install(own)
                group.create_task(run_controllers(own, data.root, ready=controlling))
                await controlling.wait()
            group.create_task(elector.run())
            health.registry.register(OperatorMetrics(health, client, elector))
            health.leading = lambda: elector.held
            await elector.lead(lambda: _engine(client, elector, arguments, serving, health))


async def _engine(
    client: Client, elector: Elector, arguments: argparse.Namespace, serving: asyncio.Event, health: Health
) -> None:
    choice = await choose(client, arguments.api)
    for sentence in choice.left_out:
        _log.warning("not spoken: %s", sentence)
    _log.info("speaks %s", ", ".join(dialect.name for dialect in choice.dialects))
    await supply(client.gated(elector.check), [dialect.name for dialect in choice.dialects])
    recorder = EventRecorder(client.gated(elector.check), component="holdfast")
    engine = Engine(
        client,
        choice.dialects,
        movers(),
        resources(),
        image=arguments.image,
        recorder=recorder,
        budget=Budget(total=arguments.max_active, per_namespace=arguments.max_active_per_namespace),
        gate=elector.check,
        metrics=health.runs,
    )
    health.engine = engine
    logs = [JobLogs(client.gated(elector.check), engine.manager)] if _speaks_cloudcasa(choice.dialects) else []
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(engine.run())
            for each in logs:
                group.create_task(each.run())
            await engine.manager.synced()
            health.synced = True
            serving.set()
    finally:
        health.engine, health.synced = None, False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await recorder.flush()
        await recorder.close()


def _speaks_cloudcasa(spoken: Sequence[Dialect]) -> bool:
    return any(dialect.name == CloudCasa.name for dialect in spoken)


def _identity(arguments: argparse.Namespace) -> str:
    """Return our name as a candidate. A data directory has one operator ever, which needn't wait for its own last life."""
    return "embedded" if arguments.data_dir else f"{socket.gethostname()}-{secrets.token_hex(4)}"
