"""PostgreSQL under write load: the shipped action sets back it up and bring it back as it was at a given second."""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.core.objects import Object, kind_of
from holdfast.kube.builtin import PODS
from tests.kubeblocks_world import World, repo, status, thing, world

__all__ = ["world"]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples/kubeblocks"
OWNER = {"name": "DATA_OWNER", "value": "65534:65534"}
pytestmark = pytest.mark.asyncio(loop_scope="module")


def example(name: str) -> list[Object]:
    return [document for document in yaml.safe_load_all((EXAMPLES / name).read_text()) if document]


def restored_server(claim: str) -> list[Object]:
    """The same server under another name, on a claim that a Restore has filled."""
    found: list[Object] = []
    for document in example("postgresql-server.yaml"):
        if kind_of(document).kind == "StatefulSet":
            text = (
                yaml.safe_dump(document).replace("name: pg\n", "name: again\n").replace("instance: pg\n", "instance: again\n")
            )
            made: Object = yaml.safe_load(text)
            made["spec"].pop("volumeClaimTemplates")
            made["spec"]["template"]["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
            found.append(made)
    return found


async def sql(world: World, pod: str, statement: str) -> str:
    """Run SQL inside a pod and return what it prints."""
    heard: list[bytes] = []
    command = f'PATH="$PATH:$(echo /usr/lib/postgresql/*/bin)" exec psql -h 127.0.0.1 -U postgres -qtA -c "{statement}"'
    ended = await world.client.exec(pod, "default", ["bash", "-c", command], output=lambda _, data: heard.append(data))
    assert ended.code == 0, b"".join(heard)
    return b"".join(heard).decode().strip()


async def serves(world: World, pod: str) -> None:
    def ready(found: Object) -> bool:
        statuses: list[Mapping[str, Any]] = found.get("status", {}).get("containerStatuses") or []
        return bool(statuses) and all(each["ready"] for each in statuses)

    await world.until(PODS, pod, ready)


async def write_on(world: World) -> None:
    """Insert a row every 20 ms until cancelled."""
    command = (
        'PATH="$PATH:$(echo /usr/lib/postgresql/*/bin)" exec psql -h 127.0.0.1 -U postgres -q'
        ' -c "select 1" -f <(echo "insert into rows default values \\watch 0.02")'
    )
    await world.client.exec("pg-0", "default", ["bash", "-c", command])


async def test_a_database_comes_back_as_it_was_at_a_given_second(world: World) -> None:
    await world.apply(repo("volume", default=True, config={"accessMode": "ReadWriteMany"}, volumeCapacity="2Gi"))
    await world.phase("BackupRepo", "volume", "Ready")
    for document in [*example("postgresql-actionset.yaml"), *example("postgresql-server.yaml")]:
        await world.apply(document)
    policy, schedule = example("postgresql-policy.yaml")
    for method in policy["spec"]["backupMethods"]:
        method["env"] = [{"name": "ARCHIVE_SECONDS", "value": "0.5"}, OWNER]
    await world.apply(policy)
    await serves(world, "pg-0")
    await sql(world, "pg-0", "create table rows (id serial primary key, at timestamptz default clock_timestamp())")
    load = asyncio.create_task(write_on(world))
    try:
        await world.apply(schedule)
        log = await backups_of(world, "log")
        await world.wait("Backup", log, lambda obj: "timeRange" in status(obj))
        await world.apply(thing("Backup", "base", backupPolicyName="pg", backupMethod="full"))
        base = await world.phase("Backup", "base", "Completed", "Failed")
        assert base["phase"] == "Completed", base["failureReason"]
        await asyncio.sleep(2)
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        await world.wait("Backup", log, lambda obj: status(obj).get("timeRange", {}).get("end", "") > moment)
        last = int(await sql(world, "pg-0", f"select max(id) from rows where at <= '{moment}'"))
        await sql(world, "pg-0", "drop table rows")
    finally:
        load.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await load

    claim = {
        "metadata": {"name": "again"},
        "volumeSource": "data",
        "volumeClaimSpec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    config = {"volumeClaims": [claim], "volumeClaimRestorePolicy": "Parallel"}
    source = {"name": log, "namespace": "default"}
    await world.apply(thing("Restore", "again", backup=source, restoreTime=moment, prepareDataConfig=config))
    found = await world.phase("Restore", "again", "Completed", "Failed")
    assert found["phase"] == "Completed", found["conditions"]
    assert [action["backupName"] for action in found["actions"]["prepareData"]] == ["base", log]
    for document in restored_server("again"):
        await world.apply(document)
    await serves(world, "again-0")
    count, newest = (await sql(world, "again-0", "select count(*), max(id) from rows")).split("|")

    assert int(count) == int(newest), "rows are missing"
    assert abs(int(newest) - last) <= 1, f"restored up to row {newest}, the last one of {moment} was {last}"
    assert await sql(world, "again-0", f"select count(*) from rows where at > '{moment}'") == "0"
    assert (await sql(world, "pg-0", "select to_regclass('rows') is null")) == "t"


async def backups_of(world: World, method: str) -> str:
    """Wait for a Backup of a method, and return its name."""
    answer = ""
    async with asyncio.timeout(20):
        while not answer:
            label = f"dataprotection.kubeblocks.io/backup-method={method}"
            answer = await world.kubectl("get", "backups", "-l", label, "-o", "jsonpath={.items[*].metadata.name}")
            await asyncio.sleep(0.1)
    return answer
