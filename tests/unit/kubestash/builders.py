"""The objects of the printed sample, as a world in which a test changes one thing."""

from __future__ import annotations

import copy
from typing import Any

import yaml
from tests.unit.kubestash.world import ROOT, World, succeeded

from holdfast.core.objects import Object
from holdfast.core.times import format_time

EXAMPLES = ROOT / "examples" / "kubestash"
ADDONS = sorted((ROOT / "deploy" / "addons" / "kubestash").glob("*.yaml"))
BC, SESSION, REPO = "sample-backup-sts", "demo-session", "gcs-demo-repo"


def example(name: str) -> Object:
    return yaml.safe_load((EXAMPLES / name).read_text())


def sample() -> Object:
    return example("backup-configuration.yaml")


def sample_world(*, storage: str = "storage-local.yaml", addons: bool = True) -> World:
    """Everything that the sample refers to, and not the sample itself."""
    world = World()
    world.load(*(ADDONS if addons else ()))
    world.load(*(EXAMPLES / name for name in ("namespace.yaml", "sample-sts.yaml", "retention-policy.yaml", storage)))
    return world


def ready_world(configuration: Object | None = None) -> World:
    """The sample, initialised and Ready."""
    world = sample_world()
    world.add(configuration or sample())
    world.settle()
    world.finish("init-gcs-storage")
    world.settle()
    for job in [name for name in world.names("Job") if name.startswith("init-repo-")]:
        world.finish(job)
    world.settle()
    assert world.find("BackupConfiguration", BC)["status"]["phase"] == "Ready"
    return world


def session(name: str, **spec: Any) -> Object:
    invoker = {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": BC}
    return {
        "apiVersion": "core.kubestash.com/v1alpha1",
        "kind": "BackupSession",
        "metadata": {"name": name, "namespace": "demo", "labels": {"kubestash.com/invoker-name": BC}},
        "spec": {"invoker": invoker, "session": SESSION, **spec},
    }


def run(world: World, name: str, *ids: str) -> Object:
    """Run one good backup to its end and return the session."""
    world.add(session(name, retryLeft=0))
    world.settle()
    started = format_time(world.now)
    world.later(seconds=30)
    world.finish(f"{name}-dump-pod-0", succeeded(REPO, "dump-pod-0", *ids, started=started, finished=format_time(world.now)))
    world.settle()
    return world.find("BackupSession", name)


def restore(name: str, **spec: Any) -> Object:
    obj = copy.deepcopy(example("restore-session.yaml"))
    obj["metadata"] = {"name": name, "namespace": "demo"}
    obj["spec"].update(spec)
    return obj


def in_place(name: str, **source: Any) -> Object:
    """A RestoreSession into the claims of the sample's own StatefulSet."""
    mounts = [{"name": "source-data", "mountPath": "/source/data"}]
    task = {"name": "LogicalBackupRestore", "targetVolumes": {"volumeMounts": mounts}}
    obj = restore(name, addon={"name": "workload-addon", "tasks": [task]})
    obj["spec"]["target"] = {"apiGroup": "apps", "kind": "StatefulSet", "name": "sample-sts", "namespace": "demo"}
    obj["spec"]["dataSource"] = {"repository": REPO, "snapshot": "latest", **source}
    return obj
