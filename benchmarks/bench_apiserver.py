"""How fast the embedded API server answers: `python benchmarks/bench_apiserver.py [seconds per figure]`.

The server runs in a process of its own with uvloop and TLS, every write with an fsync; the load comes from this process,
which costs more than the server does, so the figures are floors. Objects are ConfigMaps of about 0.8 KB.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.embedded_fixture import Http, http_client

from holdfast.embedded.apiserver.server import ApiServer

MAPS = "/api/v1/namespaces/default/configmaps"
BODY = {"payload": "x" * 600}

SERVER = """
import asyncio, sys, uvloop
from pathlib import Path
from holdfast.embedded.apiserver.server import ApiServer

async def main():
    server = ApiServer(Path(sys.argv[1]))
    await server.start()
    print("ready", flush=True)
    await asyncio.Event().wait()

uvloop.run(main())
"""


async def _rate(act: Callable[[int], Awaitable[object]], workers: int, seconds: float) -> tuple[float, float]:
    """Acts per second, and the median time of one in milliseconds."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def work(worker: int) -> None:
        at = worker
        while (start := time.perf_counter()) < end:
            await act(at)
            times.append(time.perf_counter() - start)
            at += workers

    start = time.perf_counter()
    await asyncio.gather(*(work(worker) for worker in range(workers)))
    return len(times) / (time.perf_counter() - start), sorted(times)[len(times) // 2] * 1000


async def _figures(http: Http, seconds: float) -> None:
    run = 0

    async def create(at: int) -> None:
        await http.ok("POST", MAPS, {"metadata": {"name": f"r{run}-{at}"}, "data": BODY})

    async def patch(at: int) -> None:
        await http.patch(f"{MAPS}/r1-{at % 64}", {"data": {"at": f"{time.perf_counter_ns()}"}})

    async def get(at: int) -> None:
        await http.ok("GET", f"{MAPS}/r1-{at % 64}")

    for workers in (1, 32):
        run += 1
        for name, act in (("create", create), ("get", get), ("merge patch", patch)):
            rate, median = await _rate(act, workers, seconds)
            print(f"{name:12} {workers:3} connections {rate:8.0f}/s   median {median:6.2f} ms")
    start = time.perf_counter()
    count = len((await http.ok("GET", MAPS))["items"])
    print(f"list         {count} objects, {(time.perf_counter() - start) * 1000:.0f} ms with decoding here")


async def _fan_out(http: Http, watchers: int, seconds: float) -> None:
    revision = (await http.ok("GET", f"{MAPS}?limit=1"))["metadata"]["resourceVersion"]
    delivered = 0

    async def follow() -> None:
        nonlocal delivered
        async with http.session.get(http.url + MAPS, params={"watch": "true", "resourceVersion": revision}) as response:
            async for chunk in response.content.iter_any():
                delivered += chunk.count(b"\n")

    tasks = [asyncio.create_task(follow()) for _ in range(watchers)]
    await asyncio.sleep(0.2)
    before, start = delivered, time.perf_counter()

    async def patch(at: int) -> None:
        await http.patch(f"{MAPS}/r1-{at % 64}", {"data": {"at": f"{time.perf_counter_ns()}"}})

    rate, _ = await _rate(patch, 32, seconds)
    spent = time.perf_counter() - start
    print(f"watch        {watchers:3} watchers {(delivered - before) / spent:11.0f} events/s at {rate:.0f} patches/s")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _load(folder: Path, seconds: float) -> None:
    server = ApiServer(folder)
    server.port = int((folder / "apiserver.port").read_text())
    async with http_client(server) as http:
        await _figures(http, seconds)
        for watchers in (1, 10):
            await _fan_out(http, watchers, seconds)


def _main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", SERVER, folder], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        print(
            f"start to first answer {time.perf_counter() - start:.2f} s, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
        )
        try:
            uvloop.run(_load(Path(folder), seconds))
            status = Path(f"/proc/{process.pid}/status").read_text()
            print(next(line for line in status.splitlines() if line.startswith("VmRSS")))
        finally:
            process.terminate()
            process.wait()


_main(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0)
