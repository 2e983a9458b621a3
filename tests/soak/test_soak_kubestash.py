"""Sessions of the KubeStash API while their parts are killed: none is stuck, no good Snapshot is lost, each comes back.

A StatefulSet of two pods is backed up into two storages at once, a bucket and a claim, between two hooks. In each round a
session runs, and good Snapshots of earlier rounds are restored or wiped. Meanwhile, at a moment that a seed draws, the
operator, the node, the S3 server, the movers or any process of any pod is killed. What ends as Succeeded must hold what was
there while the application was frozen, until the policy drops it; stock restic judges that at the end, and then all is
wiped and nothing may be left. `make test` tries a small sample, `make soak SEED= N=` 50 rounds for each N.
"""

import asyncio
import os
import random
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from holdfast.cli.dialects import KINDS, resource_of
from holdfast.core.objects import Object
from holdfast.kube.builtin import CONFIGMAPS, CRONJOBS, JOBS, PODS, PVCS, ROLEBINDINGS, SECRETS, SERVICEACCOUNTS
from holdfast.kube.errors import NotFound
from holdfast.kube.resource import Resource
from tests import tools
from tests.conformance import kubestash_cluster as build
from tests.conformance.kubestash_cluster import NS, condition
from tests.movers_builders import KEY, SECRET
from tests.soak.killable_world import Killable
from tests.soak.scale import KILLS, SEED

REST: dict[str, Resource] = {spec.kind: resource_of(spec) for spec in KINDS["kubestash"]}
ROUNDS = 50 * KILLS if KILLS else 1
PARTS = ("operator", "node", "store", "mover", "process", "process")
PODS_OF_APP = ("app-0", "app-1")
REPOS = ("bucket-repo", "claim-repo")
KEPT = 5
"""Good Snapshots of a repository that the policy keeps."""

END = 120.0
"""Seconds within which whatever was hit must have ended."""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.run, pytest.mark.timeout(20_000 if KILLS else 300)]


class StashWorld(Killable):
    """That of the KubeStash API."""

    api, mover = "kubestash", b"holdfast.movers.forkserver"

    async def start(self) -> None:
        """Start everything, and return when the operator serves."""
        await super().start()
        await self.start_engine()

    async def reaches(self, kind: str, name: str, *phases: str) -> Object:
        """Wait for a phase of an object, and return its status."""

        def there(obj: Object) -> bool:
            return (obj.get("status") or {}).get("phase") in phases

        return (await self.until(REST[kind], name, there, namespace=NS, seconds=END))["status"]


class Good(msgspec.Struct, frozen=True):
    """A Snapshot that has Succeeded: its repository, its round, and of each pod the restic repository and its snapshot."""

    repository: str
    number: int
    parts: dict[str, tuple[Path, str]]


class Series:
    """The rounds, and what is known to be good, oldest first."""

    def __init__(self, world: StashWorld) -> None:
        self.world, self.draw = world, random.Random(SEED)
        self.good: dict[str, Good] = {}
        self.seen: Counter[str] = Counter()
        self.number = 0
        self.roots: dict[str, Path] = {}

    async def prepare(self) -> None:
        """Make workload, storages and policy; all that a BackupConfiguration refers to."""
        world = self.world
        keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        meta = {"name": "s3", "namespace": NS}
        await world.apply(build.namespace(NS))
        await world.apply(build.secret(), build.claim("store"), build.workload("app", len(PODS_OF_APP)))
        await world.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": keys})
        hooks = (build.command("freeze", "touch /data/frozen"), build.command("thaw", "rm -f /data/frozen"))
        for each in hooks:
            each["spec"]["executor"]["pod"]["strategy"] = "ExecuteOnAll"
        await world.apply(*hooks, build.policy("keep", successfulSnapshots={"last": KEPT}, failedSnapshots={"last": 1}))
        for pod in PODS_OF_APP:
            await world.until(PODS, pod, lambda obj: obj["status"].get("phase") == "Running", namespace=NS)

    async def configure(self) -> None:
        """Make storages and BackupConfiguration."""
        world = self.world
        s3 = {"endpoint": world.endpoint, "bucket": "backups", "region": "us-east-1", "prefix": "soak", "secretName": "s3"}
        bucket = build.storage("bucket", storage={"provider": "s3", "s3": s3}, deletionPolicy="WipeOut")
        await world.apply(bucket, build.storage("claim", deletionPolicy="WipeOut"))
        for name in ("bucket", "claim"):
            await world.reaches("BackupStorage", name, "Ready")
        backends = [build.backend(name, storageRef={"name": name, "namespace": NS}) for name in ("bucket", "claim")]
        repositories = [build.repository(name, backend=name.removesuffix("-repo")) for name in REPOS]
        hooks = {
            "preBackup": [build.hook("freeze", "freeze", maxRetry=2)],
            "postBackup": [build.hook("thaw", "thaw", maxRetry=3)],
        }
        session = build.session("daily", *repositories, hooks=hooks)
        await world.apply(build.configuration("soaked", session, backends=backends))
        volume = await self._volume("store")
        self.roots = {"bucket-repo": world.bucket / "soak", "claim-repo": volume / "claim"}

    async def round(self) -> None:
        """Run a session, restore and wipe older Snapshots, kill something meanwhile, and look."""
        world, what, name = self.world, self.draw.choice(PARTS), f"soak-{self.number}"
        await world.reaches("BackupConfiguration", "soaked", "Ready")
        for pod in PODS_OF_APP:
            ((await self._volume(f"data-{pod}")) / "words").write_bytes(content(pod, self.number))
        await world.apply(build.backup_session("soaked", name))
        work = [asyncio.create_task(self._restored(each)) for each in self._some(0.5)]
        work += [asyncio.create_task(self._wiped(each)) for each in self._some(0.2)]
        await asyncio.sleep(self.draw.uniform(0, 4))
        struck = await world.strike(what, self.draw)
        ended = await world.reaches("BackupSession", name, "Succeeded", "Failed", "Skipped")
        self.seen[f"{what if struck else 'nothing'}: {ended['phase']}"] += 1
        if ended["phase"] != "Succeeded":
            failure = condition(ended, "BackupFailed").get("message") or condition(ended, "BackupSkipped").get("message")
            assert failure, f"{name} is {ended['phase']} without a reason: {ended}"
            assert what not in ("operator",), f"{name}: an operator's death cost a backup: {failure}"
            print(f"\nround {self.number}, {what}: {failure}")
        await asyncio.gather(*work)

        for entry in ended.get("snapshots") or ():
            await self._noted(entry["name"])
        if {hook["phase"] for hook in (ended.get("hooks") or {}).get("postHooks") or ()} == {"Succeeded"}:
            for pod in PODS_OF_APP:
                assert not ((await self._volume(f"data-{pod}")) / "frozen").exists(), f"{name} leaves {pod} frozen"
        await self._kept()
        self.number += 1

    def _some(self, share: float) -> list[str]:
        """Draw a good Snapshot that will not be dropped this round, or none; the newest of a repository is not drawn."""
        free = [name for repo in REPOS for name in self._of(repo)[-KEPT + 1 : -1]]
        return [self.draw.choice(free)] if free and self.draw.random() < share else []

    def _of(self, repository: str) -> list[str]:
        return [name for name, good in self.good.items() if good.repository == repository]

    async def _noted(self, name: str) -> None:
        """Add a Snapshot to the good ones if it says that it is one."""
        found = await self.world.client.get(REST["Snapshot"], name, NS)
        if found["status"]["phase"] != "Succeeded":
            assert found["status"]["phase"] == "Failed", f"{name} has not ended: {found['status']}"
            return
        repository = found["spec"]["repository"]
        components = found["status"]["components"]
        assert set(components) == {f"dump-pod-{number}" for number in range(len(PODS_OF_APP))}, found["status"]
        root = self.roots[repository] / repository
        parts = {
            f"app-{component.rpartition('-')[2]}": (root / each["path"], each["resticStats"][0]["id"])
            for component, each in components.items()
        }
        self.good[name] = Good(repository, self.number, parts)

    async def _kept(self) -> None:
        """Of the good Snapshots the newest are there, as objects and in the store; what the policy drops is forgotten."""
        for repo in REPOS:
            for name in (known := self._of(repo))[-KEPT:]:
                try:
                    found = await self.world.client.get(REST["Snapshot"], name, NS)
                except NotFound:
                    raise AssertionError(f"the good Snapshot {name} is lost in round {self.number}") from None
                assert found["status"]["phase"] == "Succeeded", f"{name} is no longer good: {found['status']}"
                for path, snapshot in self.good[name].parts.values():
                    assert (path / "snapshots" / snapshot).is_file(), f"the data of {name} is lost in round {self.number}"
            for name in known[:-KEPT]:
                del self.good[name]

    async def _restored(self, source: str) -> None:
        """Restore a Snapshot into claims, again if what was hit was its own Job, and compare."""
        for attempt in range(3):
            name = f"back-{self.number}-{attempt}"
            claim = {"metadata": {"name": name + "-${POD_ORDINAL}"}, "spec": build.claim("any")["spec"]}
            mounts = [{"name": name + "-${POD_ORDINAL}", "mountPath": "/data"}]
            volumes = {"volumeClaimTemplates": [claim], "volumeMounts": mounts}
            task = {"name": "logical-backup-restore", "targetVolumes": volumes}
            spec = {"dataSource": {"snapshot": source}, "addon": {"name": "workload-addon", "tasks": [task]}}
            await self.world.apply(build.document("RestoreSession", name, spec))
            ended = await self.world.reaches("RestoreSession", name, "Succeeded", "Failed", "Invalid")
            self.seen[f"restore: {ended['phase']}"] += 1
            if ended["phase"] == "Succeeded":
                for number, pod in enumerate(PODS_OF_APP):
                    folder = await self._volume(f"{name}-{number}")
                    assert (folder / "words").read_bytes() == content(pod, self.good[source].number), f"{name} of {source}"
                    assert (folder / "frozen").exists(), f"{source} was not taken between the hooks"
            await self._gone(REST["RestoreSession"], name)
            for number in range(len(PODS_OF_APP)):
                await self._gone(PVCS, f"{name}-{number}")
            if ended["phase"] == "Succeeded":
                return
            assert [each for each in ended["conditions"] if each["status"] != "True" or each.get("message")], ended
        raise AssertionError(f"{source} does not come back")

    async def _wiped(self, name: str) -> None:
        """Delete a Snapshot with its data, once the operator has taken note that the data shall go, too."""
        good = self.good.pop(name)
        await self.world.client.merge_patch(REST["Snapshot"], name, NS, {"spec": {"deletionPolicy": "WipeOut"}})
        await self.world.until(REST["Snapshot"], name, lambda obj: obj["metadata"].get("finalizers"), namespace=NS, seconds=END)
        await self._gone(REST["Snapshot"], name)
        for path, snapshot in good.parts.values():
            assert not (path / "snapshots" / snapshot).exists(), f"{name} is wiped, its data is not"

    async def _gone(self, res: Resource, name: str) -> None:
        """Delete an object, if it is there, and wait until it has gone."""
        try:
            await self.world.client.delete(res, name, NS)
        except NotFound:
            return
        await self.world.gone(res, name, namespace=NS, seconds=3 * END)

    async def _volume(self, claim: str) -> Path:
        found = await self.world.client.get(PVCS, claim, NS)
        return self.world.directory / "volumes" / found["spec"]["volumeName"]

    async def judge(self) -> None:
        """Let stock restic read everything: each repository is sound, and each good Snapshot holds what it should."""
        for path in {path for good in self.good.values() for path, _ in good.parts.values()}:
            await asyncio.to_thread(restic, path, "check", "--read-data")
        for name, good in self.good.items():
            for pod, (path, snapshot) in good.parts.items():
                said = await asyncio.to_thread(restic, path, "dump", snapshot, "/data/words")
                assert said == content(pod, good.number), f"{name} holds something else of {pod}"

    async def clean(self, before: dict[str, set[str]]) -> None:
        """Delete everything with its data: then only what was there at the start may be there."""
        await self._gone(REST["BackupConfiguration"], "soaked")
        for name in ("bucket", "claim"):
            await self._gone(REST["BackupStorage"], name)
        end = asyncio.get_running_loop().time() + END
        while (now := await self.things()) != before:
            changed = {kind: names ^ before[kind] for kind, names in now.items() if names != before[kind]}
            assert asyncio.get_running_loop().time() < end, changed
            await asyncio.sleep(0.5)
        for root in self.roots.values():
            assert [str(path) for path in root.rglob("*") if path.is_file()] == [], f"files are left in {root}"

    async def things(self) -> dict[str, set[str]]:
        """Name everything that a session may leave behind."""

        async def names(res: Resource) -> set[str]:
            return {item["metadata"]["name"] for item in (await self.world.client.list(res, NS)).items}

        ours = [REST[kind] for kind in ("BackupSession", "RestoreSession", "Repository", "Snapshot")]
        theirs = (CONFIGMAPS, CRONJOBS, JOBS, PODS, PVCS, ROLEBINDINGS, SECRETS, SERVICEACCOUNTS)
        return {str(res): await names(res) for res in (*ours, *theirs)}


def content(pod: str, number: int) -> bytes:
    """What a pod has in its volume in a round: 2 MB that no other has."""
    return random.Random(f"{pod} {number}").randbytes(2_000_000)


def restic(path: Path, *words: str) -> bytes:
    """Run stock restic on a repository and return what it says."""
    environment = os.environ | {"RESTIC_PASSWORD": "for tests only", "RESTIC_REPOSITORY": str(path)}
    command = [tools.newest_restic(), "--no-cache", *words]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, f"{path}: {done.stderr.decode()}"
    return done.stdout


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def series(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Series]:
    world = StashWorld(tmp_path_factory.mktemp("kubestash") / "data")
    try:
        await world.start()
        made = Series(world)
        await made.prepare()
        yield made
    finally:
        await world.stop()


async def test_no_session_is_stuck_and_no_good_snapshot_is_lost(series: Series) -> None:
    before = await series.things()
    await series.configure()
    for _ in range(ROUNDS):
        await series.round()
    print(f"\nkubestash: {dict(series.seen)}")
    await series.judge()
    await series.clean(before)
