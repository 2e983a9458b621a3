"""The console script as a Job starts it: the call in the environment, a report at the end, an exit code that fits."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.movers_builders import password_file, repository, source, volume_backup

from holdfast.core.calls import CALLS, StorageInit, StorageTarget, VolumeBackup
from holdfast.core.plan import SecretFiles, Step
from holdfast.core.report import MAX_REPORT_BYTES, Failure, Progress, Report, RepositoryResult, decode_progress, decode_report
from holdfast.movers.entry import CALL_VARIABLE, PROGRAMS, main
from holdfast.movers.fills import movers
from holdfast.movers.report import ProgressWriter, encode_report, write_report
from holdfast.movers.trigger import moment

MOVER = str(Path(sys.executable).parent / "holdfast-mover")


def start(call: StorageInit | VolumeBackup) -> "subprocess.Popen[str]":
    body = msgspec.json.encode({"mover": call.MOVER, "arguments": call.call().arguments}).decode()
    return subprocess.Popen(
        [MOVER, "run"], env={CALL_VARIABLE: body}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_script_carries_out_its_call(tmp_path: Path) -> None:
    done = start(StorageInit(StorageTarget(str(tmp_path / "store")), {"kind": "BackendMeta"}))

    out, _ = done.communicate(timeout=30)

    assert done.returncode == 0
    assert "initialised" in out
    assert (tmp_path / "store" / "metadata.yaml").is_file()


def test_a_failure_is_an_exit_code_and_a_line_of_log(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = start(StorageInit(StorageTarget(str(tmp_path / "file" / "x")), {}))

    out, _ = done.communicate(timeout=30)

    assert done.returncode == 1
    assert "failed: NoFolder" in out


@pytest.mark.parametrize("call", ["", "{", '{"mover": "unheard-of", "arguments": {}}', '{"mover": "wipe", "arguments": {}}'])
def test_what_is_no_call_is_refused(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CALL_VARIABLE, call)

    assert main(["run"]) == 2


def test_termination_in_the_middle_ends_with_a_report_and_no_lock(tmp_path: Path) -> None:
    data, target = source(tmp_path), repository(tmp_path)
    for number in range(40):
        (data / f"big{number}").write_bytes(os.urandom(4 << 20))
    running = start(volume_backup(target, paths=[data]))
    assert running.stdout is not None
    for line in running.stdout:
        if decode_progress(line.encode()):
            break
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=30)

    report = next(found for line in out.splitlines() if (found := decode_report(line)))
    assert running.returncode == 1
    assert report.failure is not None
    assert report.failure.reason == "Terminated"
    assert list((tmp_path / "store" / "repo" / "locks").iterdir()) == []


def test_every_call_has_its_program_and_its_mover() -> None:
    assert set(PROGRAMS) == set(CALLS) == set(movers())


def test_a_fill_mounts_secrets_and_never_holds_one(tmp_path: Path) -> None:
    call = volume_backup(repository(tmp_path), paths=[tmp_path]).call((SecretFiles("encryption-repo", "encrypt-secret"),))

    fill = movers()["volume-backup"].fill(Step(name="dump", child={}, mover=call))

    assert fill.command == ("holdfast-mover", "run")
    assert json.loads(fill.env[CALL_VARIABLE])["mover"] == "volume-backup"
    assert Path(password_file(tmp_path)).read_text() not in str(fill)
    assert {"name": "holdfast-secret-0", "mountPath": "/holdfast/secrets/encryption-repo", "readOnly": True} in fill.mounts
    assert {"name": "holdfast-tmp", "mountPath": "/tmp"} in fill.mounts
    assert [volume["name"] for volume in fill.volumes] == ["holdfast-tmp", "holdfast-secret-0"]


def test_a_report_always_fits_and_keeps_its_ids() -> None:
    ids = tuple(f"{number:064x}" for number in range(20))
    results = tuple(
        RepositoryResult(f"repository-{number}", "dump-pod-0", ids, failure=Failure("Reason", "x" * 3000, "y" * 3000))
        for number in range(2)
    )

    data = encode_report(Report("volume-backup", results, results[0].failure))

    assert len(data) <= MAX_REPORT_BYTES
    report = decode_report(data.decode())
    assert report is not None
    assert [result.snapshot_ids for result in report.results] == [ids, ids]
    assert report.failure is not None
    assert report.failure.reason == "Reason"


def test_a_report_that_can_not_fit_is_a_failure_and_not_cut() -> None:
    results = tuple(RepositoryResult(f"repository-{number}", snapshot_ids=(f"{number:064x}",) * 9) for number in range(9))

    report = decode_report(encode_report(Report("volume-backup", results)).decode())

    assert report is not None
    assert report.failure is not None
    assert report.failure.reason == "ReportTooLong"


def test_deleted_snapshots_are_cut_from_the_end() -> None:
    names = tuple(f"snapshot-with-a-rather-long-name-{number:030}" for number in range(200))

    report = decode_report(encode_report(Report("retention", (RepositoryResult("repo", deleted=names),))).decode())

    assert report is not None
    assert report.failure is None
    assert report.results[0].deleted == names[: len(report.results[0].deleted)]
    assert len(report.results[0].deleted) >= 20


def test_the_report_is_the_termination_message(tmp_path: Path) -> None:
    (tmp_path / "termination-log").write_text("something longer that was there before, and must not show through at all")
    write_report(Report("trigger"), tmp_path / "termination-log")

    assert decode_report((tmp_path / "termination-log").read_text()) == Report("trigger")


def test_progress_is_throttled_per_repository_and_its_last_line_is_kept() -> None:
    out, clock = io.StringIO(), iter([0.0, 0.1, 0.1, 0.2, 0.7])
    writer = ProgressWriter(out, now=lambda: next(clock))
    writer(Progress("a", files_done=1))
    writer(Progress("a", files_done=2))
    writer(Progress("b", files_done=1))
    writer(Progress("b", files_done=2))
    writer(Progress("a", files_done=3))
    writer.flush()

    lines = [decode_progress(line.encode()) for line in out.getvalue().splitlines()]
    assert [(line.repository, line.files_done) for line in lines if line] == [("a", 1), ("b", 1), ("a", 3), ("b", 2)]


def test_two_pods_of_one_tick_name_one_session() -> None:
    tick = 1_795_000_020
    job = f"trigger-sample-backup-sts-demo-session-{tick // 60}"

    assert moment(f"{job}-abc12", tick + 3.0) == moment(f"{job}-zz9zz", tick + 40.0) == tick // 60 * 60


def test_a_job_made_by_hand_uses_the_present_second() -> None:
    assert moment("try-it-x7k2p", 1_795_000_020.9) == 1_795_000_020
    assert moment("job-12345678-x7k2p", 1_795_000_020.9) == 1_795_000_020
