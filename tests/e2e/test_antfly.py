"""Antfly end to end: the samples as printed, real kubectl, real pods, and a server that speaks the documented API."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import tools
from tests.antfly_server import AntflyServer
from tests.e2e.plane import Plane, eventually

pytestmark = [pytest.mark.run, pytest.mark.timeout(180)]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "antfly"


class Production(Plane):
    """A control plane with the namespace of the samples, and an Antfly server beside it."""

    antfly: AntflyServer

    def shell(self, command: str) -> str:
        """Run a command as a reader would type it."""
        path = f"{Path(tools.kubectl()).parent}:{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": str(self.data), "KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def cluster(self) -> None:
        text = (EXAMPLES / "cluster.yaml").read_text().replace(":8080", f":{self.antfly.port}")
        assert "created" in self.kubectl("apply", "-f", "-", text=text)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return json.loads(self.kubectl("-n", "production", "get", kind, name, "-o", "json"))

    def status(self, name: str, kind: str = "antflybackup") -> dict[str, Any]:
        return self.get(kind, name).get("status") or {}

    def wait(self, what: str, condition: str, seconds: int = 40) -> None:
        said = self.kubectl("-n", "production", "wait", what, f"--for={condition}", f"--timeout={seconds}s")
        assert "condition met" in said, said + self.kubectl("-n", "production", "get", what, "-o", "yaml")

    def run_now(self, backup: str, job: str) -> dict[str, Any]:
        """Start a backup and return its record once it has ended."""
        self.shell(f"kubectl create job --from=cronjob/{backup}-cron {job} -n production")
        eventually(lambda: bool(self._ended(backup, job)), f"{job} does not end: {self.status(backup)}")
        return self._ended(backup, job)[0]

    def _ended(self, backup: str, job: str) -> list[dict[str, Any]]:
        records = self.status(backup).get("recentBackups", [])
        return [record for record in records if f"-{job}-" in record["backupId"] and record["status"] != "Running"]


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Generator[Production]:
    folder = tmp_path_factory.mktemp("antfly")
    made = Production(folder / "plane")
    server = AntflyServer(folder / "server")
    for bucket in ("my-bucket", "my-gcs-bucket"):
        server.bucket(bucket)
    for table in ("users", "transactions", "audit_log"):
        server.create(table, 5, shards=2)
    with server.serving():
        made.antfly = server
        assert made.up().returncode == 0
        made.cluster()
        yield made
        made.down()


@pytest.fixture(autouse=True)
def _well(production: Production) -> None:
    production.antfly.faults.__init__()
    production.antfly.requests.clear()


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in status["conditions"]}


def test_the_managing_commands_of_the_page_work_word_for_word(production: Production) -> None:
    production.kubectl("apply", "-f", str(EXAMPLES / "daily-backup.yaml"))
    production.wait("antflybackup/daily-backup", "jsonpath={.status.phase}=Active")

    listed = production.shell("kubectl get antflybackup -n production")
    assert listed.splitlines()[0].split() == ["NAME", "CLUSTER", "SCHEDULE", "PHASE", "LAST", "SUCCESS", "AGE"]
    assert listed.splitlines()[1].split()[:3] == ["daily-backup", "my-cluster", "0"]

    jobs = production.shell("kubectl get cronjob -l antfly.io/backup=daily-backup -n production")
    assert "daily-backup-cron" in jobs

    production.shell("""kubectl patch antflybackup daily-backup -n production \\
  --type='merge' -p='{"spec":{"suspend":true}}'""")
    production.wait("cronjob/daily-backup-cron", "jsonpath={.spec.suspend}=true")
    production.wait("antflybackup/daily-backup", "jsonpath={.status.phase}=Suspended")
    assert "nextScheduledBackup" not in production.status("daily-backup")
    production.shell("""kubectl patch antflybackup daily-backup -n production \\
  --type='merge' -p='{"spec":{"suspend":false}}'""")
    production.wait("cronjob/daily-backup-cron", "jsonpath={.spec.suspend}=false")
    production.wait("antflybackup/daily-backup", "jsonpath={.status.phase}=Active")
    assert production.status("daily-backup")["nextScheduledBackup"].endswith("T02:00:00Z")

    production.shell("""# Create a job from the CronJob
kubectl create job --from=cronjob/daily-backup-cron manual-backup-$(date +%s) -n production""")
    production.wait("antflybackup/daily-backup", "jsonpath={.status.lastSuccessfulBackup.status}=Completed")

    last = json.loads(
        production.shell("""kubectl get antflybackup daily-backup -n production \\
  -o jsonpath='{.status.lastSuccessfulBackup}'""")
    )
    assert sorted(last["tables"]) == ["audit_log", "transactions", "users"]
    assert production.antfly.asked("/backup") == [{"backup_id": last["backupId"], "location": "s3://my-bucket/antfly-backups"}]
    assert last["backupId"] in production.shell("kubectl get antflybackup daily-backup -n production -o yaml")


def test_a_backup_goes_into_a_restore_and_the_data_is_there(production: Production) -> None:
    production.kubectl("apply", "-f", str(EXAMPLES / "critical-tables.yaml"))
    production.wait("antflybackup/critical-tables-backup", "jsonpath={.status.phase}=Active")
    record = production.run_now("critical-tables-backup", "now")
    assert record["status"] == "Completed", record
    before = production.antfly.documents("users")
    production.antfly.lose("users")
    production.antfly.faults.load = 1.0

    restore = yaml.safe_load((EXAMPLES / "restore.yaml").read_text())
    restore["spec"]["source"] |= {"backupId": record["backupId"], "location": "s3://my-bucket/critical-backups"}
    restore["spec"]["restoreMode"] = "skip_if_exists"
    production.kubectl("apply", "-f", "-", text=yaml.safe_dump(restore))
    production.wait("antflyrestore/bring-back", "jsonpath={.status.startTime}")
    edit = production.kubectl(
        "-n", "production", "patch", "antflyrestore", "bring-back", "--type=merge", "-p", '{"spec":{"tables":["x"]}}'
    )
    assert "can't be changed any more" in edit
    production.wait("antflyrestore/bring-back", "jsonpath={.status.phase}=Completed")

    told = production.status("bring-back", "antflyrestore")
    assert {table["name"]: table["status"] for table in told["tables"]} == {
        "users": "Completed",
        "transactions": "Skipped",
        "audit_log": "Skipped",
    }
    assert production.antfly.documents("users") == before


def test_a_partial_backup_is_a_failure_that_names_the_table(production: Production) -> None:
    production.kubectl("apply", "-f", str(EXAMPLES / "daily-backup.yaml"))
    production.wait("antflybackup/daily-backup", "jsonpath={.status.phase}=Active")
    production.antfly.faults.tables = {"users": "shard 7 has no leader"}

    record = production.run_now("daily-backup", "partial")

    assert record["status"] == "Failed"
    assert "table users: shard 7 has no leader" in record["error"]
    assert sorted(record["tables"]) == ["audit_log", "transactions"]
    assert production.status("daily-backup")["phase"] == "Active"
    assert conditions(production.status("daily-backup"))["LastBackupSucceeded"][1] == "BackupFailed"
    assert len(production.antfly.asked("/backup")) == 1
    events = production.kubectl("-n", "production", "get", "events", "--field-selector", "reason=BackupFailed")
    assert "shard 7 has no leader" in events


def test_an_answer_that_is_lost_is_found_in_the_listing(production: Production) -> None:
    production.kubectl("apply", "-f", str(EXAMPLES / "daily-backup.yaml"))
    production.wait("antflybackup/daily-backup", "jsonpath={.status.phase}=Active")
    production.antfly.faults.hang_up = True
    production.antfly.faults.slow = 1.0

    record = production.run_now("daily-backup", "lost")

    assert record["status"] == "Completed", record
    assert len(production.antfly.asked("/backup")) == 1


@pytest.mark.parametrize("how", ["--wait=false", "--force --grace-period=0"])
def test_a_pod_that_is_killed_starts_no_twin_and_its_backup_counts(production: Production, how: str) -> None:
    production.kubectl("apply", "-f", str(EXAMPLES / "daily-backup.yaml"))
    production.wait("antflybackup/daily-backup", "jsonpath={.status.phase}=Active")
    production.antfly.faults.slow = 3.0
    job = f"killed-{len(how)}"
    production.shell(f"kubectl create job --from=cronjob/daily-backup-cron {job} -n production")
    eventually(lambda: production.antfly.running == 1, "the server is not asked")

    production.shell(f"kubectl delete pod -n production -l job-name={job} {how}")

    eventually(lambda: bool(production._ended("daily-backup", job)), f"no end: {production.status('daily-backup')}")
    assert production._ended("daily-backup", job)[0]["status"] == "Completed"
    assert len(production.antfly.asked("/backup")) == 1


def test_who_writes_and_how_the_cluster_is_stands_in_the_conditions(production: Production) -> None:
    production.kubectl("apply", "-f", str(EXAMPLES / "gcs-backup.yaml"))
    production.wait("antflybackup/gcs-backup", "jsonpath={.status.conditions[?(@.type=='ClusterReady')].status}=True")

    told = conditions(production.status("gcs-backup"))

    assert told["ClusterReady"][1] == "ClusterReady"
    assert told["ScheduleReady"][:2] == ("True", "CronJobCreated")
    assert told["ServersHaveCredentials"][:2] == ("False", "ServersUseTheirOwn")
    assert "backup-credentials" in told["ServersHaveCredentials"][2]
    assert "your-hmac-secret" not in json.dumps(production.get("antflybackup", "gcs-backup"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schedule": "@daily"}, "not a known macro"),
        ({"schedule": "not-a-cron"}, "instead of 5"),
        ({"destination": {"location": "gs://bucket"}}, "spec.destination.location"),
        ({"destination": {"location": "s3://"}}, "spec.destination.location"),
        ({"successfulJobsHistoryLimit": -1}, "greater than or equal to 0"),
    ],
)
def test_what_can_never_work_is_refused_by_name(production: Production, change: dict[str, Any], said: str) -> None:
    wanted = yaml.safe_load((EXAMPLES / "daily-backup.yaml").read_text())
    wanted["metadata"]["name"] = "wrong"
    wanted["spec"] |= change
    assert said in production.kubectl("apply", "-f", "-", text=yaml.safe_dump(wanted))


def test_a_missing_cluster_is_failed_and_heals_by_itself(production: Production) -> None:
    production.kubectl("create", "namespace", "backup-jobs")
    production.kubectl("apply", "-f", str(EXAMPLES / "cross-namespace.yaml"))
    place = ("-n", "backup-jobs")
    said = production.kubectl(
        *place, "wait", "antflybackup/prod-backup", "--for=jsonpath={.status.phase}=Failed", "--timeout=20s"
    )
    assert "condition met" in said
    status = json.loads(production.kubectl(*place, "get", "antflybackup", "prod-backup", "-o", "json"))["status"]
    assert conditions(status)["ClusterReady"][:2] == ("False", "ClusterNotFound")

    text = (EXAMPLES / "cluster.yaml").read_text().replace("my-cluster", "production-cluster")
    production.kubectl("apply", "-f", "-", text=text.replace(":8080", f":{production.antfly.port}"))

    said = production.kubectl(
        *place, "wait", "antflybackup/prod-backup", "--for=jsonpath={.status.phase}=Active", "--timeout=20s"
    )
    assert "condition met" in said
