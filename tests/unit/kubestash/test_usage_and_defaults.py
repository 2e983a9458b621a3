"""Who may use a storage, and which one is used when none is named."""

import pytest
from tests.unit.kubestash.builders import sample, sample_world
from tests.unit.kubestash.world import World

from holdfast.core.objects import Object
from holdfast.dialects.kubestash import defaults, usage
from holdfast.dialects.kubestash.decode import Place
from holdfast.dialects.kubestash.kinds import BACKUP_STORAGE


def storage(namespace: str, *, policy: Object | None = None, default: bool = True, name: str = "store") -> Object:
    local = {"mountPath": "/store", "persistentVolumeClaim": {"claimName": "store"}}
    spec: Object = {"storage": {"provider": "local", "local": local}, "default": default}
    if policy:
        spec["usagePolicy"] = {"allowedNamespaces": policy}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage", "metadata": meta, "spec": spec}


def namespace(name: str, **labels: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


PROD = {"from": "Selector", "selector": {"matchLabels": {"env": "prod"}}}


@pytest.mark.parametrize(
    ("policy", "asks", "labels", "admitted"),
    [
        (None, "a", {}, True),
        (None, "b", {}, False),
        ({"from": "Same"}, "b", {}, False),
        ({"from": "All"}, "b", {}, True),
        (PROD, "b", {"env": "prod"}, True),
        (PROD, "b", {}, False),
        (PROD, "a", {}, False),
    ],
)
def test_a_usage_policy_admits(policy: Object | None, asks: str, labels: dict[str, str], admitted: bool):
    world = World(namespace(asks, **labels))
    assert usage.admits(storage("a", policy=policy), asks, world) is admitted


def test_a_configuration_is_accepted_once_its_namespace_gains_the_label():
    world = sample_world()
    world.delete("BackupStorage", "gcs-storage")
    world.add(storage("vault", policy=PROD, default=False, name="gcs-storage"))
    wanted = sample()
    wanted["spec"]["backends"][0]["storageRef"] = {"name": "gcs-storage", "namespace": "vault"}
    assert "BackupStorage vault/gcs-storage does not admit namespace demo" in world.problems(wanted)
    world.add(namespace("demo", env="prod"))
    assert world.problems(wanted) == ""


def test_the_default_of_the_own_namespace_wins_then_a_selector_then_all():
    selected = storage("b-selector", policy=PROD)
    world = World(namespace("demo", env="prod"), storage("demo", policy={"from": "All"}), selected)
    world.add(storage("a-all", policy={"from": "All"}))
    world.add(storage("c-same"))
    assert defaults.find(BACKUP_STORAGE, "demo", world) == Place("demo", "store")
    world.delete("BackupStorage", "store", "demo")
    assert defaults.find(BACKUP_STORAGE, "demo", world) == Place("b-selector", "store")
    world.delete("BackupStorage", "store", "b-selector")
    assert defaults.find(BACKUP_STORAGE, "demo", world) == Place("a-all", "store")
    world.delete("BackupStorage", "store", "a-all")
    assert defaults.find(BACKUP_STORAGE, "demo", world) is None


def test_without_any_default_a_configuration_without_backends_is_rejected():
    wanted = sample()
    del wanted["spec"]["backends"]
    wanted["spec"]["sessions"][0]["repositories"][0].pop("backend")
    assert "no default BackupStorage admits this namespace" in sample_world().problems(wanted)


def test_a_blank_backend_uses_the_default_storage_also_beside_listed_ones():
    world = sample_world()
    store = world.find("BackupStorage", "gcs-storage")
    policy = world.find("RetentionPolicy", "demo-retention")
    world.add({**store, "spec": {**store["spec"], "default": True}})
    world.add({**policy, "spec": {**policy["spec"], "default": True}})
    wanted = sample()
    wanted["spec"]["sessions"][0]["repositories"][0].pop("backend")
    world.add(wanted)
    world.settle()
    backends = world.find("BackupConfiguration", "sample-backup-sts")["status"]["backends"]
    assert [entry["name"] for entry in backends] == ["gcs-backend", ""]
    assert world.find("Repository", "gcs-demo-repo")["spec"]["storageRef"] == {"name": "gcs-storage", "namespace": "demo"}
    assert "backends" in world.find("BackupConfiguration", "sample-backup-sts")["spec"]


def test_a_backend_without_a_policy_takes_the_default_one():
    world = sample_world()
    wanted = sample()
    del wanted["spec"]["backends"][0]["retentionPolicy"]
    assert "no default RetentionPolicy" in world.problems(wanted)
    policy = world.find("RetentionPolicy", "demo-retention")
    world.add({**policy, "spec": {**policy["spec"], "default": True}})
    world.add(wanted)
    world.settle()
    found = world.find("BackupConfiguration", "sample-backup-sts")["status"]["backends"][0]["retentionPolicy"]
    assert found == {"ref": {"name": "demo-retention", "namespace": "demo"}, "found": True}
