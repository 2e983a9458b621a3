"""kill -9 of the server under concurrent writers: what was acknowledged is there after the restart.

`make soak` makes it four runs of some 9,000 acknowledged writes each, `make test` one of 800.
"""

import asyncio
import signal
import sqlite3
import sys
from pathlib import Path

import aiohttp
import pytest
from tests.api_samples import config_map
from tests.embedded_fixture import Http, http_client
from tests.soak.scale import KILLS

from holdfast.embedded.apiserver.server import ApiServer

pytestmark = [pytest.mark.api, pytest.mark.own]

RUNS, OBJECTS = (4, 4400) if KILLS else (1, 400)
"""How often, and after how many objects that were each created and changed, the server is killed."""

MAPS = "/api/v1/namespaces/default/configmaps"

SERVER = """
import asyncio, sys
from pathlib import Path
from holdfast.embedded.apiserver.server import ApiServer

async def main():
    server = ApiServer(Path(sys.argv[1]))
    await server.start()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def _start(data_dir: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, str(data_dir), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"ready\n"
    return process


async def _write_until_dead(client: Http, worker: int, acknowledged: dict[str, str]) -> None:
    """Create and update until the server is gone; keep the revision of the last acknowledged write of each object."""
    at = 0
    while True:
        name = f"w{worker}-{at}"
        try:
            made = await client.ok("POST", MAPS, config_map(name, x="1"))
            acknowledged[name] = made["metadata"]["resourceVersion"]
            changed = await client.patch(f"{MAPS}/{name}", {"data": {"x": "2"}})
            acknowledged[name] = changed.body["metadata"]["resourceVersion"]
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            return
        at += 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("run", range(RUNS))
async def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path, run: int):
    data_dir = tmp_path / "api"
    process = await _start(data_dir)
    acknowledged: dict[str, str] = {}
    server = ApiServer(data_dir)
    server.port = int((data_dir / "apiserver.port").read_text())
    async with http_client(server) as client:
        writers = [asyncio.create_task(_write_until_dead(client, worker, acknowledged)) for worker in range(8)]
        async with asyncio.timeout(200):
            while len(acknowledged) < OBJECTS:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        await asyncio.gather(*writers)
    await process.wait()
    await server.start()
    try:
        async with http_client(server) as client:
            listed = await client.ok("GET", MAPS)
        held = {item["metadata"]["name"]: int(item["metadata"]["resourceVersion"]) for item in listed["items"]}
        lost = [name for name, revision in acknowledged.items() if held.get(name, 0) < int(revision)]
        assert lost == []
        print(f"run {run}: {len(acknowledged)} objects, each created and changed, all there after kill -9")
        assert int(listed["metadata"]["resourceVersion"]) >= max(held.values())
    finally:
        await server.stop()
    with sqlite3.connect(data_dir / "state.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
