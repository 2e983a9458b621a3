"""The parts of the demo that need no control plane: what it applies, what it reads, what it prints."""

import json
import os
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from holdfast.cli.demo import manifests, story, workplace
from holdfast.cli.demo.failure import DemoFailed
from holdfast.cli.demo.kubectl import _objects
from holdfast.cli.demo.screen import Row, progress_text, size, table
from holdfast.cli.demo.servers import S3
from holdfast.core.cron import Cron

SERVER = S3("http://127.0.0.1:1234", "KEY", "not-a-real-secret")
SCRIPTS = Path(manifests.__file__).parent / "scripts"


def test_the_configuration_is_the_sample_with_two_backends() -> None:
    sample = manifests.example("backup-configuration.yaml")[0]
    made = manifests.configuration(datetime(2026, 11, 20, 23, 30))

    assert [backend["storageRef"]["name"] for backend in made["spec"]["backends"]] == ["local-storage", "s3-storage"]
    session = made["spec"]["sessions"][0]
    assert [repository["backend"] for repository in session["repositories"]] == ["local-backend", "s3-backend"]
    for document in (made, sample):
        del document["spec"]["backends"], document["spec"]["sessions"][0]["repositories"]
        del document["spec"]["sessions"][0]["scheduler"]["schedule"]
    assert made == sample


@pytest.mark.parametrize("hour", range(24))
def test_the_schedule_does_not_fire_while_the_demo_runs(hour: int) -> None:
    now = datetime(2026, 11, 20, hour, 59).astimezone()

    schedule = manifests.configuration(now)["spec"]["sessions"][0]["scheduler"]["schedule"]

    due = Cron.parse(schedule).next_after(now)
    assert due is not None
    assert (due - now).total_seconds() > 3600


def test_keys_of_the_run_are_in_secrets_only() -> None:
    found = manifests.secrets("not-a-real-password", SERVER)

    assert [list(document["stringData"]) for document in found] == [
        ["RESTIC_PASSWORD"],
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
    ]
    assert "not-a-real" not in str([*manifests.storages(SERVER), *manifests.workload(1, 1)])
    assert "not-a-real" not in repr(SERVER)


def test_a_watch_is_cut_into_objects_wherever_the_pipe_breaks_it() -> None:
    documents = [{"kind": "PodList", "items": [{"kind": "Pod", "n": 1}, {"kind": "Pod", "n": 2}]}, {"kind": "Pod", "n": 3}]
    reading, writing = os.pipe()
    os.write(writing, "\n".join(json.dumps(document, indent=2) for document in documents).encode())
    os.close(writing)

    assert [found["n"] for found in _objects(reading)] == [1, 2, 3]
    os.close(reading)


def test_progress_reads_as_a_sentence() -> None:
    progress = {
        "totalFiles": 100,
        "filesDone": 25,
        "backupDone": "100.000 MiB",
        "total": "400.000 MiB",
        "speed": "50.000 MiB/s",
    }

    text = progress_text({"resticStats": [{"progress": progress}]})

    assert text == "25 of 100 files, 104.9 MB of 419.4 MB, 52.4 MB/s, 6 s left"
    assert progress_text({}) == ""


def test_the_table_has_a_row_for_each_snapshot() -> None:
    text = table([Row("one", 47_110, 568_600_000, 500_100_000, 10.0), Row("another", 1, 10, 0, 0.0)])

    assert [line.split() for line in text.splitlines()] == [
        ["snapshot", "files", "bytes", "added", "seconds", "MB/s"],
        ["one", "47110", "568.6", "MB", "500.1", "MB", "10.0", "57"],
        ["another", "1", "10", "B", "0", "B", "0.0", "0"],
    ]
    assert size(2_500_000_000) == "2.50 GB"


def test_a_failed_session_says_why() -> None:
    session = {
        "status": {
            "conditions": [
                {"type": "SnapshotsEnsured", "status": "True", "message": "fine"},
                {"type": "BackupExecutorEnsured", "status": "False", "message": "no executor"},
                {"type": "BackupSkipped", "status": "True", "message": "another one runs"},
            ]
        }
    }
    snapshot = {"status": {"components": {"dump": {"error": "disk full"}}}}

    assert story._why(session, [snapshot]) == "no executor; another one runs; disk full"


def test_the_workplace_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    with workplace(tmp_path, 1) as folder:
        (folder / "closed").mkdir()
        (folder / "closed" / "file").touch()
        (folder / "closed").chmod(0o000)

    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DemoFailed, match="are needed"), workplace(tmp_path, 10**18):
        pass


def test_the_scripts_notice_what_they_are_for(tmp_path: Path) -> None:
    volume, state = tmp_path / "volume", tmp_path / "state"
    folder = volume / "machine" / "1"
    folder.mkdir(parents=True)
    for number in range(120):
        (folder / str(number)).write_bytes(os.urandom(6000 if number == 3 else 100))
    script("state.sh", volume, state)
    assert "identical files=120" in script("compare.sh", volume, state)

    said = script("flip.sh", volume)

    assert "of machine/1/3" in said
    different = subprocess.run(
        ["sh", str(SCRIPTS / "compare.sh"), str(volume), str(state)], capture_output=True, text=True, check=False
    )
    assert different.returncode == 1
    assert different.stdout.startswith("different hashes:")
    assert "entries" not in different.stdout


def script(name: str, *words: Path) -> str:
    command = ["sh", str(SCRIPTS / name), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
