"""The reference page of the KubeBlocks API by kubectl: a sample with every field that it prints, followed to its end.

The page shows no manifests, so `samples/kubeblocks-page.yaml` is made of its fields; here is what the sample refers to.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fields.ledger import rows
from tests.kubeblocks_cluster import CLAIM, NS, Cluster, cluster
from tests.kubeblocks_world import condition, secret

from holdfast.core.objects import Object

__all__ = ["cluster"]
pytestmark = [pytest.mark.run, pytest.mark.timeout(120)]

TEXT = (Path(__file__).parents[1] / "samples/kubeblocks-page.yaml").read_text()
SAMPLE: list[Object] = list(yaml.load_all(TEXT, Loader=yaml.CSafeLoader))
WHOLE = frozenset({"EnvVar", "EnvFromSource", "LabelSelector", "ResourceRequirements", "VolumeMount", "Toleration", "Affinity"})
"""Types of Kubernetes, which the page does not take apart."""


def paths(value: Any, path: str) -> Iterator[str]:
    """Yield the path of every field, as the ledger spells it."""
    yield path
    if isinstance(value, list):
        for item in value:  # type: ignore[reportUnknownVariableType]
            yield from paths(item, f"{path}[]")
    elif isinstance(value, dict):
        for key, item in value.items():  # type: ignore[reportUnknownVariableType]
            yield from paths(item, f"{path}.{key}")


def printed(kind: str) -> set[str]:
    """Return the paths of the fields of a spec that the page prints; those of maps and items aside."""
    known = {row.path for row in rows("kubeblocks") if row.kind == kind and row.source == "seed"}
    return {path for path in known if path.startswith("spec") and not path.endswith(("[]", "{}"))}


@pytest.mark.parametrize("kind", sorted({each["kind"] for each in SAMPLE}))
def test_the_sample_has_every_field_that_the_page_prints(kind: str) -> None:
    given = {path for each in SAMPLE if each["kind"] == kind for path in paths(each["spec"], "spec")}
    assert printed(kind) - given == set()


def given(name: str, kind: str, **fields: str) -> Object:
    """Return a document of the sample; words in capitals are filled in."""
    text = next(
        part
        for part in TEXT.split("\n---\n")
        if re.search(rf"^kind: {kind}$", part, re.M) and f"metadata: {{name: {name}" in part
    )
    for word, value in fields.items():
        text = text.replace(word, value)
    return yaml.safe_load(text)


@pytest.fixture(scope="module")
def provisioner(cluster: Cluster) -> str:
    return next(iter(cluster.get("storageclass")["items"]))["provisioner"]


@pytest.fixture(scope="module", autouse=True)
def referred(cluster: Cluster, provisioner: str) -> None:
    """Make what the sample refers to, and the whole sample but its runs."""
    driver: Object = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "page.csi.example.org"}}
    cluster.apply(
        {**driver, "spec": {"attachRequired": False}},
        settings("page-settings", SETTING="of-the-set"),
        settings("page-kept", a="b"),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "page-worker", "namespace": NS}},
        secret("page-keys", NS, accessKey="key"),
        secret("page-login", NS, user="someone", word="sesame", host="db.example.org", port="5432"),
    )
    kept = [each for each in SAMPLE if each["kind"] not in ("Backup", "Restore", "BackupRepo")]
    strictly(cluster, given("kbc-page", "BackupRepo", PROVISIONER=provisioner), *kept)


def settings(name: str, **data: str) -> Object:
    meta = {"name": name, "namespace": NS, "labels": {"keep": "yes"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def strictly(cluster: Cluster, *objects: Object) -> None:
    """Apply objects. kubectl refuses every field that the cluster does not know."""
    told = cluster.kubectl("apply", "--validate=strict", "-f", "-", text=yaml.safe_dump_all(objects))
    assert [line.rpartition(" ")[2] for line in told.splitlines()] == ["created"] * len(objects), told


def ended(cluster: Cluster, kind: str, name: str) -> Object:
    found = cluster.phase(kind, name, "Completed", "Failed")
    assert found["phase"] == "Completed", json.dumps(found)
    return found


def content(cluster: Cluster, claim: str, path: str) -> str:
    """Read a file of a claim with a pod."""
    name = f"look-{claim}"
    container = {"name": "look", "image": "busybox", "command": ["cat", f"/data/{path}"]}
    container |= {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    spec = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NS}, "spec": spec})
    cluster.phase("pod", name, "Succeeded")
    return cluster.kubectl("-n", NS, "logs", name)


def test_what_backups_are_made_with_can_be_used(cluster: Cluster) -> None:
    cluster.phase("storageprovider", "kbc-page", "Ready")
    repo = cluster.phase("backuprepo", "kbc-page", "Ready")
    assert {"generatedCSIDriverSecret", "generatedStorageClassName", "backupPVCName"} <= set(repo)
    for name in ("full", "more", "log"):
        cluster.phase("actionset", f"kbc-page-{name}", "Available")
    cluster.phase("backuppolicy", "page", "Available")
    schedule = cluster.phase("backupschedule", "page", "Available")
    assert schedule["schedules"] == {"full": {"phase": "Running"}, "more": {}}


def test_backups_of_all_types_run_to_their_end(cluster: Cluster) -> None:
    strictly(cluster, given("page-1", "Backup"), given("page-log", "Backup"))
    full = ended(cluster, "backup", "page-1")
    sizes = {action["name"]: action.get("totalSize") for action in full["actions"]}
    assert sizes["dp-backup-0"] == "2Ki"
    assert int(full["totalSize"]) == 2048 + int(sizes["dp-objects-0"])
    assert full["path"] == f"/{NS}/a/place/page-1"
    assert full["kopiaRepoPath"] == f"/{NS}/a/place/kopia"
    phases = {action["name"]: action["phase"] for action in full["actions"]}
    assert phases.pop("dp-postbackup-0-0") == "Failed"
    assert set(phases.values()) == {"Completed"}
    strictly(cluster, given("page-2", "Backup"))
    assert ended(cluster, "backup", "page-2")["parentBackupName"] == "page-1"


def test_restores_bring_back_what_was_saved(cluster: Cluster) -> None:
    node = cluster.get("node")["items"][0]["metadata"]["name"]
    cluster.kubectl("-n", NS, "delete", "configmap", "page-kept")
    strictly(cluster, given("page", "Restore", NODE=node))
    done = ended(cluster, "restore", "page")
    assert condition(done, "PostReady")["status"] == "True"
    assert content(cluster, "page-one", "said") == "of-the-set of-the-method someone\nof-the-restore\n"
    assert cluster.get("configmap", "page-kept")["data"] == {"a": "b"}

    told = cluster.wait("backup", "page-log", lambda obj: "timeRange" in obj.get("status", {}))["status"]
    strictly(cluster, given("page-moment", "Restore", MOMENT=told["timeRange"]["end"]))
    ended(cluster, "restore", "page-moment")
    assert {"page-many-1", "page-many-2"} <= {each["metadata"]["name"] for each in cluster.get("pvc")["items"]}

    strictly(cluster, given("page-source", "Restore"))
    cluster.phase("restore", "page-source", "AsDataSource")
    reference = {"apiGroup": "dataprotection.kubeblocks.io", "kind": "Restore", "name": "page-source"}
    meta = {"name": "page-populated", "namespace": NS}
    spec = {**CLAIM, "dataSourceRef": reference}
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec})
    cluster.phase("pvc", "page-populated", "Bound")
    assert content(cluster, "page-populated", "said").startswith("of-the-set of-the-method someone\n")


def test_deletion_follows_the_policy_of_each_backup(cluster: Cluster) -> None:
    for name in ("page-2", "page-1", "page-log"):
        cluster.delete("backup", name)
        cluster.gone("backup", name)
