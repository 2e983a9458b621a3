"""Histories of Antfly backups and restores: crashes and faults between any two effects, runs that end well, badly, in silence.

What must hold: one record per run that never changes once it has ended, one Job at most that looks for the backup of a lost
pod, the last good backup is the newest one, a restore has one Job ever, and a world that is left alone comes to rest.
"""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.objects import Kind, Object, Ref, owner_reference
from holdfast.core.read import at, items, text
from holdfast.core.report import Failure, ItemResult, Report
from holdfast.dialects.antfly.dialect import Antfly
from holdfast.dialects.antfly.kinds import CRON_JOB, JOB
from tests.golden.test_antfly_mutation import NOW, cluster, sample
from tests.sim.cluster import Cluster, Fault, Lost, Unanswered, calm

BACKUP, RESTORE = Ref(Kind("antfly.io", "AntflyBackup"), "production", "daily-backup"), "bring-back-restore"
GOOD = Report("antfly-backup", items=(ItemResult("users", "Completed"),))
BAD = Report(
    "antfly-backup", failure=Failure("PartialBackup", "1 of 2 tables is missing"), items=(ItemResult("users", "Completed"),)
)


def fault_of(data: st.DataObject) -> Fault:
    if not data.draw(st.booleans(), label="faulty"):
        return calm
    return lambda: data.draw(st.sampled_from([None] * 6 + [Lost, Unanswered]), label="fault")


def start(world: Cluster, name: str) -> None:
    """Make a Job from the CronJob, as its controller does."""
    cron = world.objects[Ref(CRON_JOB, "production", "daily-backup-cron")]
    template = cron["spec"]["jobTemplate"]
    meta = {**template["metadata"], "name": name, "namespace": "production", "ownerReferences": [owner_reference(cron)]}
    world.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": template["spec"]})


def records(world: Cluster) -> dict[str, Object]:
    return {text(record, "backupId"): record for record in items(world.objects[BACKUP], "status", "recentBackups")}


class Judge:
    """What was once seen of the records, which must stay true."""

    def __init__(self) -> None:
        self.ended: dict[str, Object] = {}

    def look(self, world: Cluster) -> None:
        found = records(world)
        for ident, record in found.items():
            assert self.ended.get(ident, record) == record, "a record changed after its end"
            if record["status"] != "Running":
                self.ended[ident] = record
        good = [record for record in self.ended.values() if record["status"] == "Completed"]
        last = at(world.objects[BACKUP], "status", "lastSuccessfulBackup")
        newest = max((record["completionTime"] for record in good), default=None)
        assert (last or {}).get("completionTime") == newest, "the last good backup is another one"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_history_of_backups_keeps_its_word(data: st.DataObject) -> None:
    world, judge, started = Cluster(Antfly().handlers, NOW), Judge(), 0
    world.put(cluster(publicAPI={"enabled": True}) | {"status": {"phase": "Running"}})
    world.put(sample("daily-backup"))
    world.settle()
    for _ in range(data.draw(st.integers(1, 8), label="turns")):
        world.settle(fault_of(data))
        judge.look(world)
        for ref in world.running():
            how = data.draw(st.sampled_from(["runs on", "good", "bad", "lost"]), label=ref.name)
            if how != "runs on":
                world.end(ref, {"good": GOOD, "bad": BAD}.get(how), failed=how != "good")
        if data.draw(st.booleans(), label="one more"):
            started += 1
            start(world, f"run-{started}")
        world.now += timedelta(minutes=data.draw(st.sampled_from([1, 20]), label="minutes"))
    for _ in range(6):
        world.settle()
        judge.look(world)
        for ref in world.running():
            world.end(ref, GOOD)
        world.now += timedelta(minutes=1)
    world.settle()
    judge.look(world)
    assert len(judge.ended) == started, "a run without a record, or with two"
    assert [ident for ident, record in records(world).items() if record["status"] == "Running"] == []
    adopting = [ref.name for ref in world.made if ref.kind == JOB and ref.name.endswith("-adopt")]
    assert len(adopting) == len(set(adopting)), "two Jobs looked for one backup"
    writes = world.writes
    world.settle()
    assert world.writes == writes, "a write although nothing changed"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_restore_begins_once_whatever_happens(data: st.DataObject) -> None:
    world = Cluster(Antfly().handlers, NOW)
    wanted = sample("restore")
    world.put(wanted)
    if data.draw(st.booleans(), label="the cluster is there from the beginning"):
        world.put(cluster() | {"status": {"phase": "Running"}})
    for _ in range(data.draw(st.integers(1, 6), label="turns")):
        world.settle(fault_of(data))
        for ref in world.running():
            how = data.draw(st.sampled_from(["runs on", "good", "bad", "lost", "deleted"]), label=ref.name)
            if how == "deleted":
                world.settle()
                world.remove(ref)
            elif how != "runs on":
                world.end(ref, {"good": GOOD, "bad": BAD}.get(how), failed=how != "good")
        world.now += timedelta(minutes=1)
    world.put(cluster() | {"status": {"phase": "Running"}})
    for _ in range(3):
        world.settle()
        for ref in world.running():
            world.end(ref, GOOD)
    status = next(obj for ref, obj in world.objects.items() if ref.kind.kind == "AntflyRestore")["status"]
    assert status["phase"] in ("Completed", "Failed")
    assert [ref.name for ref in world.made if ref.kind == JOB] == [RESTORE], "a restore begins once"
