"""The CloudCasa REST API: reads and writes a second, and lists over 100,000 jobs.

    python -m benchmarks.bench_rest [--jobs 100000] [--seconds 5]
    python -m benchmarks.bench_rest --index [--jobs 100000]     the index alone, without HTTP

API server, REST server and this load generator are processes of their own, so two cores are shared by three. Times are those of
the client, TLS and keep-alive included.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import ssl
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import aiohttp

from holdfast.cli.children import Child
from holdfast.cli.datadir import DataDir
from holdfast.cli.install import install
from holdfast.core.objects import Object
from holdfast.dialects.cloudcasa.kinds import API_VERSION, KUBEJOB, ORGANIZATION, derived_id, local_cluster_id
from holdfast.dialects.cloudcasa.resources import COLLECTIONS
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.rest.app import ensure_organization
from holdfast.rest.index import Index
from holdfast.rest.query import parse_sort, parse_where
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
    parser.add_argument("--index", action="store_true")
    arguments = parser.parse_args()
    if arguments.index:
        index_alone(arguments.jobs)
        return
    with tempfile.TemporaryDirectory(prefix="bench-rest-") as folder:
        async with plane(DataDir(Path(folder))) as (session, url, client, pids):
            hook = await made(session, url, 0)
            ident = hook["_id"]
            for number in range(1, 25):
                await made(session, url, -number)
            await measured("GET of a document", arguments, pids, lambda number: fetch(session, f"{url}/kubehooks/{ident}"))
            await measured("GET of a list of 25", arguments, pids, lambda number: fetch(session, f"{url}/kubehooks"))
            await measured("POST of a document", arguments, pids, lambda number: made(session, url, number + 1))
            began = time.perf_counter()
            await fill(client, arguments.jobs)
            print(f"{arguments.jobs} jobs made in {time.perf_counter() - began:.0f} s", flush=True)
            while (await listed(session, url, {})) < arguments.jobs:  # noqa: ASYNC110 - as clients do
                await asyncio.sleep(0.2)
            for name, query in LISTS.items():
                await asked(name, session, url, query)


@contextlib.asynccontextmanager
async def plane(data: DataDir) -> AsyncIterator[tuple[aiohttp.ClientSession, str, Client, Mapping[str, int]]]:
    """Run API server and REST server; yields a session with the first key, the URL, a client of the API server, pids."""
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
            pids = {child.name: child.process.pid for child in (rest, server) if child.process}
            yield session, data.rest_url.read_text().strip(), client, pids
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


def processor(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measured(
    name: str, arguments: argparse.Namespace, pids: Mapping[str, int], request: Callable[[int], Awaitable[object]]
) -> None:
    """Repeat a request on some connections for some seconds, and print its rate, its times and what it costs each process."""
    times: list[float] = []
    before = {part: processor(pid) for part, pid in pids.items()}
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
    spent = {part: 1e6 * (processor(pid) - before[part]) / len(times) for part, pid in pids.items()}
    print(f"{'':28} {', '.join(f'{part} {each:.0f} us' for part, each in spent.items())} of processor time each", flush=True)


def job(number: int, chance: random.Random) -> Object:
    """Return a job that has ended."""
    spec = {
        "name": f"kubecluster-{number}",
        "type": chance.choice(("KUBE_OFFLOAD", "KUBE_BACKUP")),
        "cluster": local_cluster_id(ORGANIZATION),
        "backupdef": derived_id("backup", str(number % 500)),
    }
    status = {"state": chance.choice(STATES), "start_time": number, "terminal": True, "message": "done"}
    meta = {"name": derived_id("bench", str(number)), "namespace": ORGANIZATION}
    return {"apiVersion": API_VERSION, "kind": KUBEJOB.kind, "metadata": meta, "spec": spec, "status": status}


def index_alone(count: int) -> None:
    """Measure what a list costs before HTTP: the filter parsed, the page found, its documents made and encoded."""
    index, chance = Index(COLLECTIONS["jobs"]), random.Random(1)
    began = time.perf_counter()
    for number in range(count):
        obj = job(number, chance)
        obj["metadata"] |= {"uid": str(number), "resourceVersion": "1", "creationTimestamp": "2026-11-21T18:00:00Z"}
        index.put(obj)
    print(f"{count} jobs filed in {time.perf_counter() - began:.1f} s", flush=True)
    for name, query in LISTS.items():
        times: list[float] = []
        for _ in range(200):
            began = time.perf_counter()
            where, order = parse_where(json.dumps(query["where"])), parse_sort(str(query["sort"]))
            page = index.page(where, order, 25 * (int(str(query.get("page", 1))) - 1), 25)
            b",".join(entry.body for entry in page.entries)
            times.append(time.perf_counter() - began)
        report(f"index: {name}", times, 1 / statistics.mean(times))


async def fill(client: Client, count: int) -> None:
    """Make jobs with a state."""
    resource, chance = RESOURCES[KUBEJOB], random.Random(1)
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            obj = job(number, chance)
            status = {"status": obj.pop("status")}
            await client.create(resource, obj)
            await client.merge_patch(resource, obj["metadata"]["name"], ORGANIZATION, status, subresource="status")

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
