"""What a user meets when something is wrong with a backup: a reason in the object, and a repository that stays clean."""

import json
import os
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import tools
from tests.e2e.plane import Plane, eventually

pytestmark = [pytest.mark.run, pytest.mark.timeout(180)]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "kubestash"
CONFIGURATION, CLAIM = "sample-backup-sts", "source-data-sample-sts-0"


class Demo(Plane):
    """The KubeStash sample of examples/kubestash on a control plane."""

    def install(self) -> None:
        for name in ("namespace", "secrets", "sample-sts", "retention-policy", "storage-local", "backup-configuration"):
            self.create((EXAMPLES / f"{name}.yaml").read_text().replace("*/5 * * * *", "0 3 29 2 *"))
        self.wait(f"backupconfiguration/{CONFIGURATION}", "jsonpath={.status.phase}=Ready")

    def create(self, text: str, verb: str = "apply") -> str:
        return self.kubectl("-n", "demo", verb, "-o", "name", "-f", "-", text=text).strip()

    def wait(self, what: str, condition: str) -> None:
        said = self.kubectl("-n", "demo", "wait", what, f"--for={condition}", "--timeout=60s")
        assert "condition met" in said, said + json.dumps(self.status(what))

    def status(self, what: str) -> dict[str, Any]:
        return json.loads(self.kubectl("-n", "demo", "get", what, "-o", "json")).get("status") or {}

    def start_backup(self) -> str:
        return self.create((EXAMPLES / "backup-session.yaml").read_text(), "create")

    def ended(self, session: str) -> dict[str, Any]:
        eventually(lambda: self.status(session).get("phase") in ("Succeeded", "Failed", "Skipped"), f"{session} does not end")
        return self.status(session)

    def folder(self, claim: str) -> Path:
        volume = self.kubectl("-n", "demo", "get", "pvc", claim, "-o", "jsonpath={.spec.volumeName}")
        return self.data / "volumes" / volume

    def password(self, text: str) -> None:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "encrypt-secret", "namespace": "demo"},
            "stringData": {"RESTIC_PASSWORD": text},
        }
        self.create(yaml.safe_dump(secret))

    def check(self, password: str) -> None:
        """Let stock restic read every byte of the repository."""
        (config,) = self.folder("backup-store").rglob("config")
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.data), "RESTIC_PASSWORD": password}
        command = [tools.restic(), "-r", str(config.parent), "--no-cache", "check", "--read-data"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def demo(tmp_path: Path) -> Generator[Demo]:
    made = Demo(tmp_path / "plane")
    assert made.up().returncode == 0
    made.install()
    yield made
    made.down()


def reasons(status: dict[str, Any]) -> dict[str, str]:
    return {each["reason"]: each["message"] for each in status["conditions"]}


def test_a_kill_in_the_middle_of_a_backup_ends_it_with_a_reason_and_the_next_one_succeeds(demo: Demo) -> None:
    with (demo.folder(CLAIM) / "large").open("wb") as file:
        for _ in range(60):
            file.write(os.urandom(10 << 20))
    session = demo.start_backup()
    progress = "jsonpath={.items[*].status.components.*.resticStats[*].progress.percentDone}"
    eventually(lambda: "%" in demo.kubectl("-n", "demo", "get", "snapshots", "-o", progress), "no progress is seen")

    os.kill(demo.pid_of("up"), signal.SIGKILL)
    demo.outlive_nobody()
    assert demo.up().returncode == 0

    ended = demo.ended(session)
    assert ended["phase"] == "Failed"
    assert "NodeRestarted" in reasons(ended)
    again = demo.start_backup()
    assert demo.ended(again)["phase"] == "Succeeded"
    demo.check("not-a-real-password")


def test_a_wrong_password_is_named_and_harms_nothing(demo: Demo) -> None:
    assert demo.ended(demo.start_backup())["phase"] == "Succeeded"
    demo.password("something else")

    ended = demo.ended(demo.start_backup())

    assert ended["phase"] == "Failed"
    assert "check the encryption secret" in reasons(ended)["WrongPassword"]
    assert "something else" not in json.dumps(ended)
    demo.password("not-a-real-password")
    assert demo.ended(demo.start_backup())["phase"] == "Succeeded"
    demo.check("not-a-real-password")


def test_an_endpoint_that_does_not_answer_is_named_in_the_storage(demo: Demo) -> None:
    document = yaml.safe_load((EXAMPLES / "storage-s3.yaml").read_text())
    document["spec"]["storage"]["s3"]["endpoint"] = "http://127.0.0.1:9"
    storage = demo.create(yaml.safe_dump(document))

    demo.wait(storage, "jsonpath={.status.conditions[?(@.type=='BackendInitialized')].status}=False")

    status = demo.status(storage)
    assert status["phase"] == "NotReady"
    assert "http://127.0.0.1:9" in reasons(status)["BackendInitializationFailed"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("schedule:", "shcedule:", 'unknown field "spec.sessions[0].scheduler.shcedule"'),
        ("'*/5 * * * *'", "'61 * * * *'", "minute '61' is outside of 0-59"),
        ("backend: gcs-backend", "backend: nowhere", "nowhere"),
        ("paths: /source/data", "pahts: /source/data", "pahts"),
    ],
)
def test_a_wrong_manifest_is_refused_and_the_last_good_one_stays(demo: Demo, before: str, after: str, said: str) -> None:
    text = (EXAMPLES / "backup-configuration.yaml").read_text()
    assert before in text

    answer = demo.create(text.replace(before, after))

    assert said in answer
    assert demo.status(f"backupconfiguration/{CONFIGURATION}")["phase"] == "Ready"
