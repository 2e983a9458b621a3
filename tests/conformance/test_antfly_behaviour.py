"""The fifteen behaviours of the Antfly API, one test each, in their order; where page and old code differ, the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.antfly_server import AntflyServer
from tests.conformance.antfly_world import (
    BACKUPS,
    CLUSTERS,
    NAMESPACE,
    RESTORES,
    AntflyWorld,
    antfly_world,
    backup,
    call_of,
    carried_out,
    restore,
)

from holdfast.cli.apiserver import admission
from holdfast.cli.dialects import handlers
from holdfast.core.calls import AntflyBackup, AntflyRestore, AntflyRetention, Call
from holdfast.core.calls import AntflyServer as Server
from holdfast.core.report import Failure
from holdfast.core.run_id import JOB_NAME, JOB_UID
from holdfast.embedded.apiserver.server import ApiServer
from holdfast.kube.builtin import CRONJOBS, JOBS
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.kube.errors import ApiError
from holdfast.movers import antfly_restore

pytestmark = pytest.mark.api
LOCATION = "s3://my-bucket/antfly-backups"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AntflyWorld]:
    server = ApiServer(tmp_path / "data", admission=admission(handlers()))
    await server.start()
    try:
        async with (
            Client(load_kubeconfig(server.kubeconfig_path), field_manager="test") as client,
            antfly_world(client) as made,
        ):
            yield made
    finally:
        await server.stop()


@pytest.fixture
def antfly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AntflyServer]:
    monkeypatch.setenv(JOB_NAME, "daily-backup-cron-29388480")
    monkeypatch.setenv(JOB_UID, "uid-1")
    made = AntflyServer(tmp_path / "antfly")
    made.bucket("my-bucket")
    made.create("a", 3, shards=2)
    made.create("b", 2)
    with made.serving():
        yield made


def asked(server: AntflyServer, **fields: Any) -> AntflyBackup:
    at = Server(server.url, "production/my-cluster")
    given = {"location": LOCATION, "owner": "production/daily-backup", "cron_job": "daily-backup-cron", "timeout": 30}
    return AntflyBackup(at, **(given | fields))


def wanted(server: AntflyServer, ident: str, mode: str, **fields: Any) -> AntflyRestore:
    return AntflyRestore(Server(server.url, "production/my-cluster"), LOCATION, ident, mode, 20, **fields)


def reasons(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}


async def test_01_a_valid_spec_has_an_owned_cronjob_with_the_documented_settings(world: AntflyWorld) -> None:
    await world.cluster()
    made = await world.client.create(BACKUPS, backup())
    status = await world.phase("Active")

    cron = await world.cron_job(status["cronJobName"])
    assert status["cronJobName"] == "daily-backup-cron"
    assert cron["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    spec = cron["spec"]
    assert (spec["concurrencyPolicy"], spec["startingDeadlineSeconds"]) == ("Forbid", 10800)
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 1)
    job = spec["jobTemplate"]["spec"]
    assert (job["activeDeadlineSeconds"], job["backoffLimit"]) == (3600, 3)
    assert job["template"]["spec"]["containers"][0]["image"] == "holdfast:test"
    for labels in (
        cron["metadata"]["labels"],
        spec["jobTemplate"]["metadata"]["labels"],
        job["template"]["metadata"]["labels"],
    ):
        assert labels["antfly.io/backup"] == "daily-backup"


async def test_02_suspend_reaches_the_cronjob_and_the_phase_both_ways(world: AntflyWorld) -> None:
    await world.cluster()
    await world.client.create(BACKUPS, backup(suspend=True))
    await world.phase("Suspended")
    assert (await world.cron_job())["spec"]["suspend"] is True
    await world.client.merge_patch(BACKUPS, "daily-backup", NAMESPACE, {"spec": {"suspend": False}})
    assert (await world.phase("Active"))["nextScheduledBackup"].endswith("T02:00:00Z")
    assert (await world.cron_job())["spec"]["suspend"] is False


@pytest.mark.parametrize("schedule", ["not-a-cron", "@daily", "0 2 * * * *", "60 2 * * *", "0 2 * * 7", "TZ=UTC 0 2 * * *"])
async def test_03_a_schedule_that_is_none_is_refused(world: AntflyWorld, schedule: str) -> None:
    assert "spec.schedule" in await world.refused(backup(schedule=schedule))


@pytest.mark.parametrize("location", ["gs://b", "s3://", "s3:///path", "file://relative", ""])
async def test_04_a_location_that_is_none_is_refused(world: AntflyWorld, location: str) -> None:
    assert "spec.destination.location" in await world.refused(backup(destination={"location": location}))


@pytest.mark.parametrize("other", [{"name": "other"}, {"name": "my-cluster", "namespace": "elsewhere"}])
async def test_05_the_cluster_stays_and_other_edits_reach_the_cronjob(world: AntflyWorld, other: dict[str, str]) -> None:
    await world.cluster()
    await world.client.create(BACKUPS, backup())
    await world.phase("Active")
    with pytest.raises(ApiError, match="can't be changed"):
        await world.client.merge_patch(BACKUPS, "daily-backup", NAMESPACE, {"spec": {"clusterRef": other}})
    spelled_out = {"spec": {"clusterRef": {"namespace": NAMESPACE}, "schedule": "5 4 * * *"}}
    await world.client.merge_patch(BACKUPS, "daily-backup", NAMESPACE, spelled_out)
    await world.until(lambda status: status["nextScheduledBackup"].endswith("T04:05:00Z"))
    assert (await world.cron_job())["spec"]["schedule"] == "5 4 * * *"


async def test_06_a_missing_cluster_is_failed_with_its_reason_and_heals(world: AntflyWorld) -> None:
    await world.client.create(BACKUPS, backup())
    status = await world.phase("Failed")
    assert reasons(status)["ClusterReady"] == ("False", "ClusterNotFound")
    assert "cronJobName" not in status
    await world.cluster()
    healed = await world.phase("Active")
    assert reasons(healed)["ClusterReady"][0] != "False"
    assert reasons(healed)["ScheduleReady"] == ("True", "CronJobCreated")


async def test_07_what_was_made_wrong_without_admission_recovers_when_it_is_corrected(tmp_path: Path) -> None:
    server = ApiServer(tmp_path / "data")
    await server.start()
    async with Client(load_kubeconfig(server.kubeconfig_path), field_manager="test") as client, antfly_world(client) as world:
        await world.cluster()
        await client.create(BACKUPS, backup(schedule="@daily"))
        assert reasons(await world.phase("Failed"))["ScheduleReady"] == ("False", "InvalidSchedule")
        await client.merge_patch(BACKUPS, "daily-backup", NAMESPACE, {"spec": {"schedule": "0 3 * * *"}})
        await world.phase("Active")
        wrong = {"spec": {"destination": {"location": "s3:///nowhere"}}}
        await client.merge_patch(BACKUPS, "daily-backup", NAMESPACE, wrong)
        assert reasons(await world.phase("Failed"))["ScheduleReady"] == ("False", "InvalidDestination")
    await server.stop()


@pytest.mark.parametrize("odd", ["it's", "$(reboot)", "a;b", 'say "hi"', "a,b"])
async def test_08_odd_characters_reach_the_server_as_they_are(world: AntflyWorld, antfly: AntflyServer, odd: str) -> None:
    antfly.create(odd.replace("/", ""), 1)
    await world.cluster()
    await world.client.create(BACKUPS, backup(tables=[odd], destination={"location": f"{LOCATION}/{odd}"}))
    await world.phase("Active")

    report = carried_out(call_of(await world.cron_job()), antfly)

    assert report.failure is None
    (body,) = antfly.asked("/backup")
    assert (body["table_names"], body["location"]) == ([odd], f"{LOCATION}/{odd}")


async def test_09_tables_are_asked_for_by_name_and_all_of_them_by_none(world: AntflyWorld, antfly: AntflyServer) -> None:
    await world.cluster()
    await world.client.create(BACKUPS, backup(tables=["a", "b"]))
    await world.client.create(BACKUPS, backup("everything"))
    await world.phase("Active")
    await world.phase("Active", "everything")
    for name in ("daily-backup-cron", "everything-cron"):
        assert carried_out(call_of(await world.cron_job(name)), antfly).failure is None
    first, second = antfly.asked("/backup")
    assert first["table_names"] == ["a", "b"]
    assert "table_names" not in second


async def test_10_the_last_good_backup_is_the_newest_complete_one_by_hand_or_not(world: AntflyWorld) -> None:
    await world.cluster()
    await world.client.create(BACKUPS, backup())
    await world.phase("Active")
    await world.start("daily-backup-cron-29388480", due="2026-11-20T02:00:00Z")
    running = await world.until(lambda status: status.get("recentBackups"))
    assert running["recentBackups"][0]["status"] == "Running"
    await world.end("daily-backup-cron-29388480", "a", "b", at="2026-11-20T02:00:09Z")
    await world.start("by-hand")
    await world.end("by-hand", "a", at="2026-11-20T05:00:00Z")
    await world.start("failed-later")
    why = Failure("PartialBackup", "1 of 2 tables are missing: table b: no leader")
    await world.end("failed-later", "a", failed=("b",), at="2026-11-20T06:00:00Z", failure=why)

    status = await world.until(lambda status: sum(each["status"] != "Running" for each in status["recentBackups"]) == 3)

    last = status["lastSuccessfulBackup"]
    assert last["backupId"].startswith("daily-backup-by-hand-")
    assert (last["tables"], last["completionTime"]) == (["a"], "2026-11-20T05:00:00Z")
    assert [each["status"] for each in status["recentBackups"]] == ["Failed", "Completed", "Completed"]
    assert status["recentBackups"][0]["error"] == why.message
    assert status["lastScheduledTime"] == "2026-11-20T02:00:00Z"
    assert reasons(status)["LastBackupSucceeded"] == ("False", "BackupFailed")
    for job in ("by-hand", "failed-later"):
        await world.client.delete(JOBS, job, NAMESPACE)
    await world.client.merge_patch(BACKUPS, "daily-backup", NAMESPACE, {"spec": {"schedule": "0 9 * * *"}})
    later = await world.until(lambda status: status["nextScheduledBackup"].endswith("T09:00:00Z"))
    assert later["recentBackups"] == status["recentBackups"]
    assert later["lastSuccessfulBackup"] == last


async def test_11_the_timeout_is_the_deadline_of_the_job(world: AntflyWorld) -> None:
    await world.cluster()
    await world.client.create(BACKUPS, backup(backupTimeout="30m", successfulJobsHistoryLimit=24))
    await world.phase("Active")
    spec = (await world.cron_job())["spec"]
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 1800
    assert spec["successfulJobsHistoryLimit"] == 24


def test_12_a_backup_is_listed_with_a_manifest_and_files_for_each_table_and_shard(antfly: AntflyServer) -> None:
    report = carried_out(asked(antfly), antfly)

    ident = report.results[0].repository
    stored = {path.name for path in (antfly.folder / "s3/my-bucket/antfly-backups").iterdir()}
    assert {f"{ident}-cluster-metadata.json", f"a-{ident}-metadata.json", f"b-{ident}-metadata.json"} <= stored
    assert len([name for name in stored if name.endswith(".afb")]) == 3
    assert [item.status for item in report.items] == ["Completed", "Completed"]
    assert any(each["path"] == "/db/v1/backups" for each in antfly.requests)


def test_13_a_table_that_fails_makes_the_backup_fail_by_name(antfly: AntflyServer) -> None:
    antfly.faults.tables = {"b": "no leader"}
    report = carried_out(asked(antfly), antfly)
    assert report.failure is not None
    assert (report.failure.reason, report.failure.again) == ("PartialBackup", False)
    assert "table b: no leader" in report.failure.message
    assert [(item.name, item.status) for item in report.items] == [("a", "Completed"), ("b", "Failed")]


def test_14_the_three_modes_of_a_restore(antfly: AntflyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(antfly_restore, "POLL", 0.02)
    ident = carried_out(asked(antfly), antfly).results[0].repository
    before = antfly.documents("a")
    antfly.put("a", "later", 1)
    antfly.lose("b")

    failing = carried_out(wanted(antfly, ident, "fail_if_exists"), antfly)
    assert failing.failure is not None
    assert failing.failure.reason == "TablesExist"
    assert antfly.names() == ["a"], "nothing may be begun when one table exists"
    assert antfly.asked("/restore") == []

    skipping = carried_out(wanted(antfly, ident, "skip_if_exists"), antfly)
    assert skipping.failure is None
    assert {item.name: item.status for item in skipping.items} == {"a": "Skipped", "b": "Completed"}
    assert "later" in antfly.documents("a")

    replacing = carried_out(wanted(antfly, ident, "overwrite"), antfly)
    assert replacing.failure is None
    assert antfly.documents("a") == before
    assert [body["table_names"] for body in antfly.asked("/restore")[1:]] == [["a"], ["b"]]


async def test_15_a_restore_that_has_begun_is_settled_and_its_end_takes_the_job(world: AntflyWorld) -> None:
    await world.client.create(RESTORES, restore(restoreTimeout="10m"))
    waiting = await world.phase("Pending", "bring-back", RESTORES)
    assert reasons(waiting)["ClusterReady"] == ("False", "ClusterNotFound")
    await world.cluster()
    status = await world.phase("Running", "bring-back", RESTORES)
    job = await world.client.get(JOBS, status["jobName"], NAMESPACE)
    assert job["spec"]["activeDeadlineSeconds"] == 600
    assert job["metadata"]["labels"]["antfly.io/restore"] == "bring-back"
    with pytest.raises(ApiError, match="has begun"):
        await world.client.merge_patch(RESTORES, "bring-back", NAMESPACE, {"spec": {"tables": ["a"]}})
    await world.client.merge_patch(RESTORES, "bring-back", NAMESPACE, {"metadata": {"labels": {"mine": "yes"}}})
    owner = await world.client.get(RESTORES, "bring-back", NAMESPACE)
    assert [each["uid"] for each in job["metadata"]["ownerReferences"]] == [owner["metadata"]["uid"]]


async def test_a_cluster_that_goes_lets_the_schedule_rest(world: AntflyWorld) -> None:
    await world.cluster()
    await world.client.create(BACKUPS, backup())
    await world.phase("Active")
    await world.client.delete(CLUSTERS, "my-cluster", NAMESPACE)
    await world.phase("Failed")
    assert (await world.cron_job())["spec"]["suspend"] is True
    await world.cluster()
    await world.phase("Active")
    assert (await world.cron_job())["spec"]["suspend"] is False


async def test_a_cronjob_of_somebody_else_is_left_alone_and_named(world: AntflyWorld) -> None:
    await world.cluster()
    pod = {"restartPolicy": "Never", "containers": [{"name": "x", "image": "x"}]}
    spec = {"schedule": "0 1 * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    await world.client.create(CRONJOBS, {"metadata": {"name": "daily-backup-cron", "namespace": NAMESPACE}, "spec": spec})
    await world.client.create(BACKUPS, backup())
    assert reasons(await world.phase("Failed"))["ScheduleReady"] == ("False", "CronJobFailed")
    assert (await world.cron_job())["spec"]["schedule"] == "0 1 * * *"


async def test_old_backups_go_after_a_good_one_only_when_annotations_say_so(world: AntflyWorld) -> None:
    await world.cluster()
    await world.client.create(BACKUPS, backup())
    await world.phase("Active")
    await world.start("one")
    await world.end("one", "a", at="2026-11-20T02:00:09Z")
    good = (await world.until(lambda status: "lastSuccessfulBackup" in status))["lastSuccessfulBackup"]["backupId"]
    assert await retention_calls(world) == []

    await world.client.create(RESTORES, restore())
    rules = {"holdfast.dev/keep-last": "3", "holdfast.dev/keep-for": "30d"}
    await world.client.merge_patch(BACKUPS, "daily-backup", NAMESPACE, {"metadata": {"annotations": rules}})
    async with asyncio.timeout(10):
        while not (found := await retention_calls(world)):  # noqa: ASYNC110 - the engine writes it
            await asyncio.sleep(0.02)

    (call,) = found
    assert isinstance(call, AntflyRetention)
    assert (call.keep_last, call.keep_seconds, call.owner) == (3, 30 * 86400, "production/daily-backup")
    assert set(call.spared) == {good, "daily-backup-20261121020000-1a2b3c4d"}
    await world.start("two")
    await world.end("two", "a", at="2026-11-21T02:00:09Z")
    await world.until(lambda status: status["lastSuccessfulBackup"]["backupId"] != good)
    assert await retention_calls(world) == found, "the deletion that has not ended is the only one"
    wrong = {"metadata": {"annotations": {"holdfast.dev/keep-last": "few"}}}
    await world.client.merge_patch(BACKUPS, "daily-backup", NAMESPACE, wrong)
    assert reasons(await world.phase("Failed"))["ScheduleReady"] == ("False", "ValidationFailed")


async def retention_calls(world: AntflyWorld) -> list[Call]:
    label = "holdfast.dev/mover=antfly-retention"
    return [call_of(job) for job in (await world.client.list(JOBS, NAMESPACE, label_selector=label)).items]
