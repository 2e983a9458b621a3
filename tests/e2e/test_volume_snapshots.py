"""VolumeSnapshots and claims made of them, as a user of kubectl meets them, while a pod writes."""

from pathlib import Path

import pytest

from holdfast.core.objects import Object
from holdfast.kube.builtin import PODS, PVCS, VOLUMESNAPSHOTCONTENTS, VOLUMESNAPSHOTS
from tests.e2e.cluster import Cluster, cluster, eventually

__all__ = ["cluster"]
pytestmark = pytest.mark.run

WRITER = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: default}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer, namespace: default}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    command: [sh, -c, "i=0; while :; do i=$((i+1)); echo $i >> /data/first; echo $i >> /data/second; done"]
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
"""

SNAPSHOT = """
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: %s, namespace: default}
spec: {source: {persistentVolumeClaimName: %s}}
"""

CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s, namespace: default}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
  dataSource: {%s}
"""

OF_SNAPSHOT = "apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: now"


def _bound(claim: Object) -> bool:
    return claim.get("status", {}).get("phase") == "Bound"


def _ready(snapshot: Object) -> bool:
    return bool(snapshot.get("status", {}).get("readyToUse"))


async def _folder(cluster: Cluster, claim: str) -> Path:
    found = await cluster.until(PVCS, claim, _bound)
    return cluster.directory / "volumes" / found["spec"]["volumeName"]


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


async def test_a_snapshot_shows_one_moment_and_a_claim_made_of_it_has_its_files(cluster: Cluster) -> None:
    await cluster.apply(WRITER)
    live = await _folder(cluster, "data")
    await eventually(lambda: _lines(live / "second") > 100)
    await cluster.apply(SNAPSHOT % ("now", "data"))
    shown = await cluster.until(VOLUMESNAPSHOTS, "now", _ready)
    assert shown["status"]["restoreSize"]
    assert shown["spec"]["volumeSnapshotClassName"] == "standard"
    assert "true" in await cluster.kubectl("get", "volumesnapshot", "now", "--no-headers")
    await cluster.apply(CLAIM % ("copy", OF_SNAPSHOT))
    copied = await _folder(cluster, "copy")
    first, second = _lines(copied / "first"), _lines(copied / "second")
    assert first - second in (0, 1), "the two files show different moments"
    assert first >= 100
    going_on = _lines(live / "second")
    await eventually(lambda: _lines(live / "second") > going_on + 100)
    await cluster.kubectl("delete", "volumesnapshot", "now")
    await cluster.gone(VOLUMESNAPSHOTCONTENTS, shown["status"]["boundVolumeSnapshotContentName"])
    assert list((cluster.directory / "snapshots").iterdir()) == []
    assert _lines(copied / "first") == first


async def test_a_claim_can_be_cloned_and_waits_for_a_snapshot_that_is_not_there_yet(cluster: Cluster) -> None:
    await cluster.apply(WRITER)
    live = await _folder(cluster, "data")
    await eventually(lambda: _lines(live / "second") > 10)
    await cluster.kubectl("delete", "pod", "writer")
    await cluster.gone(PODS, "writer")
    await cluster.apply(CLAIM % ("clone", "kind: PersistentVolumeClaim, name: data"))
    clone = await _folder(cluster, "clone")
    assert (clone / "first").read_bytes() == (live / "first").read_bytes()
    await cluster.apply(CLAIM % ("later", OF_SNAPSHOT))
    while "not ready to use" not in await cluster.kubectl("describe", "pvc", "later"):
        pass
    await cluster.apply(SNAPSHOT % ("now", "clone"))
    later = await _folder(cluster, "later")
    assert (later / "first").read_bytes() == (live / "first").read_bytes()


async def test_a_snapshot_of_nothing_says_what_is_missing(cluster: Cluster) -> None:
    await cluster.apply(SNAPSHOT % ("lost", "nothing"))
    shown = await cluster.until(VOLUMESNAPSHOTS, "lost", lambda each: each.get("status", {}).get("error"))
    assert shown["status"]["error"]["message"] == "PersistentVolumeClaim nothing does not exist"
    await cluster.apply((CLAIM % ("nothing", "")).replace("  dataSource: {}\n", ""))
    found = await cluster.until(VOLUMESNAPSHOTS, "lost", _ready)
    assert "error" not in found["status"]
    await cluster.kubectl("delete", "volumesnapshot", "lost")
