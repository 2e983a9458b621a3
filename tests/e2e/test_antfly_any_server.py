"""What we ask of any Antfly server, by its address alone: no look behind the documented HTTP API, nothing but its answers.

`HOLDFAST_TEST_ANTFLY=http://host:port` names a real server. It must have the tables of `HOLDFAST_TEST_ANTFLY_TABLES` (two at
least, comma-separated; they are backed up and REPLACED by what was backed up) and may write to `HOLDFAST_TEST_ANTFLY_LOCATION`;
`HOLDFAST_TEST_ANTFLY_TOKEN_FILE` holds its token, if it wants one. Without them the stand-in runs as a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from urllib.parse import quote
from urllib.request import Request, urlopen

import msgspec
import pytest

from holdfast.core.calls import AntflyBackup, AntflyHealth, AntflyRestore, AntflyServer
from holdfast.core.report import Report
from holdfast.core.run_id import JOB_NAME, JOB_UID
from tests.e2e.plane import Plane, eventually
from tests.movers_builders import perform_call

pytestmark = [pytest.mark.run, pytest.mark.timeout(600 if os.environ.get("HOLDFAST_TEST_ANTFLY") else 180)]
ROOT = Path(__file__).resolve().parents[2]
OWNER, CRON_JOB, SECONDS = "holdfast-test/any", "any-cron", 300


class Place(msgspec.Struct, frozen=True):
    """A server, where it may write, and tables that it has."""

    server: AntflyServer
    location: str
    tables: tuple[str, ...]

    def backup(self, *tables: str) -> Report:
        return perform_call(AntflyBackup(self.server, self.location, OWNER, CRON_JOB, SECONDS, tables or self.tables))

    def restore(self, ident: str, mode: str) -> Report:
        return perform_call(AntflyRestore(self.server, self.location, ident, mode, SECONDS, self.tables))

    def ask(self, path: str) -> object:
        """Read from the server without any code of ours."""
        token = Path(self.server.token_file).read_text().strip() if self.server.token_file else ""
        request = Request(f"{self.server.url}/db/v1{path}", headers={"Authorization": f"Bearer {token}"} if token else {})
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def listed(self) -> dict[str, set[str]]:
        """Return the tables of each backup by its id."""
        answer = cast(
            "dict[str, list[dict[str, object]] | None]", self.ask(f"/backups?location={quote(self.location, safe='')}")
        )
        return {str(each["backup_id"]): set(cast("list[str]", each["tables"])) for each in answer["backups"] or []}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if url := os.environ.get("HOLDFAST_TEST_ANTFLY"):
        location = os.environ.get("HOLDFAST_TEST_ANTFLY_LOCATION", "s3://holdfast-test/antfly")
        tables = tuple(os.environ["HOLDFAST_TEST_ANTFLY_TABLES"].split(","))
        token = os.environ.get("HOLDFAST_TEST_ANTFLY_TOKEN_FILE", "")
        yield Place(AntflyServer(url.rstrip("/"), "holdfast-test/any", token), location, tables)
        return
    command = [sys.executable, "-m", "tests.antfly_server", str(tmp_path_factory.mktemp("antfly")), "--bucket", "holdfast-test"]
    command += ["--table", "users=5", "--table", "orders=3"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            yield Place(AntflyServer(url, "holdfast-test/any"), "s3://holdfast-test/antfly", ("users", "orders"))
        finally:
            process.terminate()


@pytest.fixture(autouse=True)
def _run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is a run of its own: its backup ids belong to no other."""
    monkeypatch.setenv(JOB_NAME, f"any-{uuid.uuid4().hex[:8]}")
    monkeypatch.setenv(JOB_UID, str(uuid.uuid4()))


@pytest.fixture(scope="module")
def stored(place: Place) -> str:
    """The id of a backup of every table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(JOB_NAME, "any-stored")
        patch.setenv(JOB_UID, str(uuid.uuid4()))
        report = place.backup()
    assert report.failure is None, report.failure
    return report.results[0].repository


def reason(report: Report) -> str:
    assert report.failure is not None, report
    return report.failure.reason


def test_the_server_says_that_it_is_healthy(place: Place) -> None:
    assert perform_call(AntflyHealth(place.server)).failure is None


def test_a_backup_is_listed_under_the_id_that_we_report_with_every_table(place: Place, stored: str) -> None:
    assert place.listed()[stored] == set(place.tables)


def test_a_backup_of_one_table_holds_that_table_alone(place: Place) -> None:
    report = place.backup(place.tables[0])
    assert report.failure is None, report.failure
    assert place.listed()[report.results[0].repository] == {place.tables[0]}


def test_a_pod_that_comes_again_finds_the_backup_and_starts_no_twin(place: Place) -> None:
    first = place.backup()
    count = len(place.listed())
    second = place.backup()
    assert (first.failure, second.failure) == (None, None)
    assert first.results[0].repository == second.results[0].repository
    assert len(place.listed()) == count


def test_a_table_that_is_not_there_makes_the_backup_fail_by_name(place: Place) -> None:
    report = place.backup(place.tables[0], "holdfast-no-such-table")
    assert report.failure is not None
    assert "holdfast-no-such-table" in report.failure.message


def test_a_table_that_exists_is_not_touched_unless_that_is_asked_for(place: Place, stored: str) -> None:
    before = place.ask(f"/tables/{place.tables[0]}")
    assert reason(place.restore(stored, "fail_if_exists")) == "TablesExist"
    skipped = place.restore(stored, "skip_if_exists")
    assert skipped.failure is None, skipped.failure
    assert {item.status for item in skipped.items} == {"Skipped"}
    assert place.ask(f"/tables/{place.tables[0]}") == before


def test_overwrite_brings_every_table_back_with_its_data(place: Place, stored: str) -> None:
    begun = time.monotonic()
    report = place.restore(stored, "overwrite")
    took = time.monotonic() - begun
    assert report.failure is None, report.failure
    assert {item.name: item.status for item in report.items} == dict.fromkeys(place.tables, "Completed")
    for name in place.tables:
        shown = cast("dict[str, dict[str, object]]", place.ask(f"/tables/{name}"))
        assert not shown["storage_status"]["empty"], f"{name} is empty after {took:.1f} s"


def test_a_backup_that_is_not_there_is_refused_before_anything_is_dropped(place: Place) -> None:
    before = place.ask("/tables")
    assert place.restore("holdfast-no-such-backup", "overwrite").failure is not None
    assert place.ask("/tables") == before


def test_manifests_alone_make_a_backup_and_bring_it_back(place: Place, tmp_path: Path) -> None:
    """From `kubectl apply` to the server and back, with nothing known of the server but its address."""
    plane = Plane(tmp_path / "plane")
    assert plane.up().returncode == 0
    try:
        plane.kubectl("create", "namespace", "holdfast-test")
        plane.kubectl("apply", "-f", "-", text=json.dumps(_manifests(place)))
        plane.kubectl(
            "-n", "holdfast-test", "wait", "antflybackup/any", "--for=jsonpath={.status.phase}=Active", "--timeout=30s"
        )
        plane.kubectl("-n", "holdfast-test", "create", "job", "--from=cronjob/any-cron", "now")
        told = plane.kubectl(
            "-n",
            "holdfast-test",
            "wait",
            "antflybackup/any",
            "--timeout=60s",
            "--for=jsonpath={.status.lastSuccessfulBackup.backupId}",
        )
        assert "condition met" in told, plane.kubectl("-n", "holdfast-test", "get", "antflybackup", "any", "-o", "yaml")
        last = json.loads(plane.kubectl("-n", "holdfast-test", "get", "antflybackup", "any", "-o", "json"))["status"]
        ident = last["lastSuccessfulBackup"]["backupId"]
        assert place.listed()[ident] == set(place.tables)

        plane.kubectl("apply", "-f", "-", text=json.dumps(_restore(place, ident)))

        def phase() -> str:
            return plane.kubectl("-n", "holdfast-test", "get", "antflyrestore", "back", "-o", "jsonpath={.status.phase}")

        eventually(lambda: phase() in ("Completed", "Failed"), "the restore does not end", SECONDS)
        assert phase() == "Completed"
    finally:
        plane.down()


def _manifests(place: Place) -> dict[str, object]:
    meta = {"name": "any", "namespace": "holdfast-test"}
    url = place.server.url.replace("127.0.0.1", "host.holdfast.internal")
    destination: dict[str, object] = {"location": place.location}
    items: list[object] = []
    if place.server.token_file:
        token = Path(place.server.token_file).read_text().strip()
        items.append({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"ANTFLY_TOKEN": token}})
        destination["credentialsSecret"] = {"name": "any"}
    cluster = {"metadata": {**meta, "annotations": {"holdfast.dev/antfly-endpoint": url}}, "spec": {"image": "antfly/antfly"}}
    spec = {"clusterRef": {"name": "any"}, "schedule": "0 2 1 1 *", "tables": list(place.tables), "destination": destination}
    items.append({"apiVersion": "antfly.io/v1", "kind": "AntflyCluster", **cluster})
    items.append({"apiVersion": "antfly.io/v1", "kind": "AntflyBackup", "metadata": meta, "spec": spec})
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _restore(place: Place, ident: str) -> dict[str, object]:
    source: dict[str, object] = {"backupId": ident, "location": place.location}
    if place.server.token_file:
        source["credentialsSecret"] = {"name": "any"}
    spec = {"clusterRef": {"name": "any"}, "source": source, "restoreMode": "overwrite"}
    meta = {"name": "back", "namespace": "holdfast-test"}
    return {"apiVersion": "antfly.io/v1", "kind": "AntflyRestore", "metadata": meta, "spec": spec}
