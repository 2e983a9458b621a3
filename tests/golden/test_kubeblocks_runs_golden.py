"""What Backups and Restores turn into in each of their phases, on the databases of the examples: jobs, claims, status.

`CASES` says what happens, `kubeblocks/out/<case>.yaml` is all that the handlers made of it.
`HOLDFAST_UPDATE_GOLDEN=1 pytest tests/golden/test_kubeblocks_runs_golden.py` writes the files anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml
from tests.golden.rendered import rendered
from tests.golden.test_kubeblocks_golden import EXAMPLES, FOLDER, mounted_ready
from tests.unit.kubeblocks.memory import Memory, thing

from holdfast.core.objects import Object

MADE = ("Job", "StatefulSet", "PersistentVolumeClaim", "VolumeSnapshot")
SAVED = {"totalSize": "1Gi", "timeRange": {"start": "2026-11-20T13:40:00Z", "end": "2026-11-20T13:41:00Z"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def serving(instance: str, port: int) -> Object:
    """A ready pod of an example's server."""
    meta = {"name": f"{instance}-0", "namespace": "default", "labels": {"app.kubernetes.io/instance": instance}}
    container = {"name": instance, "image": instance, "ports": [{"containerPort": port}]}
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": f"data-{instance}-0"}}
    spec = {
        "hostname": f"{instance}-0",
        "subdomain": instance,
        "nodeName": "here",
        "containers": [container],
        "volumes": [volume],
    }
    ready = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": ready}


def served(name: str, instance: str, port: int) -> Memory:
    """A cluster with a repository, an example's action sets and policy, and its server."""
    memory = mounted_ready()
    memory.add(serving(instance, port))
    for document in yaml.safe_load_all((EXAMPLES / f"{name}-actionset.yaml").read_text()):
        memory.add(shortened(document))
    policy = next(yaml.safe_load_all((EXAMPLES / f"{name}-policy.yaml").read_text()))
    memory.add({**policy, "metadata": {**policy["metadata"], "namespace": "default"}})
    memory.settle()
    return memory


def shortened(part: Any) -> Any:
    """An action set whose scripts are words: the examples may change without these files."""
    if isinstance(part, list):
        return [shortened(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {key: ["script"] if key == "command" else shortened(value) for key, value in part.items()}


def mariadb() -> Memory:
    return served("mariadb", "mariadb", 3306)


def take(memory: Memory, name: str, method: str, policy: str = "mariadb", **spec: Any) -> Memory:
    """Make a Backup."""
    memory.add(thing("Backup", name, backupPolicyName=policy, backupMethod=method, **spec))
    memory.settle()
    return memory


def done(memory: Memory, part: str, details: Mapping[str, Any] | None = None) -> Memory:
    """End a job well whose name has a part, a minute later."""
    memory.later(minutes=1)
    memory.finish(next(name for name in memory.names("Job") if part in name), details=details)
    memory.settle()
    return memory


def restored(memory: Memory, source: str, **spec: Any) -> Memory:
    """Make a Restore."""
    memory.add(thing("Restore", "back", backup={"name": source, "namespace": "default"}, **spec))
    memory.settle()
    return memory


def into_claims(**more: Any) -> Object:
    claim = {"metadata": {"name": "back"}, "volumeSource": "data", "volumeClaimSpec": CLAIM}
    return {"volumeClaims": [claim], "volumeClaimRestorePolicy": "Parallel", **more}


def into_template() -> Object:
    template = {"metadata": {"name": "data-back"}, "volumeSource": "data", "volumeClaimSpec": CLAIM}
    many = {"templates": [template], "replicas": 2, "startingIndex": 1}
    return {"volumeClaimsTemplate": many, "volumeClaimRestorePolicy": "Serial"}


def backup_new() -> Memory:
    memory = mariadb()
    memory.find("BackupRepo", "local")["status"]["phase"] = "PreChecking"
    memory.handlers.pop(next(kind for kind in memory.handlers if kind.kind == "BackupRepo"))
    return take(memory, "full", "full")


def backup_running() -> Memory:
    return take(mariadb(), "full", "full", retentionPeriod="7d")


def backup_completed() -> Memory:
    return done(backup_running(), "dp-backup", SAVED)


def backup_failed() -> Memory:
    memory = backup_running()
    memory.later(minutes=1)
    memory.crash(memory.names("Job")[0], "Error", "mariadb-backup: Access denied for user 'admin'")
    memory.settle()
    return memory


def backup_whose_words_are_lost() -> Memory:
    memory = backup_running()
    memory.later(minutes=1)
    memory.end_silently(memory.names("Job")[0])
    memory.settle()
    memory.later(seconds=11)
    memory.settle()
    return memory


def backup_deleting() -> Memory:
    memory = backup_completed()
    memory.delete("Backup", "full", "default")
    memory.settle()
    return memory


def backup_chain() -> Memory:
    memory = take(backup_completed(), "more", "incremental")
    done(memory, "dp-backup-0-more", SAVED)
    return take(memory, "most", "incremental")


def backup_snapshot() -> Memory:
    memory = mariadb()
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    place = {"name": "data-mariadb-0", "namespace": "default"}
    memory.add({**claim, "metadata": place, "spec": {**CLAIM, "volumeName": "pv", "storageClassName": "standard"}})
    return take(memory, "snap", "snapshot")


def chain() -> Memory:
    return done(backup_chain(), "dp-backup-0-most", SAVED)


def restore_running() -> Memory:
    return restored(chain(), "most", prepareDataConfig=into_claims())


def restore_chain() -> Memory:
    memory = restore_running()
    for source in ("full", "more", "most"):
        done(memory, f"-{source}-")
    memory.find("PersistentVolumeClaim", "back")["status"] = {"phase": "Bound"}
    memory.settle()
    return memory


def restore_template() -> Memory:
    memory = restored(backup_completed(), "full", prepareDataConfig=into_template())
    return done(memory, "restore-preparedata")


def restore_failed() -> Memory:
    memory = restored(backup_completed(), "full", prepareDataConfig=into_claims(), backoffLimit=0)
    memory.crash(memory.names("Job")[0], "Error", "/data/mariadb holds a database already")
    memory.settle()
    return memory


def restore_of_a_failed_backup() -> Memory:
    return restored(backup_failed(), "full", prepareDataConfig=into_claims())


def restore_post_ready() -> Memory:
    memory = done(take(mariadb(), "dump", "dump"), "dp-backup", SAVED)
    selector = {"matchLabels": {"app.kubernetes.io/instance": "mariadb"}}
    probe = {"exec": {"image": "mariadb:10.11", "command": ["mariadb-admin", "ping"]}}
    ready = {
        "jobAction": {"target": {"podSelector": selector}},
        "connectionCredential": {"secretName": "mariadb-login"},
        "readinessProbe": probe,
    }
    memory = restored(memory, "dump", readyConfig=ready)
    return done(memory, "readiness")


def restore_to_a_moment() -> Memory:
    memory = served("postgresql", "pg", 5432)
    done(take(memory, "base", "full", "pg"), "dp-backup", SAVED)
    meta = {"labels": {"dataprotection.kubeblocks.io/backup-type": "Continuous"}}
    memory.add(thing("Backup", "log", meta=meta, backupPolicyName="pg", backupMethod="log", status=continuous(memory)))
    return restored(memory, "log", restoreTime="2026-11-20T14:00:00Z", prepareDataConfig=into_claims())


def continuous(memory: Memory) -> Object:
    """The status of a Continuous Backup that its schedule has ended."""
    base = memory.status("Backup", "base")
    method = next(each for each in memory.find("BackupPolicy", "pg")["spec"]["backupMethods"] if each["name"] == "log")
    kept = {key: base[key] for key in ("formatVersion", "target", "backupRepoName", "persistentVolumeClaimName")}
    times = {"start": "2026-11-20T13:00:00Z", "end": "2026-11-20T15:00:00Z"}
    return {**kept, "phase": "Completed", "path": "/default/pg/log", "backupMethod": method, "timeRange": times}


CASES: tuple[Callable[[], Memory], ...] = (
    backup_new,
    backup_running,
    backup_completed,
    backup_failed,
    backup_whose_words_are_lost,
    backup_deleting,
    backup_chain,
    backup_snapshot,
    restore_running,
    restore_chain,
    restore_template,
    restore_failed,
    restore_of_a_failed_backup,
    restore_post_ready,
    restore_to_a_moment,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_run_turns_into(case: Callable[[], Memory]) -> None:
    memory, told = case(), case.__name__.partition("_")[0].title()
    given = [memory.status("BackupRepo", "local")["backupPVCName"]]
    if told == "Restore":
        given += [name for name in memory.names("Job") if not name.startswith("restore-")]
    found = yaml.safe_dump_all(rendered(memory, [told], MADE, frozenset(given)), sort_keys=True, width=128)
    path = FOLDER / f"{case.__name__.replace('_', '-')}.yaml"
    if os.environ.get("HOLDFAST_UPDATE_GOLDEN") == "1":
        path.write_text(found)
    assert path.read_text() == found, f"{path.name} differs: HOLDFAST_UPDATE_GOLDEN=1 writes it anew, if the change is meant"
