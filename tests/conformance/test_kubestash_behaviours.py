"""The twenty-five behaviours of KubeStash, one test each and in their order, with kubectl against a whole control plane.

By default that of `holdfast up`; with HOLDFAST_TEST_KUBECONFIG another cluster, see `kubestash_cluster`. Where a behaviour
names a delay of minutes the test uses seconds; where one speaks of age, the time of a Snapshot is moved back.
"""

import os
import subprocess
from collections.abc import Generator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import tools
from tests.conformance.kubestash_cluster import (
    NS,
    SESSION,
    Cluster,
    backend,
    backup_session,
    claim,
    command,
    condition,
    configuration,
    document,
    hook,
    namespace,
    pod,
    policy,
    repository,
    secret,
    session,
    slow_addon,
    storage,
    task,
    usage,
    workload,
)
from tests.e2e.plane import Plane

pytestmark = [pytest.mark.run, pytest.mark.timeout(300)]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "kubestash"
ELSEWHERE, THIRD = "behaviours-b", "behaviours-c"
BACKUP = "app.kubernetes.io/component=kubestash-backup"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    folder = tmp_path_factory.mktemp("behaviours")
    given, plane = os.environ.get("HOLDFAST_TEST_KUBECONFIG"), Plane(folder / "plane")
    if given is None:
        assert plane.up().returncode == 0
    found = Cluster(Path(given).expanduser() if given else plane.kubeconfig, folder / "cache")
    try:
        found.made(namespace(NS), namespace(ELSEWHERE), namespace(THIRD))
        found.made(secret(), claim("store"), storage("store"), policy("keep"), workload("app", 1), workload("trio", 3))
        found.made(pod("shelf", "exec sleep 1000000", mount="store"), *slow_addon())
        found.until("Pod", "shelf", "Running")
        for number in range(3):
            found.until("Pod", f"trio-{number}", "Running")
        found.until("Pod", "app-0", "Running")
        found.until("BackupStorage", "store", "Ready")
        yield found
    finally:
        if given is None:
            plane.down()
        else:
            for name in (NS, ELSEWHERE, THIRD):
                found.kubectl("delete", "backupconfigurations.core.kubestash.com", "--all", "-n", name, "--wait=true")
                found.kubectl("delete", "namespace", name, "--wait=true")
            found.kubectl("delete", "addon,function", "behaviour-slow")


def test_01_two_backends_of_one_name_are_rejected(cluster: Cluster) -> None:
    said = cluster.apply(configuration("b01", backends=[backend("a"), backend("a")]))
    assert "spec.backends[1]" in said
    assert '"name":"a"' in said


def test_02_a_duplicate_or_blank_session_name_is_rejected(cluster: Cluster) -> None:
    twice = [session("same", repository("b02-a")), session("same", repository("b02-b"))]
    assert "spec.sessions[1]: Duplicate value" in cluster.apply(configuration("b02", *twice))
    assert "spec.sessions[0].name" in cluster.apply(configuration("b02", session("", repository("b02-a"))))


def test_03_an_unknown_backend_or_a_blank_directory_is_rejected(cluster: Cluster) -> None:
    unknown = session(SESSION, repository("b03", backend="nowhere"))
    assert "nowhere is no backend" in cluster.apply(configuration("b03", unknown))
    blank = session(SESSION, repository("b03", directory=""))
    assert "directory" in cluster.apply(configuration("b03", blank))


def test_04_a_storage_for_its_own_namespace_refuses_others_until_it_admits_all(cluster: Cluster) -> None:
    cluster.made(storage("same", ELSEWHERE))
    there = backend(storageRef={"name": "same", "namespace": ELSEWHERE})
    assert "does not admit namespace behaviours" in cluster.apply(configuration("b04", backends=[there]))
    cluster.made(storage("same", ELSEWHERE, use=usage("All")))
    cluster.made(configuration("b04", backends=[there]))


def test_05_a_namespace_that_gains_the_label_is_admitted(cluster: Cluster) -> None:
    cluster.made(storage("chosen", ELSEWHERE, use=usage("Selector", env="prod")))
    there = backend(storageRef={"name": "chosen", "namespace": ELSEWHERE})
    assert "does not admit" in cluster.apply(configuration("b05", backends=[there]))
    cluster.kubectl("label", "namespace", NS, "env=prod")
    cluster.made(configuration("b05", backends=[there]))
    cluster.kubectl("label", "namespace", NS, "env-")


def test_06_the_default_storage_is_the_own_then_the_selected_then_the_one_for_all(cluster: Cluster) -> None:
    cluster.kubectl("label", "namespace", NS, "team=a")
    cluster.made(policy("default", use=usage("Same"), default=True))
    cluster.made(storage("own", default=True))
    cluster.made(storage("selected", ELSEWHERE, use=usage("Selector", team="a"), default=True))
    cluster.made(storage("for-all", THIRD, use=usage("All"), default=True))
    uses = session(SESSION, {**repository("b06-repo"), "backend": ""})
    cluster.made(configuration("b06", uses, backends=[]))

    for name, place in (("own", NS), ("selected", ELSEWHERE), ("for-all", THIRD)):
        chosen = {"name": name, "namespace": place}
        cluster.eventually(
            lambda chosen=chosen: _storages(cluster, "b06") == [chosen],
            lambda chosen=chosen: f"{chosen} is not chosen: {_storages(cluster, 'b06')}",
        )
        cluster.delete("BackupConfiguration", "b06")
        cluster.delete("BackupStorage", name, namespace=place)
        said = cluster.apply(configuration("b06", uses, backends=[]))
    assert "no default BackupStorage admits this namespace" in said
    cluster.delete("RetentionPolicy", "default")
    cluster.kubectl("label", "namespace", NS, "team-")


def _storages(cluster: Cluster, name: str) -> list[object]:
    return [item["storage"].get("ref") for item in cluster.status("BackupConfiguration", name).get("backends", [])]


def test_07_a_backend_without_policy_takes_the_default_or_is_rejected(cluster: Cluster) -> None:
    bare = {"name": "store", "storageRef": {"name": "store", "namespace": NS}}
    said = cluster.apply(configuration("b07", backends=[bare]))
    assert "no default RetentionPolicy" in said
    cluster.made(policy("default", default=True))
    cluster.ready(configuration("b07", backends=[bare]))
    (filled,) = cluster.status("BackupConfiguration", "b07")["backends"]
    assert filled["retentionPolicy"] == {"ref": {"name": "default", "namespace": NS}, "found": True}
    cluster.delete("BackupConfiguration", "b07")
    cluster.delete("RetentionPolicy", "default")


def test_08_a_missing_storage_is_said_and_its_creation_makes_it_ready(cluster: Cluster) -> None:
    later = backend(storageRef={"name": "later", "namespace": NS})
    cluster.made(configuration("b08", backends=[later]))
    cluster.until("BackupConfiguration", "b08", "NotReady")
    (told,) = cluster.status("BackupConfiguration", "b08")["backends"]
    assert told["storage"]["reason"] == f"BackupStorage {NS}/later not found"
    cluster.made(storage("later"))
    cluster.until("BackupConfiguration", "b08", "Ready")


def test_09_the_sample_of_the_documentation_is_ready_as_printed(cluster: Cluster) -> None:
    files = ("namespace", "secrets", "sample-sts", "storage-local", "retention-policy", "backup-configuration")
    found = [each for name in files for each in yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text()) if each]
    cluster.made(*(each for each in found if each["metadata"]["name"] != "s3-secret"))
    status = cluster.until("BackupConfiguration", "sample-backup-sts", "Ready", namespace="demo")
    assert condition(status, "ValidationPassed")["status"] == "True"
    (told,) = status["sessions"]
    assert condition(told, "SchedulerEnsured")["status"] == "True"
    assert told["nextSchedule"]
    assert status["dependencies"] == [{"kind": "Addon", "name": "workload-addon", "found": True}]
    assert cluster.status("Repository", "gcs-demo-repo", "demo")["phase"] == "Ready"
    job = cluster.get("CronJob", "trigger-sample-backup-sts-demo-session", "demo")
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("BackupConfiguration", "sample-backup-sts", True)
    cluster.kubectl("delete", "namespace", "demo", "--wait=false")


def test_10_a_bad_cron_expression_is_said_and_schedules_nothing(cluster: Cluster) -> None:
    bad = session(SESSION, repository("b10-repo"), scheduler={"schedule": "61 * * * *", "jobTemplate": {"template": {}}})
    said = cluster.apply(configuration("b10", bad))
    if "created" in said:  # no webhook judges here: the condition tells
        said = condition(cluster.until("BackupConfiguration", "b10", "Invalid"), "ValidationPassed")["message"]
    assert "spec.sessions[0].scheduler.schedule" in said
    assert f"trigger-b10-{SESSION}" not in cluster.names("CronJob")


def test_11_pausing_suspends_the_schedule_and_resuming_lifts_it(cluster: Cluster) -> None:
    cluster.ready(configuration("b11"))
    for paused in (True, False):
        patch = f'{{"spec":{{"paused":{str(paused).lower()}}}}}'
        cluster.kubectl("patch", "backupconfigurations.core.kubestash.com", "b11", "-n", NS, "--type=merge", "-p", patch)
        cluster.eventually(
            lambda paused=paused: bool(cluster.get("CronJob", f"trigger-b11-{SESSION}")["spec"].get("suspend")) is paused,
            f"paused: {paused} does not reach the CronJob",
        )


def test_12_a_session_of_what_is_not_ready_is_skipped_and_runs_nothing(cluster: Cluster) -> None:
    cluster.made(configuration("b12", target="nobody"))
    cluster.until("BackupConfiguration", "b12", "NotReady")
    status = cluster.run("b12", "b12-run")
    assert status["phase"] == "Skipped"
    assert condition(status, "BackupSkipped")["reason"] == "PreRequisitesNotSatisfied"
    assert not [name for name in cluster.names("Job") if name.startswith("b12-run")]


def test_13_a_second_session_is_skipped_and_the_first_goes_on(cluster: Cluster) -> None:
    cluster.made(command("linger", "while ! test -e /data/go-on; do sleep 0.1; done"))
    lingers = session(SESSION, repository("b13-repo"), hooks={"preBackup": [hook("linger", "linger")]})
    cluster.ready(configuration("b13", lingers))
    cluster.made(backup_session("b13", "b13-first"))
    cluster.until("BackupSession", "b13-first", "Running")
    second = cluster.run("b13", "b13-second")
    assert second["phase"] == "Skipped"
    assert "b13-first is still running" in condition(second, "BackupSkipped")["message"]
    cluster.shell("app-0", "touch /data/go-on")
    assert cluster.until("BackupSession", "b13-first", "Succeeded", "Failed")["phase"] == "Succeeded"


def test_14_each_pod_of_a_statefulset_is_a_component_with_a_repository_of_its_own(cluster: Cluster) -> None:
    cluster.ready(configuration("b14", target="trio"))
    assert cluster.run("b14", "b14-run")["phase"] == "Succeeded"
    snapshot = cluster.status("Snapshot", "b14-repo-b14-run")
    names = [f"dump-pod-{number}" for number in range(3)]
    assert snapshot["totalComponents"] == 3
    assert {name: each["path"] for name, each in snapshot["components"].items()} == {
        name: f"repository/v1/{SESSION}/{name}" for name in names
    }
    for name in names:
        assert "config" in cluster.shell("shelf", f"ls /store/store/b14-repo/repository/v1/{SESSION}/{name}")


def test_15_two_repositories_give_two_snapshots_that_the_session_tells_of(cluster: Cluster) -> None:
    cluster.ready(configuration("b15", session(SESSION, repository("b15-one"), repository("b15-two"))))
    status = cluster.run("b15", "b15-run")
    assert [(each["name"], each["phase"], each["repository"]) for each in status["snapshots"]] == [
        ("b15-one-b15-run", "Succeeded", "b15-one"),
        ("b15-two-b15-run", "Succeeded", "b15-two"),
    ]
    for name in ("b15-one", "b15-two"):
        assert cluster.status("Snapshot", f"{name}-b15-run")["phase"] == "Succeeded"


def test_16_a_long_snapshot_name_is_cut_in_the_middle_as_documented(cluster: Cluster) -> None:
    name = "statefulset-volume-snapshot"
    cluster.ready(configuration(name, session("frequent-backup", repository("gcs-repository"))))
    status = cluster.run(name, f"{name}-frequent-backup-1705405201", "frequent-backup")
    assert status["snapshots"][0]["name"] == "gcs-repository-statefulset-volumshot-frequent-backup-1705405201"


def test_17_a_failed_session_is_repeated_after_its_delay_as_often_as_it_may(cluster: Cluster) -> None:
    failing = {"name": "workload-addon", "tasks": [task(paths="/data/missing")]}
    more = {"addon": failing, "retryConfig": {"maxRetry": 2, "delay": "3s"}, "sessionHistoryLimit": 5}
    cluster.ready(configuration("b17", session(SESSION, repository("b17-repo"), **more)))
    cluster.made(backup_session("b17", "b17-run", retryLeft=2))

    cluster.eventually(lambda: len(_failed(cluster, "b17")) == 3, lambda: f"failed are {_failed(cluster, 'b17')}")
    cluster.eventually(
        lambda: all(_failed(cluster, "b17")[left]["status"].get("retried") for left in (2, 1)), "none is retried"
    )
    found = _failed(cluster, "b17")
    assert sorted(found) == [0, 1, 2]
    ended = datetime.fromisoformat(condition(found[2]["status"], "BackupFailed")["lastTransitionTime"])
    due = datetime.fromisoformat(found[2]["status"]["nextRetry"])
    assert 2 <= (due - ended).total_seconds() <= 5
    assert "nextRetry" not in found[0]["status"]


def _failed(cluster: Cluster, name: str) -> dict[int, dict[str, Any]]:
    """The failed sessions of a BackupConfiguration, by the retries that they have left."""
    mine = (each for each in cluster.every("BackupSession") if each["spec"]["invoker"]["name"] == name)
    return {each["spec"].get("retryLeft", 0): each for each in mine if each.get("status", {}).get("phase") == "Failed"}


def test_18_a_failing_hook_keeps_the_backup_from_running_and_only_the_failure_hook_runs(cluster: Cluster) -> None:
    says = {"mourn": "echo failed >> /data/b18", "cheer": "echo well >> /data/b18"}
    cluster.made(command("refuse", "exit 1"), *(command(name, script) for name, script in says.items()))
    policies = {"mourn": "OnFailure", "cheer": "OnSuccess"}
    after = [hook(name, name, executionPolicy=policy) for name, policy in policies.items()]
    hooks = {"preBackup": [hook("refuse", "refuse")], "postBackup": after}
    cluster.ready(configuration("b18", session(SESSION, repository("b18-repo"), hooks=hooks)))
    status = cluster.run("b18", "b18-run")
    assert status["phase"] == "Failed"
    assert condition(status, "PreBackupHooksExecutionSucceeded")["reason"] == "FailedToExecutePreBackupHooks"
    assert "b18-run-dump-pod-0" not in cluster.names("Job")
    assert cluster.shell("app-0", "cat /data/b18").split() == ["failed"]


LISTENER = """exec python3 -c '
import http.server
class Refusing(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print("POST", self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_error(500)
http.server.HTTPServer(("", 18765), Refusing).serve_forever()
'"""


def test_19_a_hook_that_posts_is_tried_again_and_its_body_is_rendered(cluster: Cluster) -> None:
    cluster.made(pod("listener", LISTENER, image="python:3-alpine"))
    cluster.until("Pod", "listener", "Running")
    body = "{{ .Status.Phase }} {{ .Target.Name }} {{ .Name }}{{ .Status.Error }}"
    post = {"host": cluster.status("Pod", "listener")["podIP"], "port": 18765, "path": "/", "body": body}
    cluster.made(document("HookTemplate", "post", {"executor": {"type": "Operator"}, "action": {"httpPost": post}}))
    hooks = {"postBackup": [hook("post", "post", maxRetry=2)]}
    cluster.ready(configuration("b19", session(SESSION, repository("b19-repo"), hooks=hooks)))
    status = cluster.run("b19", "b19-run")
    assert status["phase"] == "Failed"
    assert status["hooks"]["postHooks"] == [{"name": "post", "phase": "Failed"}]
    heard = [line for line in cluster.kubectl("logs", "-n", NS, "listener").splitlines() if line.startswith("POST")]
    assert heard == ["POST Succeeded app b19-run"] * 3


def slow(name: str, **more: Any) -> dict[str, Any]:
    """A BackupConfiguration whose backup never ends by itself."""
    addon = {"name": "behaviour-slow", "tasks": [{"name": "logical-backup"}]}
    return configuration(name, session(SESSION, repository(f"{name}-repo"), addon=addon, **more))


def _working(cluster: Cluster, name: str) -> list[str]:
    """The pods that work for a session."""
    return cluster.names("Pod", selector=f"kubestash.com/invoker-name={name},{BACKUP}")


def test_20_a_backup_past_its_time_is_stopped_and_failed(cluster: Cluster) -> None:
    cluster.ready(slow("b20", backupTimeout="5s"))
    status = cluster.run("b20", "b20-run")
    assert status["phase"] == "Failed"
    assert "deadline" in condition(status, "BackupFailed")["message"].lower()
    cluster.eventually(lambda: not _working(cluster, "b20-run"), "its pod outlives the deadline")
    assert not [name for name in cluster.names("Job") if name.startswith("b20-run")]


def test_21_a_pod_that_is_deleted_midway_ends_the_session_and_the_next_one_runs(cluster: Cluster) -> None:
    cluster.ready(slow("b21"))
    cluster.made(backup_session("b21", "b21-run"))
    cluster.eventually(lambda: _working(cluster, "b21-run"), "no pod works")
    (worker,) = _working(cluster, "b21-run")
    cluster.until("Pod", worker, "Running")
    cluster.kubectl("delete", "pod", worker, "-n", NS, "--wait=false", "--grace-period=0")
    assert cluster.until("BackupSession", "b21-run", "Failed", "Succeeded")["phase"] == "Failed"
    snapshot = cluster.status("Snapshot", "b21-repo-b21-run")
    told = condition(snapshot, "BackupIncomplete")
    assert (snapshot["phase"], told["status"]) == ("Failed", "True")
    assert told["reason"] == "BackupExecutorTerminatedBeforeCompletion"

    cluster.kubectl("create", "job", "tick", "-n", NS, f"--from=cronjob/trigger-b21-{SESSION}")
    cluster.eventually(lambda: _ticked(cluster, "b21"), "the tick makes no session")
    (following,) = _ticked(cluster, "b21")
    cluster.until("BackupSession", following, "Running")
    cluster.delete("BackupConfiguration", "b21")


def _ticked(cluster: Cluster, name: str) -> list[str]:
    return [each for each in cluster.names("BackupSession") if each.startswith(f"{name}-{SESSION}-")]


def test_22_retention_keeps_the_last_two_good_and_the_last_bad_one(cluster: Cluster, tmp_path: Path) -> None:
    cluster.made(policy("two", successfulSnapshots={"last": 2}, failedSnapshots={"last": 1}))
    kept = backend(retentionPolicy={"name": "two", "namespace": NS})
    part = {"name": "workload-addon", "tasks": [task(paths="/data/part")]}
    cluster.ready(configuration("b22", session(SESSION, repository("b22-repo"), addon=part), backends=[kept]))
    for number, state in enumerate("gbgbgbg"):
        change = f"echo {number} > /data/part" if state == "g" else "rm -f /data/part"
        cluster.shell("app-0", change)
        assert cluster.run("b22", f"b22-{number}")["phase"] == {"g": "Succeeded", "b": "Failed"}[state]
    left = ["b22-repo-b22-4", "b22-repo-b22-5", "b22-repo-b22-6"]
    cluster.eventually(lambda: _kept(cluster, "b22-repo") == left, lambda: str(_kept(cluster, "b22-repo")))
    assert cluster.shell("shelf", "ls /store/store/b22-repo/snapshots").split() == [f"{name}.yaml" for name in left]

    packed = cluster.raw("exec", "-n", NS, "shelf", "--", "tar", "-C", "/store/store/b22-repo", "-cf", "-", "repository").stdout
    subprocess.run(["tar", "-C", str(tmp_path), "-xf", "-"], input=packed, check=True)
    there = tmp_path / "repository" / "v1" / SESSION / "dump-pod-0"
    restic = [tools.restic(), "-r", str(there), "--no-cache"]
    known = os.environ | {"RESTIC_PASSWORD": "for tests only"}
    done = subprocess.run([*restic, "check", "--read-data"], capture_output=True, text=True, env=known, check=False)
    assert done.returncode == 0, done.stderr
    listed = subprocess.run([*restic, "snapshots", "--compact"], capture_output=True, text=True, env=known, check=True)
    assert "2 snapshots" in listed.stdout


def _kept(cluster: Cluster, name: str) -> list[str]:
    return cluster.names("Snapshot", selector=f"kubestash.com/repo-name={name}")


def test_23_the_newest_good_snapshot_outlives_every_age(cluster: Cluster) -> None:
    cluster.made(policy("brief", maxRetentionPeriod="1h", successfulSnapshots={"last": 5}))
    brief = backend(retentionPolicy={"name": "brief", "namespace": NS})
    cluster.shell("app-0", "echo x > /data/aged")
    aged = {"name": "workload-addon", "tasks": [task(paths="/data/aged")]}
    cluster.ready(configuration("b23", session(SESSION, repository("b23-repo"), addon=aged), backends=[brief]))
    for number, moment in enumerate(("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")):
        assert cluster.run("b23", f"b23-{number}")["phase"] == "Succeeded"
        patch = f'{{"status":{{"snapshotTime":"{moment}"}}}}'
        place = ("snapshots.storage.kubestash.com", f"b23-repo-b23-{number}", "-n", NS)
        cluster.kubectl("patch", *place, "--subresource=status", "--type=merge", "-p", patch)
    cluster.shell("app-0", "rm /data/aged")
    assert cluster.run("b23", "b23-2")["phase"] == "Failed"
    left = ["b23-repo-b23-1", "b23-repo-b23-2"]
    cluster.eventually(lambda: _kept(cluster, "b23-repo") == left, lambda: str(_kept(cluster, "b23-repo")))


LOOK = "cd {0} && find . -type f | sort | xargs stat -c '%n %a %u:%g' && find . -type f | sort | xargs sha256sum"


def test_24_a_storage_made_anew_finds_everything_and_the_latest_comes_back_as_it_was(cluster: Cluster) -> None:
    cluster.made(storage("lasting"))
    lasting = backend(storageRef={"name": "lasting", "namespace": NS})
    cluster.shell("app-0", "mkdir /data/d; cd /data/d; head -c 70000 /dev/urandom > r; chmod 640 r; chown 1234:4321 r")
    cluster.ready(configuration("b24", session(SESSION, repository("b24-repo")), backends=[lasting]))
    assert cluster.run("b24", "b24-run")["phase"] == "Succeeded"
    before = cluster.shell("app-0", LOOK.format("/data/d"))
    cluster.delete("BackupConfiguration", "b24")
    cluster.delete("BackupStorage", "lasting")
    assert "b24-repo" not in cluster.names("Repository")
    assert "b24-repo-b24-run" not in cluster.names("Snapshot")

    cluster.made(storage("lasting"))
    cluster.until("Snapshot", "b24-repo-b24-run", "Succeeded")
    cluster.until("Repository", "b24-repo", "Ready")
    template = {"metadata": {"name": "back-${POD_ORDINAL}"}, "spec": claim("x")["spec"]}
    volumes = {"volumeClaimTemplates": [template], "volumeMounts": [{"name": "back-${POD_ORDINAL}", "mountPath": "/data"}]}
    addon = {"name": "workload-addon", "tasks": [{"name": "logical-backup-restore", "targetVolumes": volumes}]}
    source = {"repository": "b24-repo", "snapshot": "latest"}
    cluster.made(document("RestoreSession", "b24-back", {"dataSource": source, "addon": addon}))
    assert cluster.until("RestoreSession", "b24-back", "Succeeded", "Failed", "Invalid")["phase"] == "Succeeded"
    cluster.made(pod("looker", "exec sleep 1000000", mount="back-0"))
    cluster.until("Pod", "looker", "Running")
    assert cluster.shell("looker", LOOK.format("/store/d")) == before
    assert " 640 1234:4321" in before


def test_25_deleting_a_storage_leaves_or_wipes_its_place_and_never_a_neighbour(cluster: Cluster) -> None:
    cluster.shell("shelf", "mkdir -p /store/doomed-not && echo theirs > /store/doomed-not/file")
    cluster.made(storage("doomed"))
    doomed = backend(storageRef={"name": "doomed", "namespace": NS})
    cluster.ready(configuration("b25", session(SESSION, repository("b25-repo")), backends=[doomed]))
    assert cluster.run("b25", "b25-run")["phase"] == "Succeeded"
    cluster.delete("BackupConfiguration", "b25")
    cluster.delete("BackupStorage", "doomed")
    assert "b25-repo/snapshots/b25-repo-b25-run.yaml" in cluster.shell("shelf", "cd /store/doomed && find * -type f")

    cluster.made(storage("doomed", deletionPolicy="WipeOut"))
    cluster.until("BackupStorage", "doomed", "Ready")
    cluster.delete("BackupStorage", "doomed")
    assert cluster.shell("shelf", "find /store/doomed -type f") == ""
    assert cluster.shell("shelf", "cat /store/doomed-not/file") == "theirs\n"
