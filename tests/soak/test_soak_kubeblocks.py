"""Backups of the KubeBlocks API while its parts are killed: none is stuck, no good one is lost, each good one comes back.

In each round two Backups are taken, one into a mounted repository and one into a bucket, and good ones of earlier rounds are
restored or deleted. Meanwhile, at a moment that a seed draws, the operator, the node, the S3 server, the storing program or
any process of any pod is killed. What ends as Completed must be whole, now and later; in the end all is deleted, and nothing
may be left. `make test` tries a small sample, `make soak SEED= N=` 50 rounds for each N.
"""

import asyncio
import contextlib
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import zstandard

from holdfast.core.objects import Object
from holdfast.kube.builtin import CONFIGMAPS, JOBS, PODS, PVCS, SECRETS, SERVICEACCOUNTS, STATEFULSETS
from holdfast.kube.errors import NotFound
from holdfast.kube.resource import Resource
from tests.kubeblocks_backups import action_set, backup, make_database, method, policy, shell
from tests.kubeblocks_world import REST, condition, repo, secret, status, thing
from tests.movers_builders import KEY, SECRET
from tests.soak.killable_world import KillableWorld, killable
from tests.soak.scale import KILLS, SEED

__all__ = ["killable"]
ROUNDS = 50 * KILLS if KILLS else 2
PARTS = ("operator", "node", "store", "mover", "process", "process")
REPOS = ("volume", "bucket")
END = 120.0
"""Seconds within which whatever was hit must have ended."""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.run, pytest.mark.timeout(20_000 if KILLS else 300)]

SAVE = """
export PATH="$PATH:$DP_DATASAFED_BIN_PATH" DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
for part in 1 2 3; do
    seq 1000 | sed "s/^/$DP_BACKUP_NAME $part /" | datasafed push -z zstd - part-$part; sleep 0.2
done
echo '{"totalSize":"3"}' > $DP_BACKUP_INFO_FILE
"""

LOAD = """
export PATH="$PATH:$DP_DATASAFED_BIN_PATH" DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
for part in 1 2 3; do datasafed pull -d zstd part-$part /data/part-$part; done
"""


def content(name: str, part: int) -> bytes:
    """What a backup holds of a part."""
    return b"".join(b"%s %d %d\n" % (name.encode(), part, number) for number in range(1, 1001))


class Series:
    """The rounds, and what is known to be good."""

    def __init__(self, world: KillableWorld) -> None:
        self.world, self.draw = world, random.Random(SEED)
        self.good: dict[str, str] = {}
        self.seen: Counter[str] = Counter()
        self.number = 0
        self.volume = Path()

    async def prepare(self) -> None:
        """Make database, both repositories, action set and policies."""
        world = self.world
        await make_database(world)
        config = {"bucket": "backups", "endpoint": world.endpoint, "region": "us-east-1"}
        credential = {"name": "keys", "namespace": "default"}
        await world.apply(secret("keys", accessKeyId=KEY, secretAccessKey=SECRET))
        await world.apply(repo("bucket", "minio", accessMethod="Tool", config=config, credential=credential))
        await world.phase("BackupRepo", "bucket", "Ready")
        made = action_set("soaked", SAVE)
        made["spec"]["restore"] = {"prepareData": shell(LOAD)}
        await world.apply(made, *[policy(name, method("soaked"), backupRepoName=name, backoffLimit=4) for name in REPOS])
        await self.world.apply(*[backup(f"first-{place}", place) for place in REPOS])
        for place in REPOS:
            assert (await self._ended("Backup", f"first-{place}"))["phase"] == "Completed"
        (self.volume,) = [path.parent for path in (self.world.directory / "volumes").glob("*/default")]

    async def round(self) -> None:
        """Take backups, restore and delete older ones, kill something meanwhile, and look."""
        what = self.draw.choice(PARTS)
        names = {f"soak-{self.number}-{place}": place for place in REPOS}
        await self.world.apply(*[backup(name, place) for name, place in names.items()])
        back, gone = self._some(0.5), self._some(0.3)
        work = [asyncio.create_task(self._restored(name)) for name in back]
        work += [asyncio.create_task(self._deleted(name)) for name in gone if name not in back]
        await asyncio.sleep(self.draw.uniform(0, 3))
        struck = await self.world.strike(what, self.draw)
        for name, place in names.items():
            ended = await self._ended("Backup", name)
            self.seen[f"{what if struck else 'nothing'}: {ended['phase']}"] += 1
            if ended["phase"] == "Completed":
                self.good[name] = place
            else:
                assert ended.get("failureReason"), f"{name} failed without a reason"
                print(f"\nround {self.number}, {what}, {place}: {ended['failureReason']}")
        await asyncio.gather(*work)
        for name in self.good:
            self._whole(name)
        self.number += 1
        for place in REPOS:
            await self.world.phase("BackupRepo", place, "Ready")

    def _some(self, share: float) -> list[str]:
        """Draw a good backup that is not busy, or none."""
        return [self.draw.choice(list(self.good))] if self.good and self.draw.random() < share else []

    async def _ended(self, kind: str, name: str) -> Object:
        found = await self.world.wait(kind, name, lambda obj: status(obj).get("phase") in ("Completed", "Failed"), seconds=END)
        return status(found)

    async def _restored(self, source: str) -> None:
        """Restore a backup, again if what was hit was its own job, and compare."""
        for attempt in range(3):
            name = f"back-{self.number}-{attempt}"
            claim = {"metadata": {"name": name}, "mountPath": "/data", "volumeClaimSpec": CLAIM}
            config = {"volumeClaims": [claim], "volumeClaimRestorePolicy": "Parallel"}
            given = {"name": source, "namespace": "default"}
            await self.world.apply(thing("Restore", name, backup=given, backoffLimit=4, prepareDataConfig=config))
            ended = await self._ended("Restore", name)
            self.seen[f"restore: {ended['phase']}"] += 1
            if ended["phase"] == "Completed":
                folder = self.world.directory / "volumes" / await self._volume(name)
                for part in (1, 2, 3):
                    assert (folder / f"part-{part}").read_bytes() == content(source, part), f"{name} of {source}"
            for res in (REST["Restore"], PVCS):
                with contextlib.suppress(NotFound):  # what failed early has made no claim
                    await self.world.client.delete(res, name, "default")
            if ended["phase"] == "Completed":
                return
            assert condition(ended, "PrepareData")["message"], f"{name} failed without a reason"
        raise AssertionError(f"{source} does not come back")

    async def _volume(self, claim: str) -> str:
        return (await self.world.client.get(PVCS, claim, "default"))["spec"]["volumeName"]

    async def _deleted(self, name: str) -> None:
        place = self.good.pop(name)
        await self.world.client.delete(REST["Backup"], name, "default")
        await self.world.gone(REST["Backup"], name, seconds=360)
        assert not self._folder(place, name).exists(), f"{name} is deleted, its files are not"

    def _root(self, place: str) -> Path:
        return self.world.bucket if place == "bucket" else self.volume

    def _folder(self, place: str, name: str) -> Path:
        return self._root(place) / "default" / name

    def _whole(self, name: str) -> None:
        folder = self._folder(self.good[name], name)
        files = {path.name for path in folder.iterdir()}
        assert files == {"part-1", "part-2", "part-3", "kubeblocks-backup.json"}, f"{name} in round {self.number}"
        for part in (1, 2, 3):
            with (folder / f"part-{part}").open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
                assert reader.read() == content(name, part), f"{name} is no longer whole"

    async def clean(self, before: dict[str, set[str]]) -> None:
        """Delete every Backup: then only what was there at the start may be there."""
        listed = await self.world.client.list(REST["Backup"], "default")
        for item in listed.items:
            await self.world.client.delete(REST["Backup"], item["metadata"]["name"], "default")
        for item in listed.items:
            await self.world.gone(REST["Backup"], item["metadata"]["name"], seconds=360)
        end = asyncio.get_running_loop().time() + END
        while left := {kind: more for kind, names in (await self.things()).items() if (more := names - before[kind])}:
            assert asyncio.get_running_loop().time() < end, left
            await asyncio.sleep(0.5)
        for place in REPOS:
            left = [str(path) for path in self._root(place).rglob("*") if path.is_file()]
            assert left == [], f"files are left in {place}"

    async def things(self) -> dict[str, set[str]]:
        """Name everything that jobs may leave behind."""

        async def names(res: Resource) -> set[str]:
            return {item["metadata"]["name"] for item in (await self.world.client.list(res, "default")).items}

        return {str(res): await names(res) for res in (CONFIGMAPS, JOBS, PODS, PVCS, SECRETS, SERVICEACCOUNTS, STATEFULSETS)}


CLAIM: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def series(killable: KillableWorld) -> Series:
    made = Series(killable)
    await made.prepare()
    return made


async def test_no_backup_is_stuck_and_no_good_one_is_lost(series: Series) -> None:
    before = await series.things()
    for _ in range(ROUNDS):
        await series.round()
    print(f"\nkubeblocks: {dict(series.seen)}")
    assert series.good, dict(series.seen)
    await series.clean(before)
