"""A pod that goes under a running Backup: waited for where a StatefulSet brings it back, for a while."""

from __future__ import annotations

from typing import Any

import pytest
from tests.golden.test_kubeblocks_runs_golden import backup_running, serving
from tests.unit.kubeblocks.memory import Memory

from holdfast.core.objects import Object
from holdfast.core.read import mapping

GONE = "holdfast.dev/target-pod-gone"


def stateful_set(**spec: Any) -> Object:
    meta = {"name": "mariadb", "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": {"replicas": 1, **spec}}


def losing_its_pod(owner: Object | None) -> Memory:
    """A Backup whose first job waits, and whose pod was just killed."""
    memory = backup_running()
    if owner is not None:
        memory.add(owner)
    memory.delete("Pod", "mariadb-0", "default")
    memory.settle()
    return memory


def test_the_pod_of_a_stateful_set_is_waited_for_and_the_backup_goes_on() -> None:
    memory = losing_its_pod(stateful_set())
    assert memory.status("Backup", "full")["phase"] == "Running"
    assert GONE in memory.find("Backup", "full")["metadata"]["annotations"]

    memory.later(seconds=30)
    memory.add(serving("mariadb", 3306))
    memory.settle()
    assert GONE not in mapping(memory.find("Backup", "full"), "metadata", "annotations")
    memory.finish(memory.names("Job")[0], details={"totalSize": "1Gi"})
    memory.settle()
    assert memory.status("Backup", "full")["phase"] == "Completed"


def test_after_a_minute_without_it_the_backup_has_failed() -> None:
    memory = losing_its_pod(stateful_set())
    memory.later(seconds=59)
    memory.settle()
    assert memory.status("Backup", "full")["phase"] == "Running"

    memory.later(seconds=2)
    memory.settle()
    failed = memory.status("Backup", "full")
    assert failed["phase"] == "Failed"
    assert failed["failureReason"].startswith("pod default/mariadb-0 is gone")


@pytest.mark.parametrize(
    "owner",
    [None, stateful_set(replicas=0), stateful_set(ordinals={"start": 3})],
    ids=["no owner", "scaled down", "numbered from three"],
)
def test_a_pod_that_nobody_brings_back_fails_the_backup_at_once(owner: Object | None) -> None:
    assert losing_its_pod(owner).status("Backup", "full")["phase"] == "Failed"
