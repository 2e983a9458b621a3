"""What is refused, and that the message names the field and says what to do."""

from collections.abc import Callable

import pytest
from tests.unit.kubestash.builders import in_place, restore, sample, sample_world, session

from holdfast.core.objects import Object

Change = Callable[[Object], object]


def first(obj: Object) -> Object:
    return obj["spec"]["sessions"][0]


def repository(obj: Object) -> Object:
    return first(obj)["repositories"][0]


def task(obj: Object) -> Object:
    return first(obj)["addon"]["tasks"][0]


def test_the_printed_sample_is_accepted():
    assert sample_world().problems(sample()) == ""


CASES: list[tuple[str, Change, str]] = [
    (
        "two backends of one name",
        lambda o: o["spec"]["backends"].append(o["spec"]["backends"][0]),
        "'gcs-backend' is used more",
    ),
    ("two sessions of one name", lambda o: o["spec"]["sessions"].append(first(o)), "demo-session is used more than once"),
    ("a blank session name", lambda o: first(o).update(name=""), "spec.sessions[0].name: needed"),
    (
        "an unknown backend",
        lambda o: repository(o).update(backend="x"),
        "x is no backend of this BackupConfiguration (it has: gcs",
    ),
    ("a blank directory", lambda o: repository(o).update(directory=""), "repositories[0].directory: needed"),
    ("a climbing directory", lambda o: repository(o).update(directory="/a/../b"), "leaves the backend"),
    ("a bad cron", lambda o: first(o)["scheduler"].update(schedule="61 * * * *"), "scheduler.schedule: schedule '61 * * * *'"),
    ("a bad timeout", lambda o: first(o).update(timeout="5 minutes"), "sessions[0].timeout: '5 minutes' is not a duration"),
    ("two timeouts", lambda o: first(o).update(timeout="5m", backupTimeout="6m"), "differs from backupTimeout"),
    ("an unknown task", lambda o: task(o).update(name="NoSuchTask"), "Addon workload-addon has no task NoSuchTask"),
    ("a task of the wrong sort", lambda o: task(o).update(name="VolumeClone"), "has no task volume-clone"),
    ("no addon", lambda o: first(o)["addon"].update(name=""), "addon.name: needed"),
    ("an undeclared parameter", lambda o: task(o)["params"].update(color="red"), "declares no parameter color"),
    ("a missing parameter", lambda o: task(o)["params"].pop("paths"), "params.paths: needed by logical-backup"),
    ("a relative path", lambda o: task(o)["params"].update(paths="data"), "data is not an absolute path"),
    ("a path beside the mounts", lambda o: task(o)["params"].update(paths="/etc"), "/etc lies on no mounted volume"),
    ("a mount of nothing", lambda o: task(o)["targetVolumes"]["volumeMounts"][0].update(name="x"), "(it has: source-data)"),
    ("hooks", lambda o: first(o).update(hooks={"preBackup": [{"name": "h"}]}), "preBackup[0].hookTemplate: needed"),
    ("no password", lambda o: repository(o).pop("encryptionSecret"), "encryptionSecret: needed by all but volume-snapshot"),
    (
        "a nice value",
        lambda o: first(o)["addon"].update(containerRuntimeSettings={"nice": {"adjustment": 50}}),
        "containerRuntimeSettings.nice.adjustment: 50 is out of range: use -20 to 19",
    ),
    ("no target", lambda o: o["spec"].pop("target"), "spec.target: needed by every addon but kubedump-addon"),
    (
        "a database",
        lambda o: o["spec"]["target"].update(apiGroup="x.y", kind="MySQL"),
        "MySQL.x.y has no volumes that this build can find",
    ),
    (
        "a claim for workloads",
        lambda o: o["spec"]["target"].update(apiGroup="", kind="PersistentVolumeClaim"),
        "workload-addon takes",
    ),
    (
        "a host network with DNS options",
        lambda o: first(o)["addon"].update(jobTemplate={"spec": {"hostNetwork": True, "dnsConfig": {"searches": ["a"]}}}),
        "must be ClusterFirstWithHostNet",
    ),
    (
        "one directory for two repositories",
        lambda o: first(o)["repositories"].append({**repository(o), "name": "second"}),
        "/demo/data is the directory of repository gcs-demo-repo already",
    ),
]


@pytest.mark.parametrize(("what", "change", "message"), CASES, ids=[case[0] for case in CASES])
def test_a_configuration_is_refused_for(what: str, change: Change, message: str):
    wanted = sample()
    change(wanted)
    assert message in sample_world().problems(wanted)


def test_one_directory_in_two_backends_is_two_places():
    wanted = sample()
    wanted["spec"]["backends"].append({**wanted["spec"]["backends"][0], "name": "other", "storageRef": {"name": "elsewhere"}})
    first(wanted)["repositories"].append({**repository(wanted), "name": "second", "backend": "other"})
    assert sample_world().problems(wanted) == ""


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ({}, ""),
        ({"holdfast.dev/shares-secrets-with": "other, demo"}, ""),
        ({"holdfast.dev/shares-secrets-with": "*"}, ""),
        (
            {"holdfast.dev/shares-secrets-with": "other"},
            "kubectl annotate namespace vault holdfast.dev/shares-secrets-with=demo",
        ),
        ({"holdfast.dev/shares-secrets-with": ""}, "Secret vault/encrypt-secret is not shared with namespace demo"),
    ],
)
def test_a_password_of_another_namespace_is_accepted_unless_that_namespace_asks_for_a_grant(annotations: Object, message: str):
    world = sample_world()
    world.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vault", "annotations": annotations}})
    wanted = sample()
    repository(wanted)["encryptionSecret"]["namespace"] = "vault"
    found = world.problems(wanted)
    assert message in found
    assert bool(found) == bool(message)


def test_objects_that_are_missing_pass_and_are_told_in_the_status():
    world = sample_world(addons=False)
    world.delete("StatefulSet", "sample-sts")
    world.delete("BackupStorage", "gcs-storage")
    world.delete("RetentionPolicy", "demo-retention")
    assert world.problems(sample()) == ""


def test_a_repository_of_another_application_is_not_taken_over():
    world = sample_world()
    world.add(sample())
    world.settle()
    world.find("Repository", "gcs-demo-repo")["spec"]["appRef"]["name"] = "somebody-else"
    assert "exists and holds backups of StatefulSet demo/somebody-else" in world.problems(sample())


def test_a_repository_that_a_person_made_gets_the_labels_by_which_its_directory_is_guarded():
    world = sample_world()
    spec = {"storageRef": {"name": "gcs-storage", "namespace": "demo"}, "path": "/demo/data/"}
    meta = {"name": "by-hand", "namespace": "demo"}
    world.add({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository", "metadata": meta, "spec": spec})
    world.settle()

    assert "belongs to Repository demo/by-hand" in world.problems(sample())


def test_a_directory_of_another_repository_is_not_written_to():
    world = sample_world()
    world.add(sample())
    world.settle()
    other = sample()
    other["metadata"]["name"] = "other"
    repository(other)["name"] = "other-repo"
    assert "belongs to Repository demo/gcs-demo-repo" in world.problems(other)


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ({"provider": "gcs", "gcs": {"prefix": "b"}}, "spec.storage.gcs.bucket: needed"),
        ({"provider": "azure", "azure": {"container": "c"}}, "spec.storage.azure.storageAccount: needed"),
        ({"provider": "s3", "s3": {"bucket": ""}}, "spec.storage.s3"),
        ({"provider": "s3", "s3": {"bucket": "b", "endpoint": "minio:9000"}}, "write it with its scheme"),
        ({"provider": "s3", "s3": {"bucket": "b", "maxConnections": -5}}, "s3.maxConnections: -5 connections move nothing"),
        ({"provider": "s3", "local": {"mountPath": "/x"}}, "spec.storage.s3: needed with provider s3"),
        ({"provider": "local", "local": {"persistentVolumeClaim": {"claimName": "c"}}}, "local.mountPath: needed"),
        ({"provider": "local", "local": {"mountPath": "/x"}}, "needs one volume source"),
    ],
)
def test_a_storage_is_refused(storage: Object, message: str):
    obj = sample_world().find("BackupStorage", "gcs-storage")
    assert message in sample_world().problems({**obj, "spec": {"storage": storage}})


def test_a_storage_can_change_its_secret_but_not_its_place_while_repositories_lie_there():
    world = sample_world(storage="storage-s3.yaml")
    old = world.find("BackupStorage", "s3-storage")
    old["status"] = {"repositories": [{"name": "r"}]}
    rotated = {**old, "spec": {**old["spec"], "storage": {"provider": "s3", "s3": {**old["spec"]["storage"]["s3"]}}}}
    rotated["spec"]["storage"]["s3"]["secretName"] = "new-secret"
    assert world.problems(rotated, old) == ""
    moved = {**old, "spec": {**old["spec"], "storage": {"provider": "s3", "s3": {"bucket": "elsewhere"}}}}
    assert "can't move while Repositories lie there" in world.problems(moved, old)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "needs maxRetentionPeriod or successfulSnapshots"),
        ({"maxRetentionPeriod": "0d"}, "keeps nothing"),
        ({"maxRetentionPeriod": "10"}, "is not a period"),
        ({"maxRetentionPeriod": "-3d"}, "is not a period"),
        ({"successfulSnapshots": {"last": 1}, "usagePolicy": {"allowedNamespaces": {"from": "Selector"}}}, "selector: needed"),
    ],
)
def test_a_retention_policy_is_refused(spec: Object, message: str):
    obj = sample_world().find("RetentionPolicy", "demo-retention")
    assert message in sample_world().problems({**obj, "spec": spec})


def test_only_one_retention_policy_is_the_default():
    world = sample_world()
    policy = world.find("RetentionPolicy", "demo-retention")
    world.add({**policy, "spec": {**policy["spec"], "default": True}})
    second = {**policy, "metadata": {"name": "second", "namespace": "demo"}, "spec": {**policy["spec"], "default": True}}
    assert "demo-retention is the namespace's default already" in world.problems(second)


def test_the_spec_of_a_session_never_changes():
    world = sample_world()
    assert "can't change" in world.problems(session("a", retryLeft=1), session("a"))
    assert world.problems(session("a"), session("a")) == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: o["spec"].update(dataSource={}), "dataSource: needed"),
        (lambda o: o["spec"]["dataSource"].pop("repository"), "repository: needed with snapshot latest"),
        (lambda o: o["spec"]["dataSource"].update(pitr={"targetTime": "2026-11-20T00:00:00Z"}), "snapshot: excludes pitr"),
        (
            lambda o: o["spec"].update(dataSource={"pitr": {"targetTime": "2026-11-20T00:00:00Z"}}),
            "repository: needed with pitr",
        ),
        (lambda o: o["spec"].update(hooks={"preRestore": [{"name": "h"}]}), "preRestore[0].hookTemplate: needed"),
        (
            lambda o: o["spec"].update(manifestOptions={"workload": {"restoreNamespace": "x"}}),
            "manifestOptions.workload: is for the task manifest-restore",
        ),
        (lambda o: o["spec"]["addon"]["tasks"][0].update(name="logical-backup"), "has no task logical-backup (it has: "),
        (lambda o: o["spec"].update(restoreTimeout="soon"), "restoreTimeout: 'soon' is not a duration"),
    ],
)
def test_a_restore_is_refused(change: Change, message: str):
    for obj in (restore("r"), in_place("r")):
        change(obj)
        assert message in sample_world().problems(obj)


def test_a_restore_needs_a_target_or_claims_to_make():
    obj = in_place("r")
    del obj["spec"]["target"]
    assert "spec.target: needed unless targetVolumes.volumeClaimTemplates" in sample_world().problems(obj)
