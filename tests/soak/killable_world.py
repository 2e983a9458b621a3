"""A cluster as the processes of `holdfast up`, which can be killed one by one, and a bucket; so for `kubeblocks_world`, too."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from holdfast.cli.datadir import DataDir
from holdfast.embedded.node.settings import Settings as NodeSettings
from tests import tools
from tests.e2e.cluster import NODE, Cluster
from tests.kubeblocks_world import World
from tests.movers_builders import KEY, SECRET
from tests.store_servers import free_port

OURS = (sys.executable, "-m", "holdfast.cli.main")


class Program:
    """A process that is started again after each kill."""

    def __init__(self, *command: str) -> None:
        self._command = command
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, log: Path, *, says: bool = True) -> None:
        """Start it; with `says` it is one of ours, and says on a pipe when it serves."""
        reading, writing = os.pipe()
        more = ("--ready-fd", str(writing)) if says else ()
        with log.open("ab") as out:
            self.process = await asyncio.create_subprocess_exec(
                *self._command,
                *more,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                pass_fds=(writing,),
                start_new_session=True,
            )
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            if says:
                async with asyncio.timeout(60):
                    assert await asyncio.to_thread(pipe.readline), f"{self._command[:4]} does not serve: see {log}"

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


class _Server:
    """The API server's process in place of one in the event loop."""

    def __init__(self, data: DataDir) -> None:
        self._program, self._log = Program(*OURS, "apiserver", "--data-dir", str(data.root)), data.root / "apiserver.log"
        self.kubeconfig_path = data.kubeconfig

    async def start(self) -> None:
        await self._program.start(self._log)

    async def stop(self) -> None:
        await self._program.kill()


class Killable(Cluster):
    """API server, operator (with the built-in controllers) of one API, node and bucket, each a process."""

    api: str
    mover: bytes
    """What the command line of a program holds that moves data, which `mover` strikes."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        data = DataDir(directory)
        data.create()
        self.server = _Server(data)  # type: ignore[assignment]
        root, api = ("--data-dir", str(directory)), ("--api", self.api)
        self.operator = Program(*OURS, "operator", "--kubeconfig", str(data.operator_kubeconfig), *root, *api)
        self.node = Program(
            *OURS, "node", "--kubeconfig", str(data.node_kubeconfig), "--root-dir", str(data.node), "--name", "here"
        )
        self.bucket = directory.parent / "s3" / "backups"
        address = f"127.0.0.1:{free_port()}"
        self.endpoint = f"http://{address}"
        served = ("serve", "s3", "--addr", address, "--auth-key", f"{KEY},{SECRET}", str(self.bucket.parent))
        self.store = Program(tools.rclone(), "--config", "/dev/null", *served)

    async def start_controllers(self, node_grace: float = 40) -> None:
        """Do nothing: they are part of the operator."""

    async def start_node(self, settings: NodeSettings = NODE) -> None:
        """Start the node's process."""
        await self.node.start(self.directory / "node.log")

    async def start_engine(self) -> None:
        """Start the operator, and the bucket."""
        await self.operator.start(self.directory / "operator.log")
        await self.start_store()

    async def start_store(self) -> None:
        """Start the S3 server, and wait until it listens."""
        self.bucket.mkdir(parents=True, exist_ok=True)
        await self.store.start(self.directory / "store.log", says=False)
        host, _, port = self.endpoint.removeprefix("http://").partition(":")
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(host, int(port))
                    writer.close()
                    return
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End everything."""
        for program in (self.operator, self.node, self.store):
            await program.kill()
        await super().stop()

    async def strike(self, what: str, draw: random.Random) -> bool:
        """Kill one part with SIGKILL and start it again if nobody else does. Returns whether there was something to kill."""
        match what:
            case "operator":
                await self.operator.kill()
                await self.start_operator()
            case "node":
                await self.node.kill()
                await self.start_node()
            case "store":
                await self.store.kill()
                await asyncio.sleep(draw.uniform(0, 2))
                await self.start_store()
            case "mover":
                return any([_killed(pid) for pid in self.below_node(self.mover)])
            case _:
                pids = self.below_node()
                return bool(pids) and _killed(draw.choice(pids))
        return True

    async def start_operator(self) -> None:
        """Start the operator alone."""
        await self.operator.start(self.directory / "operator.log")

    def below_node(self, mark: bytes = b"") -> list[int]:
        """The processes that the node has started, directly or not, whose command line holds a mark."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
        found, waiting = list[int](), [self.node.process.pid if self.node.process else 0]
        while waiting:
            for pid in children.get(waiting.pop(), ()):
                waiting.append(pid)
                with contextlib.suppress(OSError):
                    if mark in Path(f"/proc/{pid}/cmdline").read_bytes():
                        found.append(pid)
        return found


def _killed(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


class KillableWorld(Killable, World):
    """That of the KubeBlocks API."""

    api, mover = "kubeblocks", b"datasafed\0push"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def killable(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KillableWorld]:
    """Such a cluster for a whole module."""
    made = KillableWorld(tmp_path_factory.mktemp("kubeblocks") / "data")
    try:
        await made.start()
        yield made
    finally:
        await made.stop()
