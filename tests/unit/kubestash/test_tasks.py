"""Tasks other than files: volume snapshots, manifests, a user's own Function, several in one session."""

from typing import Any

from tests.unit.kubestash.builders import BC, REPO, ready_world, restore, run, sample, sample_world, session
from tests.unit.kubestash.world import World, condition, succeeded

from holdfast.core.objects import Object
from holdfast.core.report import RepositoryResult

CLAIM = "source-data-sample-sts-0"


def with_tasks(*tasks: Object, addon: str = "workload-addon", secret: bool = True, **more: Any) -> Object:
    wanted = sample()
    first = wanted["spec"]["sessions"][0]
    first["addon"] = {"name": addon, "tasks": list(tasks), **more}
    if not secret:
        del first["repositories"][0]["encryptionSecret"]
    return wanted


def started(wanted: Object, *objects: Object) -> World:
    world = sample_world()
    for obj in objects:
        world.add(obj)
    world.add(wanted)
    world.settle()
    world.finish("init-gcs-storage")
    world.settle()
    world.finish(f"init-repo-{REPO}")
    world.settle()
    assert world.find("BackupConfiguration", BC)["status"]["phase"] == "Ready"
    world.add(session("run-1705405201", retryLeft=0))
    world.settle()
    return world


def status(world: World) -> Object:
    return world.find("Snapshot", f"{REPO}-run-1705405201")["status"]


SNAPSHOTS = {"name": "VolumeSnapshot", "params": {"volumeSnapshotClassName": "fast"}}


def taken() -> World:
    world = started(with_tasks(SNAPSHOTS, secret=False))
    made = world.find("VolumeSnapshot", f"{CLAIM}-1705405201")
    made["status"] = {"readyToUse": True, "creationTime": "2026-11-20T13:43:00Z"}
    world.settle()
    return world


def test_a_volume_snapshot_of_each_claim_is_the_backup_and_needs_no_password():
    world = started(with_tasks(SNAPSHOTS, secret=False))
    made = world.find("VolumeSnapshot", f"{CLAIM}-1705405201")
    assert made["spec"] == {"volumeSnapshotClassName": "fast", "source": {"persistentVolumeClaimName": CLAIM}}
    assert status(world)["phase"] == "Running"
    assert status(world)["components"]["volumesnapshot-pod-0"]["phase"] == "Running"

    made["status"] = {"readyToUse": True, "creationTime": "2026-11-20T13:43:00Z"}
    world.settle()
    assert status(world)["phase"] == "Succeeded"
    assert status(world)["components"]["volumesnapshot-pod-0"] == {
        "driver": "VolumeSnapshotter",
        "phase": "Succeeded",
        "volumeSnapshotterStats": [
            {
                "pvcName": CLAIM,
                "volumeSnapshotName": f"{CLAIM}-1705405201",
                "volumeSnapshotTime": "2026-11-20T13:43:00Z",
            }
        ],
    }
    assert world.find("BackupSession", "run-1705405201")["status"]["phase"] == "Succeeded"


def test_a_volume_snapshot_outlives_its_session_and_goes_with_its_snapshot():
    world = taken()
    made = world.find("VolumeSnapshot", f"{CLAIM}-1705405201")
    assert not any(reference["kind"] == "BackupSession" for reference in made["metadata"].get("ownerReferences") or ())
    world.find("Snapshot", f"{REPO}-run-1705405201")["spec"]["deletionPolicy"] = "WipeOut"
    world.settle()
    world.delete("Snapshot", f"{REPO}-run-1705405201")
    world.settle()
    assert world.names("VolumeSnapshot") == []


def test_a_snapshot_that_can_not_be_taken_fails_the_session_with_the_drivers_words():
    world = started(with_tasks(SNAPSHOTS, secret=False))
    message = "rpc error: code = Unimplemented desc = no snapshots here"
    world.find("VolumeSnapshot", f"{CLAIM}-1705405201")["status"] = {"readyToUse": False, "error": {"message": message}}
    world.settle()
    failed = world.find("BackupSession", "run-1705405201")
    assert failed["status"]["phase"] == "Failed"
    assert message in condition(failed, "BackupFailed")["message"]


def claim_template(name: str, **spec: Any) -> Object:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"metadata": {"name": name}, "spec": wanted}


def test_a_restore_from_a_volume_snapshot_makes_the_claims_from_it():
    world = taken()
    volumes = {"volumeClaimTemplates": [claim_template("back-${POD_ORDINAL}")]}
    task = {"name": "VolumeSnapshotRestore", "targetVolumes": volumes}
    world.add(
        restore(
            "back", addon={"name": "workload-addon", "tasks": [task]}, dataSource={"repository": REPO, "snapshot": "latest"}
        )
    )
    world.settle()

    made = world.find("PersistentVolumeClaim", "back-0")
    assert made["spec"]["dataSource"] == {
        "apiGroup": "snapshot.storage.k8s.io",
        "kind": "VolumeSnapshot",
        "name": f"{CLAIM}-1705405201",
    }
    assert world.find("RestoreSession", "back")["status"]["phase"] == "Running"
    made["status"] = {"phase": "Bound"}
    world.settle()
    assert world.find("RestoreSession", "back")["status"]["phase"] == "Succeeded"


def test_a_workloads_manifests_are_read_by_an_account_for_its_namespace():
    world = started(with_tasks({"name": "ManifestBackup", "params": {"includeRBACResources": "true"}}))
    mover, arguments, _ = world.call("run-1705405201-manifest")
    assert mover == "manifests-backup"
    assert arguments["objects"] == ["statefulsets.apps/demo/sample-sts"]
    assert arguments["rbac"] is True
    assert arguments["repository"]["store"]["url"].endswith("/demo/data/repository/v1/demo-session/manifest")
    pod = world.find("Job", "run-1705405201-manifest")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == f"manifests-{BC}"
    binding = world.find("RoleBinding", f"manifests-{BC}")
    assert binding["roleRef"]["name"] == "holdfast-manifests-read"

    world.finish("run-1705405201-manifest", succeeded(REPO, "manifest", "cafe0001"))
    world.settle()
    assert status(world)["components"]["manifest"]["resticStats"][0]["id"] == "cafe0001"
    wanted = restore(
        "back",
        addon={"name": "workload-addon", "tasks": [{"name": "ManifestRestore", "params": {"overrideResources": "true"}}]},
        dataSource={"repository": REPO, "snapshot": "latest"},
        manifestOptions={"workload": {"restoreNamespace": "other"}},
    )
    world.add(wanted)
    world.settle()
    _, arguments, _ = world.call("back-manifest")
    assert arguments["snapshot_id"] == "cafe0001"
    assert arguments["changes"] == {"namespaces": {"demo": "other"}}
    assert arguments["override"] is True
    world.finish("back-manifest", RepositoryResult(REPO, "manifest"))
    world.settle()
    assert world.find("RestoreSession", "back")["status"]["phase"] == "Succeeded"


def test_the_manifests_of_a_cluster_need_no_target_but_an_account_of_the_users():
    params = {"IncludeNamespaces": "a,b", "ANDedLabelSelectors": "app:web", "IncludeClusterResources": "true"}
    wanted = with_tasks({"name": "manifest-backup", "params": params}, addon="kubedump-addon")
    del wanted["spec"]["target"]
    assert "jobTemplate.spec.serviceAccountName: needed by kubedump-addon" in sample_world().problems(wanted)

    wanted["spec"]["sessions"][0]["addon"]["jobTemplate"] = {"spec": {"serviceAccountName": "reader"}}
    world = started(wanted)
    _, arguments, _ = world.call("run-1705405201-manifest")
    assert arguments["selection"] == {"namespaces": ["a", "b"], "all_labels": ["app:web"], "cluster_resources": True}
    assert world.find("Job", "run-1705405201-manifest")["spec"]["template"]["spec"]["serviceAccountName"] == "reader"
    assert "appRef" not in world.find("Snapshot", f"{REPO}-run-1705405201")["spec"]

    world.finish("run-1705405201-manifest", succeeded(REPO, "manifest", "cafe0001"))
    world.settle()
    writer = {"jobTemplate": {"spec": {"serviceAccountName": "writer"}}}
    addon = {"name": "kubedump-addon", "tasks": [{"name": "manifest-restore"}], **writer}
    world.add(restore("back", addon=addon, dataSource={"repository": REPO, "snapshot": "latest"}))
    world.settle()
    pod = world.find("Job", "back-manifest")["spec"]["template"]["spec"]
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("writer", True)


def test_tasks_of_one_session_run_one_after_the_other():
    files = {"name": "LogicalBackup", "params": {"paths": "/source/data"}, "targetVolumes": sample_mounts()}
    world = started(with_tasks({"name": "manifest-backup"}, files))
    assert status(world)["totalComponents"] == 2
    assert "run-1705405201-dump-pod-0" not in world.names("Job")
    world.finish("run-1705405201-manifest", succeeded(REPO, "manifest"))
    world.settle()
    world.finish("run-1705405201-dump-pod-0", succeeded(REPO))
    world.settle()
    assert world.find("BackupSession", "run-1705405201")["status"]["phase"] == "Succeeded"


def sample_mounts() -> Object:
    return sample()["spec"]["sessions"][0]["addon"]["tasks"][0]["targetVolumes"]


ADDON: Object = {
    "apiVersion": "addons.kubestash.com/v1alpha1",
    "kind": "Addon",
    "metadata": {"name": "pg-addon"},
    "spec": {
        "backupTasks": [
            {
                "name": "dump",
                "function": "pg-dump",
                "driver": "Restic",
                "singleton": True,
                "parameters": [{"name": "args", "default": "--all"}],
                "volumeTemplate": [{"name": "kubestash-tmp-volume", "source": {"emptyDir": {}}}],
                "volumeMounts": [{"name": "${RESTIC_CACHE_VOLUME}", "mountPath": "/kubestash-tmp"}],
            }
        ]
    },
}
FUNCTION: Object = {
    "apiVersion": "addons.kubestash.com/v1alpha1",
    "kind": "Function",
    "metadata": {"name": "pg-dump"},
    "spec": {"image": "pg:1", "args": ["dump", "--session=${backupSession}", "${args}", "--user=${user:=postgres}"]},
}


def test_a_function_of_the_users_runs_with_its_variables_and_reports_what_it_did():
    wanted = with_tasks({"name": "dump", "params": {"args": 'a "quoted" one'}}, addon="pg-addon")
    world = started(wanted, ADDON, FUNCTION)
    pod = world.find("Job", "run-1705405201-dump")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"] == ["dump", "--session=run-1705405201", 'a "quoted" one', "--user=postgres"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert environment["COMPONENT_NAME"] == "dump"
    assert environment["RESTIC_REPOSITORY"] == "/kubestash/store/demo/data/repository/v1/demo-session/dump"
    assert {"name": "kubestash-tmp-volume", "mountPath": "/kubestash-tmp"} in container["volumeMounts"]
    assert {"name": "kubestash-tmp-volume", "emptyDir": {}} in pod["volumes"]

    world.finish("run-1705405201-dump", succeeded(REPO, "dump", "beef0001"))
    world.settle()
    assert status(world)["phase"] == "Succeeded"
    assert status(world)["components"]["dump"]["resticStats"][0]["id"] == "beef0001"


def test_a_function_with_an_unknown_variable_is_told_and_never_run():
    broken = {**FUNCTION, "spec": {**FUNCTION["spec"], "args": ["${nobody}"]}}
    world = started(with_tasks({"name": "dump"}, addon="pg-addon"), ADDON, broken)
    failed = world.find("BackupSession", "run-1705405201")
    assert "uses ${nobody}, which has neither a value nor a default" in condition(failed, "BackupFailed")["message"]
    assert "run-1705405201-dump" not in world.names("Job")


def test_an_addon_with_a_driver_that_nothing_here_has_is_refused():
    wal = {**ADDON, "spec": {"backupTasks": [{"name": "dump", "function": "x", "driver": "WalG"}]}}
    assert "moves its data with WalG" in sample_world().problems(wal)


def test_two_tasks_that_would_write_one_component_are_refused():
    world = sample_world()
    both = {**ADDON, "metadata": {"name": "both-addon"}}
    both["spec"] = {"backupTasks": [{"name": name, "function": "pg-dump"} for name in ("one", "two")]}
    world.add(both)
    wanted = with_tasks({"name": "one"}, {"name": "two"}, addon="both-addon")
    assert "two of these tasks make a component called dump" in world.problems(wanted)


def test_a_clone_is_made_from_the_claim_that_was_backed_up():
    world = ready_world()
    run(world, "run-1")
    snapshot = world.find("Snapshot", f"{REPO}-run-1")
    snapshot["spec"]["appRef"] = {"kind": "PersistentVolumeClaim", "name": "data", "namespace": "demo"}
    task = {"name": "VolumeClone", "targetVolumes": {"volumeClaimTemplates": [claim_template("clone")]}}
    source = {"repository": REPO, "snapshot": "latest"}
    world.add(restore("back", addon={"name": "pvc-addon", "tasks": [task]}, dataSource=source))
    world.settle()
    assert world.find("PersistentVolumeClaim", "clone")["spec"]["dataSource"] == {
        "kind": "PersistentVolumeClaim",
        "name": "data",
    }
