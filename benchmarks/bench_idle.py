"""A large cluster at rest: `python -m benchmarks.bench_idle [--schedules 10000] [--runs 50000]`.

Schedules of AntflyBackups that are not due, and Backups of KubeBlocks that ended well, lie in the embedded API server. Then an
operator is started as in a cluster (without the built-in controllers) and measured from outside: how long until its caches
are filled, how long until it has looked at everything once, and then its memory and its processor time while nothing happens.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop

from benchmarks.schedule_rows import NAMESPACE, ROWS, Object
from holdfast.cli.datadir import DataDir
from holdfast.cli.dialects import KINDS, resource_of
from holdfast.core.times import format_time
from holdfast.kube.builtin import NAMESPACES
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.kube.errors import AlreadyExists
from holdfast.kube.resource import Resource

IN_FLIGHT = 64
EACH = 10
"""Finished runs of each policy."""

WATCHED = 60.0
"""Seconds for which the operator is watched at rest."""

SYNCED_WITHIN, MEMORY, SHARE = 15.0, 200.0, 0.01
"""The limits: seconds, MB, and the part of a core."""


class Process:
    """A part of Holdfast as a process of its own."""

    def __init__(self, name: str, pid: int) -> None:
        self.name, self.pid = name, pid

    def memory(self) -> float:
        """Return the memory that it holds now, in MB."""
        return self._status("VmRSS:") / 1024

    def peak(self) -> float:
        """Return the most memory that it has held, in MB."""
        return self._status("VmHWM:") / 1024

    def spent(self) -> float:
        """Return its processor time so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _status(self, field: str) -> int:
        return int(Path(f"/proc/{self.pid}/status").read_text().partition(field)[2].split()[0])


@asynccontextmanager
async def started(root: Path, name: str, *options: str) -> AsyncGenerator[Process]:
    """Run a part until the block ends; yields once it serves."""
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "holdfast.cli.main", name, *options, "--ready-fd", str(writing)]
    with (root / f"{name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, pass_fds=(writing,), stdout=log, stderr=log)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as ready:
            if not await asyncio.to_thread(ready.readline):
                raise SystemExit(f"{name} did not start:\n{(root / f'{name}.log').read_text()[-2000:]}")
        yield Process(name, process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def at_rest(process: Process, limit: float = 600) -> float:
    """Wait until a process does next to nothing for five seconds; return how long that took, those five left out."""
    began, last = time.time(), process.spent()
    while time.time() - began < limit:
        await asyncio.sleep(5)
        now = process.spent()
        if now - last < 0.25:
            return time.time() - began - 5
        last = now
    return limit


async def populate(client: Client, schedules: int, runs: int) -> None:
    """Make what is surrounded, the schedules and the finished runs."""
    antfly, blocks = ROWS["antfly"], ROWS["kubeblocks"]
    await client.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    for resource, obj in (*antfly.around, *blocks.around):
        await client.create(resource, obj)
        if "status" in obj:
            body = {"status": obj["status"]}
            place = obj["metadata"].get("namespace")
            await client.merge_patch(resource, obj["metadata"]["name"], place, body, subresource="status")
    backups = resource_of(next(spec for spec in KINDS["kubeblocks"] if spec.kind == "Backup"))
    numbers = iter(range(max(schedules, runs)))

    async def work() -> None:
        for number in numbers:
            if number < schedules:
                await client.create(antfly.resource, antfly.schedule(f"s{number}", f"{number % 60} 3 29 2 *"))
            if number < runs:
                await finished(client, backups, f"b{number}", number)

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


async def finished(client: Client, resource: Resource, name: str, number: int) -> None:
    """Make a Backup that ended well some time ago and has not expired."""
    ended = datetime.now(UTC) - timedelta(minutes=number)
    policy = f"db{number // EACH}"
    spec = {"backupMethod": "dump", "backupPolicyName": policy, "deletionPolicy": "Retain"}
    labels = {"dataprotection.kubeblocks.io/backup-policy": policy}
    meta: Object = {"name": name, "namespace": NAMESPACE, "labels": labels}
    try:
        await client.create(resource, {"metadata": meta, "spec": spec})
    except AlreadyExists:
        return
    status = {
        "phase": "Completed",
        "startTimestamp": format_time(ended - timedelta(minutes=1)),
        "completionTimestamp": format_time(ended),
        "duration": "1m0s",
        "totalSize": "1073741824",
        "backupRepoName": "disk",
        "path": f"/bench/db/{name}",
        "formatVersion": "0.1.0",
        "actions": [{"name": "dp-backup", "phase": "Completed", "actionType": "Job"}],
    }
    await client.merge_patch(resource, name, NAMESPACE, {"status": status}, subresource="status")


async def main(schedules: int, runs: int) -> bool:
    """Measure; returns whether every limit held."""
    with tempfile.TemporaryDirectory(prefix="bench-idle-") as folder:
        root = Path(folder)
        data = DataDir(root)
        data.create()
        async with started(root, "apiserver", "--data-dir", str(root)) as server:
            config = load_kubeconfig(data.kubeconfig)
            async with Client(config, field_manager="bench", max_in_flight=IN_FLIGHT) as client:
                began = time.time()
                async with started(root, "operator", "--kubeconfig", str(data.operator_kubeconfig), "--data-dir", str(root)):
                    pass
                operator = ("operator", "--kubeconfig", str(data.operator_kubeconfig))
                async with started(root, *operator) as first:
                    await populate(client, schedules, runs)
                    await at_rest(first)
                    print(f"{schedules} schedules and {runs} finished runs lie there after {time.time() - began:.0f} s")
                    print(
                        f"    the operator that saw them come: {first.memory():.0f} MB, at most {first.peak():.0f} MB",
                        flush=True,
                    )
            began = time.time()
            async with started(root, *operator) as second:
                synced = time.time() - began
                looked = await at_rest(second)
                print(f"start to synced: {synced:.1f} s; looked at everything after {synced + looked:.0f} s")
                before, other = second.spent(), server.spent()
                await asyncio.sleep(WATCHED)
                share, its = (second.spent() - before) / WATCHED, (server.spent() - other) / WATCHED
                print(f"at rest: {second.memory():.0f} MB (at most {second.peak():.0f}), {share:.2%} of a core")
                print(f"    the API server: {server.memory():.0f} MB, {its:.2%} of a core")
                return synced <= SYNCED_WITHIN and second.memory() <= MEMORY and share <= SHARE


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=50_000)
    options = parser.parse_args()
    held = uvloop.run(main(options.schedules, options.runs))
    print("every limit held" if held else "a limit was missed")
    sys.exit(not held)
