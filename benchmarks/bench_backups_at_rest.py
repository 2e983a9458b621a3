"""What Backups cost that lie and wait for their expiration: `python -m benchmarks.bench_backups_at_rest [COUNT]`.

A server in a process of its own holds COUNT Completed Backups of the KubeBlocks API, each with its own expiration more than 25
hours from now, and counts the requests that it is asked. The real engine follows it, on a clock that is set. After its first
look at each Backup a day goes by, hour by hour: the passes and requests of that day are what this measures, with the memory of
the engine's process. Then the first Backup expires, which shows that the clock moves the engine at all.
"""

import asyncio
import multiprocessing
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import uvloop
from aiohttp import web

from holdfast.cli.dialects import resources
from holdfast.core.objects import Object
from holdfast.core.times import format_time
from holdfast.dialects.kubeblocks import names
from holdfast.dialects.kubeblocks.dialect import KubeBlocks
from holdfast.dialects.kubeblocks.kinds import BACKUP, api_version
from holdfast.engine.shell import Engine
from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig
from holdfast.kube.queue import WorkQueue
from holdfast.movers.fills import movers

COUNT = 50_000
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
FIRST = timedelta(hours=25)
"""When the first Backup expires; the others follow in steps of 50 seconds."""

_KEPT = "/apis/dataprotection.kubeblocks.io/v1alpha1/backups"


class Day:
    """The engine's two clocks, which move only when they are told to."""

    def __init__(self) -> None:
        self.passed = timedelta()

    def now(self) -> datetime:
        """Return the time of day."""
        return NOW + self.passed

    def seconds(self) -> float:
        """Return the same for timers."""
        return self.passed.total_seconds()


class Nobody:
    """Records no event."""

    def emit(self, obj: Object, type_: str, reason: str, message: str, /) -> None:
        """Forget it."""


def backup(number: int) -> Object:
    """Build a Completed Backup of one of 1,000 policies."""
    policy, ended = f"policy-{number % 1000}", format_time(NOW - timedelta(days=2) + timedelta(seconds=number))
    method = {"name": "dump", "actionSetName": "dump", "targetVolumes": {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}}
    return {
        "apiVersion": api_version(BACKUP),
        "kind": "Backup",
        "metadata": {
            "name": f"backup-{number:05}",
            "namespace": f"team-{number % 50}",
            "uid": f"00000000-0000-0000-0000-{number:012}",
            "resourceVersion": "1",
            "creationTimestamp": ended,
            "finalizers": [names.FINALIZER],
            "labels": {names.BACKUP_POLICY: policy, names.BACKUP_TYPE: "Full", names.BACKUP_REPO: "cloud"},
        },
        "spec": {"backupPolicyName": policy, "backupMethod": "dump", "deletionPolicy": "Delete", "retentionPeriod": "30d"},
        "status": {
            "phase": "Completed",
            "formatVersion": "0.1.0",
            "backupRepoName": "cloud",
            "path": f"/team-{number % 50}/backup-{number:05}",
            "startTimestamp": ended,
            "completionTimestamp": ended,
            "duration": "1m0s",
            "totalSize": "1Gi",
            "expiration": format_time(NOW + FIRST + timedelta(seconds=50 * number)),
            "backupMethod": method,
            "actions": [{"name": "dp-backup-0", "phase": "Completed", "actionType": "Job", "totalSize": "1Gi"}],
        },
    }


def serve(listener: socket.socket, count: int, pipe: Connection) -> None:
    """Answer lists and watches, and tell down the pipe of each request that is neither a list nor a watch."""
    page = 500

    async def handle(request: web.Request) -> web.StreamResponse:
        pipe.send(f"{request.method} {request.path}")
        if request.method != "GET":
            return web.Response(body=await request.read() or b"{}", content_type="application/json")
        if "watch" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.sleep(3600)
            return response
        meta: Object = {"resourceVersion": "1"}
        items: list[Object] = []
        if request.path == _KEPT:
            start = int(request.query.get("continue", "0"))
            items = [backup(number) for number in range(start, min(start + page, count))]
            meta |= {"continue": str(start + page)} if start + page < count else {}
        return web.Response(body=msgspec.json.encode({"items": items, "metadata": meta}), content_type="application/json")

    async def main() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await asyncio.sleep(3600)

    uvloop.run(main())


async def measure(url: str, count: int, asked: Callable[[], list[str]]) -> bool:
    """Run the engine through the day, print what it did; return whether it did nothing."""
    day = Day()
    async with Client(ClusterConfig(server=url), field_manager="bench") as client:
        engine = Engine(client, (KubeBlocks(),), movers(), resources(), image="holdfast", recorder=Nobody(), clock=day.now)
        controller = engine.controllers[BACKUP]
        controller.queue = WorkQueue(clock=day.seconds)
        running = asyncio.create_task(engine.run())
        began = time.monotonic()
        await _until(lambda: _waiting(controller.queue, count))
        print(f"{count} Backups looked at once in {time.monotonic() - began:.1f} s, {_resident():.0f} MB resident")
        await asyncio.sleep(2)  # until every watch is open
        first, before = asked(), controller.stats.passes
        print(f"requests for that, lists and watches left out: {len([each for each in first if not each.startswith('GET')])}")
        for hour in range(1, 25):
            day.passed = timedelta(hours=hour)
            controller.enqueue(("", "nobody"))  # wakes the queue, which then looks at its clock
            await _until(lambda: len(controller.queue) == 0 and not controller.queue.running)
        passes, requests = controller.stats.passes - before - 24, asked()
        print(f"a day later: {passes} passes, {len(requests)} requests {requests[:5]}, {_resident():.0f} MB resident")
        day.passed = FIRST
        controller.enqueue(("", "nobody"))
        ended: list[str] = []
        await _until(lambda: bool(ended.extend(asked()) or ended))
        print(f"an hour after that: {', '.join(ended)}")
        running.cancel()
        await asyncio.wait([running])
    return not passes and not requests


def _waiting(queue: "WorkQueue[tuple[str, str]]", count: int) -> bool:
    return queue.delayed >= count and not len(queue) and not queue.running


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(300):
        while not holds():  # noqa: ASYNC110 - the queue announces nothing
            await asyncio.sleep(0.05)


def _resident() -> float:
    """Return the memory of this process in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def main(count: int) -> bool:
    """Start the server, measure, stop it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    reading, writing = multiprocessing.get_context("fork").Pipe(duplex=False)
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listener, count, writing), daemon=True)
    server.start()

    def asked() -> list[str]:
        found: list[str] = []
        while reading.poll():
            found.append(reading.recv())
        return found

    try:
        work: Awaitable[bool] = measure(f"http://127.0.0.1:{listener.getsockname()[1]}", count, asked)
        return uvloop.run(work)
    finally:
        server.terminate()


if __name__ == "__main__":
    raise SystemExit(0 if main(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT) else 1)
