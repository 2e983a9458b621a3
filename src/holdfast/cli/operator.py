"""`holdfast operator`: the backup engine, and for the embedded API server also the controllers that a cluster brings along.

The engine acts only while this process holds the Lease, so that two operators of one cluster never write against each other.
"""

import argparse
import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from holdfast import __version__
from holdfast.cli.choice import choose
from holdfast.cli.datadir import DataDir
from holdfast.cli.dialects import KINDS, resources
from holdfast.cli.errors import HoldfastError
from holdfast.cli.health import Health, OperatorMetrics, served
from holdfast.cli.install import install, supply
from holdfast.cli.joblogs import JobLogs
from holdfast.cli.service import add_kubeconfig, announce, connect, serve
from holdfast.core.ports import Dialect
from holdfast.dialects.cloudcasa.dialect import CloudCasa
from holdfast.embedded.controllers.run import run_controllers
from holdfast.engine.budgets import Budget
from holdfast.engine.scope import Led, Scope
from holdfast.engine.shell import Engine
from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig, load_kubeconfig
from holdfast.kube.events import EventRecorder
from holdfast.kube.lease import Elector, LeaseLost
from holdfast.kube.shards import FIXED, Shards, shard_of
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
    parser.add_argument(
        "--shards",
        type=int,
        default=1,
        metavar="N",
        help="share the namespaces in N parts among the operators, which all give the same N (default: one acts for all)",
    )
    parser.add_argument("--listen", default="", help="serve /livez, /readyz and /metrics on HOST:PORT (default: not at all)")
    parser.add_argument(
        "--lease-duration",
        type=float,
        default=LEASE_SECONDS,
        metavar="SECONDS",
        help="how long a Lease holds; whoever follows takes over after this time and a half (default: %(default)s)",
    )
    parser.add_argument("--lease-namespace", default="kube-system", help="where the Lease lives (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop."""
    return serve(_operate(arguments, connect(arguments)))


async def _operate(arguments: argparse.Namespace, config: ClusterConfig) -> None:
    if arguments.shards < 1:
        raise HoldfastError(f"--shards {arguments.shards}: give 1 or more")
    serving, controlling = asyncio.Event(), asyncio.Event()
    health = Health()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(served(arguments.listen, health))
        await stack.enter_async_context(announce(serving, arguments.ready_fd))
        client = await stack.enter_async_context(Client(config, field_manager="holdfast"))
        leasing = await stack.enter_async_context(Client(config, field_manager="holdfast", max_in_flight=2 + arguments.shards))
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
            operator = Operator(client, arguments, serving, health)
            if arguments.shards == 1:
                await operator.lead(leasing, group)
            else:
                await operator.share(leasing, group)


class Operator:
    """The engine of this process, alone behind one Lease or as one of several."""

    def __init__(self, client: Client, arguments: argparse.Namespace, serving: asyncio.Event, health: Health) -> None:
        self._client, self._arguments, self._serving, self._health = client, arguments, serving, health

    async def lead(self, leasing: Client, group: asyncio.TaskGroup) -> None:
        """Act for everything while the Lease is ours, and stand by with filled caches otherwise, until cancelled."""
        place, name = self._arguments.lease_namespace, _identity(self._arguments)
        elector = Elector(leasing, LEASE, place, name, duration=self._arguments.lease_duration)
        scope = Led(elector)
        self._watched(scope.share)

        def stand(engine: Engine) -> None:
            group.create_task(elector.run())
            group.create_task(elector.follow(lambda _: engine.look_again(lambda _: True)))

        await self._act(scope, elector.acquired, stand)

    async def share(self, leasing: Client, group: asyncio.TaskGroup) -> None:
        """Act for the shards that are ours, with caches that are filled before the first one is, until cancelled."""
        place, name = self._arguments.lease_namespace, _identity(self._arguments)
        shards = Shards(leasing, LEASE, place, name, self._arguments.shards, duration=self._arguments.lease_duration)
        self._watched(shards.share)
        await self._act(shards, lambda: shards.holding(FIXED), lambda engine: self._join(shards, engine, group))

    def _watched(self, share: Callable[[], float]) -> None:
        self._health.registry.register(OperatorMetrics(self._health, self._client, share))
        self._health.reached = True

    def _join(self, shards: Shards, engine: Engine, group: asyncio.TaskGroup) -> None:
        """Take part in the deal, now that the caches are filled."""

        def among(number: int) -> Callable[[str], bool]:
            return lambda namespace: shard_of(namespace, shards.count) == number

        shards.drained_by(lambda number: engine.drained(among(number)))
        shards.subscribe(lambda number, _: engine.look_again(among(number)))
        group.create_task(shards.run())

    async def _act(self, scope: Scope, first: Callable[[], Awaitable[None]], filled: Callable[[Engine], None]) -> None:
        """Run an engine. `filled` is told once its caches are; `first` waits until what lies in no namespace is ours."""
        health = self._health
        choice = await choose(self._client, self._arguments.api)
        for sentence in choice.left_out:
            _log.warning("not spoken: %s", sentence)
        _log.info("speaks %s", ", ".join(dialect.name for dialect in choice.dialects))
        writer = self._client.gated(lambda: _check_any(scope))
        recorder = EventRecorder(writer, component="holdfast")
        engine = self._engine(choice.dialects, scope, recorder)
        health.engine = engine
        logs = [JobLogs(writer, engine.manager, scope)] if _speaks_cloudcasa(choice.dialects) else []
        try:
            async with asyncio.TaskGroup() as group:
                supplying = group.create_task(self._supply([dialect.name for dialect in choice.dialects], scope, first))
                group.create_task(engine.run())
                for each in logs:
                    group.create_task(each.run())
                await engine.manager.synced()
                health.synced = True
                filled(engine)
                await supplying
                self._serving.set()
        finally:
            health.engine, health.synced = None, False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await recorder.flush()
            await recorder.close()

    async def _supply(self, apis: Sequence[str], scope: Scope, first: Callable[[], Awaitable[None]]) -> None:
        """Bring the built-in objects up to date, once what lies in no namespace is ours, and again if it was lost meanwhile."""
        while True:
            await first()
            with contextlib.suppress(LeaseLost):
                return await supply(self._client.gated(lambda: scope.check("")), apis)

    def _engine(self, dialects: Sequence[Dialect], scope: Scope, recorder: EventRecorder) -> Engine:
        arguments = self._arguments
        return Engine(
            self._client,
            dialects,
            movers(),
            resources(),
            image=arguments.image,
            recorder=recorder,
            budget=Budget(total=arguments.max_active, per_namespace=arguments.max_active_per_namespace),
            scope=scope,
            metrics=self._health.runs,
        )


def _check_any(scope: Scope) -> None:
    """Raise LeaseLost when nothing at all is ours: the gate of what is told about objects rather than done to them."""
    if not scope.share():
        raise LeaseLost("no part of the namespaces is ours: writing stopped")


def _speaks_cloudcasa(spoken: Sequence[Dialect]) -> bool:
    return any(dialect.name == CloudCasa.name for dialect in spoken)


def _identity(arguments: argparse.Namespace) -> str:
    """Return our name as a candidate. A data directory has one operator ever, which needn't wait for its own last life."""
    return "embedded" if arguments.data_dir else f"{socket.gethostname()}-{secrets.token_hex(4)}"
