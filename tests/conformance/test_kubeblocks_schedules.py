"""BackupSchedules of KubeBlocks: their CronJobs as documented, the Backups these make, and what the status tells of them."""

from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio
from tests.kubeblocks_world import GROUP, REST, World, status, thing, world

from holdfast.core.objects import Object
from holdfast.kube.builtin import CRONJOBS, ROLEBINDINGS
from holdfast.kube.errors import NotFound

__all__ = ["world"]
pytestmark = [pytest.mark.run, pytest.mark.timeout(60), pytest.mark.asyncio(loop_scope="module")]

JOB = {"image": "holdfast:test", "command": ["true"]}
NEVER = "0 0 29 2 1"


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def policy(world: World) -> None:
    target = {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "shop"}}}
    methods = [{"name": name, "actionSetName": name} for name in ("dump", "log")]
    await world.apply(
        thing("ActionSet", "dump", backup={"backupData": JOB}),
        thing("ActionSet", "log", backupType="Continuous", backup={"backupData": JOB}),
        thing("BackupPolicy", "shop", backupMethods=methods, target=target, backoffLimit=1),
    )
    await world.phase("BackupPolicy", "shop", "Available")


def schedule(name: str, *entries: Object, **spec: Any) -> Object:
    return thing("BackupSchedule", name, backupPolicyName="shop", schedules=list(entries), **spec)


def entry(method: str = "dump", *, cron: str = NEVER, enabled: bool | None = True, **more: Any) -> Object:
    given = {"backupMethod": method, "cronExpression": cron, **more}
    return given if enabled is None else {**given, "enabled": enabled}


async def cron_jobs(world: World, name: str) -> dict[str, Object]:
    """Return the CronJobs of a schedule by their entry's part of the name."""
    found = await world.client.list(CRONJOBS, "default", label_selector=f"{GROUP}/backup-schedule={name}")
    return {each["metadata"]["name"].rpartition("-")[2]: each for each in found.items}


def annotated(obj: Object) -> Object:
    """Return a Backup or schedule as the tests make it by hand: nobody acts on it."""
    obj["metadata"]["annotations"] = {f"{GROUP}/skip-reconciliation": "true"}
    return obj


async def test_20_an_enabled_entry_has_the_documented_cron_job(world: World) -> None:
    await world.apply(schedule("daily", entry(retentionPeriod="30d"), startingDeadlineMinutes=5))
    found = await world.phase("BackupSchedule", "daily", "Available")
    assert found["schedules"] == {"dump": {"phase": "Running"}}

    made = (await cron_jobs(world, "daily"))["dump"]
    own = await world.client.get(REST["BackupSchedule"], "daily", "default")
    assert made["metadata"]["name"].startswith(own["metadata"]["uid"][:8] + "-daily")
    assert made["metadata"]["labels"][f"{GROUP}/backup-method"] == "dump"
    assert made["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "kubeblocks-dataprotection"
    spec = made["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["startingDeadlineSeconds"]) == (NEVER, "UTC", 300)
    assert (spec["concurrencyPolicy"], spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == ("Forbid", 0, 1)
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 1
    assert pod["serviceAccountName"] == "kubeblocks-dataprotection-worker"
    assert pod["containers"][0]["name"] == "backup-schedule"
    binding = await world.client.get(ROLEBINDINGS, "kubeblocks-dataprotection-worker-rolebinding", "default")
    assert binding["roleRef"]["name"] == "kubeblocks-dataprotection-worker-role"
    assert own["metadata"]["labels"][f"{GROUP}/backup-policy"] == "shop"


@pytest.mark.parametrize("enabled", [False, None], ids=["disabled", "absent"])
async def test_20_an_entry_that_is_not_enabled_has_no_cron_job_and_the_schedule_is_available(
    world: World, enabled: bool | None
) -> None:
    name = f"off-{str(enabled).lower()}"
    await world.apply(schedule(name, entry(enabled=enabled)))
    found = await world.phase("BackupSchedule", name, "Available")
    assert found["schedules"] == {"dump": {}}
    assert await cron_jobs(world, name) == {}


async def test_disabled_removed_and_renamed_entries_lose_their_cron_jobs(world: World) -> None:
    await world.apply(schedule("moving", entry(name="one"), entry(name="two"), entry(name="three")))
    await world.phase("BackupSchedule", "moving", "Available")
    made = await cron_jobs(world, "moving")
    assert set(made) == {"one", "two", "three"}

    await world.apply(schedule("moving", entry(name="one", enabled=False), entry(name="renamed"), entry(name="three")))
    for old in ("one", "two"):
        await world.gone(CRONJOBS, made[old]["metadata"]["name"])
    await world.wait(
        "BackupSchedule", "moving", lambda obj: set(status(obj).get("schedules") or {}) == {"one", "renamed", "three"}
    )
    assert set(await cron_jobs(world, "moving")) == {"renamed", "three"}


async def test_a_tick_makes_one_backup_with_the_entrys_settings(world: World) -> None:
    await world.apply(schedule("fires", entry(retentionPeriod="2w"), entry(name="often", enabled=False)))
    await world.phase("BackupSchedule", "fires", "Available")
    name = (await cron_jobs(world, "fires"))["dump"]["metadata"]["name"]
    await world.kubectl("create", "job", f"--from=cronjob/{name}", "by-hand")
    told = await world.wait("BackupSchedule", "fires", lambda obj: "lastScheduleTime" in status(obj)["schedules"]["dump"])
    assert status(told)["schedules"]["often"] == {}

    label = f"{GROUP}/backup-schedule=fires"
    (backup,) = (await world.client.list(REST["Backup"], "default", label_selector=label)).items
    assert backup["metadata"]["name"].startswith("shop-dump-")
    datetime.strptime(backup["metadata"]["name"].rpartition("-")[2], "%Y%m%d%H%M%S")
    assert backup["metadata"]["labels"][f"{GROUP}/autobackup"] == "true"
    assert backup["spec"]["retentionPeriod"] == "2w"
    assert (backup["spec"]["backupPolicyName"], backup["spec"]["backupMethod"]) == ("shop", "dump")


async def test_the_status_tells_how_the_latest_backup_of_each_entry_went(world: World) -> None:
    await world.apply(schedule("told", entry()))
    await world.phase("BackupSchedule", "told", "Available")
    labels = {f"{GROUP}/backup-schedule": "told", f"{GROUP}/backup-method": "dump"}

    async def backup(name: str, **found: str) -> None:
        made = thing("Backup", name, labels=labels, backupPolicyName="shop", backupMethod="dump")
        await world.client.create(REST["Backup"], annotated(made))
        await world.client.merge_patch(REST["Backup"], name, "default", {"status": found}, subresource="status")

    await backup("good", phase="Completed", completionTimestamp="2026-11-20T00:05:00Z")
    found = await world.wait("BackupSchedule", "told", lambda obj: "lastSuccessfulTime" in status(obj)["schedules"]["dump"])
    assert status(found)["schedules"]["dump"]["phase"] == "Running"
    assert status(found)["schedules"]["dump"]["lastSuccessfulTime"] == "2026-11-20T00:05:00Z"

    await world.client.delete(REST["Backup"], "good", "default")
    await backup("zbad", phase="Failed", failureReason="the disk is full", completionTimestamp="2026-11-21T00:05:00Z")
    failed = await world.wait("BackupSchedule", "told", lambda obj: status(obj)["schedules"]["dump"].get("phase") == "Failed")
    told = status(failed)["schedules"]["dump"]
    assert told["failureReason"] == "Backup zbad: the disk is full"
    assert told["lastSuccessfulTime"] == "2026-11-20T00:05:00Z", "a time that was seen stays when its Backup is gone"


async def test_a_continuous_method_has_one_backup_instead_of_a_cron_job(world: World) -> None:
    await world.apply(schedule("stream", entry("log", cron="*/5 * * * *", enabled=None, retentionPeriod="3d")))
    await world.phase("BackupSchedule", "stream", "Available")
    label = f"{GROUP}/backup-schedule=stream"
    (backup,) = (await world.client.list(REST["Backup"], "default", label_selector=label)).items
    assert backup["metadata"]["name"].endswith("-log")
    assert backup["metadata"]["annotations"]["holdfast.dev/archive-interval"] == "300s"
    assert await cron_jobs(world, "stream") == {}

    await world.apply(schedule("stream", entry("log", cron="*/5 * * * *", retentionPeriod="9d")))
    await world.until(REST["Backup"], backup["metadata"]["name"], lambda obj: obj["spec"]["retentionPeriod"] == "9d")


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (schedule("bad-cron", entry(cron="61 * * * *")), "spec.schedules[0].cronExpression"),
        (schedule("empty"), "should have at least 1 items"),
        (schedule("twins", entry(), entry()), "dump is the name of two entries"),
        (schedule("sums", entry(retentionPeriod="7d7d")), "names a unit twice"),
        (schedule("late", entry(), startingDeadlineMinutes=1441), "spec.startingDeadlineMinutes"),
    ],
    ids=lambda value: value["metadata"]["name"] if isinstance(value, dict) else "",
)
async def test_20_a_schedule_that_cant_be_meant_is_refused(world: World, obj: Object, expected: str) -> None:
    assert expected in await world.refused(obj)


async def test_a_method_that_is_not_in_the_policy_fails_the_schedule_until_it_is(world: World) -> None:
    await world.apply(schedule("early", entry("weekly")))
    found = await world.phase("BackupSchedule", "early", "Failed")
    assert found["failureReason"] == "spec.schedules[0].backupMethod: weekly is no method of BackupPolicy shop"
    other = thing("BackupSchedule", "orphan", backupPolicyName="nobody", schedules=[entry()])
    await world.apply(other)
    assert "BackupPolicy default/nobody not found" in (await world.phase("BackupSchedule", "orphan", "Failed"))["failureReason"]


async def test_deleting_a_schedule_removes_its_cron_jobs(world: World) -> None:
    await world.apply(schedule("leaves", entry()))
    await world.phase("BackupSchedule", "leaves", "Available")
    (made,) = (await cron_jobs(world, "leaves")).values()
    await world.client.delete(REST["BackupSchedule"], "leaves", "default")
    await world.gone(CRONJOBS, made["metadata"]["name"])
    with pytest.raises(NotFound):
        await world.client.get(REST["BackupSchedule"], "leaves", "default")
