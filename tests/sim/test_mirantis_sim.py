"""Histories of Mirantis schedules and backups: crashes and faults between any two effects, downtimes, Jobs that end anyhow.

What must hold: one run of a cluster at a time, each due time has at most one ClusterBackup and the latest one always has, no
backup has two Jobs, an end never changes, the newest good backup stays, and a world that is left alone comes to rest.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.objects import Object
from holdfast.core.observe import LAST_WORD_GRACE
from holdfast.core.report import ArchiveFile, ArchiveResult, Failure, Report
from holdfast.core.times import format_time
from holdfast.dialects.mirantis.dialect import Mirantis
from holdfast.dialects.mirantis.kinds import CLUSTER_BACKUP, CLUSTER_BACKUP_SCHEDULE
from tests.golden.test_mirantis_mutation import node, thing
from tests.sim.cluster import Cluster, Lost, Unanswered

START = datetime(2026, 11, 20, 13, 30, tzinfo=UTC)
GOOD = Report(
    "control-plane-backup",
    archive=ArchiveResult("manager-1:/srv", (ArchiveFile("a.tar.gz", 1, "0" * 64),), store="etcd", revision=1),
)
BAD = Report("control-plane-backup", failure=Failure("EtcdUnreachable", "no answer"))


def fresh(keep: int) -> Cluster:
    cluster = Cluster(Mirantis().handlers, START)
    hourly = thing("ClusterBackupSchedule", "hourly", targetCluster="kaas-mgmt", schedule="0 * * * *")
    if keep:
        hourly["metadata"]["annotations"] = {"holdfast.dev/keep-last": str(keep)}
    for obj in (thing("Cluster", "kaas-mgmt"), node(), hourly):
        cluster.put(born(obj, START))
    return cluster


def born(obj: Object, at: datetime) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "creationTimestamp": format_time(at)}}


def backups(cluster: Cluster) -> list[Object]:
    return [obj for ref, obj in sorted(cluster.objects.items()) if ref.kind == CLUSTER_BACKUP]


def unended(cluster: Cluster) -> list[str]:
    """Backups without an end. One whose pod is lost waits for its last word."""
    ended = ("Completed", "Failed")
    return [obj["metadata"]["name"] for obj in backups(cluster) if obj.get("status", {}).get("phase") not in ended]


def check(cluster: Cluster, good: dict[str, str]) -> None:
    """Judge a moment; `good` collects when each completed backup of the schedule ended."""
    for obj in backups(cluster):
        if obj.get("status", {}).get("phase") == "Completed" and not obj["metadata"]["name"].startswith("now-"):
            good[obj["metadata"]["name"]] = obj["status"]["completedAt"]
    names = {obj["metadata"]["name"] for obj in backups(cluster)}
    newest = max(good.values(), default="")
    assert not good or any(good[name] == newest for name in good if name in names), "the newest good backup is gone"
    begun = [obj for obj in backups(cluster) if obj.get("status", {}).get("phase") == "InProgress"]
    assert len(begun) <= 1, "two runs of one cluster at once"
    children = [ref for ref in cluster.made if ref.kind == CLUSTER_BACKUP and not ref.name.startswith("now-")]
    assert len(children) == len(set(children)), "a due time had two backups"


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(0, 2))
def test_every_history_keeps_its_word(data: st.DataObject, keep: int) -> None:
    cluster, good = fresh(keep), dict[str, str]()

    def fault() -> type[Exception] | None:
        return data.draw(st.sampled_from([None] * 6 + [Lost, Unanswered]), label="fault")

    for turn in range(data.draw(st.integers(1, 8), label="turns")):
        cluster.settle(fault if data.draw(st.booleans(), label="faulty") else lambda: None)
        check(cluster, good)
        for ref in cluster.running():
            how = data.draw(st.sampled_from(["runs on", "good", "bad", "lost", "deleted"]), label=ref.name)
            if how == "deleted":
                cluster.remove(ref)
            elif how != "runs on":
                report = {"good": GOOD, "bad": BAD}.get(how)
                cluster.end(ref, report, failed=how != "good")
        if data.draw(st.booleans(), label="somebody asks for one more"):
            cluster.put(born(thing("ClusterBackup", f"now-{turn}", targetCluster="kaas-mgmt"), cluster.now))
        cluster.now += timedelta(minutes=data.draw(st.sampled_from([0, 1, 20, 61, 300]), label="minutes"))
    for _ in range(40):
        cluster.settle()
        check(cluster, good)
        if not cluster.running() and not unended(cluster):
            break
        for ref in cluster.running():
            cluster.end(ref, GOOD)
        cluster.now += LAST_WORD_GRACE
    assert unended(cluster) == []
    jobs = [ref for ref in cluster.made if ref.name == "cluster-backup-kaas-mgmt"]
    assert len(jobs) <= len({ref for ref in cluster.made if ref.kind == CLUSTER_BACKUP}), "a backup had two Jobs"
    _judge_schedule(cluster, keep)
    writes = cluster.writes
    cluster.settle()
    assert cluster.writes == writes, "a write although nothing changed"


def _judge_schedule(cluster: Cluster, keep: int) -> None:
    schedule = next(obj for ref, obj in cluster.objects.items() if ref.kind == CLUSTER_BACKUP_SCHEDULE)
    children = [ref for ref in cluster.made if ref.kind == CLUSTER_BACKUP and not ref.name.startswith("now-")]
    assert schedule["status"]["attempts"]["total"] == len(children)
    latest = cluster.now.replace(minute=0, second=0)
    if latest > START:
        assert f"hourly-{latest:%Y%m%d%H%M}" in {ref.name for ref in children}, "the latest due time has no backup"
    if keep:
        kept = [obj for obj in backups(cluster) if obj["metadata"]["name"] in {ref.name for ref in children}]
        assert sum(obj["status"]["phase"] == "Completed" for obj in kept) <= max(keep, 1)
