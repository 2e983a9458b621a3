"""Counts the starts of runs from the watch stream: `python -m benchmarks.schedule_auditor KUBECONFIG ROW DUE COUNT SECONDS`.

A process of its own that knows nothing of what the operator says of itself. It prints `watching` once it has listed, and at
the end one JSON document: for how many schedules a start was seen, how late (seconds after DUE), and which had two.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.schedule_rows import NAMESPACE, ROWS, Object, Row
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig


class Tally:
    """The starts by schedule: the uids seen, and when the first one was."""

    def __init__(self, row: Row, due: float) -> None:
        self._row, self._due = row, due
        self._uids: dict[str, set[str]] = {}
        self.late: dict[str, float] = {}

    def add(self, obj: Object) -> None:
        """Count an object that was created."""
        owner = self._row.owner(obj)
        if not owner:
            return
        self._uids.setdefault(owner, set()).add(obj["metadata"]["uid"])
        self.late.setdefault(owner, time.time() - self._due)

    def report(self, expected: int) -> dict[str, object]:
        """Return the figures; latencies are seconds after the due time."""
        times = sorted(self.late.values())
        return {
            "expected": expected,
            "started": len(times),
            "twice": sorted(name for name, uids in self._uids.items() if len(uids) > 1)[:10],
            "early": sum(late < 0 for late in times),
            "seconds": {"first": _at(times, 0), "half": _at(times, 0.5), "p99": _at(times, 0.99), "last": _at(times, 1)},
        }


def _at(times: Sequence[float], share: float) -> float | None:
    return round(times[min(int(len(times) * share), len(times) - 1)], 1) if times else None


async def audit(kubeconfig: Path, name: str, due: float, expected: int, seconds: float) -> dict[str, object]:
    """Watch until every schedule has a start and 20 s more have passed, or until `seconds` after the due time."""
    row = ROWS[name]
    tally = Tally(row, due)
    async with Client(load_kubeconfig(kubeconfig), field_manager="auditor") as client:
        listing = await client.list(row.started, NAMESPACE)
        for obj in listing.items:
            tally.add(obj)
        print("watching", flush=True)
        watching = asyncio.create_task(_follow(client, row, tally, listing.resource_version))
        end = due + seconds
        while time.time() < end:
            if len(tally.late) >= expected:
                end = min(end, time.time() + 20)
            if watching.done():
                watching.result()
            await asyncio.sleep(0.1)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return tally.report(expected)


async def _follow(client: Client, row: Row, tally: Tally, version: str) -> None:
    """Follow without a gap: a stream that ends is taken up where it ended, a version that is too old raises Gone."""
    while True:
        async for event in client.watch(row.started, NAMESPACE, resource_version=version):
            version = event.object["metadata"]["resourceVersion"]
            if event.type == "ADDED":
                tally.add(event.object)


if __name__ == "__main__":
    path, chosen, moment, count, patience = sys.argv[1:]
    print(json.dumps(asyncio.run(audit(Path(path), chosen, float(moment), int(count), float(patience)))))
