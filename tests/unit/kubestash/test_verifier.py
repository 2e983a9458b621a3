"""Backups are tested by restoring them, and the Snapshot shows the outcome."""

import pytest
from tests.unit.kubestash.builders import BC, REPO, SESSION, ready_world, run, sample, sample_world
from tests.unit.kubestash.verifiers import verifier, verify
from tests.unit.kubestash.world import World, condition

from holdfast.core.ledger import Outcome
from holdfast.core.objects import Object
from holdfast.core.report import Failure, RepositoryResult
from holdfast.dialects.kubestash.ticks import schedules

SNAPSHOT = f"{REPO}-run-1"


def world_with(found: Object, *objects: Object) -> World:
    wanted = sample()
    wanted["spec"]["sessions"][0]["repositories"][0]["backupVerifier"] = {"name": "weekly"}
    world = ready_world(wanted)
    for obj in (found, *objects):
        world.add(obj)
    run(world, "run-1", "id00000001")
    return world


def status(world: World, name: str = "proof") -> Object:
    return world.find("BackupVerificationSession", name)["status"]


def restored(world: World, name: str = "proof", failure: Failure | None = None) -> None:
    world.finish(f"{name}-dump-pod-0", RepositoryResult(REPO, "dump-pod-0", files=3, bytes=5), failure=failure)
    world.settle()


def test_each_repository_with_a_verifier_has_a_cron_job_that_tests_it():
    world = world_with(verifier())
    name = next(name for name in world.names("CronJob") if name.startswith("trigger-verifier"))
    assert world.find("CronJob", name)["spec"]["schedule"] == "0 4 * * 0"
    mover, arguments, _ = world.call(name, "CronJob")
    assert (mover, arguments["plural"], arguments["name_prefix"]) == (
        "trigger",
        "backupverificationsessions",
        f"{REPO}-{SESSION}",
    )


def test_a_snapshot_that_was_restored_and_read_back_is_verified_and_leaves_no_claim():
    world = world_with(verifier())
    verify(world)
    assert world.find("RestoreSession", "proof")["spec"]["dataSource"]["snapshot"] == SNAPSHOT
    assert "proof-0" in world.names("PersistentVolumeClaim")
    restored(world)

    assert status(world)["phase"] == "Succeeded"
    told = world.find("Snapshot", SNAPSHOT)["status"]
    assert (told["verificationStatus"], told["verificationSession"]) == ("Verified", "proof")
    assert "proof-0" not in world.names("PersistentVolumeClaim")
    verify(world, "again")
    assert status(world, "again")["phase"] == "Skipped"
    skipped = condition(world.find("BackupVerificationSession", "again"), "BackupVerificationSkipped")
    assert skipped["reason"] == "SnapshotAlreadyVerified"


def test_a_restore_that_fails_is_a_failed_verification_and_is_repeated():
    world = world_with(verifier(retryConfig={"maxRetry": 1, "delay": "1m"}))
    verify(world, retryLeft=1)
    restored(world, failure=Failure("RepositoryDamaged", "pack 00ab is damaged"))

    assert status(world)["phase"] == "Failed"
    assert world.find("Snapshot", SNAPSHOT)["status"]["verificationStatus"] == "VerificationFailed"
    world.later(minutes=2)
    world.settle()
    repeated = [name for name in world.names("BackupVerificationSession") if name.startswith(f"{REPO}-{SESSION}-")]
    assert [world.find("BackupVerificationSession", name)["spec"]["retryLeft"] for name in repeated] == [0]


def test_a_script_looks_at_the_restored_data_and_has_the_last_word():
    function = {
        "apiVersion": "addons.kubestash.com/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "look"},
        "spec": {"image": "look:1", "args": ["--for=${restoreSession}"]},
    }
    script = {"location": "/scripts/look.sh", "args": ["--deep"]}
    world = world_with(verifier(type="Script", function="look", script=script), function)
    verify(world)
    restored(world)
    assert status(world)["phase"] == "Running"
    (container,) = world.find("Job", "verify-proof")["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["--for=proof", "--deep"]
    assert {"name": "VERIFIER_SCRIPT", "value": "/scripts/look.sh"} in container["env"]
    world.crash("verify-proof", "Error", "row 7 is missing")
    world.settle()
    assert status(world)["phase"] == "Failed"
    told = condition(world.find("BackupVerificationSession", "proof"), "BackupVerified")
    assert "row 7 is missing" in told["message"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "Script"}, "spec.function: needed with type Script"),
        ({"type": "RestoreOnly", "function": "x"}, "spec.function: is for a test that runs something"),
        ({"scheduler": {"schedule": "never", "jobTemplate": {}}}, "spec.scheduler.schedule: "),
        ({"restoreOption": {}}, "spec.restoreOption.addonInfo: needed"),
        ({"type": "Query", "function": "x", "query": {"a": 1}, "script": {"location": "/x"}}, "does not belong to type Query"),
    ],
)
def test_a_verifier_is_refused(spec: Object, message: str):
    assert message in sample_world().problems(verifier(**spec))


def test_the_ledger_of_a_verifier_tells_what_became_of_each_test():
    world = world_with(verifier())
    name = f"{REPO}-{SESSION}-{int(world.now.timestamp())}"
    verify(world, name)
    world.find("BackupVerificationSession", name)["metadata"]["labels"] = {"kubestash.com/invoker-name": BC}
    backup, test = schedules(world.find("BackupConfiguration", BC), world)
    assert (backup.part, test.part, test.text) == (SESSION, f"verify-{REPO}-{SESSION}", "0 4 * * 0")
    assert [(mark.run, mark.outcome) for mark in test.marks] == [(name, Outcome.RUNNING)]
    restored(world, name)
    (mark,) = schedules(world.find("BackupConfiguration", BC), world)[1].marks
    assert (mark.outcome, mark.due) == (Outcome.RAN, world.now)


def test_the_ledger_of_a_verifier_says_why_a_test_failed():
    world = world_with(verifier())
    name = f"{REPO}-{SESSION}-{int(world.now.timestamp())}"
    verify(world, name)
    world.find("BackupVerificationSession", name)["metadata"]["labels"] = {"kubestash.com/invoker-name": BC}
    restored(world, name, failure=Failure("Damaged", "pack 12 is damaged"))
    (mark,) = schedules(world.find("BackupConfiguration", BC), world)[1].marks
    assert (mark.outcome, mark.reason) == (Outcome.FAILED, "RestoreFailed")
    assert mark.message == f"RestoreSession {name} is Failed: see its status"
