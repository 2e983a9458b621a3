"""The CloudCasa REST API: reads and writes a second, and lists over 100,000 jobs.

    python -m benchmarks.bench_rest [--jobs 100000] [--seconds 5]

API server, REST server and this load generator are processes of their own, so two cores are shared by three. Times are those of
the client, TLS and keep-alive included.
"""

import argparse
import asyncio
import contextlib
import json
import random
import ssl
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp

from holdfast.cli.children import Child
from holdfast.cli.datadir import DataDir
from holdfast.cli.install import install
from holdfast.dialects.cloudcasa.kinds import API_VERSION, KUBEJOB, ORGANIZATION, derived_id, local_cluster_id
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.rest.app import ensure_organization
from holdfast.rest.state import RESOURCES

STATES = ("COMPLETED", "FAILED", "PARTIAL", "SKIPPED", "CANCELLED")
LISTS = {
    "state, newest first": {"where": {"state": "FAILED"}, "sort": "-start_time"},
    "state and type": {"where": {"state": {"$nin": ["COMPLETED", "FAILED"]}, "type": "KUBE_OFFLOAD"}, "sort": "-start_time"},
    "a day, page 20": {"where": {"start_time": {"$gt": 50_000, "$lt": 60_000}}, "sort": "start_time", "page": "20"},
    "all, page 1500": {"where": {}, "sort": "-start_time", "page": "1500"},
    "one definition": {"where": {"backupdef": derived_id("backup", "7")}, "sort": "-start_time"},
}


async def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=32)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-rest-") as folder:
        async with plane(DataDir(Path(folder))) as (session, url, client):
            hook = await made(session, url, 0)
            ident = hook["_id"]
            for number in range(1, 25):
                await made(session, url, -number)
            await measured("GET of a document", arguments, lambda number: fetch(session, f"{url}/kubehooks/{ident}"))
            await measured("GET of a list of 25", arguments, lambda number: fetch(session, f"{url}/kubehooks"))
            await measured("POST of a document", arguments, lambda number: made(session, url, number + 1))
            began = time.perf_counter()
            await fill(client, arguments.jobs)
            print(f"{arguments.jobs} jobs made in {time.perf_counter() - began:.0f} s", flush=True)
            while (await listed(session, url, {})) < arguments.jobs:  # noqa: ASYNC110 - as clients do
                await asyncio.sleep(0.2)
            for name, query in LISTS.items():
                await asked(name, session, url, query)


@contextlib.asynccontextmanager
async def plane(data: DataDir) -> AsyncIterator[tuple[aiohttp.ClientSession, str, Client]]:
    """Run API server and REST server; yields a session with the first key, the URL, and a client of the API server."""
    data.create()
    server = Child("apiserver", ("apiserver", "--data-dir", str(data.root)), data.log("apiserver"))
    await server.start(print)
    client = Client(load_kubeconfig(data.kubeconfig), field_manager="bench", max_in_flight=64)
    await install(client)
    await ensure_organization(client, ORGANIZATION, local=True)
    rest = Child("rest", ("rest", "--kubeconfig", str(data.kubeconfig), "--data-dir", str(data.root)), data.log("rest"))
    await rest.start(print)
    trust = ssl.create_default_context(cafile=str(data.root / "pki" / "ca.crt"))
    headers = {
        "Authorization": f"Bearer {data.rest_key.read_text().strip()}",
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
    }
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, limit=0), headers=headers) as session:
        try:
            yield session, data.rest_url.read_text().strip(), client
        finally:
            await client.close()
            await rest.stop()
            await server.stop()


async def fetch(session: aiohttp.ClientSession, url: str) -> None:
    """Read something whole."""
    async with session.get(url) as response:
        assert response.status == 200, await response.text()
        await response.read()


async def made(session: aiohttp.ClientSession, url: str, number: int) -> dict[str, str]:
    """Create a document with a name of its own."""
    async with session.post(f"{url}/kubehooks", data=json.dumps({"name": f"hook {number}"})) as response:
        assert response.status == 201, await response.text()
        return await response.json()


async def measured(name: str, arguments: argparse.Namespace, request: Callable[[int], Awaitable[object]]) -> None:
    """Repeat a request on some connections for some seconds, and print its rate and times."""
    times: list[float] = []
    end = time.perf_counter() + arguments.seconds

    async def work(worker: int) -> None:
        number = worker
        while (began := time.perf_counter()) < end:
            await request(number)
            times.append(time.perf_counter() - began)
            number += arguments.connections

    began = time.perf_counter()
    await asyncio.gather(*(work(worker) for worker in range(arguments.connections)))
    report(name, times, len(times) / (time.perf_counter() - began))


async def fill(client: Client, count: int) -> None:
    """Make jobs with a state."""
    resource, chance = RESOURCES[KUBEJOB], random.Random(1)
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            spec = {
                "name": f"kubecluster-{number}",
                "type": chance.choice(("KUBE_OFFLOAD", "KUBE_BACKUP")),
                "cluster": local_cluster_id(ORGANIZATION),
                "backupdef": derived_id("backup", str(number % 500)),
            }
            status = {"state": chance.choice(STATES), "start_time": number, "terminal": True, "message": "done"}
            meta = {"name": derived_id("bench", str(number)), "namespace": ORGANIZATION}
            obj = {"apiVersion": API_VERSION, "kind": KUBEJOB.kind, "metadata": meta, "spec": spec}
            await client.create(resource, obj)
            await client.merge_patch(resource, meta["name"], ORGANIZATION, {"status": status}, subresource="status")

    await asyncio.gather(*(work() for _ in range(48)))


async def listed(session: aiohttp.ClientSession, url: str, query: dict[str, object]) -> int:
    """Ask for jobs; returns how many there are in all."""
    parameters = {key: value if isinstance(value, str) else json.dumps(value) for key, value in query.items()}
    async with session.get(f"{url}/jobs", params=parameters) as response:
        assert response.status == 200, await response.text()
        return (await response.json())["_meta"]["total"]


async def asked(name: str, session: aiohttp.ClientSession, url: str, query: dict[str, object]) -> None:
    """Ask two hundred times, one after the other."""
    times: list[float] = []
    for _ in range(200):
        began = time.perf_counter()
        await listed(session, url, query)
        times.append(time.perf_counter() - began)
    report(f"jobs: {name}", times, 1 / statistics.mean(times))


def report(name: str, times: list[float], rate: float) -> None:
    """Print one row."""
    ordered = sorted(times)
    p50, p99 = (1000 * ordered[int(len(ordered) * part)] for part in (0.5, 0.99))
    print(f"{name:28} {rate:8.0f}/s  p50 {p50:6.1f} ms  p99 {p99:6.1f} ms", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
