"""An operator that kills itself (SIGKILL) at one boundary: before or after one of its writes to the API server.

Started as `python -m tests.soak.operator_process JOB`, a JSON object: `kubeconfig`, `label` and `occurrence` of the boundary
(empty: none), `counts`: the file in which it notes how often it has passed each, and `calls`: the mover of each Job.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.core.plan import MoverCall, SecretFiles
from holdfast.engine.shell import Engine
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.kube.events import EventRecorder
from holdfast.kube.transport import Call, Gate, Transport
from holdfast.movers.fills import movers
from tests.conformance.engine_world import RESOURCES
from tests.sim.frozen_world import Freezing, FreezingDialect
from tests.soak.boundaries import Visits


class Watched(Transport):
    """Tells of each write, before it is sent and after it was answered."""

    visits: Visits
    counts: Path

    async def request(self, call: Call, gate: Gate | None = None) -> bytes:
        """Send a request."""
        if call.method == "GET" or call.path.endswith("/events"):
            return await super().request(call, gate)
        what = f"{call.method} {_resource(call.path)}"
        self._at(f"before {what}")
        answer = await super().request(call, gate)
        self._at(f"after {what}")
        return answer

    def _at(self, label: str) -> None:
        self.visits(label)
        self.counts.write_text(json.dumps(self.visits.counts))


def _resource(path: str) -> str:
    """Return what a path is about: `jobs`, or `things/status`."""
    parts = path.partition("/namespaces/")[2].split("/")[1:]
    return "/".join([parts[0], *parts[2:]]) if parts else path


def call_of(given: Mapping[str, Any]) -> MoverCall:
    """Read a mover call as JSON has it."""
    secrets = tuple(SecretFiles(**item) for item in given.get("secrets", ()))
    return MoverCall(given["mover"], given["arguments"], secrets)


async def main(job: Mapping[str, Any]) -> None:
    """Run until killed."""
    config = load_kubeconfig(job["kubeconfig"])
    transport = Watched(config, max_in_flight=64, user_agent="soak")
    transport.visits = Visits(job["label"], job["occurrence"], lambda: os.kill(os.getpid(), signal.SIGKILL))
    transport.counts = Path(job["counts"])
    client = Client(config, field_manager="engine", transport=transport)
    handler = Freezing({name: call_of(call) for name, call in job["calls"].items()}, job["pods"])
    recorder = EventRecorder(client, "engine")
    engine = Engine(client, [FreezingDialect(handler)], movers(), RESOURCES, image="holdfast:soak", recorder=recorder)
    await engine.run()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
