"""The movers of Antfly: what they ask a server, what they make of its answers, and what they never do twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from tests.antfly_server import AntflyServer
from tests.movers_builders import Run, credentials_dir, perform_call, s3_server

from holdfast.core.calls import AntflyBackup, AntflyHealth, AntflyRestore, AntflyRetention
from holdfast.core.calls import AntflyServer as Server
from holdfast.core.report import EXIT_AGAIN, MAX_REPORT_BYTES, Failure, ItemResult, Report, decode_report
from holdfast.core.run_id import JOB_NAME, JOB_UID, is_scheduled, run_id
from holdfast.movers import antfly, antfly_backup, antfly_restore, entry
from holdfast.movers.antfly import Listed
from holdfast.movers.antfly_retention import surplus
from holdfast.movers.report import encode_report

LOCATION, OWNER = "s3://my-bucket/daily", "production/daily-backup"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AntflyServer]:
    monkeypatch.setenv(JOB_NAME, "daily-backup-cron-29388480")
    monkeypatch.setenv(JOB_UID, "uid-1")
    for module, name, value in (
        (antfly, "FIRST_PAUSE", 0.02),
        (antfly_backup, "POLL", 0.05),
        (antfly_backup, "REACH_SECONDS", 0.1),
        (antfly_restore, "POLL", 0.02),
        (antfly_restore, "REACH_SECONDS", 0.1),
        (antfly_restore, "EMPTY_SECONDS", 0.3),
    ):
        monkeypatch.setattr(module, name, value)
    made = AntflyServer(tmp_path / "antfly")
    made.bucket("my-bucket")
    made.create("a", 3)
    made.create("b", 2)
    with made.serving():
        yield made


def at(server: AntflyServer, token: str = "") -> Server:
    return Server(server.url, "production/my-cluster", token)


def backup(server: AntflyServer, timeout: int = 20, **fields: object) -> AntflyBackup:
    return AntflyBackup(at(server), LOCATION, OWNER, "daily-backup-cron", timeout, **fields)  # type: ignore[arg-type]


def restore(server: AntflyServer, ident: str, mode: str = "fail_if_exists", timeout: int = 20) -> AntflyRestore:
    return AntflyRestore(at(server), LOCATION, ident, mode, timeout)


def failed(report: Report) -> Failure:
    assert report.failure is not None
    return report.failure


def test_an_id_says_what_and_when_and_is_never_that_of_another() -> None:
    ident = run_id(OWNER, "daily-backup-cron", "daily-backup-cron-29388480", "uid-1")
    assert ident.startswith("daily-backup-20251116160000-")
    assert is_scheduled(OWNER, ident)
    by_hand = run_id(OWNER, "daily-backup-cron", "by.hand", "uid-1")
    assert by_hand.startswith("daily-backup-by-hand-")
    assert not is_scheduled(OWNER, by_hand)
    others = [run_id(OWNER, "daily-backup-cron", "daily-backup-cron-29388480", "uid-2")]
    others.append(run_id("elsewhere/daily-backup", "daily-backup-cron", "daily-backup-cron-29388480", "uid-1"))
    assert len({ident, by_hand, *others}) == 4
    assert not is_scheduled("elsewhere/daily-backup", ident)
    assert not is_scheduled("production/daily", ident)


def test_a_token_is_sent_and_its_lack_is_explained(server: AntflyServer, tmp_path: Path) -> None:
    server.token = "s3cr3t-token"
    path = tmp_path / "ANTFLY_TOKEN"
    refused = failed(perform_call(backup(server)))
    assert refused.reason == "AccessDenied"
    assert "ANTFLY_TOKEN" in refused.hint
    path.write_text("s3cr3t-token\n")
    report = perform_call(msgspec.structs.replace(backup(server), server=at(server, str(path))))
    assert report.failure is None
    assert "s3cr3t" not in msgspec.json.encode(report).decode()


def test_a_server_that_is_not_there_may_be_tried_again(server: AntflyServer) -> None:
    gone = msgspec.structs.replace(backup(server), server=Server("http://127.0.0.1:9", "production/my-cluster"))
    assert failed(perform_call(gone)).again
    assert failed(perform_call(gone)).reason == "ServerUnavailable"


def test_a_reading_that_breaks_off_is_asked_again(server: AntflyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(antfly_backup, "REACH_SECONDS", 10.0)
    server.faults.lost_reads = 2
    assert perform_call(backup(server)).failure is None
    assert len(server.asked("/backup")) == 1


def test_a_server_that_answers_no_reading_was_not_asked(server: AntflyServer) -> None:
    server.faults.lost_reads = 1000
    found = failed(perform_call(backup(server)))
    assert (found.reason, found.again) == ("ServerUnavailable", True)
    assert server.asked("/backup") == []


def test_a_server_that_puts_it_off_was_not_asked(server: AntflyServer) -> None:
    server.faults.answer = 503
    assert failed(perform_call(backup(server))).again


@pytest.mark.parametrize("answer", [400, 500])
def test_a_refusal_is_final_and_has_the_servers_words(server: AntflyServer, answer: int) -> None:
    server.faults.answer = answer
    found = failed(perform_call(backup(server)))
    assert (found.reason, found.again) == ("Refused", False)
    assert "not now" in found.message


def test_the_time_for_a_backup_holds_and_no_second_one_is_started(server: AntflyServer) -> None:
    server.faults.slow = 3.0
    found = failed(perform_call(backup(server, timeout=1)))
    assert (found.reason, found.again) == ("BackupNotListed", False)
    assert len(server.asked("/backup")) == 1


def test_a_pod_that_comes_later_adopts_what_is_listed(server: AntflyServer) -> None:
    first = perform_call(backup(server))
    second = perform_call(backup(server))
    assert first.results[0].repository == second.results[0].repository
    assert second.failure is None
    assert len(server.asked("/backup")) == 1


def test_who_only_looks_never_asks(server: AntflyServer) -> None:
    looking = backup(server, timeout=1, adopt_job="daily-backup-cron-29388480", adopt_uid="uid-1")
    assert failed(perform_call(looking)).reason == "BackupNotListed"
    assert server.asked("/backup") == []
    assert perform_call(backup(server)).failure is None
    assert perform_call(looking).failure is None


def test_being_told_to_stop_ends_a_long_call_at_once(server: AntflyServer) -> None:
    server.faults.slow = 2.0
    run = Run()
    run.context.stop.set()
    assert failed(run(backup(server))).reason == "Terminated"


def test_no_table_at_all_is_no_backup(server: AntflyServer) -> None:
    server.lose("a")
    server.lose("b")
    assert failed(perform_call(backup(server))).reason == "Refused"


def test_a_manifest_that_was_not_written_is_a_failure(server: AntflyServer) -> None:
    server.faults.manifest = "no space left"
    assert "no space left" in failed(perform_call(backup(server))).message


def test_a_backup_that_is_not_there_is_named_with_those_that_are(server: AntflyServer) -> None:
    ident = perform_call(backup(server)).results[0].repository
    found = failed(perform_call(restore(server, "other")))
    assert found.reason == "BackupNotFound"
    assert ident in found.hint


def test_a_table_that_failed_stops_the_replacement_of_the_others(server: AntflyServer) -> None:
    ident = perform_call(backup(server)).results[0].repository
    server.put("b", "later", 1)
    server.faults.restores = {"a": "shard lost"}
    report = perform_call(restore(server, ident, "overwrite"))
    assert "table a: shard lost" in failed(report).message
    assert [(item.name, item.status) for item in report.items] == [("a", "Failed"), ("b", "Failed")]
    assert "later" in server.documents("b")
    assert not failed(report).again


def test_a_table_that_stays_empty_is_not_completed(server: AntflyServer) -> None:
    ident = perform_call(backup(server)).results[0].repository
    server.lose("a")
    server.faults.never_loads = ("a",)
    report = perform_call(restore(server, ident, "skip_if_exists", timeout=1))
    assert {item.name: item.status for item in report.items} == {"a": "Failed", "b": "Skipped"}


def test_a_restore_waits_until_the_data_is_there(server: AntflyServer) -> None:
    ident = perform_call(backup(server)).results[0].repository
    server.lose("a")
    server.faults.load = 0.5
    run = Run()
    assert run(restore(server, ident, "skip_if_exists")).failure is None
    assert len(server.documents("a")) == 3
    assert [each.files_done for each in run.progress if each.repository == "a"][-1] == 1


def test_health_is_the_servers_own_word(server: AntflyServer) -> None:
    assert perform_call(AntflyHealth(at(server))).failure is None
    server.faults.health = "degraded"
    assert "one store is down" in failed(perform_call(AntflyHealth(at(server)))).message


def test_a_report_of_many_tables_keeps_those_that_failed() -> None:
    good = [ItemResult(f"table-with-a-long-name-{number}", "Completed") for number in range(300)]
    report = Report("antfly-backup", (), Failure("PartialBackup", "one"), (*good, ItemResult("bad", "Failed", "no leader")))
    data = encode_report(report)
    kept = decode_report(data.decode())
    assert len(data) <= MAX_REPORT_BYTES
    assert kept is not None
    assert kept.items[-1] == ItemResult("bad", "Failed", "no leader")
    assert len(kept.items) + kept.more == 301


def test_a_failure_that_may_be_tried_again_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    call = AntflyHealth(Server("http://127.0.0.1:9", "production/my-cluster"))
    monkeypatch.setattr("holdfast.movers.antfly_health.PATIENCE", 0.05)
    envelope = {"mover": call.MOVER, "arguments": msgspec.to_builtins(call)}
    monkeypatch.setenv(entry.CALL_VARIABLE, json.dumps(envelope))
    assert entry.main(["run"]) == EXIT_AGAIN


def listed(*days: int) -> list[Listed]:
    found: list[Listed] = []
    for day in days:
        minutes = int(datetime(2026, 11, day, 2, tzinfo=UTC).timestamp()) // 60
        ident = run_id(OWNER, "daily-backup-cron", f"daily-backup-cron-{minutes}", f"uid-{day}")
        found.append(Listed(ident, f"2026-11-{day:02}T02:00:00Z", ("a",), LOCATION))
    return found


def rules(last: int = 0, days: int = 0, spared: tuple[str, ...] = ()) -> AntflyRetention:
    return AntflyRetention(Server("http://x", "p/c"), LOCATION, OWNER, "/x", last, days * 86400, spared)


NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_retention_counts_ages_spares_and_never_takes_the_last_one() -> None:
    have = listed(17, 18, 19, 20, 21)
    names = [each.backup_id for each in have]

    def gone(call: AntflyRetention, found: list[Listed] | None = None) -> list[str]:
        return [each.backup_id for each in surplus(have if found is None else found, call, NOW)]

    assert gone(rules(last=2)) == names[:3]
    assert gone(rules(days=2)) == names[:3]
    assert gone(rules(last=4, days=1)) == names[:1]
    assert gone(rules(last=1, spared=(names[0],))) == names[1:4]
    assert gone(rules(days=1), listed(1)) == []
    foreign = [Listed("daily-backup-by-hand-0123456789ab", "2020-01-01T00:00:00Z"), Listed("other", "2020-01-01T00:00:00Z")]
    assert gone(rules(last=1), [*foreign, *listed(21)]) == []
    assert gone(rules(last=1), [msgspec.structs.replace(have[0], timestamp="?"), have[4]]) == []


def test_retention_deletes_every_file_of_a_backup_and_no_other(
    server: AntflyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    for number in range(3):
        monkeypatch.setenv(JOB_UID, f"uid-{number}")
        made.append(perform_call(backup(server)).results[0].repository)
    folder = server.folder / "s3/my-bucket/daily"
    (folder / "notes.txt").write_text("mine")
    keys = Path(credentials_dir(tmp_path))
    with s3_server(server.folder / "s3") as endpoint:
        (keys / "AWS_ENDPOINT_URL").write_text(endpoint)
        call = AntflyRetention(at(server), LOCATION, OWNER, str(keys), keep_last=1)
        report = perform_call(call)

    assert report.failure is None
    assert sorted(report.results[0].deleted) == sorted(made[:2])
    left = {path.name for path in folder.iterdir()}
    assert "notes.txt" in left
    assert len(left) == 1 + 1 + 2 + 2, left
    assert all(made[2] in name for name in left - {"notes.txt"})
    assert perform_call(restore(server, made[2], "overwrite")).failure is None
