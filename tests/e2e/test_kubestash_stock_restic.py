"""A bucket that KubeStash filled with a stock restic: what is in it is found, restored, and continued."""

import json
import os
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import tools
from tests.e2e.plane import Plane, eventually

EXAMPLES = Path(__file__).resolve().parents[2] / "examples/kubestash"
PASSWORD = "of the other program"
DIRECTORY, COMPONENT = "demo/data", "repository/v1/demo-session/dump-pod-0"
THEIRS = "gcs-demo-repo-sample-backup-sts-demo-session-1700000000"
LARGE = 8 << 20
Object = dict[str, Any]


def examples(name: str) -> list[Object]:
    return [document for document in yaml.safe_load_all((EXAMPLES / name).read_text()) if document]


class Bucket:
    """A local storage as the other operator left it, and a control plane that has never seen it."""

    def __init__(self, folder: Path, plane: Plane) -> None:
        self.store, self.plane = folder / "store", plane
        self.data = folder / "data"
        self.repository = self.store / DIRECTORY / COMPONENT

    def restic(self, *words: str) -> Any:
        """Run stock restic on the component's repository; the data lies at the path where a pod has it."""
        room = ["--dev-bind", "/", "/", "--tmpfs", "/srv", "--bind", str(self.data), "/srv"]
        environment = os.environ | {"RESTIC_PASSWORD": PASSWORD, "RESTIC_REPOSITORY": str(self.repository)}
        command = [tools.bwrap(), *room, tools.newest_restic(), "--no-cache", "--json", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]

    def fill(self) -> str:
        """Make a backup as the other program makes it, and write down its records. Returns the snapshot's id."""
        self.data.mkdir()
        (self.data / "hello.txt").write_text("from before\n")
        (self.data / "large").write_bytes(os.urandom(LARGE))
        self.restic("init")
        *_, summary = self.restic("backup", "--host", "dump-pod-0", "/srv")
        found: str = summary["snapshot_id"]
        place = {"name": "gcs-demo-repo", "namespace": "demo", "path": DIRECTORY}
        self._write("metadata.yaml", {"kind": "BackendMeta", "operatorVersion": "v0.15.0", "repositories": [place]})
        self._write(f"{DIRECTORY}/repository.yaml", self._record("Repository", "gcs-demo-repo", REPOSITORY, {"phase": "Ready"}))
        stats = {"hostPath": "/srv", "id": found, "size": "8.000 MiB", "uploaded": "8.003 MiB"}
        part = {"driver": "Restic", "phase": "Succeeded", "integrity": True, "path": COMPONENT, "resticStats": [stats]}
        status = {"phase": "Succeeded", "totalComponents": 1, "integrity": True, "components": {"dump-pod-0": part}}
        self._write(f"{DIRECTORY}/snapshots/{THEIRS}.yaml", self._record("Snapshot", THEIRS, SNAPSHOT, status))
        return found

    def _record(self, kind: str, name: str, spec: Object, status: Object) -> Object:
        meta = {
            "name": name,
            "namespace": "demo",
            "uid": "3b0d3f1e-2a51-4c55-9c3e-0d6a9d7c1b11",
            "resourceVersion": "48210",
            "generation": 1,
            "creationTimestamp": "2023-11-14T22:13:20Z",
            "finalizers": ["kubestash.com/cleanup"],
            "labels": {"kubestash.com/repo-name": "gcs-demo-repo"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Repository", "name": "gone", "uid": "gone"}],
        }
        return {
            "apiVersion": "storage.kubestash.com/v1alpha1",
            "kind": kind,
            "metadata": meta,
            "spec": spec,
            "status": status,
        }

    def _write(self, path: str, record: Object) -> None:
        (self.store / path).parent.mkdir(parents=True, exist_ok=True)
        (self.store / path).write_text(yaml.safe_dump(record))

    def apply(self, *documents: Object) -> None:
        said = self.plane.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(documents))
        assert "created" in said, said

    def get(self, kind: str, name: str) -> Object:
        said = self.plane.kubectl("get", kind, name, "-n", "demo", "-o", "json", "--ignore-not-found")
        return json.loads(said) if said.strip() else {}

    def until(self, kind: str, name: str, *phases: str) -> Object:
        def phase() -> str:
            return self.get(kind, name).get("status", {}).get("phase", "")

        eventually(lambda: phase() in phases, f"{kind} {name} does not come so far")
        status: Object = self.get(kind, name)["status"]
        assert status["phase"] in ("Ready", "Succeeded", "Running"), status
        return status


TARGET = {"apiGroup": "apps", "kind": "StatefulSet", "name": "sample-sts", "namespace": "demo"}
REPOSITORY = {
    "appRef": TARGET,
    "deletionPolicy": "Delete",
    "encryptionSecret": {"name": "encrypt-secret", "namespace": "demo"},
    "path": f"/{DIRECTORY}",
    "storageRef": {"name": "gcs-storage", "namespace": "demo"},
}
SNAPSHOT = {
    "appRef": TARGET,
    "backupSession": "sample-backup-sts-demo-session-1700000000",
    "deletionPolicy": "Delete",
    "repository": "gcs-demo-repo",
    "session": "demo-session",
    "snapshotID": "01HF8K3Z0S5G8H6Y1J6T3C9QWX",
    "type": "FullBackup",
    "version": "v1",
}


def moved(document: Object) -> Object:
    """The sample, with its data where the other program has it."""
    return yaml.safe_load(yaml.safe_dump(document).replace("/source/data", "/srv"))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Generator[Bucket]:
    folder = tmp_path_factory.mktemp("stock")
    plane = Plane(folder / "plane")
    found = Bucket(folder, plane)
    try:
        assert plane.up().returncode == 0
        yield found
    finally:
        plane.down()


def test_what_a_stock_restic_stored_is_found_restored_and_continued(bucket: Bucket) -> None:
    theirs = bucket.fill()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "encrypt-secret", "namespace": "demo"}}
    bucket.apply(*examples("namespace.yaml"), {**secret, "stringData": {"RESTIC_PASSWORD": PASSWORD}})
    (storage,) = (found for found in examples("storage-local.yaml") if found["kind"] == "BackupStorage")
    storage["spec"]["storage"]["local"] = {"hostPath": {"path": str(bucket.store)}, "mountPath": "/kubestash/store"}
    bucket.apply(storage, *examples("retention-policy.yaml"))

    found = bucket.until("snapshots.storage.kubestash.com", THEIRS, "Succeeded")
    assert found["components"]["dump-pod-0"]["resticStats"][0]["id"] == theirs
    bucket.until("repositories.storage.kubestash.com", "gcs-demo-repo", "Ready")

    claim = {
        "metadata": {"name": "source-data-sample-sts-${POD_ORDINAL}"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    (restore,) = examples("restore-session.yaml")
    restore["metadata"] = {"name": "theirs", "namespace": "demo"}
    restore["spec"]["dataSource"] = {"snapshot": THEIRS}
    restore["spec"]["addon"]["tasks"][0]["targetVolumes"] = {
        "volumeClaimTemplates": [claim],
        "volumeMounts": [{"name": "source-data-sample-sts-${POD_ORDINAL}", "mountPath": "/srv"}],
    }
    bucket.apply(restore)
    bucket.until("restoresession", "theirs", "Succeeded", "Failed", "Invalid")

    bucket.apply(*[moved(each) for each in examples("sample-sts.yaml")])
    bucket.until("pod", "sample-sts-0", "Running")
    summed = bucket.plane.kubectl("exec", "-n", "demo", "sample-sts-0", "--", "cksum", "/srv/large").split()
    ours = subprocess.run(["cksum", str(bucket.data / "large")], capture_output=True, text=True, check=True).stdout.split()
    assert summed[:2] == ours[:2]

    (wanted,) = examples("backup-configuration.yaml")
    wanted["spec"]["sessions"][0]["scheduler"]["schedule"] = "0 3 29 2 *"
    bucket.apply(moved(wanted))
    bucket.until("backupconfiguration", "sample-backup-sts", "Ready")
    bucket.apply(*[{**each, "metadata": {"name": "ours", "namespace": "demo"}} for each in examples("backup-session.yaml")])
    bucket.until("backupsession", "ours", "Succeeded", "Failed", "Skipped")

    (listed,) = bucket.restic("snapshots")
    assert [each["id"] for each in listed][:1] == [theirs]
    assert len(listed) == 2
    assert listed[1]["parent"] == theirs
    assert listed[1]["summary"]["data_added"] < LARGE / 10, "what the other program stored was stored again"
    bucket.restic("check", "--read-data")
