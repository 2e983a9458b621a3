"""A BackupConfiguration becomes Ready by itself, and says what is missing until then."""

import copy

import yaml
from tests.unit.kubestash.builders import ADDONS, BC, REPO, ready_world, run, sample, sample_world, session
from tests.unit.kubestash.world import ROOT, World, condition, succeeded

from holdfast.core.objects import Object
from holdfast.core.report import Failure

TRIGGER = "trigger-sample-backup-sts-demo-session"


def status(world: World) -> Object:
    return world.find("BackupConfiguration", BC)["status"]


def test_the_printed_sample_gets_the_printed_status():
    printed = yaml.safe_load((ROOT / "tests" / "samples" / "kubestash-seed.yaml").read_text())["status"]
    found = copy.deepcopy(status(ready_world()))
    assert found["sessions"][0].pop("nextSchedule") == "2026-11-20T13:45:00Z"
    for conditions in (printed["conditions"], printed["sessions"][0]["conditions"]):
        conditions[0]["lastTransitionTime"] = "2026-11-20T13:42:30Z"
    assert found == printed


def test_the_trigger_is_a_cron_job_that_the_configuration_owns():
    world = ready_world()
    job = world.find("CronJob", TRIGGER)
    assert job["metadata"]["ownerReferences"][0]["kind"] == "BackupConfiguration"
    assert job["metadata"]["ownerReferences"][0]["controller"] is True
    assert job["spec"]["schedule"] == "*/5 * * * *"
    assert job["spec"]["suspend"] is False
    assert job["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 1
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == TRIGGER
    assert pod["automountServiceAccountToken"] is True
    assert pod["restartPolicy"] == "Never"
    assert world.find("ServiceAccount", TRIGGER)
    binding = world.find("RoleBinding", TRIGGER)
    assert binding["roleRef"]["name"] == "kubestash-cron-job"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": TRIGGER, "namespace": "demo"}]


def test_every_field_of_the_scheduler_reaches_the_cron_job():
    wanted = sample()
    scheduler = wanted["spec"]["sessions"][0]["scheduler"]
    scheduler |= {"startingDeadlineSeconds": 30, "concurrencyPolicy": "Forbid", "suspend": True}
    scheduler |= {"successfulJobsHistoryLimit": 2, "failedJobsHistoryLimit": 4}
    scheduler["jobTemplate"] |= {"activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 0, "parallelism": 1, "completions": 1}
    spec = {"nodeSelector": {"disk": "ssd"}, "env": [{"name": "A", "value": "b"}], "resources": {"limits": {"memory": "1Gi"}}}
    scheduler["jobTemplate"]["template"] = {
        "metadata": {"labels": {"team": "x"}},
        "controller": {"labels": {"y": "z"}},
        "spec": spec,
    }
    world = sample_world()
    world.add(wanted)
    world.settle()
    job = world.find("CronJob", TRIGGER)["spec"]
    assert (job["startingDeadlineSeconds"], job["concurrencyPolicy"], job["suspend"]) == (30, "Forbid", True)
    assert (job["successfulJobsHistoryLimit"], job["failedJobsHistoryLimit"]) == (2, 4)
    assert job["jobTemplate"]["metadata"]["labels"]["y"] == "z"
    made = job["jobTemplate"]["spec"]
    assert (made["activeDeadlineSeconds"], made["ttlSecondsAfterFinished"]) == (60, 0)
    assert made["template"]["metadata"]["labels"]["team"] == "x"
    assert made["template"]["spec"]["nodeSelector"] == {"disk": "ssd"}
    container = made["template"]["spec"]["containers"][0]
    assert {"name": "A", "value": "b"} in container["env"]
    assert container["resources"] == {"limits": {"memory": "1Gi"}}


def test_an_account_of_the_users_own_is_bound_and_none_is_made():
    wanted = sample()
    template = {"spec": {"serviceAccountName": "mine"}}
    wanted["spec"]["sessions"][0]["scheduler"]["jobTemplate"]["template"] = template
    world = sample_world()
    world.add(wanted)
    world.settle()
    assert world.names("ServiceAccount") == ["init-gcs-storage"]  # that of the storage
    assert world.find("RoleBinding", TRIGGER)["subjects"][0]["name"] == "mine"


def test_a_storage_that_comes_later_makes_it_ready_unaided():
    world = sample_world()
    storage = world.find("BackupStorage", "gcs-storage")
    world.delete("BackupStorage", "gcs-storage")
    world.add(sample())
    world.settle()
    assert status(world)["phase"] == "NotReady"
    assert status(world)["backends"][0]["storage"]["reason"] == "BackupStorage demo/gcs-storage not found"
    world.add(storage)
    world.settle()
    world.finish("init-gcs-storage")
    world.settle()
    world.finish("init-repo-gcs-demo-repo")
    world.settle()
    assert status(world)["phase"] == "Ready"


def test_without_its_addon_it_is_not_ready():
    world = sample_world(addons=False)
    world.add(sample())
    world.settle()
    assert status(world)["dependencies"] == [{"kind": "Addon", "name": "workload-addon", "found": False}]
    assert status(world)["phase"] == "NotReady"
    world.load(*ADDONS)
    world.settle()
    assert status(world)["dependencies"][0]["found"] is True


def test_without_its_target_it_is_not_ready():
    world = ready_world()
    world.delete("StatefulSet", "sample-sts")
    world.settle()
    assert status(world)["targetFound"] is False
    assert status(world)["phase"] == "NotReady"


def test_a_bad_cron_is_invalid_and_makes_no_cron_job():
    wanted = sample()
    wanted["spec"]["sessions"][0]["scheduler"]["schedule"] = "every night"
    world = sample_world()
    world.add(wanted)
    world.settle()
    assert status(world)["phase"] == "Invalid"
    judged = condition(world.find("BackupConfiguration", BC), "ValidationPassed")
    assert judged["status"] == "False"
    assert judged["reason"] == "ResourceValidationFailed"
    assert "spec.sessions[0].scheduler.schedule" in judged["message"]
    assert world.names("CronJob") == []


def test_a_change_to_the_worse_keeps_the_last_good_cron_job():
    world = ready_world()
    wanted = sample()
    wanted["spec"]["sessions"][0]["scheduler"]["schedule"] = "every night"
    world.add(wanted)
    world.settle()
    assert status(world)["phase"] == "Invalid"
    assert world.find("CronJob", TRIGGER)["spec"]["schedule"] == "*/5 * * * *"
    world.add(sample())
    world.settle()
    assert status(world)["phase"] == "Ready"


def test_pausing_suspends_the_cron_job_and_skips_sessions():
    world = ready_world()
    paused = sample()
    paused["spec"]["paused"] = True
    world.add(paused)
    world.settle()
    assert world.find("CronJob", TRIGGER)["spec"]["suspend"] is True
    assert "nextSchedule" not in status(world)["sessions"][0]
    world.add(session("manual"))
    world.settle()
    assert world.find("BackupSession", "manual")["status"]["phase"] == "Skipped"
    world.add({**paused, "spec": {**paused["spec"], "paused": False}})
    world.settle()
    assert world.find("CronJob", TRIGGER)["spec"]["suspend"] is False


def test_the_next_schedule_moves_on_with_the_time():
    world = ready_world()
    assert min(world.wakes) <= world.now.replace(minute=45, second=0)
    world.later(minutes=3)
    world.settle()
    assert status(world)["sessions"][0]["nextSchedule"] == "2026-11-20T13:50:00Z"


def test_the_cron_job_of_a_dropped_session_goes_with_its_account():
    world = ready_world()
    wanted = sample()
    wanted["spec"]["sessions"][0]["name"] = "renamed"
    world.add(wanted)
    world.settle()
    assert world.names("CronJob") == ["trigger-sample-backup-sts-renamed"]
    assert world.names("ServiceAccount") == ["init-gcs-storage", "trigger-sample-backup-sts-renamed"]
    assert world.names("RoleBinding") == ["trigger-sample-backup-sts-renamed"]


def test_the_history_keeps_the_newest_finished_session_and_every_snapshot():
    world = ready_world()
    for index in range(3):
        run(world, f"run-{index}")
        world.later(minutes=1)
        world.settle()
    assert world.names("BackupSession") == ["run-2"]
    assert len(world.names("Snapshot")) == 3


def test_references_that_go_after_it_passed_make_it_not_ready_but_not_invalid():
    wanted = sample()
    policy = wanted["spec"]["backends"][0].pop("retentionPolicy")["name"]
    world = sample_world()
    default = world.find("RetentionPolicy", policy)
    world.add({**default, "spec": {**default["spec"], "default": True}})
    world.add(wanted)
    world.settle()
    assert condition(world.find("BackupConfiguration", BC), "ValidationPassed")["status"] == "True"
    kept = [world.find("RetentionPolicy", policy), world.find("BackupStorage", "gcs-storage")]
    world.delete("RetentionPolicy", policy)
    world.delete("BackupStorage", "gcs-storage")
    world.settle()
    backend = status(world)["backends"][0]
    assert (status(world)["phase"], backend["ready"]) == ("NotReady", False)
    assert backend["retentionPolicy"]["reason"] == "no RetentionPolicy is named, and there is no default"
    assert backend["storage"]["reason"] == "BackupStorage demo/gcs-storage not found"
    wrong = world.find("BackupConfiguration", BC)
    spec = {**wrong["spec"], "target": {**wrong["spec"]["target"], "name": ""}}
    world.add({**wrong, "spec": spec})
    world.settle()
    assert status(world)["phase"] == "Invalid"
    world.add({**wrong, "status": status(world)})
    for obj in kept:
        world.add(obj)
    world.settle()
    assert condition(world.find("BackupConfiguration", BC), "ValidationPassed")["status"] == "True"


def test_without_any_default_a_new_one_is_invalid():
    wanted = sample()
    del wanted["spec"]["backends"][0]["retentionPolicy"]
    world = sample_world()
    world.add(wanted)
    world.settle()
    assert status(world)["phase"] == "Invalid"


def test_skipped_sessions_do_not_push_out_the_backup_that_they_waited_for():
    world = ready_world()
    world.add(session("long", retryLeft=0))
    world.settle()
    for index in range(3):
        world.later(minutes=1)
        world.add(session(f"skip-{index}", retryLeft=0))
        world.settle()
    assert world.names("BackupSession") == ["long", "skip-2"]
    world.finish("long-dump-pod-0", succeeded(REPO))
    world.settle()
    assert world.find("BackupSession", "long")["status"]["phase"] == "Succeeded"
    assert world.names("BackupSession") == ["long", "skip-2"]


def test_the_last_good_session_stays_beside_later_failures():
    world = ready_world()
    run(world, "good")
    for name in ("bad-0", "bad-1"):
        world.later(minutes=1)
        world.add(session(name, retryLeft=0))
        world.settle()
        world.finish(f"{name}-dump-pod-0", failure=Failure("X", "broken"))
        world.settle()
    assert world.names("BackupSession") == ["bad-1", "good"]


def test_deleting_it_takes_the_repository_objects_along_unless_they_are_retained():
    world = ready_world()
    run(world, "run-1")
    world.delete("BackupConfiguration", BC)
    world.settle()
    assert world.names("BackupConfiguration") == []
    assert world.names("BackupSession") == []
    assert world.names("Repository") == []
    assert world.names("Snapshot") == []
    assert world.names("CronJob") == []
    retained = sample()
    retained["spec"]["sessions"][0]["repositories"][0]["deletionPolicy"] = "Retain"
    world = ready_world(retained)
    world.delete("BackupConfiguration", BC)
    world.settle()
    assert world.names("BackupConfiguration") == []
    assert world.names("Repository") == [REPO]


def test_a_repository_that_another_configuration_shares_stays():
    world = ready_world()
    second = sample()
    second["metadata"]["name"] = "second"
    world.add(second)
    world.settle()
    world.delete("BackupConfiguration", BC)
    world.settle()
    assert world.names("BackupConfiguration") == ["second"]
    assert world.names("Repository") == [REPO]
