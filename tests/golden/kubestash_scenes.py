"""Rare moments of KubeStash's objects, for the search for fields without effect: in each a certain field matters."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from tests.unit.kubestash.blueprints import asking, blueprint
from tests.unit.kubestash.builders import REPO, ready_world, restore, run, sample, sample_world, session
from tests.unit.kubestash.hook_builders import hook, pod, template
from tests.unit.kubestash.test_tasks import ADDON, FUNCTION, started, with_tasks
from tests.unit.kubestash.test_usage_and_defaults import PROD, namespace, storage
from tests.unit.kubestash.verifiers import verifier, verify
from tests.unit.kubestash.world import World, succeeded

from holdfast.core.objects import Object
from holdfast.core.report import Failure

TARGET: Object = {"apiGroup": "apps", "kind": "StatefulSet", "name": "sample-sts", "namespace": "demo"}
BROKEN = Failure("X", "broken")
OWNER: Object = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "sample-sts", "uid": "uid-of-sts", "controller": True}


def rare() -> Iterable[World]:
    """Return one world for each moment."""
    yield chosen_by_default()
    yield with_history()
    yield to_repeat()
    yield asked_blueprint(dying=False)
    yield asked_blueprint(dying=True)
    yield test_to_repeat()
    yield tests_beyond_the_limit()
    yield many_pods({})
    yield many_pods({"owner": OWNER})
    yield before_own_tasks()
    yield amid_own_tasks()
    yield restored_by_own_tasks()
    yield with_volumes_of_its_own()


def chosen_by_default() -> World:
    """A BackupConfiguration that names neither storage nor policy; those of namespace vault admit it by its label."""
    world = sample_world()
    kept = {"maxRetentionPeriod": "1y", "default": True, "usagePolicy": {"allowedNamespaces": PROD}}
    meta = {"name": "keep", "namespace": "vault"}
    policy = {"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "RetentionPolicy", "metadata": meta, "spec": kept}
    thaw = template("thaw", {"exec": {"command": ["thaw"]}})
    spec = {**thaw["spec"], "usagePolicy": {"allowedNamespaces": PROD}}
    shared = {**thaw, "metadata": {"name": "thaw", "namespace": "vault"}, "spec": spec}
    for obj in (namespace("demo", env="prod"), namespace("vault"), storage("vault", policy=PROD), policy, shared):
        world.add(obj)
    wanted = sample()
    wanted["spec"]["backends"] = []
    wanted["spec"]["sessions"][0]["repositories"][0]["backend"] = ""
    named = {"name": "thaw", "namespace": "vault"}
    wanted["spec"]["sessions"][0]["hooks"] = {"postBackup": [{**hook("thaw"), "hookTemplate": named}]}
    world.add(wanted)
    return world


def limited(limit: int) -> Object:
    """The sample with a limit of its history."""
    wanted = sample()
    wanted["spec"]["sessions"][0]["sessionHistoryLimit"] = limit
    return wanted


def with_history() -> World:
    """Three sessions that have ended, and a limit that has just been lowered."""
    world = ready_world(limited(5))
    for number in range(3):
        run(world, f"run-{number}", f"{number}f5a6b7c")
        world.later(minutes=5)
    world.add(limited(1))
    return world


def to_repeat() -> World:
    """A failed session whose repetition is due."""
    world = ready_world()
    world.add(session("run-1", retryLeft=2))
    world.settle()
    world.finish("run-1-dump-pod-0", failure=BROKEN)
    world.settle()
    world.later(minutes=5)
    return world


def asked_blueprint(*, dying: bool) -> World:
    """A blueprint that admits the one workload which asks for it by its namespace's label; it may be being deleted."""
    world = ready_world()
    found = blueprint(deletionPolicy="OnDelete")
    found["spec"]["usagePolicy"] = {"allowedNamespaces": copy.deepcopy(PROD)}
    world.add(namespace("demo", env="prod"))
    world.add(found)
    asking(world, name="nightly", path="/source/data")
    if dying:
        world.delete("BackupBlueprint", "nightly")
    return world


def tested(**spec: object) -> World:
    """The sample with a verifier, after a backup."""
    wanted = sample()
    wanted["spec"]["sessions"][0]["repositories"][0]["backupVerifier"] = {"name": "weekly"}
    world = ready_world(wanted)
    run(world, "run-1", "1f5a6b7c")
    world.add(verifier(**spec))
    world.settle()
    return world


def test_to_repeat() -> World:
    """A test that has failed, and whose repetition is due."""
    world = tested()
    verify(world, retryLeft=2)
    world.finish("proof-dump-pod-0", failure=BROKEN)
    world.settle()
    world.later(minutes=5)
    return world


test_to_repeat.__test__ = False  # type: ignore[attr-defined]


def tests_beyond_the_limit() -> World:
    """Tests that have failed, one more than the limit that has just been lowered."""
    world = tested(sessionHistoryLimit=5)
    for name in ("one", "two"):
        verify(world, name, retryLeft=0)
        world.finish(f"{name}-dump-pod-0", failure=BROKEN)
        world.settle()
        world.later(minutes=5)
    world.add(verifier(sessionHistoryLimit=1))
    return world


def many_pods(chosen: Object) -> World:
    """A session whose hook is about to choose among two pods, one of which has an owner."""
    wanted = sample()
    wanted["spec"]["sessions"][0]["hooks"] = {"preBackup": [hook("freeze")]}
    owned = pod("sample-app-1")
    owned["metadata"]["ownerReferences"] = [OWNER]
    world = ready_world()
    freeze = template("freeze", {"exec": {"command": ["sync"]}}, pod=chosen)
    for obj in (freeze, pod("sample-app-0"), owned, wanted):
        world.add(obj)
    world.settle()
    world.add(session("run-1", retryLeft=0))
    world.settle()
    for name in [name for name in world.names("Job") if name.startswith("hook-")]:
        world.delete("Job", name)
    world.find("BackupSession", "run-1").get("status", {}).pop("hooks", None)
    return world


def before_own_tasks() -> World:
    """A session with a task of a user's own Addon, which is about to make its Snapshot."""
    world = ready_world()
    world.add(ADDON)
    world.add(FUNCTION)
    world.add(with_tasks({"name": "dump"}, addon="pg-addon"))
    world.settle()
    world.add(session("run-1", retryLeft=0))
    return world


def amid_own_tasks() -> World:
    """The same, at work."""
    return started(with_tasks({"name": "dump"}, addon="pg-addon"), ADDON, FUNCTION)


def claim(name: str) -> Object:
    """A claim for anything small."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    meta = {"name": name, "namespace": "demo"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def restored_by_own_tasks() -> World:
    """A restore by a task of a user's own Addon, with everything that one can declare."""
    addon = copy.deepcopy(ADDON)
    addon["spec"]["restoreTasks"] = [{**addon["spec"]["backupTasks"][0], "name": "dump-restore", "function": "pg-load"}]
    function = {**FUNCTION, "metadata": {"name": "pg-load"}, "spec": {"image": "pg:1", "args": ["load", "${args}"]}}
    world = started(with_tasks({"name": "dump"}, addon="pg-addon"), addon, FUNCTION, function)
    world.finish("run-1705405201-dump", succeeded(REPO, "dump", "beef0001"))
    world.settle()
    world.add(claim("source-data-sample-sts-0"))
    source = {"repository": REPO, "snapshot": f"{REPO}-run-1705405201"}
    world.add(
        restore("back", addon={"name": "pg-addon", "tasks": [{"name": "dump-restore"}]}, dataSource=source, target=TARGET)
    )
    world.settle()
    return world


def with_volumes_of_its_own() -> World:
    """A backup and a restore whose tasks bring a volume that the target does not have."""
    wanted = sample()
    volume = {"name": "extra", "persistentVolumeClaim": {"claimName": "extra"}}
    volumes = wanted["spec"]["sessions"][0]["addon"]["tasks"][0]["targetVolumes"]
    volumes |= {"volumes": [volume], "volumeMounts": [{"name": "extra", "mountPath": "/source/data"}]}
    world = ready_world(wanted)
    run(world, "earlier", "4f5a6b7c")
    world.add(session("run-1", retryLeft=0))
    world.settle()
    world.add(claim("extra"))
    task = {"name": "logical-backup-restore", "targetVolumes": copy.deepcopy(volumes)}
    world.add(restore("back", addon={"name": "workload-addon", "tasks": [task]}, dataSource=_earlier(), target=TARGET))
    world.settle()
    return world


def _earlier() -> Object:
    return {"repository": REPO, "snapshot": f"{REPO}-earlier"}
