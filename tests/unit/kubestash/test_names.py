"""Names are part of the API: scripts, dashboards and restores look for them."""

from datetime import UTC, datetime

from holdfast.dialects.kubestash import names

MOMENT = datetime.fromtimestamp(1705405201, UTC)


def test_a_long_snapshot_name_is_cut_in_the_middle_as_documented():
    session = names.backup_session("statefulset-volume-snapshot", "frequent-backup", MOMENT)
    assert session == "statefulset-volume-snapshot-frequent-backup-1705405201"
    assert names.snapshots(session, ["gcs-repository"]) == ("gcs-repository-statefulset-volumshot-frequent-backup-1705405201",)


def test_a_short_snapshot_name_is_whole():
    assert names.snapshots("bc-s-1705405201", ["repo"]) == ("repo-bc-s-1705405201",)


def test_two_long_repository_names_that_would_meet_end_in_hashes():
    repositories = [f"{'r' * 40}-one", f"{'r' * 40}-two"]
    one, two = names.snapshots("bc-session-1705405201", repositories)
    assert one != two
    assert len(one) <= 63
    assert len(two) <= 63


def test_a_long_backup_session_name_keeps_its_seconds():
    name = names.backup_session("b" * 60, "s" * 60, MOMENT)
    assert len(name) == 63
    assert name.endswith("-1705405201")


def test_a_cron_job_name_leaves_room_for_its_jobs():
    assert names.trigger("sample-backup-sts", "demo-session") == "trigger-sample-backup-sts-demo-session"
    assert len(names.trigger("b" * 60, "s" * 60)) <= 52


def test_the_initialising_jobs_of_a_storage_and_a_repository_of_one_name_differ():
    assert names.storage_init_job("x") != names.repository_init_job("x")


def test_a_ulid_tells_its_time_and_is_the_same_for_the_same_run():
    ulid = names.ulid(MOMENT, "seed")
    assert len(ulid) == 26
    assert ulid == names.ulid(MOMENT, "seed")
    assert ulid != names.ulid(MOMENT, "other")
    value = 0
    for digit in ulid:
        value = value * 32 + names.ULID_DIGITS.index(digit)
    assert value >> 80 == 1705405201000
