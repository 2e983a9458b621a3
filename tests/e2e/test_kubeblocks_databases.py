"""MariaDB and Redis under write load: the shipped action sets back them up and bring them back with the rows of their time."""

import asyncio

import pytest

from tests.kubeblocks_examples import ask, comes_back, completed, ended, installed, load, with_repository
from tests.kubeblocks_world import World, thing, world

__all__ = ["world"]
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

CLIENT = 'mariadb --no-defaults -h 127.0.0.1 -u "$ADMIN" -N -B'
TABLE = "create database shop; create table shop.lines (id int auto_increment primary key, word varchar(20))"
WRITE = f"while :; do echo \"insert into shop.lines (word) values ('w');\"; sleep 0.01; done | {CLIENT} --unbuffered"
TAKEN = {"full": "full", "inc1": "incremental", "inc2": "incremental", "dump": "dump", "snap": "snapshot"}
ROWS = "select count(*), max(id) from shop.lines"
COUNT = "while :; do printf 'multi\\nincr first\\nincr second\\nexec\\n'; sleep 0.01; done | redis-cli >/dev/null"


async def sql(world: World, pod: str, statement: str) -> str:
    return await ask(world, pod, f'{CLIENT} -e "{statement}"')


async def newest(world: World) -> int:
    return int(await sql(world, "mariadb-0", "select max(id) from shop.lines"))


async def test_mariadb_comes_back_from_a_chain_a_dump_and_a_snapshot(world: World) -> None:
    await with_repository(world)
    policy, *_ = await installed(world, "mariadb")
    await world.apply(policy)
    await sql(world, "mariadb-0", TABLE)
    bounds: dict[str, tuple[int, int]] = {}
    async with load(world, "mariadb-0", WRITE):
        for name, method in TAKEN.items():
            await sql(world, "mariadb-0", f"insert into shop.lines (word) values ('{name}')")
            first = await newest(world)
            await completed(world, name, "mariadb", method)
            bounds[name] = (first, await newest(world))
    await sql(world, "mariadb-0", "drop table shop.lines")

    chain = await comes_back(world, "mariadb", "inc2", "chain")
    await comes_back(world, "mariadb", "snap", "shot")

    assert [action["backupName"] for action in chain["actions"]["prepareData"]] == ["full", "inc1", "inc2"]
    await whole(world, "chain-0", bounds["inc2"])
    await whole(world, "shot-0", bounds["snap"])
    assert await sql(world, "chain-0", "select word from shop.lines where word <> 'w'") == "full\ninc1\ninc2"

    await into_a_running_server(world)
    await whole(world, "mariadb-0", bounds["dump"])


async def into_a_running_server(world: World) -> None:
    """Restore the dump into the server that has lost its table."""
    selector = {"matchLabels": {"app.kubernetes.io/instance": "mariadb"}}
    login = {"secretName": "mariadb-login"}
    ready = {"jobAction": {"target": {"podSelector": selector}}, "connectionCredential": login}
    source = {"name": "dump", "namespace": "default"}
    await world.apply(thing("Restore", "dump", backup=source, readyConfig=ready))
    found = await ended(world, "Restore", "dump")
    assert found["phase"] == "Completed", found["conditions"]


async def whole(world: World, pod: str, bounds: tuple[int, int]) -> None:
    """No row is missing, and the last one is of the time of the backup."""
    count, last = map(int, (await sql(world, pod, ROWS)).split())
    assert count == last, "rows are missing"
    assert bounds[0] <= last <= bounds[1], f"restored up to row {last}, the backup was taken between {bounds}"


async def test_redis_comes_back_with_both_of_its_counters(world: World) -> None:
    await with_repository(world)
    policy, *_ = await installed(world, "redis")
    await world.apply(policy)
    async with load(world, "redis-0", COUNT):
        await asyncio.sleep(0.5)
        first = int(await ask(world, "redis-0", "redis-cli get first"))
        await completed(world, "counted", "redis", "rdb")
        last = int(await ask(world, "redis-0", "redis-cli get first"))
    await ask(world, "redis-0", "redis-cli flushall")

    await comes_back(world, "redis", "counted", "counters")

    answer = await ask(world, "counters-0", "redis-cli mget first second")
    one, two = map(int, answer.split())
    assert one == two, "half a transaction was restored"
    assert first <= one <= last
