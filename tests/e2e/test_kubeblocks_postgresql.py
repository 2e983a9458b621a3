"""PostgreSQL under write load: the shipped action sets back it up and bring it back as it was at a given second."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.kubeblocks_examples import ask, comes_back, completed, installed, load, with_repository
from tests.kubeblocks_world import World, status, world

__all__ = ["world"]

PROGRAMS = 'PATH="$PATH:$(echo /usr/lib/postgresql/*/bin)"'
WRITE = (
    f'{PROGRAMS} exec psql -h 127.0.0.1 -U postgres -q -c "select 1" -f <(echo "insert into rows default values \\watch 0.02")'
)
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def sql(world: World, pod: str, statement: str) -> str:
    """Run SQL inside a pod and return what it prints."""
    return await ask(world, pod, f'{PROGRAMS} exec psql -h 127.0.0.1 -U postgres -qtA -c "{statement}"')


async def test_a_database_comes_back_as_it_was_at_a_given_second(world: World) -> None:
    await with_repository(world)
    policy, schedule = await installed(world, "postgresql")
    for method in policy["spec"]["backupMethods"]:
        method["env"].append({"name": "ARCHIVE_SECONDS", "value": "0.5"})
    await world.apply(policy)
    await sql(world, "pg-0", "create table rows (id serial primary key, at timestamptz default clock_timestamp())")
    async with load(world, "pg-0", WRITE):
        await world.apply(schedule)
        log = await backups_of(world, "log")
        await world.wait("Backup", log, lambda obj: "timeRange" in status(obj))
        await completed(world, "base", "pg", "full")
        await asyncio.sleep(2)
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        await world.wait("Backup", log, lambda obj: status(obj).get("timeRange", {}).get("end", "") > moment)
        last = int(await sql(world, "pg-0", f"select max(id) from rows where at <= '{moment}'"))

    await sql(world, "pg-0", "drop table rows")

    found = await comes_back(world, "postgresql", log, "again", restoreTime=moment)
    assert [action["backupName"] for action in found["actions"]["prepareData"]] == ["base", log]
    async with asyncio.timeout(30):  # it answers as soon as it is consistent, while it still reads its log
        while await sql(world, "again-0", "select pg_is_in_recovery()") != "f":  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
    count, newest = (await sql(world, "again-0", "select count(*), max(id) from rows")).split("|")

    assert int(count) == int(newest), "rows are missing"
    assert abs(int(newest) - last) <= 1, f"restored up to row {newest}, the last one of {moment} was {last}"
    assert await sql(world, "again-0", f"select count(*) from rows where at > '{moment}'") == "0"


async def backups_of(world: World, method: str) -> str:
    """Wait for a Backup of a method, and return its name."""
    answer = ""
    async with asyncio.timeout(20):
        while not answer:
            label = f"dataprotection.kubeblocks.io/backup-method={method}"
            answer = await world.kubectl("get", "backups", "-l", label, "-o", "jsonpath={.items[*].metadata.name}")
            await asyncio.sleep(0.1)
    return answer
