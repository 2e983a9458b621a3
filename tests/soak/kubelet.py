"""A kubelet that runs nothing: each pod begins, lasts some seconds, and ends well with the report that its mover would give.

So hundreds of schedules run on a small machine, and all that an operator sees is what a cluster would show it. A trigger does
what it is for: it creates its session, under the name that its pod's due time gives.
"""

import asyncio
import contextlib
import random
from datetime import UTC, datetime
from typing import Any

import msgspec

from holdfast.core.calls import Trigger, decode_call
from holdfast.core.objects import Object
from holdfast.core.read import items, text
from holdfast.core.report import Report, RepositoryResult
from holdfast.core.times import format_time
from holdfast.kube.builtin import PODS
from holdfast.kube.client import Client
from holdfast.kube.errors import AlreadyExists, ApiError, NotFound
from holdfast.kube.informer import Informer
from holdfast.kube.resource import Resource
from holdfast.movers.entry import CALL_VARIABLE
from holdfast.movers.trigger import moment, name_of


class Kubelet:
    """Plays every pod that is Pending while `run` runs."""

    def __init__(self, client: Client, rng: random.Random, longest: float = 20.0) -> None:
        self._client, self._rng, self._longest = client, rng, longest
        self._played: set[str] = set()

    async def run(self) -> None:
        """Serve until cancelled."""
        informer = Informer(self._client, PODS)
        async with asyncio.TaskGroup() as group:

            def seen(_: Object | None, new: Object | None) -> None:
                ends = new is not None and text(new, "spec", "restartPolicy") == "Never"
                if new is not None and ends and new["metadata"]["uid"] not in self._played:
                    self._played.add(new["metadata"]["uid"])
                    group.create_task(self._play(new))

            informer.subscribe(seen)
            await informer.run()

    async def _play(self, pod: Object) -> None:
        with contextlib.suppress(NotFound):
            await self._set(pod, {"phase": "Running", "startTime": format_time(_now())})
            await asyncio.sleep(self._rng.uniform(0.2, self._longest))
            message = await self._message(pod)
            ended = {"exitCode": 0, "reason": "Completed", "message": message, "finishedAt": format_time(_now())}
            names = [each["name"] for each in items(pod, "spec", "containers")]
            states = [{"name": name, "state": {"terminated": ended}, "ready": False, "restartCount": 0} for name in names]
            await self._set(pod, {"phase": "Succeeded", "containerStatuses": states})

    async def _set(self, pod: Object, status: Object) -> None:
        meta = pod["metadata"]
        while True:
            try:
                await self._client.merge_patch(PODS, meta["name"], meta["namespace"], {"status": status}, subresource="status")
                return
            except NotFound:
                raise
            except ApiError:
                await asyncio.sleep(0.5)

    async def _message(self, pod: Object) -> str:
        """Return the termination message: a mover's report, or nothing for a container of the user's."""
        for container in items(pod, "spec", "containers"):
            for entry in items(container, "env"):
                if entry["name"] == CALL_VARIABLE:
                    given = msgspec.json.decode(text(entry, "value"))
                    call: Any = decode_call(given["mover"], given["arguments"])
                    if isinstance(call, Trigger):
                        await self._trigger(call, pod["metadata"]["name"])
                    return msgspec.json.encode(report_of(call)).decode()
        return ""

    async def _trigger(self, call: Trigger, pod: str) -> None:
        document = {**call.document, "metadata": {**call.document.get("metadata", {})}}
        document["metadata"]["name"] = name_of(call, moment(pod, _now().timestamp()))
        group, _, version = str(document["apiVersion"]).rpartition("/")
        with contextlib.suppress(AlreadyExists):
            await self._client.create(Resource(group, version, str(document["kind"]), call.plural), document)


def report_of(call: Any) -> Report:
    """Return the report of a call that went well."""
    names = [each.name for each in getattr(call, "repositories", ())]
    paths = len(getattr(call, "paths", ())) or 1
    ids = tuple(f"{number:064x}" for number in range(1, paths + 1))
    results = tuple(RepositoryResult(name, snapshot_ids=ids, files=1, bytes=1, integrity=True) for name in names)
    return Report(call.MOVER, results)


def _now() -> datetime:
    return datetime.now(UTC)
