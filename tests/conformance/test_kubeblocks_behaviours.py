"""The 25 behaviours of KubeBlocks' data protection, by kubectl alone, on `holdfast up` or a cluster that the environment names.

They go by their numbers, and some build on those before them. What takes long by its nature (a Secret that does not come, a job
that fails three times) is begun first and looked at last.
"""

import json
from pathlib import Path

import pytest
from tests.kubeblocks_cluster import (
    CLAIM,
    HELD,
    NS,
    REPO,
    SAVE,
    TOOL,
    Cluster,
    action_set,
    backup,
    claims,
    cluster,
    made,
    method,
    policy,
    restore,
    shell,
    sleeper,
)  # fmt: skip
from tests.kubeblocks_world import GROUP, condition, repo
from tests.movers_builders import KEY, SECRET, s3_server

from holdfast.core.objects import Object
from holdfast.core.times import parse_time

__all__ = ["cluster"]
pytestmark = [pytest.mark.run, pytest.mark.timeout(180)]

TOLD = """
printf '{"extras":[{"speed":"%s","sealed":"%s"}]}' "$speed" "$DATASAFED_ENCRYPTION_ALGORITHM" > $DP_BACKUP_INFO_FILE
"""
PHRASE = {"algorithm": "AES-256-CFB", "passPhraseSecretKeyRef": {"name": "phrase", "key": "phrase"}}
NO_PHRASE = {"algorithm": "AES-256-CFB", "passPhraseSecretKeyRef": {"name": "nowhere", "key": "phrase"}}
LOAD = TOOL + "datasafed pull data/name - > /data/name; sleep 1\n"
RANGE = """echo '{"timeRange":{"start":"2026-01-01T00:00:00Z","end":"2026-01-02T00:00:00Z"}}' > $DP_BACKUP_INFO_FILE"""


def secret(name: str, **entries: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NS}, "stringData": entries}


def names(listed: Object) -> list[str]:
    return sorted(item["metadata"]["name"] for item in listed.get("items", ()))


def on(**labels: str) -> Object:
    """Return a target of the pods with these labels."""
    return {"podSelector": {"matchLabels": labels}}


@pytest.fixture(scope="module", autouse=True)
def begun(cluster: Cluster) -> None:
    """What several behaviours need, and what takes long."""
    parameters = {"parametersSchema": {"openAPIV3Schema": {"type": "object", "properties": {"speed": {"type": "integer"}}}}}
    cluster.apply(
        action_set("plain"),
        action_set("held", HELD + SAVE),
        action_set("fails", "echo the disk is bad; exit 3"),
        action_set("told", SAVE + TOLD, more=parameters, withParameters=["speed"]),
        action_set("inc", SAVE + TOLD, "Incremental"),
        action_set("stuck", preDelete=shell("exit 1")),
        policy("plain", method("plain")),
        policy("lost", method("plain"), encryptionConfig=NO_PHRASE),
        policy("stuck", method("stuck")),
        backup("lost"),
        backup("stuck"),
        backup("left", "plain", annotations={f"{GROUP}/skip-reconciliation": "true"}),
    )
    assert cluster.phase("backup", "stuck", "Completed", "Failed")["phase"] == "Completed"
    cluster.delete("backup", "stuck")


def test_01_a_full_backup_on_a_ready_pod_runs_beside_it(cluster: Cluster) -> None:
    cluster.apply(policy("held", method("held")), backup("held", retentionPeriod="7h"))
    running = cluster.wait(
        "backup", "held", lambda obj: obj.get("status", {}).get("actions", [{}])[0].get("phase") == "Running"
    )
    found = running["status"]
    job = cluster.get("job", found["actions"][0]["objectRef"]["name"])
    pod, target = job["spec"]["template"]["spec"], cluster.get("pod", "db-0")

    assert found["phase"] == "Running"
    assert found["path"].endswith(f"/{NS}/held")
    assert found["persistentVolumeClaimName"] == cluster.get("backuprepo", REPO)["status"]["backupPVCName"]
    assert job["metadata"]["name"] == f"dp-backup-0-held-{running['metadata']['uid'][:8]}"
    assert pod["nodeSelector"]["kubernetes.io/hostname"] == target["spec"]["nodeName"]
    assert pod["containers"][0]["image"] == "busybox:1.36"
    assert pod["serviceAccountName"] == "kubeblocks-dataprotection-worker"


def test_02_when_its_job_completes_it_is_completed_and_the_job_goes(cluster: Cluster) -> None:
    running = cluster.phase("backup", "held", "Running")
    cluster.release("held")
    done = cluster.phase("backup", "held", "Completed", "Failed")
    found = cluster.get("backup", "held")["metadata"]

    assert done["phase"] == "Completed", done
    assert done["actions"][0]["phase"] == "Completed"
    assert found["labels"][f"{GROUP}/backup-type"] == "Full"
    assert found["labels"][f"{GROUP}/backup-policy"] == "held"
    assert found["labels"][f"{GROUP}/backup-repo-name"] == REPO
    assert found["labels"]["app.kubernetes.io/instance"] == "mydb"
    assert found["annotations"][f"{GROUP}/target-pod-name"] == "db-0"
    assert found["finalizers"] == [f"{GROUP}/finalizer"]
    cluster.gone("job", running["actions"][0]["objectRef"]["name"])


def test_03_when_its_job_fails_backup_and_action_are_failed(cluster: Cluster) -> None:
    cluster.apply(policy("fails", method("fails")), backup("fails"))
    failed = cluster.phase("backup", "fails", "Failed", "Completed")

    assert (failed["phase"], failed["actions"][0]["phase"]) == ("Failed", "Failed")
    assert "the disk is bad" in failed["failureReason"]


def test_04_a_target_that_goes_after_the_job_completed_unobserved_costs_nothing(cluster: Cluster) -> None:
    script = f"sleep 2\n{SAVE}"
    cluster.apply(sleeper("leaves"), action_set("leaves", script), policy("leaves", method("leaves"), target=on(app="leaves")))
    cluster.apply(backup("leaves"))
    begun = cluster.wait("backup", "leaves", lambda obj: bool(obj.get("status", {}).get("actions")))
    cluster.annotate("backup", "leaves", "skip-reconciliation=true")
    job = begun["status"]["actions"][0]["objectRef"]["name"]
    cluster.wait("job", job, lambda obj: bool(obj.get("status", {}).get("succeeded")))
    assert cluster.get("backup", "leaves")["status"]["phase"] == "Running"
    cluster.delete("pod", "leaves")
    cluster.gone("pod", "leaves")
    cluster.annotate("backup", "leaves", "skip-reconciliation-")

    assert cluster.phase("backup", "leaves", "Completed", "Failed")["phase"] == "Completed"


def test_05_a_target_that_goes_while_the_jobs_pod_is_pending_fails_it(cluster: Cluster) -> None:
    never = {"name": "NEVER", "valueFrom": {"secretKeyRef": {"name": "missing", "key": "x"}}}
    cluster.apply(sleeper("goes"), policy("goes", method("plain", env=[never]), target=on(app="goes")), backup("goes"))
    cluster.phase("backup", "goes", "Running")
    cluster.delete("pod", "goes")

    failed = cluster.phase("backup", "goes", "Failed")
    assert "goes is gone" in failed["failureReason"]


def test_06_a_backup_that_is_to_be_skipped_gets_no_phase(cluster: Cluster) -> None:
    assert "status" not in cluster.get("backup", "left")
    cluster.annotate("backup", "left", "skip-reconciliation-")
    cluster.phase("backup", "left", "Completed")


def test_07_without_its_policy_a_backup_fails_and_expires_only_with_a_retention_period(cluster: Cluster) -> None:
    cluster.apply(backup("mortal", "nowhere", retentionPeriod="1d"), backup("eternal", "nowhere"))
    mortal, eternal = (cluster.phase("backup", name, "Failed") for name in ("mortal", "eternal"))

    assert "nowhere does not exist" in mortal["failureReason"]
    assert "expiration" in mortal
    assert "expiration" not in eternal


def test_08_the_retention_counts_from_the_start_and_then_from_the_end(cluster: Cluster) -> None:
    cluster.apply(backup("kept", "held", retentionPeriod="7h"))
    running = cluster.phase("backup", "kept", "Running")
    cluster.release("kept")
    done = cluster.phase("backup", "kept", "Completed")

    for found, since in ((running, "startTimestamp"), (done, "completionTimestamp")):
        assert (parse_time(found["expiration"]) - parse_time(found[since])).total_seconds() == 7 * 3600


def test_09_all_pods_have_a_job_each_and_completed_comes_after_both(cluster: Cluster) -> None:
    everyone = {"podSelector": {"matchLabels": {"app": "db"}, "strategy": "All"}}
    cluster.apply(policy("all", method("held"), target=everyone), backup("all"))
    cluster.wait(
        "backup", "all", lambda obj: all(a["phase"] == "Running" for a in obj.get("status", {}).get("actions", [{"phase": ""}]))
    )
    cluster.release("all", pod="db-1")
    halfway = cluster.wait("backup", "all", lambda obj: obj["status"]["actions"][1]["phase"] == "Completed")["status"]
    cluster.release("all", pod="db-0")
    done = cluster.phase("backup", "all", "Completed", "Failed")

    assert [action["name"] for action in done["actions"]] == ["dp-backup-0", "dp-backup-1"]
    assert (halfway["phase"], halfway["actions"][0]["phase"], done["phase"]) == ("Running", "Running", "Completed")


def test_10_11_targets_are_planned_first_and_one_that_fails_fails_all_once_the_other_has_ended(cluster: Cluster) -> None:
    pods = ("one", "db-0"), ("two", "db-1")
    targets = [{"name": name, **on(**{"statefulset.kubernetes.io/pod-name": pod})} for name, pod in pods]
    script = f'test "$DP_TARGET_POD_NAME" = db-0 && exit 1\n{HELD}{SAVE}'
    whole = policy("several", method("several"), targets=targets)
    del whole["spec"]["target"]
    cluster.apply(action_set("several", script), whole, backup("several"))
    planned = cluster.wait("backup", "several", lambda obj: bool(obj.get("status", {}).get("actions")))["status"]
    between = cluster.wait("backup", "several", lambda obj: obj["status"]["actions"][0]["phase"] == "Failed")["status"]
    cluster.release("several", pod="db-1")
    failed = cluster.phase("backup", "several", "Failed", "Completed")

    assert [action["name"] for action in planned["actions"]] == ["dp-backup-one-0", "dp-backup-two-0"]
    assert all(action["objectRef"]["name"].startswith(action["name"]) for action in planned["actions"])
    assert [target["name"] for target in planned["targets"]] == ["one", "two"]
    assert (between["phase"], failed["phase"]) == ("Running", "Failed")
    assert [action["phase"] for action in failed["actions"]] == ["Failed", "Completed"]


def test_12_the_fallback_is_used_when_the_first_selector_has_no_ready_pod(cluster: Cluster) -> None:
    selector = {"matchLabels": {"app": "none"}, "fallbackLabelSelector": {"matchLabels": {"app": "db"}}}
    cluster.apply(policy("fallback", method("plain"), target={"podSelector": selector}), backup("fallback"))

    assert cluster.phase("backup", "fallback", "Completed")["target"]["selectedTargetPods"] == ["db-0"]


def test_13_a_parameter_that_is_not_declared_fails_and_a_valid_one_reaches_the_job(cluster: Cluster) -> None:
    cluster.apply(
        policy("told", method("told")),
        backup("valid", "told", parameters=[{"name": "speed", "value": "7"}]),
        backup("unknown", "told", parameters=[{"name": "colour", "value": "red"}]),
        backup("wrong", "told", parameters=[{"name": "speed", "value": "fast"}]),
    )

    assert cluster.phase("backup", "valid", "Completed")["extras"][0]["speed"] == "7"
    assert "colour" in cluster.phase("backup", "unknown", "Failed")["failureReason"]
    assert "speed" in cluster.phase("backup", "wrong", "Failed")["failureReason"]


def test_14_encryption_needs_its_secret_and_a_child_inherits_it(cluster: Cluster) -> None:
    ways = (method("told"), method("inc", "inc", compatibleMethod="full"))
    cluster.apply(secret("phrase", phrase="for a test"), policy("sealed", *ways, encryptionConfig=PHRASE), backup("sealed"))
    parent = cluster.phase("backup", "sealed", "Completed", "Failed")
    told = cluster.kubectl(
        "-n", NS, "patch", "backuppolicy", "sealed", "--type=merge", "-p", '{"spec":{"encryptionConfig":null}}'
    )
    assert "patched" in told
    cluster.apply(backup("sealed-child", "sealed", "inc"))
    child = cluster.phase("backup", "sealed-child", "Completed", "Failed")

    for found in (parent, child):
        assert found["phase"] == "Completed", found
        assert found["encryptionConfig"] == PHRASE
        assert found["extras"][0]["sealed"] == "AES-256-CFB"
    assert "nowhere" in cluster.phase("backup", "lost", "Failed")["failureReason"]


def test_15_a_backup_whose_deletion_fails_stays_and_goes_when_it_succeeds(cluster: Cluster) -> None:
    stuck = cluster.wait("backup", "stuck", lambda obj: "deletionFailureReason" in obj.get("status", {}))
    job = f"{stuck['metadata']['uid'][:8]}-predelete-stuck"
    assert stuck["status"]["phase"] == "Deleting"
    assert stuck["metadata"]["finalizers"] == [f"{GROUP}/finalizer"]
    cluster.apply(action_set("stuck", preDelete=shell("exit 0")))
    cluster.delete("job", job)
    cluster.gone("backup", "stuck")


def test_16_a_volume_snapshot_that_is_ready_completes_and_without_a_claim_it_fails(cluster: Cluster) -> None:
    snapped = {"name": "snap", "snapshotVolumes": True, "targetVolumes": {"volumes": ["data"]}}
    cluster.apply(sleeper("bare"), policy("snapped", snapped), policy("bare", snapped, target=on(app="bare")))
    cluster.apply(backup("snapped", method_="snap"), backup("bare", method_="snap"))
    done = cluster.phase("backup", "snapped", "Completed", "Failed")
    assert done["phase"] == "Completed", done
    taken = done["actions"][0]["volumeSnapshots"][0]
    found = cluster.get("volumesnapshot", taken["name"])

    assert taken["volumeName"] == "data"
    assert found["spec"]["source"]["persistentVolumeClaimName"] == "data-db-0"
    assert cluster.phase("backup", "bare", "Failed")["phase"] == "Failed"


def test_17_an_incremental_finds_its_parent_and_a_wrong_one_is_refused(cluster: Cluster) -> None:
    ways = (method("plain"), method("inc", "inc", compatibleMethod="full"))
    cluster.apply(policy("chain", *ways), backup("orphan", "chain", "inc"))
    orphan = cluster.phase("backup", "orphan", "Failed", "Completed")
    parents: dict[str, tuple[str, str]] = {}
    for name, way in (("full", "full"), ("inc1", "inc"), ("inc2", "inc"), ("full2", "full"), ("inc3", "inc")):
        cluster.apply(backup(name, "chain", way))
        done = cluster.phase("backup", name, "Completed", "Failed")
        parents[name] = (done.get("parentBackupName", ""), done.get("baseBackupName", ""))
    cluster.apply(backup("astray", "chain", "inc", parentBackupName="held"))

    assert (orphan["phase"], "take one first" in orphan["failureReason"]) == ("Failed", True)
    assert parents["full"] == parents["full2"] == ("", "")
    assert (parents["inc1"], parents["inc2"], parents["inc3"]) == (("full", "full"), ("inc1", "full"), ("full2", "full2"))
    assert "held can't be the parent" in cluster.phase("backup", "astray", "Failed")["failureReason"]


def test_18_a_parent_waits_for_its_children_and_a_whole_chain_goes_in_order(cluster: Cluster) -> None:
    cluster.delete("backup", "full")
    held = cluster.wait("backup", "full", lambda obj: "deletionFailureReason" in obj["status"])["status"]
    assert "inc1 builds on it" in held["deletionFailureReason"]
    assert cluster.get("backup", "inc1")["status"]["phase"] == "Completed"
    cluster.delete("backup", "inc1", "inc2")
    for name in ("inc2", "inc1", "full"):
        cluster.gone("backup", name)
    assert cluster.get("backup", "inc3")["status"]["phase"] == "Completed"


def test_19_the_label_beats_the_policy_and_the_default_must_be_one_that_is_ready(cluster: Cluster) -> None:
    marked = f"{GROUP}/is-default-repo"
    unready = repo("kbc-unready", "kbc-nowhere")
    unready["metadata"]["annotations"] = {marked: "true"}
    open_ = policy("open", method("plain"))
    del open_["spec"]["backupRepoName"]
    cluster.apply(repo("kbc-other", volumeCapacity="1Gi"), unready, open_)
    cluster.phase("backuprepo", "kbc-other", "Ready")
    cluster.annotate("backuprepo", REPO, "is-default-repo=true")
    cluster.wait("backuprepo", REPO, lambda obj: obj["status"].get("isDefault") is True)
    cluster.apply(backup("chosen", "plain", labels={f"{GROUP}/backup-repo-name": "kbc-other"}), backup("default", "open"))
    chosen, default = (cluster.phase("backup", name, "Completed", "Failed") for name in ("chosen", "default"))
    cluster.annotate("backuprepo", "kbc-other", "is-default-repo=true")
    cluster.wait("backuprepo", "kbc-other", lambda obj: obj["status"].get("isDefault") is True)
    cluster.apply(backup("torn", "open"))
    torn = cluster.phase("backup", "torn", "Failed", "Completed")
    cluster.annotate("backuprepo", REPO, "is-default-repo-")

    assert (chosen["phase"], chosen["backupRepoName"]) == ("Completed", "kbc-other")
    assert (default["phase"], default["backupRepoName"]) == ("Completed", REPO)
    assert "are all marked as default" in torn["failureReason"]


def test_20_a_schedule_has_cron_jobs_for_what_is_enabled_and_refuses_what_makes_no_sense(cluster: Cluster) -> None:
    def schedule(name: str, *entries: Object) -> Object:
        return made("BackupSchedule", name, backupPolicyName="plain", startingDeadlineMinutes=5, schedules=list(entries))

    entry = {"backupMethod": "full", "cronExpression": "0 3 1 1 *"}
    cluster.apply(schedule("on", {**entry, "enabled": True}), schedule("off", {**entry, "enabled": False}))
    for name in ("on", "off"):
        cluster.phase("backupschedule", name, "Available")
    (job,) = cluster.get("cronjob", "", "-l", f"{GROUP}/backup-schedule=on")["items"]
    spec = job["spec"]

    assert cluster.get("cronjob", "", "-l", f"{GROUP}/backup-schedule=off")["items"] == []
    assert (spec["startingDeadlineSeconds"], spec["timeZone"]) == (300, "UTC")
    assert spec["jobTemplate"]["spec"]["template"]["spec"]["serviceAccountName"] == "kubeblocks-dataprotection-worker"
    assert "schedules" in cluster.refused(schedule("empty"))
    bad = schedule("bad", {**entry, "cronExpression": "every day", "enabled": True})
    told = cluster.kubectl("apply", "-f", "-", text=json.dumps(bad))
    assert "every day" in told or cluster.phase("backupschedule", "bad", "Failed")["failureReason"]


def test_21_what_has_expired_goes_but_for_what_runs_what_a_chain_needs_and_the_last_good_one(cluster: Cluster) -> None:
    ways = (method("plain"), method("inc", "inc", compatibleMethod="full"), method("held", "held"))
    cluster.apply(policy("ages", *ways))
    for name, way in (("oldest", "full"), ("base", "full"), ("leaf", "inc")):
        cluster.apply(backup(name, "ages", way, retentionPeriod="1d"))
        cluster.phase("backup", name, "Completed")
    cluster.apply(backup("slow", "ages", "held", retentionPeriod="1d"))
    cluster.phase("backup", "slow", "Running")
    past = json.dumps({"status": {"expiration": "2026-01-01T00:00:00Z"}})
    for name in ("slow", "leaf", "oldest"):
        cluster.kubectl("-n", NS, "patch", "backup", name, "--subresource=status", "--type=merge", "-p", past)
    cluster.gone("backup", "oldest")

    assert [cluster.get("backup", name)["status"]["phase"] for name in ("base", "leaf", "slow")] == [
        "Completed",
        "Completed",
        "Running",
    ]
    cluster.release("slow")
    cluster.phase("backup", "slow", "Completed")


@pytest.mark.own
def test_22_a_check_that_fails_tells_why_and_a_changed_credential_or_place_is_checked_at_once(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "s3" / "right").mkdir(parents=True)
    credential = {"name": "s3", "namespace": NS}
    with s3_server(tmp_path / "s3") as endpoint:

        def bucket(folder: str) -> Object:
            config = {"bucket": folder, "endpoint": endpoint}
            return repo("kbc-s3", "minio", accessMethod="Tool", config=config, credential=credential)

        cluster.apply(secret("s3", accessKeyId=KEY, secretAccessKey="wrong"), bucket("right"))
        failed = cluster.phase("backuprepo", "kbc-s3", "Failed")
        cluster.apply(secret("s3", accessKeyId=KEY, secretAccessKey=SECRET))
        healed = cluster.phase("backuprepo", "kbc-s3", "Ready")
        cluster.apply(bucket("absent"))
        cluster.apply(bucket("right"))
        again = cluster.phase("backuprepo", "kbc-s3", "Ready")
        cluster.delete("backuprepo", "kbc-s3")
        cluster.gone("backuprepo", "kbc-s3")

    said = condition(failed, "PreCheckPassed")
    assert (said["reason"], "SignatureDoesNotMatch" in said["message"] or "403" in said["message"]) == (
        "PreCheckFailed",
        True,
    ), said
    assert condition(healed, "PreCheckPassed")["status"] == "True"
    assert again["preCheckDigest"] == healed["preCheckDigest"]


def test_23_a_repository_stays_while_backups_live_and_then_takes_what_was_made_for_it(cluster: Cluster) -> None:
    claim = cluster.get("backuprepo", "kbc-other")["status"]["backupPVCName"]
    assert cluster.get("pvc", claim)
    cluster.delete("backuprepo", "kbc-other")
    held = cluster.phase("backuprepo", "kbc-other", "Deleting")
    assert condition(held, "DerivedObjectsDeleted")["reason"] == "HaveAssociatedBackups"
    assert f"{NS}/chosen" in condition(held, "DerivedObjectsDeleted")["message"]
    cluster.delete("backup", "chosen")
    cluster.gone("backuprepo", "kbc-other")
    cluster.gone("pvc", claim)


def test_24_claims_are_filled_one_after_the_other_or_at_once_and_a_failure_fails(cluster: Cluster) -> None:
    def pattern(name: str, replicas: int, first: int = 0) -> Object:
        template = {"metadata": {"name": name}, "mountPath": "/data", "volumeClaimSpec": CLAIM}
        return {"volumeClaimsTemplate": {"templates": [template], "replicas": replicas, "startingIndex": first}}

    broken = shell("echo it broke; exit 1")
    cluster.apply(
        action_set("back", more={"restore": {"prepareData": shell(LOAD)}}),
        action_set("broken", more={"restore": {"prepareData": broken}}),
        policy("back", method("back"), method("broken", "broken")),
        backup("back"),
        backup("broken", "back", "broken"),
    )
    for name in ("back", "broken"):
        cluster.phase("backup", name, "Completed")
    cluster.apply(
        restore("serial", "back", {**pattern("serial", 2, 1), "volumeClaimRestorePolicy": "Serial"}),
        restore("parallel", "back", pattern("parallel", 3)),
        restore("broken", "broken", claims("broken"), backoffLimit=0),
        restore("unfinished", "fails", claims("unfinished")),
    )
    first = cluster.wait("restore", "serial", lambda obj: "actions" in obj.get("status", {}))["status"]["actions"][
        "prepareData"
    ]
    serial, parallel = (cluster.phase("restore", name, "Completed", "Failed") for name in ("serial", "parallel"))
    before, after = serial["actions"]["prepareData"]
    together = parallel["actions"]["prepareData"]

    assert len(first) == 1
    assert before["endTime"] <= after["startTime"]
    assert max(action["startTime"] for action in together) < min(action["endTime"] for action in together)
    made_claims = names(cluster.get("pvc"))
    assert [name for name in made_claims if name.startswith(("serial-", "parallel-"))] == [
        "parallel-0", "parallel-1", "parallel-2", "serial-1", "serial-2",
    ]  # fmt: skip
    assert "it broke" in condition(cluster.phase("restore", "broken", "Failed"), "PrepareData")["message"]
    assert condition(cluster.phase("restore", "unfinished", "Failed"), "ValidationPassed")["status"] == "False"


def test_25_a_time_at_either_end_is_accepted_one_outside_is_not_and_steps_follow_in_order(cluster: Cluster) -> None:
    exec_ = {"exec": {"command": ["sh", "-c", "touch /data/restored"]}}
    after = {"job": shell("test -e /data/restored", runOnTargetPodNode=True)}
    steps = {"prepareData": shell("true"), "postReady": [exec_, after], "baseBackupRequired": False}
    cluster.apply(
        action_set("log", f"{SAVE}{RANGE}\nsleep 1000", "Continuous", more={"restore": steps}),
        policy("log", method("log", "log")),
        backup("log", method_="log"),
    )
    cluster.wait("backup", "log", lambda obj: "timeRange" in obj.get("status", {}))
    pods = on(app="db")
    ready = {
        "execAction": {"target": pods},
        "jobAction": {"target": {**pods, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}},
    }
    times = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z", "early": "2025-12-31T23:59:59Z"}
    cluster.apply(
        *(restore(name, "log", claims(name), restoreTime=time, readyConfig=ready) for name, time in times.items()),
        restore("late", "log", claims("late"), restoreTime="2026-01-02T00:00:01Z", readyConfig=ready),
    )

    for name in ("start", "end"):
        done = cluster.phase("restore", name, "Completed", "Failed")
        assert done["phase"] == "Completed", done
        made_by = [action["name"].rpartition("-log-")[2] for action in done["actions"]["postReady"]]
        assert made_by == ["0-0", "0-1", "1-0"]
        execs, jobs = done["actions"]["postReady"][:2], done["actions"]["postReady"][2]
        assert max(action["endTime"] for action in execs) <= jobs["startTime"]
    for name in ("early", "late"):
        assert condition(cluster.phase("restore", name, "Failed"), "ValidationPassed")["status"] == "False"
    cluster.delete("backup", "log")
    cluster.gone("backup", "log")
