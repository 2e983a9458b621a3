"""Many schedules due in one minute: `python -m benchmarks.bench_schedules [ROW] [--count N]`.

The embedded API server and the operator run as they do under `holdfast up`, each a process of its own; node and budgets are
off, so Jobs start no pods. N schedules are created as fast as the server takes them, all due in the same minute soon after. How
many have a start by then, when, and whether any has two is counted by `schedule_auditor`, a process of its own that reads
the watch stream. Rows and limits are in `schedule_rows`.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.schedule_rows import NAMESPACE, ROWS, Row
from holdfast.cli.datadir import DataDir
from holdfast.kube.builtin import NAMESPACES
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig

IN_FLIGHT = 64


class Plane:
    """API server and operator on a fresh directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._data = DataDir(root)
        self.kubeconfig = self._data.kubeconfig
        self._running: list[asyncio.subprocess.Process] = []
        self.pids: dict[str, int] = {}

    async def start(self) -> None:
        """Start both and wait until they serve."""
        self._data.create()
        await self._start("apiserver")
        unlimited = ("--max-active", "0", "--max-active-per-namespace", "0")
        await self._start("operator", "--kubeconfig", str(self._data.operator_kubeconfig), *unlimited)

    async def _start(self, name: str, *options: str) -> None:
        reading, writing = os.pipe()
        log = (self.root / f"{name}.log").open("wb")
        command = [sys.executable, "-m", "holdfast.cli.main", name, "--data-dir", str(self.root), "--ready-fd", str(writing)]
        process = await asyncio.create_subprocess_exec(*command, *options, pass_fds=(writing,), stdout=log, stderr=log)
        os.close(writing)
        self._running.append(process)
        self.pids[name] = process.pid
        with os.fdopen(reading, "rb") as ready:
            if not await asyncio.to_thread(ready.readline):
                raise SystemExit(f"{name} did not start:\n{(self.root / f'{name}.log').read_text()[-2000:]}")

    async def stop(self) -> None:
        """Stop both, the operator first."""
        for process in reversed(self._running):
            process.terminate()
            await process.wait()

    def peak(self, name: str) -> float:
        """Return the most memory that a process has held so far, in MB."""
        status = Path(f"/proc/{self.pids[name]}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def spent(self, name: str) -> float:
        """Return the processor time of a process so far, in seconds."""
        fields = Path(f"/proc/{self.pids[name]}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def create(client: Client, row: Row, count: int, cron: str) -> None:
    """Create every schedule, `IN_FLIGHT` requests at a time."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await client.create(row.resource, row.schedule(f"s{number}", cron))

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


async def until_ready(client: Client, row: Row, count: int, limit: float) -> int:
    """Wait until all schedules are ready, or up to the moment `limit`; return how many are."""
    while True:
        ready = sum(row.ready(obj) for obj in (await client.list(row.resource, NAMESPACE)).items)
        if ready >= count or time.time() >= limit:
            return ready
        await asyncio.sleep(1)


async def measure(plane: Plane, name: str, count: int) -> bool:
    """Run one row and print what came of it; returns whether every limit held."""
    row = ROWS[name]
    due = (int(time.time() + 10 + row.ready_within * count / row.count) // 60 + 1) * 60
    cron = f"{datetime.fromtimestamp(due, UTC).minute} * * * *"
    async with Client(load_kubeconfig(plane.kubeconfig), field_manager="bench", max_in_flight=IN_FLIGHT) as client:
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        for resource, obj in row.around:
            await client.create(resource, obj)
            if "status" in obj:
                name_, body = obj["metadata"]["name"], {"status": obj["status"]}
                await client.merge_patch(resource, name_, obj["metadata"].get("namespace"), body, subresource="status")
        began = time.time()
        await create(client, row, count, cron)
        created = time.time()
        ready = await until_ready(client, row, count, due - 5)
        settled = time.time()
    print(f"{name}: {count} schedules created in {created - began:.1f} s, {ready} ready {settled - created:.1f} s later")
    _print(plane)
    before = await _revision(plane)
    report = await _audited(plane, name, due, count, row.started_within + 10)
    times = report["seconds"]
    print(
        f"{name}: {report['started']} of {count} started, none twice: {not report['twice']}, seconds after the minute: {times}"
    )
    written = await _revision(plane) - before
    print(f"{name}: {written / count:.1f} writes per schedule from then on, whoever made them")
    _print(plane)
    return (
        ready == count
        and settled - began <= row.ready_within
        and report["started"] == count
        and not report["twice"]
        and times["last"] <= row.started_within
        and plane.peak("operator") <= row.memory
    )


async def _revision(plane: Plane) -> int:
    """Return the server's revision, which each write raises by one."""
    async with Client(load_kubeconfig(plane.kubeconfig), field_manager="bench") as client:
        return int((await client.list(NAMESPACES)).resource_version)


async def _audited(plane: Plane, name: str, due: float, count: int, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.schedule_auditor", str(plane.kubeconfig), name, str(due), str(count)]
    auditor = await asyncio.create_subprocess_exec(*command, str(seconds), stdout=asyncio.subprocess.PIPE)
    assert auditor.stdout is not None
    assert await auditor.stdout.readline() == b"watching\n"
    if time.time() > due:
        print("the schedules were due before the auditor watched: what it saw first is counted as late as it was seen")
    return json.loads(await auditor.stdout.read())


def _print(plane: Plane) -> None:
    for name in plane.pids:
        print(f"    {name}: {plane.spent(name):.1f} s of processor time, at most {plane.peak(name):.0f} MB")


async def main(name: str, count: int) -> bool:
    """Measure one row on a plane of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-schedules-") as folder:
        plane = Plane(Path(folder))
        try:
            await plane.start()
            return await measure(plane, name, count)
        finally:
            await plane.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", nargs="?", choices=sorted(ROWS), default="antfly")
    parser.add_argument("--count", type=int, help="schedules (default: as the row says)")
    options = parser.parse_args()
    held = uvloop.run(main(options.row, options.count or ROWS[options.row].count))
    print("every limit held" if held else "a limit was missed")
    sys.exit(not held)
