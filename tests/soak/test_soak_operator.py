"""kill -9 of the operator at every boundary of a real run: hooks by exec, a snapshot, a claim made of it, a backup of that.

A boundary is the moment before or after one write to the API server. `make test` tries a sample; `make soak SEED= N=` all of
them, N times. Afterwards the next operator must have brought the run to its good end: each hook ran exactly once, the
repository holds one snapshot of it, and what it holds is what was there between freeze and thaw.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.core.access import exec_access
from holdfast.core.calls import RepositoryTarget, StorageTarget, VolumeBackup
from holdfast.core.cluster_calls import Exec
from holdfast.core.objects import Object
from holdfast.core.plan import MoverCall, SecretFiles
from holdfast.kube.builtin import PODS, PVCS
from holdfast.repo.browse import Trees
from holdfast.repo.dump import dump
from holdfast.repo.repository import Repository
from holdfast.repo.stores.local import LocalStore
from tests.conformance.engine_world import THINGS, install, phase_is
from tests.e2e.cluster import Cluster, cluster
from tests.e2e.test_exec import IDLE
from tests.e2e.test_pods import phase, pod
from tests.repo_trees import PASSWORD
from tests.soak.scale import KILLS, SEED, report

__all__ = ["cluster"]
pytestmark = [pytest.mark.run, pytest.mark.timeout(20_000 if KILLS else 120)]

SAMPLE = 2
ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "deploy" / "addons" / "holdfast" / "role-exec.yaml"


class Soak:
    """The cluster, and operators that die in it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.counts = folder / "counts.json"

    async def prepare(self) -> None:
        """Make what the runs need: a database pod with its data, a place for the repository, an account, a password."""
        await install(self.cluster.client)
        for name in ("data", "store"):
            spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
            meta = {"name": name, "namespace": "demo"}
            await self.cluster.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec})
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password", "namespace": "demo"}}
        await self.cluster.apply({**secret, "stringData": {"RESTIC_PASSWORD": PASSWORD}}, ROLE.read_text())
        for child in exec_access("hook", "demo"):
            await self.cluster.apply(child.object)
        mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        database = pod("db", IDLE, volumes=volumes, container=mounts)
        database["metadata"]["namespace"] = "demo"
        await self.cluster.apply(database)
        await self.cluster.until(PODS, "db", phase("Running"), namespace="demo")
        self.data, self.store = [await self._folder(name) for name in ("data", "store")]

    async def _folder(self, claim: str) -> Path:
        bound = await self.cluster.until(PVCS, claim, lambda each: bool(each["spec"].get("volumeName")), namespace="demo")
        return self.cluster.directory / "volumes" / bound["spec"]["volumeName"]

    @asynccontextmanager
    async def operator(self, run: str, label: str = "", occurrence: int = 1) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run an operator until the block ends, if it lives that long."""
        job = {
            "kubeconfig": str(self.cluster.server.kubeconfig_path),
            "label": label,
            "occurrence": occurrence,
            "counts": str(self.counts),
            "calls": {name: as_json(call) for name, call in calls(run).items()},
            "pods": pods(run),
        }
        command = [sys.executable, "-m", "tests.soak.operator_process", json.dumps(job)]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def attempt(self, run: str, label: str = "", occurrence: int = 1) -> tuple[bool, dict[str, int]]:
        """Kill an operator at a boundary of a run, let the next one end it, check everything.

        Returns whether it came so far, and how often the first one passed each boundary.
        """
        await self.cluster.client.create(THINGS, {"metadata": {"name": run, "namespace": "demo"}, "spec": {}})
        async with self.operator(run, label, occurrence) as first:
            ended = asyncio.create_task(self.ended(run))
            dying = asyncio.create_task(first.wait())
            await asyncio.wait([ended, dying], return_when=asyncio.FIRST_COMPLETED)
            died = not ended.done()
            for task in (ended, dying):
                task.cancel()
        counts = json.loads(self.counts.read_text())
        async with self.operator(run):
            await self.ended(run)
        self.check(run)
        return died, counts

    async def ended(self, run: str) -> None:
        await phase_is(self.cluster.client, run, "Succeeded", 60)

    def check(self, run: str) -> None:
        """The hooks ran once each, and the backup holds what was there between them."""
        assert (self.data / f"{run}.log").read_text() == "freeze\nthaw\n"
        with Repository.open(LocalStore(self.store / run), PASSWORD) as repo:
            (snapshot,) = repo.snapshots()
            repo.load_index()
            with (self.folder / "dumped").open("w+b") as out:
                dump(repo, Trees(repo), snapshot.tree, f"/clone/{run}.log", out)
                out.seek(0)
                assert out.read() == b"freeze\n"


def calls(run: str) -> dict[str, MoverCall]:
    """Return what each Job of a run does."""

    def hook(word: str) -> MoverCall:
        return Exec("demo", "db", ("sh", "-c", f"echo {word} >> /data/{run}.log")).call()

    target = RepositoryTarget("soak", StorageTarget(f"/store/{run}"), "/holdfast/secrets/key/RESTIC_PASSWORD")
    backup = VolumeBackup((target,), ("/clone",), host="soak").call([SecretFiles("key", "password")])
    return {"freeze": hook("freeze"), "thaw": hook("thaw"), "copy": backup}


def pods(run: str) -> dict[str, Object]:
    """Return how the pods of a run look: the account of hooks, the volumes of the backup."""
    account = {"serviceAccountName": "hook", "automountServiceAccountToken": True}
    root = {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["DAC_READ_SEARCH", "DAC_OVERRIDE"]}}
    mounts = [{"name": "clone", "mountPath": "/clone"}, {"name": "store", "mountPath": "/store"}]
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim in claims(run)]
    copy = {"containers": [{"name": "main", "volumeMounts": mounts, "securityContext": root}], "volumes": volumes}
    return {"freeze": account, "thaw": account, "copy": copy}


def claims(run: str) -> Sequence[tuple[str, str]]:
    return (("clone", f"clone-{run}"), ("store", "store"))


def as_json(call: MoverCall) -> Any:
    return json.loads(msgspec.json.encode(call))


def chosen(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Boundaries to die at: a sample, or each so often."""
    rng = random.Random(SEED)
    every = [(label, number) for label, count in sorted(counts.items()) for number in range(1, count + 1)]
    return rng.sample(every, min(SAMPLE, len(every))) if not KILLS else every * KILLS


async def test_a_run_ends_well_wherever_its_operator_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    soak = Soak(cluster, tmp_path)
    await soak.prepare()
    _, passed = await soak.attempt("whole")
    hit: Counter[str] = Counter()
    for number, (label, occurrence) in enumerate(chosen(passed)):
        died, _ = await soak.attempt(f"run{number}", label, occurrence)
        hit[label] += died
    report("operator", passed, hit)
    assert sum(hit.values()) >= min(SAMPLE, len(passed)) - 1, f"too few boundaries were met: {hit}"
