"""What movers of CloudCasa jobs print: followed by the operator while they run, and the end of it kept with the job.

The REST server may not see pods, so the lines of a job go into one Joblog beside it, every two seconds while a mover prints and
once more when it ends; it goes with its job. A mover is followed from the moment its pod runs, so what it printed is kept even
when its pod is removed at once. Lines and movers are bounded. Progress lines are left out: `activity` has their sense.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import aclosing
from typing import Final

from holdfast.cli.dialects import resources
from holdfast.core.labels import owner_uid
from holdfast.core.objects import Object, owner_reference
from holdfast.core.read import mapping, phase_of
from holdfast.core.report import decode_progress
from holdfast.dialects.cloudcasa.kinds import JOBLOG, KUBEJOB
from holdfast.dialects.cloudcasa.pods import MOVER_LABEL
from holdfast.engine.scope import Scope
from holdfast.kube.builtin import PODS
from holdfast.kube.client import Client
from holdfast.kube.errors import ApiError, NotFound
from holdfast.kube.manager import Manager

LINES: Final = 60
"""Lines of a mover that are kept, and"""

LINE: Final = 256
"""characters of each."""

MOVERS: Final = 60
"""Movers of a job whose lines are kept: with all of them full, one object still fits the API server's limit."""

EVERY: Final = 2.0
"""Seconds between two writes about a mover that prints."""

_PAUSES: Final = (0.2, 1.0, 3.0)
_log = logging.getLogger(__name__)


class JobLogs:
    """Follows the movers of all jobs while `run` runs."""

    def __init__(self, client: Client, manager: Manager, scope: Scope) -> None:
        self._scope = scope
        self._client, self._resource = client, resources()[JOBLOG]
        self._jobs: dict[str, Object] = {}
        self._followed: set[str] = set()
        self._arrived: asyncio.Queue[Object] = asyncio.Queue()
        self._writing = asyncio.Lock()
        manager.informer(resources()[KUBEJOB]).subscribe(self._job_changed)
        manager.informer(PODS, label_selector=MOVER_LABEL).subscribe(self._pod_changed)

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._follow(await self._arrived.get()))

    def _job_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._jobs[new["metadata"]["uid"]] = {**new, "spec": {}, "status": {}}
        elif old is not None:
            self._jobs.pop(old["metadata"]["uid"], None)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self._followed.discard(old["metadata"]["uid"])
        elif phase_of(new) not in ("", "Pending") and owner_uid(new) and new["metadata"]["uid"] not in self._followed:
            self._followed.add(new["metadata"]["uid"])
            self._arrived.put_nowait(new)

    async def _follow(self, pod: Object) -> None:
        """Read a mover's output to its end, and keep it."""
        lines: deque[str] = deque(maxlen=LINES)
        teller = asyncio.create_task(self._tell(pod, lines))
        try:
            for pause in _PAUSES:
                try:
                    await self._read(pod, lines)
                    break
                except ApiError as error:
                    _log.debug("log of pod %s: %s", pod["metadata"]["name"], error)
                await asyncio.sleep(pause)
        finally:
            teller.cancel()
        if lines:
            await self._keep(pod, lines, running=False)

    async def _tell(self, pod: Object, lines: deque[str]) -> None:
        told: list[str] = []
        while True:
            await asyncio.sleep(EVERY)
            if list(lines) != told:
                told = list(lines)
                await self._keep(pod, lines, running=True)

    async def _read(self, pod: Object, lines: deque[str]) -> None:
        meta, rest = pod["metadata"], b""
        lines.clear()
        async with aclosing(self._client.logs(meta["namespace"], meta["name"], follow=True, tail_lines=10 * LINES)) as chunks:
            async for chunk in chunks:
                *whole, rest = (rest + chunk).split(b"\n")
                rest = rest[-16 * LINE :]
                for line in whole:
                    _take(line, lines)
        _take(rest, lines)

    async def _keep(self, pod: Object, lines: deque[str], *, running: bool) -> None:
        """Write the lines of a mover; a job that is gone by now has taken its Joblog along."""
        job, meta = self._jobs.get(owner_uid(pod)), pod["metadata"]
        if job is None or not self._scope.holds(job["metadata"]["namespace"]):
            return
        mover: Object = {meta["name"]: {"namespace": meta["namespace"], "running": running, "lines": list(lines)}}
        try:
            async with self._writing:
                await self._write(job, mover)
        except ApiError as error:
            _log.warning("what mover %s/%s printed could not be kept: %s", meta["namespace"], meta["name"], error)

    async def _write(self, job: Object, mover: Object) -> None:
        meta, kind = job["metadata"], self._resource
        try:
            kept = mapping(await self._client.get(kind, meta["name"], meta["namespace"]), "spec", "movers")
        except NotFound:
            made: Object = {"name": meta["name"], "namespace": meta["namespace"]}
            made["ownerReferences"] = [owner_reference(job, controller=False)]
            obj: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": made, "spec": {"movers": mover}}
            await self._client.create(kind, obj)
            return
        if len(kept) < MOVERS or mover.keys() <= kept.keys():
            await self._client.merge_patch(kind, meta["name"], meta["namespace"], {"spec": {"movers": mover}})


def _take(line: bytes, lines: deque[str]) -> None:
    if line.strip() and decode_progress(line) is None:
        lines.append(line.decode(errors="replace")[:LINE])
