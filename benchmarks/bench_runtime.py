"""How fast the runtime is: watch events through informer and controller to a reconcile that does nothing, and writes.

Run `python -m benchmarks.bench_runtime`. A server in a process of its own streams ready-made events, so that what is
measured is ours: bytes, decoding, store, owner index, queue, workers. It shares the machine's cores with us.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import socket
import time
from multiprocessing.process import BaseProcess

import uvloop
from aiohttp import web

from holdfast.kube.builtin import PODS
from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig
from holdfast.kube.controller import Controller
from holdfast.kube.manager import Manager
from holdfast.kube.objects import Key, key_of, owner_uids

OBJECTS = 10_000


def _object(number: int, version: int) -> dict[str, object]:
    """An object of about 2.3 kB, a third of it managedFields, as objects of operators are."""
    managed = {"manager": "kubectl", "operation": "Update", "fieldsV1": {f"f:field{index}": {} for index in range(40)}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"object-{number:05}",
            "namespace": f"ns-{number % 50}",
            "uid": f"00000000-0000-0000-0000-{number:012}",
            "resourceVersion": str(version),
            "labels": {"app": "bench", "part": str(number % 7)},
            "ownerReferences": [{"kind": "Job", "name": f"job-{number // 3}", "uid": f"job-{number // 3}", "controller": True}],
            "managedFields": [managed],
        },
        "spec": {"containers": [{"name": f"c{index}", "image": "busybox", "args": ["x" * 40] * 4} for index in range(3)]},
        "status": {"phase": "Running", "conditions": [{"type": f"C{index}", "status": "True"} for index in range(6)]},
    }


def _serve(listener: socket.socket, events: int) -> None:
    """Answer lists with nothing, watches with all events at once, and writes with what was sent."""
    blob = b"".join(
        json.dumps({"type": "MODIFIED", "object": _object(index % OBJECTS, index + 2)}).encode() + b"\n"
        for index in range(events)
    )

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method != "GET":
            return web.Response(body=await request.read(), content_type="application/json")
        if "watch" not in request.query:
            return web.json_response({"items": [], "metadata": {"resourceVersion": "1"}})
        response = web.StreamResponse()
        await response.prepare(request)
        if request.query["resourceVersion"] == "1":
            for start in range(0, len(blob), 1 << 18):
                await response.write(blob[start : start + (1 << 18)])
        await asyncio.sleep(3600)
        return response

    async def main() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await asyncio.sleep(3600)

    uvloop.run(main())


async def bench_events(client: Client, events: int) -> float:
    """Return events per second until the last one has been through a reconcile."""
    manager = Manager(client)
    informer = manager.informer(PODS)
    informer.add_index("owner", owner_uids)
    finished = asyncio.Event()
    began = 0.0
    last = str(events + 1)

    async def reconcile(key: Key) -> None:
        nonlocal began
        began = began or time.perf_counter()
        obj = informer.get(*key)
        if obj is not None and obj["metadata"]["resourceVersion"] == last:
            finished.set()

    controller = Controller("bench", reconcile, workers=64)
    controller.watches(informer, lambda obj: [key_of(obj)])
    manager.add(controller)
    running = asyncio.ensure_future(manager.run())
    await finished.wait()
    seconds = time.perf_counter() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"watch    {events} events of {OBJECTS} objects, {controller.stats.passes} passes, peak {memory:.0f} MB")
    return events / seconds


async def bench_writes(client: Client, writes: int) -> float:
    """Return status patches per second with 64 in flight."""
    body = {"status": _object(1, 1)["status"]}
    numbers = iter(range(writes))

    async def write() -> None:
        for number in numbers:
            await client.merge_patch(PODS, f"object-{number}", "demo", body, subresource="status")

    began = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(64)))
    return writes / (time.perf_counter() - began)


async def main(port: int, events: int, writes: int) -> None:
    async with Client(ClusterConfig(server=f"http://127.0.0.1:{port}"), field_manager="bench") as client:
        print(f"events/s {await bench_events(client, events):,.0f}")
        print(f"writes/s {await bench_writes(client, writes):,.0f}  (64 in flight)")


def _start(listener: socket.socket, events: int) -> BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(listener, events), daemon=True)
    process.start()
    return process


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--writes", type=int, default=10_000)
    parser.add_argument("--stdlib-loop", action="store_true", help="asyncio's own event loop instead of uvloop")
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        server = _start(listening, options.events)
        work = main(listening.getsockname()[1], options.events, options.writes)
        asyncio.run(work) if options.stdlib_loop else uvloop.run(work)
        server.terminate()
        server.join()
