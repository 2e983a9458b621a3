"""How fast pods start: `python benchmarks/bench_pods.py [jobs]`, as root for pods with a network of their own.

A whole `holdfast up` runs in its own processes. Jobs that do nothing are created one after the other, and the time runs from
the first create to the last completion. A pod's start is measured on an otherwise idle cluster, from the moment that a watcher
sees it bound to its program's own first line, which is the time.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from holdfast.kube.builtin import JOBS, PODS
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig

HOLDFAST = str(Path(sys.executable).parent / "holdfast")


def _job(name: str) -> dict[str, Any]:
    container = {"name": "main", "image": "busybox", "command": ["/bin/true"]}
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def _pod(name: str) -> dict[str, Any]:
    container = {"name": "main", "image": "busybox", "command": ["/bin/date", "+%s.%N"]}
    spec = {"restartPolicy": "Never", "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def _jobs(client: Client, count: int) -> float:
    """Seconds from the first create until all are complete."""
    listing = await client.list(JOBS, "default")
    done: set[str] = set()
    start = time.perf_counter()

    async def create() -> None:
        for number in range(count):
            await client.create(JOBS, _job(f"job-{start:.0f}-{number}"))

    creating = asyncio.create_task(create())
    async for event in client.watch(JOBS, "default", resource_version=listing.resource_version):
        if event.object.get("status", {}).get("succeeded"):
            done.add(event.object["metadata"]["name"])
            if len(done) == count:
                break
    await creating
    return time.perf_counter() - start


async def _bound(client: Client, name: str, revision: str) -> tuple[float, float]:
    """When we saw a pod bound, and when it says that it ran."""
    bound = 0.0
    async for event in client.watch(PODS, "default", resource_version=revision, field_selector=f"metadata.name={name}"):
        if event.object["spec"].get("nodeName") and not bound:
            bound = time.time()
        if event.object.get("status", {}).get("phase") == "Succeeded":
            break
    said = b"".join([chunk async for chunk in client.logs("default", name)])
    return bound, float(said)


async def _starts(client: Client, count: int) -> list[float]:
    """Milliseconds from binding to the program's first act."""
    found: list[float] = []
    for number in range(count):
        name = f"start-{number}"
        listing = await client.list(PODS, "default")
        watching = asyncio.create_task(_bound(client, name, listing.resource_version))
        await client.create(PODS, _pod(name))
        bound, began = await watching
        found.append((began - bound) * 1000)
    return found


async def _measure(kubeconfig: Path, count: int) -> None:
    async with Client(load_kubeconfig(kubeconfig), field_manager="bench") as client:
        starts = await _starts(client, 20)
        print(f"pod start: median {statistics.median(starts):.0f} ms, worst of 20 {max(starts):.0f} ms")
        for _ in range(3):
            print(f"{count} Jobs created one by one: all complete after {await _jobs(client, count):.2f} s")


def _main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([HOLDFAST, "up", "--data-dir", folder, "--detach"], check=True, stdout=subprocess.DEVNULL)
        try:
            uvloop.run(_measure(Path(folder) / "admin.kubeconfig", count))
        finally:
            subprocess.run([HOLDFAST, "down", "--data-dir", folder], check=True, stdout=subprocess.DEVNULL)


_main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
