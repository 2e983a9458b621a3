"""KubeStash on a control plane of `holdfast up`, with real pods: a backup with hooks, and what a bucket still knows later.

One plane for the module; its store is a directory of this machine.
"""

import json
import re
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.plane import HOLDFAST, Plane, eventually

pytestmark = [pytest.mark.run, pytest.mark.timeout(300)]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "kubestash"
BC, REPO, STORAGE = "sample-backup-sts", "gcs-demo-repo", "gcs-storage"


class Cluster:
    """A plane with the sample's workload and everything that the sample refers to."""

    def __init__(self, plane: Plane, store: Path) -> None:
        self.plane, self.store = plane, store

    def apply(self, *documents: dict[str, Any]) -> None:
        said = self.plane.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(documents))
        assert "created" in said or "configured" in said or "unchanged" in said, said

    def get(self, kind: str, name: str) -> dict[str, Any]:
        said = self.plane.kubectl("get", kind, name, "-n", "demo", "-o", "json", "--ignore-not-found")
        return json.loads(said) if said.strip() else {}

    def names(self, kind: str) -> list[str]:
        return self.plane.kubectl("get", kind, "-n", "demo", "-o", "jsonpath={.items[*].metadata.name}").split()

    def phase(self, kind: str, name: str) -> str:
        return self.get(kind, name).get("status", {}).get("phase", "")

    def until(self, kind: str, name: str, *phases: str) -> dict[str, Any]:
        eventually(lambda: self.phase(kind, name) in phases, f"{kind} {name}: {self.get(kind, name).get('status')}")
        return self.get(kind, name)

    def run(self, name: str) -> dict[str, Any]:
        self.apply(session(name))
        return self.until("backupsession", name, "Succeeded", "Failed", "Skipped")

    def storage(self) -> dict[str, Any]:
        source = {"hostPath": {"path": str(self.store)}, "mountPath": "/kubestash/store"}
        spec = {"storage": {"provider": "local", "local": source}, "usagePolicy": {"allowedNamespaces": {"from": "All"}}}
        return document("storage", "BackupStorage", STORAGE, spec)


def document(group: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": name, "namespace": "demo"}
    return {"apiVersion": f"{group}.kubestash.com/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


def session(name: str) -> dict[str, Any]:
    invoker = {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": BC}
    return document("core", "BackupSession", name, {"invoker": invoker, "session": "demo-session", "retryLeft": 0})


def examples(*names: str) -> list[dict[str, Any]]:
    return [found for name in names for found in yaml.safe_load_all((EXAMPLES / name).read_text()) if found]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    folder = tmp_path_factory.mktemp("kubestash")
    store = folder / "store"
    store.mkdir()
    plane = Plane(folder / "plane")
    assert plane.up().returncode == 0
    found = Cluster(plane, store)
    try:
        found.apply(*examples("namespace.yaml"))
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "encrypt-secret", "namespace": "demo"}}
        found.apply({**secret, "stringData": {"RESTIC_PASSWORD": "for tests only"}})
        found.apply(*examples("sample-sts.yaml", "retention-policy.yaml"), found.storage(), *hook_templates())
        wanted = examples("backup-configuration.yaml")[0]
        first = wanted["spec"]["sessions"][0]
        first["scheduler"]["schedule"] = "0 3 29 2 *"
        first["hooks"] = {
            "preBackup": [{"name": "freeze", "hookTemplate": {"name": "freeze"}, "params": {"word": "frozen"}}],
            "postBackup": [{"name": "thaw", "hookTemplate": {"name": "thaw"}}],
        }
        found.apply(wanted)
        found.until("backupconfiguration", BC, "Ready")
        eventually(lambda: found.phase("pod", "sample-sts-0") == "Running", "the workload does not run")
        yield found
    finally:
        plane.down()


def hook_templates() -> list[dict[str, Any]]:
    """What the hooks do: each leaves a line in the volume, beside the data."""
    executor = {"type": "Pod", "pod": {"selector": "app=sample-sts"}}

    def template(name: str, script: str, **more: Any) -> dict[str, Any]:
        action = {"exec": {"command": ["/bin/sh", "-c", script]}}
        return document("core", "HookTemplate", name, {"executor": executor, "action": action, **more})

    freeze = template("freeze", "echo ${word} >> /source/data/hooks", params=[{"name": "word", "required": True}])
    return [freeze, template("thaw", "echo thawed {{ .Status.Phase }} >> /source/data/hooks")]


def test_hooks_run_in_the_pod_before_and_after_the_backup(cluster: Cluster) -> None:
    found = cluster.run("hooked-1")

    assert found["status"]["phase"] == "Succeeded", found["status"]
    said = cluster.plane.kubectl("exec", "-n", "demo", "sample-sts-0", "--", "cat", "/source/data/hooks")
    assert said.splitlines() == ["frozen", "thawed Succeeded"]


def told(cluster: Cluster, name: str, reason: str) -> str:
    """The messages of the events of that reason on the object of that name."""
    where = f"involvedObject.name={name},reason={reason}"
    return cluster.plane.kubectl("get", "events", "-n", "demo", "--field-selector", where, "-o", "jsonpath={.items[*].message}")


def test_how_a_session_ended_is_told_in_its_events(cluster: Cluster) -> None:
    lost = session("told-1")
    lost["spec"]["session"] = "no-such-session"
    cluster.apply(lost)
    cluster.until("backupsession", "told-1", "Failed", "Skipped")

    eventually(lambda: "no-such-session" in told(cluster, "told-1", "BackupSessionSkipped"), "nothing is told of why")
    eventually(lambda: told(cluster, "hooked-1", "BackupSessionSucceeded"), "nothing is told of the good end")


def holdfast(cluster: Cluster, *words: str) -> str:
    command = [HOLDFAST, "kubestash", *words, "-n", "demo", "--kubeconfig", str(cluster.plane.kubeconfig)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_person_triggers_pauses_and_downloads_from_the_command_line(cluster: Cluster, tmp_path: Path) -> None:
    (made,) = holdfast(cluster, "trigger", BC, "--session", "demo-session").split()[:1]
    name = made.partition("/")[2]
    done = cluster.until("backupsession", name, "Succeeded", "Failed", "Skipped")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    snapshot = done["status"]["snapshots"][0]["name"]

    assert f"keep {snapshot}" in re.sub(r"keep \S+ ", "keep ", holdfast(cluster, "retention", BC))
    assert "files" in holdfast(cluster, "download", snapshot, "--to", str(tmp_path / "here"))
    found = [path.read_text() for path in (tmp_path / "here").rglob("hello.txt")]
    assert found == ["hello from sample-sts-0\n"]

    holdfast(cluster, "pause", BC)
    eventually(lambda: cluster.get("cronjob", f"trigger-{BC}-demo-session")["spec"]["suspend"], "it is not suspended")
    holdfast(cluster, "resume", BC)
    eventually(lambda: not cluster.get("cronjob", f"trigger-{BC}-demo-session")["spec"]["suspend"], "it stays suspended")


def other(name: str, task: dict[str, Any], *, secret: bool = True) -> dict[str, Any]:
    """A second BackupConfiguration of the same workload, with one other task and a Repository of its own."""
    wanted = examples("backup-configuration.yaml")[0]
    first = wanted["spec"]["sessions"][0]
    first["scheduler"]["schedule"] = "0 3 29 2 *"
    first["addon"]["tasks"] = [task]
    first["repositories"][0] |= {"name": f"{name}-repo", "directory": f"/demo/{name}"}
    if not secret:
        del first["repositories"][0]["encryptionSecret"]
    return {**wanted, "metadata": {"name": name, "namespace": "demo"}}


def back_up(cluster: Cluster, wanted: dict[str, Any]) -> str:
    """Run one session of a BackupConfiguration and return its Snapshot's name."""
    name = wanted["metadata"]["name"]
    cluster.apply(wanted)
    cluster.until("backupconfiguration", name, "Ready")
    made = session(f"{name}-1705405201")
    made["spec"]["invoker"]["name"] = name
    cluster.apply(made)
    done = cluster.until("backupsession", f"{name}-1705405201", "Succeeded", "Failed", "Skipped")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    return done["status"]["snapshots"][0]["name"]


def bring_back(cluster: Cluster, name: str, snapshot: str, task: dict[str, Any], **more: Any) -> None:
    spec = {"dataSource": {"snapshot": snapshot}, "addon": {"name": "workload-addon", "tasks": [task]}, **more}
    cluster.apply(document("core", "RestoreSession", name, spec))
    done = cluster.until("restoresession", name, "Succeeded", "Failed", "Invalid")
    assert done["status"]["phase"] == "Succeeded", done["status"]


def test_a_volume_snapshot_is_taken_and_a_claim_is_made_from_it(cluster: Cluster) -> None:
    snapshot = back_up(cluster, other("volumes", {"name": "VolumeSnapshot"}, secret=False))
    assert cluster.names("volumesnapshot") == ["source-data-sample-sts-0-1705405201"]

    template = {
        "metadata": {"name": "from-volume-${POD_ORDINAL}"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    task = {"name": "VolumeSnapshotRestore", "targetVolumes": {"volumeClaimTemplates": [template]}}
    bring_back(cluster, "from-volume", snapshot, task)
    source = cluster.get("persistentvolumeclaim", "from-volume-0")["spec"]["dataSource"]
    assert source["name"] == "source-data-sample-sts-0-1705405201"


def test_the_manifests_of_a_workload_come_back_in_another_namespace(cluster: Cluster) -> None:
    snapshot = back_up(cluster, other("manifests", {"name": "ManifestBackup"}))
    cluster.plane.kubectl("create", "namespace", "elsewhere")

    options = {"workload": {"restoreNamespace": "elsewhere"}}
    bring_back(cluster, "from-manifests", snapshot, {"name": "ManifestRestore"}, manifestOptions=options)

    assert "sample-sts" in cluster.plane.kubectl("get", "statefulset", "-n", "elsewhere", "-o", "name")


def test_a_cluster_that_has_forgotten_everything_learns_it_from_the_bucket(cluster: Cluster) -> None:
    cluster.run("known-1")
    known = cluster.names("snapshots.storage.kubestash.com")
    assert f"{REPO}-known-1" in known
    newest = f"{REPO}-known-1"
    status = cluster.get("snapshots.storage.kubestash.com", newest)["status"]
    assert (cluster.store / "demo" / "data" / "snapshots" / f"{newest}.yaml").is_file()
    cluster.plane.kubectl("delete", "backupconfiguration", "--all", "-n", "demo", "--wait=true")
    cluster.plane.kubectl("delete", "backupstorage", STORAGE, "-n", "demo", "--wait=true")
    assert cluster.names("repositories.storage.kubestash.com") == []
    assert cluster.names("snapshots.storage.kubestash.com") == []

    cluster.apply(cluster.storage())
    cluster.until("backupstorage", STORAGE, "Ready")

    eventually(lambda: cluster.names("snapshots.storage.kubestash.com") == known, "the Snapshot does not come back")
    eventually(lambda: cluster.phase("snapshots.storage.kubestash.com", newest) == "Succeeded", "it has no status")
    back = cluster.get("snapshots.storage.kubestash.com", newest)["status"]
    assert (
        back["components"]["dump-pod-0"]["resticStats"][0]["id"] == status["components"]["dump-pod-0"]["resticStats"][0]["id"]
    )
    cluster.until("repositories.storage.kubestash.com", REPO, "Ready")
    cluster.apply(restore("from-the-bucket"))
    done = cluster.until("restoresession", "from-the-bucket", "Succeeded", "Failed", "Invalid")
    assert done["status"]["phase"] == "Succeeded", done["status"]


def restore(name: str) -> dict[str, Any]:
    (found,) = examples("restore-session.yaml")
    return {**found, "metadata": {"name": name, "namespace": "demo"}}


def test_wiping_a_storage_empties_its_place_and_leaves_neighbours(cluster: Cluster) -> None:
    (cluster.store / "neighbour").write_text("theirs")
    assert (cluster.store / "metadata.yaml").is_file()
    spec = cluster.storage()
    spec["spec"]["deletionPolicy"] = "WipeOut"
    cluster.apply(spec)

    cluster.plane.kubectl("delete", "backupstorage", STORAGE, "-n", "demo", "--wait=true")

    left = sorted(str(path.relative_to(cluster.store)) for path in cluster.store.rglob("*") if path.is_file())
    assert left == ["neighbour"]
