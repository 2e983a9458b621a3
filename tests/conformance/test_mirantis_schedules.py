"""ClusterBackupSchedules: when they are due, what they make, and what their status says.

Numbers in names are those of the behaviours that the specification lists.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from tests.mirantis_world import REST, ZONE, World, backup, due, etcd, pass_tick, plane, schedule, status, world

from holdfast.core.objects import Object

__all__ = ["etcd", "plane", "world"]
pytestmark = [pytest.mark.run, pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def yesterday(world: World) -> None:
    """The engine begins in the past, so that due times can be passed without running ahead of the pods' clock."""
    await world.live_at(datetime.now(UTC) - timedelta(hours=26))


async def test_07_midnight_is_that_of_the_controllers_time_zone(world: World) -> None:
    await world.apply(schedule("nightly", "0 0 * * *"))

    at = await due(world, "nightly")

    assert at.astimezone(ZoneInfo(ZONE)).strftime("%H:%M") == "00:00"
    found = await pass_tick(world, "nightly")
    assert found["attempts"]["last"]["status"] == "Completed", found["attempts"]
    assert found["attempts"]["last"]["completedAt"].endswith("Z")


async def test_09_a_run_is_counted_and_its_child_belongs_to_the_cluster(world: World) -> None:
    await world.apply(schedule("hourly", "0 * * * *"))

    seen = asyncio.create_task(
        world.wait("ClusterBackupSchedule", "hourly", lambda obj: "inProgress" in status(obj).get("attempts", {}))
    )

    found = await pass_tick(world, "hourly")

    running = status(await seen)["attempts"]
    assert running["total"] == 1
    assert running["inProgress"]["startedAt"].endswith("Z")
    assert set(found["attempts"]) == {"last", "lastSuccessful", "total"}
    assert set(found["attempts"]["last"]) == {"startedAt", "completedAt", "status"}
    assert set(found["attempts"]["lastSuccessful"]) == {"startedAt", "completedAt"}
    (child,) = await world.all("ClusterBackup")
    assert child["metadata"]["name"] == found["lastBackup"]
    cluster = await world.get("Cluster", "kaas-mgmt")
    assert [each["uid"] for each in child["metadata"]["ownerReferences"]] == [cluster["metadata"]["uid"]]


async def test_10_a_failure_after_a_success_leaves_the_success_in_sight(world: World) -> None:
    await world.apply(schedule("hourly", "0 * * * *"))
    good = await pass_tick(world, "hourly")
    broken = world.cluster()
    broken["metadata"]["annotations"]["backup.holdfast.dev/etcd"] = "https://127.0.0.1:9"
    await world.apply(broken)

    found = await pass_tick(world, "hourly", total=2)

    assert found["attempts"]["last"]["status"] == "Failed"
    assert "127.0.0.1:9" in found["attempts"]["last"]["message"]
    assert found["attempts"]["lastSuccessful"] == good["attempts"]["lastSuccessful"]


async def test_after_a_downtime_only_the_latest_tick_is_caught_up(world: World) -> None:
    await world.apply(schedule("hourly", "0 * * * *"))

    found = await pass_tick(world, "hourly", after=timedelta(hours=5, minutes=7))

    assert found["attempts"]["total"] == 1
    assert len(await world.all("ClusterBackup")) == 1
    assert datetime.fromisoformat(found["nextBackupAt"]) > world.now()


async def test_02_03_the_block_of_the_cluster_counts_as_a_whole(world: World) -> None:
    await world.apply(world.cluster(backup={"rclone": {"bucket": "test", "credential": "absent"}}))
    await world.apply(schedule("inherits", "0 * * * *"), schedule("own", "0 * * * *", nfsUploadUrl="nfs://127.0.0.1:/x"))
    await world.live_at(max([await due(world, "inherits"), await due(world, "own")]) + timedelta(seconds=1))
    for name in ("inherits", "own"):
        await world.wait("ClusterBackupSchedule", name, lambda obj: status(obj)["attempts"]["total"] == 1)

    made = {child["metadata"]["labels"]["holdfast.dev/schedule"]: child["spec"] for child in await world.all("ClusterBackup")}

    assert made["inherits"]["parameters"] == {"rclone": {"bucket": "test", "credential": "absent"}}
    assert made["own"]["parameters"] == {"nfsUploadUrl": "nfs://127.0.0.1:/x"}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (schedule("s", "*/30 * * * *"), "one hour"),
        (schedule("s", "0,59 * * * *"), "one hour"),
        (schedule("s", "@hourly"), "macro"),
        (schedule("s", "0 0 * *"), "4 fields"),
        (schedule("s", "\u201c0 * * * *"), "typographic"),
        (schedule("s", "0 * * * *", rclone={"bucket": "b", "credential": "c"}, nfsUploadUrl="nfs://h:/p"), "exclude"),
        (schedule("s", "0 * * * *", keyEncryptionKey="k"), "needs rclone or nfsUploadUrl"),
        (schedule("s", "0 * * * *", nfsUploadUrl="nfs://h/p"), "nfs://HOST:/PATH"),
        (schedule("s", "0 * * * *", rclone={"bucket": "b"}), "credential"),
    ],
)
async def test_04_05_06_what_can_not_work_is_refused(world: World, wanted: Object, said: str) -> None:
    assert said in await world.refused(wanted)


async def test_06_an_unknown_cluster_is_refused_and_a_full_hour_accepted(world: World) -> None:
    lost = schedule("lost", "0 * * * *")
    lost["spec"]["targetCluster"] = "nowhere"
    assert "Cluster default/nowhere not found" in await world.refused(lost)
    await world.apply(schedule("fine", "15 * * * *"))
    moved = schedule("fine", "15 * * * *")
    moved["spec"]["targetCluster"] = "elsewhere"
    assert "can't be changed" in await world.refused(moved)


async def test_08_deleting_the_cluster_removes_its_schedules_and_backups(world: World) -> None:
    await world.apply(schedule("hourly", "0 * * * *"), backup("one"))
    await world.wait("ClusterBackupSchedule", "hourly", lambda obj: bool(obj["metadata"].get("ownerReferences")))
    await world.ended("one")

    await world.kubectl("delete", "cluster.kaas.mirantis.com", "kaas-mgmt")

    await world.kubectl("wait", "--for=delete", "clusterbackupschedule/hourly", "clusterbackup/one", "--timeout=20s")


async def test_quotes_of_the_printed_sample_are_taken_off_with_a_warning(world: World) -> None:
    await world.apply(schedule("printed", "\u201c0 * * * *\u201d"))

    at = await due(world, "printed")

    assert at.minute == 0
    assert "TypographicQuotes" in await world.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}")


async def test_keep_last_drops_older_archives_and_their_objects(world: World) -> None:
    wanted = schedule("kept", "0 * * * *")
    wanted["metadata"]["annotations"] = {"holdfast.dev/keep-last": "1"}
    await world.apply(wanted)
    first = await pass_tick(world, "kept")
    second = await pass_tick(world, "kept", total=2)
    assert second["attempts"]["last"]["status"] == "Completed", second["attempts"]

    await world.kubectl("wait", "--for=delete", f"clusterbackup/{first['lastBackup']}", "--timeout=20s")

    (child,) = await world.all("ClusterBackup")
    assert sorted(path.name for path in world.local.iterdir()) == sorted(file["name"] for file in status(child)["files"])


async def test_a_schedule_of_this_moment_does_not_look_back(world: World) -> None:
    await world.apply(schedule("hourly", f"{(world.now() - timedelta(minutes=2)).minute} * * * *"))

    await due(world, "hourly")

    assert (await world.client.list(REST["ClusterBackup"], "default")).items == []


async def test_the_printed_sample_and_the_other_examples_are_accepted(world: World) -> None:
    folder = Path(__file__).parents[2] / "examples" / "mirantis"
    for name in ("key", "credential", "sample-schedule", "schedule-kept"):
        await world.apply((folder / f"{name}.yaml").read_text())

    at = await due(world, "test-schedule")

    assert at.minute == 0
    found = status(await world.get("ClusterBackupSchedule", "test-schedule"))
    assert found["attempts"] == {"total": 0}, "a status that a client sends is not believed"
