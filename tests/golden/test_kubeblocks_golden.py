"""What KubeBlocks manifests turn into: every child, every call of a mover and every status, as files that people can read.

The examples are applied as they are shipped, `CASES` says what happens then, `kubeblocks/out/<case>.yaml` is all that
the handlers made of it. `HOLDFAST_UPDATE_GOLDEN=1 pytest tests/golden/test_kubeblocks_golden.py` writes the files anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.golden.rendered import rendered
from tests.unit.kubeblocks.memory import GROUP, JOB, Memory, provider, thing

from holdfast.core.objects import Kind
from holdfast.core.report import Failure

FOLDER = Path(__file__).parent / "kubeblocks" / "out"
EXAMPLES = Path(__file__).parents[2] / "examples" / "kubeblocks"
MADE = ("CronJob", "Job", "PersistentVolumeClaim", "StorageClass", "RoleBinding", "ServiceAccount", "Backup")
TOLD = ("StorageProvider", "BackupRepo", "ActionSet", "BackupPolicy", "BackupSchedule")
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}


def finish(memory: Memory, part: str, **details: int) -> None:
    """End a Job well whose name has a part."""
    memory.finish(next(name for name in memory.names("Job") if part in name), details=details)
    memory.settle()


def mounted_applied() -> Memory:
    memory = Memory(NAMESPACE, provider("pvc"))
    memory.load(EXAMPLES / "repo-local.yaml")
    memory.settle()
    return memory


def mounted_searching() -> Memory:
    memory = mounted_applied()
    finish(memory, "pre-check")
    return memory


def mounted_ready() -> Memory:
    memory = mounted_searching()
    finish(memory, "discover", made=2, there=0, leftOut=1)
    return memory


def bucket_applied() -> Memory:
    memory = Memory(NAMESPACE, provider("minio"))
    memory.load(EXAMPLES / "repo-minio.yaml")
    memory.settle()
    return memory


def bucket_failed() -> Memory:
    memory = bucket_applied()
    said = "BackupRepo minio: the key is refused: check accessKeyId and secretAccessKey"
    memory.finish(memory.names("Job")[0], failure=Failure("PreCheckFailed", said))
    memory.settle()
    return memory


def bucket_ready() -> Memory:
    memory = bucket_applied()
    finish(memory, "pre-check")
    finish(memory, "discover", made=0, there=0, leftOut=0)
    return memory


def class_applied() -> Memory:
    driver = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "nfs.csi.k8s.io"}, "spec": {}}
    config = {"nfsServer": "nas.example.org", "nfsShare": "/backups"}
    spec = {"storageProviderRef": "nfs", "pvReclaimPolicy": "Retain", "volumeCapacity": "1Ti", "config": config}
    memory = Memory(NAMESPACE, provider("nfs"), driver, thing("BackupRepo", "nas", **spec))
    memory.settle()
    return memory


def repo_without_provider() -> Memory:
    memory = Memory(NAMESPACE)
    memory.load(EXAMPLES / "repo-minio.yaml")
    memory.settle()
    return memory


def schedule_applied() -> Memory:
    target = {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "shop"}}}
    methods = [{"name": name, "actionSetName": name} for name in ("dump", "log")]
    memory = Memory(
        NAMESPACE,
        thing("ActionSet", "dump", backup={"backupData": JOB}),
        thing("ActionSet", "log", backupType="Continuous", backup={"backupData": JOB}),
        thing("BackupPolicy", "shop", backupMethods=methods, target=target),
    )
    memory.handlers.pop(Kind(GROUP, "Backup"))
    memory.load(EXAMPLES / "schedule.yaml")
    memory.settle()
    return memory


def schedule_without_policy() -> Memory:
    memory = Memory(NAMESPACE)
    memory.load(EXAMPLES / "schedule.yaml")
    memory.settle()
    return memory


CASES: tuple[Callable[[], Memory], ...] = (
    mounted_applied,
    mounted_searching,
    mounted_ready,
    bucket_applied,
    bucket_failed,
    bucket_ready,
    class_applied,
    repo_without_provider,
    schedule_applied,
    schedule_without_policy,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_manifest_turns_into(case: Callable[[], Memory]) -> None:
    found = yaml.safe_dump_all(rendered(case(), TOLD, MADE), sort_keys=True, width=128)
    path = FOLDER / f"{case.__name__.replace('_', '-')}.yaml"
    if os.environ.get("HOLDFAST_UPDATE_GOLDEN") == "1":
        path.write_text(found)
    assert path.read_text() == found, f"{path.name} differs: HOLDFAST_UPDATE_GOLDEN=1 writes it anew, if the change is meant"
