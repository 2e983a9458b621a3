"""Every spec field of the KubeStash API but the listed ones does something: a generated mutation changes what is made of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.fields.ledger import rows
from tests.fields.mutation import allowed, differences, unread
from tests.fields.scene import Scene
from tests.golden.kubestash_scenes import rare
from tests.unit.kubestash.blueprints import asking, blueprint
from tests.unit.kubestash.builders import BC, REPO, SESSION, in_place, ready_world, restore, run, sample, sample_world, session
from tests.unit.kubestash.hook_builders import FREEZE, TELL, hook, notifier, pod
from tests.unit.kubestash.verifiers import verifier, verify
from tests.unit.kubestash.world import World, succeeded

from holdfast.core.report import Failure
from holdfast.dialects.kubestash.dialect import KubeStash
from holdfast.dialects.kubestash.types import KINDS


def scene(world: World) -> Scene:
    return Scene(world.objects.values(), KubeStash().handlers, world.now)


def scenes() -> Sequence[Scene]:
    """Storage that is made ready, a backup and restores on their way, a retention that is due."""
    fresh = sample_world()
    fresh.add(sample())
    fresh.settle()
    begun = ready_world()
    run(begun, "earlier", "4f5a6b7c")
    begun.add(session("run-1"))
    begun.settle()
    begun.add(restore("back"))
    begun.add(in_place("back-in-place"))
    begun.settle()
    ended = [dying(kind, name) for kind, name in (("BackupStorage", "gcs-storage"), ("Repository", REPO))]
    around = [hooked(when) for when in ("before", "after")]
    common = (*around, begun, made_by_others(), retained(), fresh, by_time(), *ended, about_to_test())
    return [scene(world) for world in (*common, *rare())]


def made_by_others() -> World:
    """A blueprint whose workload asks for it, and a test of a backup that is about to begin."""
    wanted = sample()
    wanted["spec"]["sessions"][0]["repositories"][0]["backupVerifier"] = {"name": "weekly"}
    world = ready_world(wanted)
    run(world, "run-1", "1f5a6b7c")
    function, _ = notifier()
    for obj in (
        verifier(type="Script", function="notify", script={"location": "/look", "args": ["--deep"]}),
        function,
        blueprint(),
    ):
        world.add(obj)
    asking(world, name="nightly", path="/source/data")
    verify(world)
    world.finish("proof-dump-pod-0", succeeded(REPO))
    world.settle()
    world.delete("Job", "verify-proof")
    return world


def about_to_test() -> World:
    """A test of a backup that has just been asked for."""
    wanted = sample()
    wanted["spec"]["sessions"][0]["repositories"][0]["backupVerifier"] = {"name": "weekly"}
    world = ready_world(wanted)
    run(world, "run-1", "1f5a6b7c")
    world.add(verifier())
    world.settle()
    invoker = {"apiGroup": "core.kubestash.com", "kind": "BackupConfiguration", "name": BC}
    spec = {"invoker": invoker, "session": SESSION, "repository": REPO, "retryLeft": 1}
    meta = {"name": "proof", "namespace": "demo"}
    kind = "BackupVerificationSession"
    world.add({"apiVersion": "core.kubestash.com/v1alpha1", "kind": kind, "metadata": meta, "spec": spec})
    return world


def hooked(when: str) -> World:
    """A backup and a restore whose hooks are about to start: those before the work, or those after it."""
    wanted = sample()
    each = [hook("notify"), hook("freeze"), {**hook("tell"), "executionPolicy": "Always"}]
    wanted["spec"]["sessions"][0]["hooks"] = {"preBackup": each[:1], "postBackup": each}
    world = ready_world()
    run(world, "earlier", "4f5a6b7c")
    for obj in (*notifier(), FREEZE, TELL, pod("sample-sts-0"), wanted):
        world.add(obj)
    world.settle()
    world.add(session("run-1", retryLeft=0))
    world.add(restore("back", hooks={"preRestore": each[:1], "postRestore": each}))
    world.settle()
    if when == "after":
        for name in ("run-1", "back"):
            world.finish(f"hook-{name}-pre-0")
        world.settle()
        for name in ("run-1", "back"):
            world.finish(f"{name}-dump-pod-0", succeeded(REPO))
        world.settle()
    forget_hooks(world)
    return world


def forget_hooks(world: World) -> None:
    """Take away the Jobs of the hooks that have begun, and what the statuses say of them."""
    running = [name for name in world.names("Job") if name.startswith("hook-") and "status" not in world.find("Job", name)]
    for name in running:
        world.delete("Job", name)
    for obj in (*world.all("BackupSession"), *world.all("RestoreSession")):
        told = obj.get("status", {}).get("hooks", {})
        for field in ("preHooks", "postHooks"):
            told[field] = [entry for entry in told.get(field, []) if entry["phase"] != "Pending"]


def dying(kind: str, name: str) -> World:
    """An object that somebody has deleted, after a backup; its BackupConfiguration went before."""
    world = ready_world()
    run(world, "run-1", "1f5a6b7c")
    world.objects = {
        key: obj for key, obj in world.objects.items() if obj["kind"] not in ("BackupConfiguration", "BackupSession")
    }
    if kind == "BackupStorage":  # what stops its initialising Job comes first, and is the same for every policy
        world.objects = {key: obj for key, obj in world.objects.items() if obj["kind"] not in ("Job", "RoleBinding")}
    if kind == "Repository":
        world.objects = {key: obj for key, obj in world.objects.items() if obj["kind"] != "Snapshot"}
    world.delete(kind, name)
    return world


def by_time() -> World:
    """A backup, and a restore to its time."""
    world = ready_world()
    run(world, "run-1", "1f5a6b7c")
    source = {"repository": REPO, "pitr": {"targetTime": world.find("Snapshot", f"{REPO}-run-1")["status"]["snapshotTime"]}}
    world.add(restore("back", dataSource=source))
    return world


def retained() -> World:
    """Good and failed backups over the turn of a year, of which the last one is about to let old ones go."""
    world = ready_world()
    policy = world.find("RetentionPolicy", "demo-retention")
    rules = {"successfulSnapshots": {"last": 1}, "failedSnapshots": {"last": 1}}
    for number in range(3):
        run(world, f"run-{number}", f"{number}f5a6b7c")
        world.later(days=9)
        world.add(session(f"bad-{number}", retryLeft=0))
        world.settle()
        world.finish(f"bad-{number}-dump-pod-0", failure=Failure("X", "broken"))
        world.settle()
        world.later(days=9)
    world.add({**policy, "spec": rules})
    run(world, "run-3", "3f5a6b7c")
    world.delete("Job", f"retentionpolicy-run-3-{REPO}")
    return world


@pytest.mark.timeout(400)
def test_no_field_of_a_spec_is_without_effect() -> None:
    found = differences(unread(rows("kubestash"), KINDS, scenes()), allowed("kubestash"))
    assert not found, "\n".join(found)
