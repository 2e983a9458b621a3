"""Sessions that meet: the second is skipped, or with concurrencyPolicy Replace the first is cancelled for it."""

import pytest
from tests.unit.kubestash.builders import BC, REPO, SESSION, ready_world, sample, session
from tests.unit.kubestash.world import World, condition

from holdfast.core.objects import Kind, Object
from holdfast.dialects.kubestash import history
from holdfast.dialects.kubestash.kinds import BACKUP_SESSION


def policy(value: str) -> Object:
    obj = sample()
    obj["spec"]["sessions"][0]["scheduler"]["concurrencyPolicy"] = value
    return obj


def two_sessions(value: str) -> World:
    world = ready_world(policy(value))
    world.add(session("first"))
    world.settle()
    world.later(minutes=5)
    world.add(session("second"))
    world.settle()
    return world


@pytest.mark.parametrize("value", ["Allow", "Forbid"])
def test_the_second_session_is_skipped_and_names_the_first(value: str):
    world = two_sessions(value)

    second = world.find("BackupSession", "second")
    assert second["status"]["phase"] == "Skipped"
    assert condition(second, "BackupSkipped")["reason"] == "AnotherBackupSessionRunning"
    assert "demo/first is still running" in condition(second, "BackupSkipped")["message"]
    assert world.find("BackupSession", "first")["status"]["phase"] == "Running"


def test_with_replace_the_first_is_cancelled_with_the_reason_and_the_second_runs():
    world = two_sessions("Replace")

    first = world.find("BackupSession", "first")
    assert "demo/second replaces it" in condition(first, "BackupReplaced")["message"]
    second = world.find("BackupSession", "second")
    assert first["status"]["phase"] == "Failed"
    assert condition(first, "BackupFailed")["reason"] == "Replaced"
    assert "nextRetry" not in first["status"]
    assert "second replaces it" in world.find("Snapshot", f"{REPO}-first")["status"]["components"]["dump-pod-0"]["error"]
    assert second["status"]["phase"] == "Running"
    assert world.names("Job")[-1] == "second-dump-pod-0"


def test_replace_is_about_sessions_of_one_name():
    obj = policy("Replace")
    obj["spec"]["sessions"].append({**obj["spec"]["sessions"][0], "name": "other"})
    world = ready_world(obj)
    world.add(session("first", session="other"))
    world.settle()
    world.add(session("second"))
    world.settle()

    assert world.find("BackupSession", "second")["status"]["phase"] == "Skipped"
    assert world.find("BackupSession", "first")["status"]["phase"] == "Running"


def test_the_annotation_asks_for_one_backup_at_once_and_only_once():
    obj = sample()
    obj["metadata"]["annotations"] = {"holdfast.dev/initial-backup": "true"}
    world = ready_world(obj)
    born = int(world.now.timestamp())
    assert world.names("BackupSession") == [f"{BC}-{SESSION}-{born}"]
    (told,) = world.find("BackupConfiguration", BC)["status"]["sessions"]
    assert condition({"status": told}, "InitialBackupTriggered")["status"] == "True"

    world.delete("BackupSession", f"{BC}-{SESSION}-{born}")
    world.settle()
    assert world.names("BackupSession") == []


def test_without_the_annotation_the_first_tick_makes_the_first_backup():
    assert ready_world().names("BackupSession") == []


class Listing(World):
    """Notes which BackupSessions are looked at without a label."""

    def list(
        self, kind: Kind, namespace: str | None = None, *, label: tuple[str, str] | None = None, owner: str = ""
    ) -> list[Object]:
        if kind == BACKUP_SESSION and label is None:
            self.log.append(("all", kind.kind))
        return super().list(kind, namespace, label=label, owner=owner)


def by_hand(name: str) -> Object:
    """A session as a person writes it, without labels."""
    made = session(name)
    del made["metadata"]["labels"]
    return made


def test_a_session_that_a_person_made_gets_the_label_by_which_it_is_found_and_runs():
    world = ready_world()
    world.add(by_hand("mine"))
    world.settle()

    mine = world.find("BackupSession", "mine")
    assert mine["metadata"]["labels"] == {"kubestash.com/invoker-name": BC}
    assert mine["status"]["phase"] == "Running"
    assert [item["metadata"]["name"] for item in history.sessions(BC, "demo", world)] == ["mine"]


def test_a_session_whose_label_comes_late_waits_until_the_younger_one_that_may_have_begun_is_judged():
    world = ready_world()
    world.add(session("older"))
    world.later(seconds=1)
    world.add(session("younger"))
    world.reconcile((BACKUP_SESSION, "demo", "older"))
    assert "demo/younger may have begun" in condition(world.find("BackupSession", "older"), "BackupExecutorEnsured")["message"]
    world.settle()

    assert world.find("BackupSession", "younger")["status"]["phase"] == "Skipped"
    assert world.find("BackupSession", "older")["status"]["phase"] == "Running"


def test_with_replace_an_older_session_whose_label_comes_late_is_skipped_beside_the_younger_one_that_runs():
    world = ready_world(policy("Replace"))
    older = by_hand("older")
    world.add(older)
    world.later(seconds=1)
    world.add(session("younger"))
    world.reconcile((BACKUP_SESSION, "demo", "younger"))
    world.reconcile((BACKUP_SESSION, "demo", "younger"))
    assert world.find("BackupSession", "younger")["status"]["phase"] in ("Pending", "Running")
    world.settle()

    late = world.find("BackupSession", "older")
    assert late["status"]["phase"] == "Skipped"
    assert "demo/younger is still running; it is younger" in condition(late, "BackupSkipped")["message"]
    assert world.find("BackupSession", "younger")["status"]["phase"] == "Running"


def test_no_pass_reads_the_sessions_of_other_backup_configurations():
    world = two_sessions("Allow")
    world.__class__ = Listing
    world.later(minutes=5)
    world.add(session("third"))
    world.settle()

    assert world.log == []
