"""A small cluster with the engine of one API on it, whose clock can be set. Jobs run as real pods."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from holdfast.cli.apiserver import admission, sealers
from holdfast.cli.dialects import KINDS, resources
from holdfast.cli.node import images
from holdfast.core.objects import Object
from holdfast.core.ports import Dialect
from holdfast.embedded.apiserver.server import ApiServer
from holdfast.embedded.node.run import run_node
from holdfast.embedded.node.settings import Settings as NodeSettings
from holdfast.engine.shell import Engine
from holdfast.kube.builtin import CRDS
from holdfast.kube.events import EventRecorder
from holdfast.movers.fills import movers
from holdfast.schema.emit import crd
from tests.e2e.cluster import NODE, Cluster


class EngineCluster(Cluster):
    """The cluster, and its engine."""

    def __init__(self, directory: Path, dialect: Dialect) -> None:
        super().__init__(directory)
        self.offset = timedelta()
        self.dialect = dialect
        self.server = ApiServer(directory, admission=admission(dialect.handlers), sealers=sealers(dialect.handlers))

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    async def start(self) -> None:
        await super().start()
        for spec in KINDS[self.dialect.name]:
            await self.client.apply(CRDS, crd(spec))
        await self.prepare()
        await self.start_engine()

    async def prepare(self) -> None:
        """Make what has to be there before the engine starts."""

    async def start_node(self, settings: NodeSettings = NODE) -> None:
        ready = asyncio.Event()
        root = self.directory / "node"
        work = run_node(self.client, self.config, root, "here", settings=settings, images=images(), ready=ready)
        await self._begin("node", work, ready)

    async def start_engine(self) -> None:
        await self._begin("engine", self._engine(ready := asyncio.Event()), ready)

    async def _engine(self, ready: asyncio.Event) -> None:
        recorder = EventRecorder(self.client, component="holdfast")
        self.engine = Engine(
            self.client, (self.dialect,), movers(), resources(), image="holdfast:test", recorder=recorder, clock=self.now
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self.engine.run())
            await self.engine.manager.synced()
            ready.set()

    async def stop(self) -> None:
        if "engine" in self._tasks:
            await self.stop_part("engine")
        await super().stop()

    async def set_clock(self, ahead: timedelta) -> None:
        """Let the engine live that much later, as after a downtime."""
        await self.stop_part("engine")
        self.offset = ahead
        await self.start_engine()

    async def refused(self, obj: Object) -> str:
        """Apply with kubectl what must be refused, and return the answer."""
        answer = await self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(obj), check=False)
        assert "created" not in answer, answer
        assert "configured" not in answer, answer
        return answer


def status(obj: Object) -> Object:
    return obj.get("status") or {}
