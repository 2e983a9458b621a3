"""kill -9 of the engine and of movers at random moments of a copy: no point is lost, nothing is orphaned, each job ends.

Each round runs a copy with its snapshot and, at moments that a seed draws, kills the engine's process or every mover that runs.
Whatever its end, the job says why; what it made for itself is gone; each snapshot of the cluster and of the repository belongs
to a recovery point; and each point that ever was is still there, with all of its snapshots in the repository. `make test` tries
a small sample, `make soak SEED= N=` 100 rounds for each N.
"""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from holdfast.core.objects import Object
from holdfast.dialects.cloudcasa.kinds import BACKUPINSTANCE, ORGANIZATION, POINT
from holdfast.dialects.cloudcasa.stores import FOLDER
from holdfast.kube.builtin import PVCS, VOLUMESNAPSHOTS
from holdfast.repo.repository import Repository
from holdfast.repo.stores import open_store
from holdfast.rest.state import RESOURCES
from tests.cloudcasa_runs import app, left, store
from tests.cloudcasa_world import World, world
from tests.movers_builders import KEY, SECRET, s3_server
from tests.soak.scale import KILLS, SEED

ROUNDS = 100 * KILLS if KILLS else 3
ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "known to the auditor"
pytestmark = [pytest.mark.run, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(40_000 if KILLS else 300)]


class Soak:
    """A cluster without an engine, the process of one, and what the auditor has seen."""

    def __init__(self, found: World, endpoint: str) -> None:
        self.world, self.endpoint = found, endpoint
        self.engine: subprocess.Popen[bytes] | None = None
        self.good: dict[str, Object] = {}

    def start(self) -> None:
        """Start the next engine."""
        log = (self.world.directory / "engine.log").open("ab")
        command = [sys.executable, "-m", "tests.soak.copy_process", str(self.world.server.kubeconfig_path)]
        self.engine = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        log.close()

    def kill(self) -> None:
        """Kill the engine without a warning."""
        assert self.engine is not None
        self.engine.kill()
        self.engine.wait()

    async def strike(self, what: str) -> None:
        """Kill one part."""
        if what == "engine":
            self.kill()
            self.start()
            return
        for pid in movers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def audit(self, job: str) -> None:
        """Hold what there is against what was promised."""
        found: list[str] = []
        try:
            async with asyncio.timeout(120):
                while found := [*await left(self.world, job), *await self.orphans()]:  # noqa: ASYNC110 - as an auditor does
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"left behind by job {job}: {found}") from None
        present = {ident: spec for ident, spec in (await self.points()).items() if spec["type"] == "COPY"}
        lost = self.good.keys() - present.keys()
        assert not lost, f"points {lost} are gone"
        self.good = present
        kept = await asyncio.to_thread(self.snapshots)
        for ident, point in present.items():
            missing = snapshots_of(point) - kept.keys()
            assert not missing, f"point {ident} needs {missing}, which the repository does not have"

    async def points(self) -> dict[str, Object]:
        """The fields of every recovery point."""
        found = (await self.world.client.list(RESOURCES[BACKUPINSTANCE], ORGANIZATION)).items
        return {each["metadata"]["name"]: each["spec"] for each in found}

    async def orphans(self) -> list[str]:
        """The snapshots of the cluster and of the repository that belong to no point."""
        points = await self.points()
        found = (await self.world.client.list(VOLUMESNAPSHOTS)).items
        held = {ident for point in points.values() for ident in snapshots_of(point)}
        kept = await asyncio.to_thread(self.snapshots)
        loose = [
            f"VolumeSnapshot {each['metadata']['name']}" for each in found if each["metadata"]["labels"][POINT] not in points
        ]
        return loose + [f"snapshot {ident[:8]} {tags}" for ident, tags in kept.items() if ident not in held]

    def snapshots(self) -> dict[str, tuple[str, ...]]:
        """The snapshots of the repository, by id, with their tags."""
        access = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        with Repository.open(open_store(f"s3:{self.endpoint}/copies/{FOLDER}", access), PASSWORD) as repo:
            return {each.id: tuple(each.tags) for each in repo.snapshots()}


def snapshots_of(point: Object) -> set[str]:
    """The snapshots of the repository that a point needs."""
    info = point["backup_location"]["backup_location_info"]
    named = [each.get("snapshot_id") for each in info.get("volumes", [])] + [info.get("resources"), *info.get("catalog", [])]
    return {ident for ident in named if ident}


def movers() -> list[int]:
    """The movers of this test's own node: what its fork server has forked."""
    parents: dict[int, int] = {}
    server: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if b"holdfast.movers.forkserver" in (entry / "cmdline").read_bytes():
                    server.add(int(entry.name))
    mine = {pid for pid in server if os.getpid() in ancestors(pid, parents)}
    return [pid for pid in mine if parents[pid] in mine]


def ancestors(pid: int, parents: dict[int, int]) -> list[int]:
    found: list[int] = []
    while pid := parents.get(pid, 0):
        found.append(pid)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def soak(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Soak]:
    """A cluster with an application, an objectstore, and an engine in a process of its own."""
    folder = tmp_path_factory.mktemp("copies")
    with s3_server(folder / "s3") as endpoint:
        async with world(folder / "cluster", pods=True, engine=False) as found:
            made = Soak(found, endpoint)
            made.start()
            try:
                await store(found, endpoint, encryption_password=PASSWORD)
                await app(found, "shop")
                volume = (await found.client.get(PVCS, "data", "shop"))["spec"]["volumeName"]
                (found.directory / "volumes" / volume / "large").write_bytes(random.Random(SEED).randbytes(3 << 20))
                yield made
            finally:
                made.kill()


async def test_no_point_is_lost_and_nothing_is_orphaned_whatever_is_killed(soak: Soak) -> None:
    rest, draw, seen = soak.world.rest, random.Random(SEED), Counter[str]()
    backup = await rest.backup("shop", source={"namespaces": ["shop"]})
    offload = await rest.offload(backup, "shop", options={"upload_speed_limit": 2048})
    for number in range(ROUNDS):
        what = draw.choice(("engine", "movers"))
        job = await rest.run("kubeoffloads", offload, runBackup=True)
        for _ in range(draw.choice((1, 1, 2))):
            await asyncio.sleep(draw.uniform(0, 3.5))
            await soak.strike(what)

        ended = await rest.ended(job, seconds=300)

        seen[f"{what}: {ended['state']}"] += 1
        assert ended["message"], f"round {number}: {ended['state']} without a reason"
        await soak.audit(job)
    print(f"\ncopies: {dict(seen)}")
    assert soak.good, dict(seen)
    assert (await soak.world.client.list(PVCS, ORGANIZATION)).items == []
