"""Live progress: the newest line of each repository and component, read from the logs of running movers.

One task follows each running pod of ours, a bounded number at a time. It survives a stream that breaks, and ends with its
pod. Progress is a view for people: nothing is decided by it, losing it loses nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from holdfast.core.labels import STEP, TELLS, annotation
from holdfast.core.objects import Object
from holdfast.core.report import Progress, decode_progress
from holdfast.kube.client import Client
from holdfast.kube.errors import ApiError
from holdfast.kube.objects import labels_of

TELL_EVERY: Final = 1.0
"""Seconds between two wake-ups because of one Job's progress."""

FOLLOWED: Final = 64
_LINE_LIMIT: Final = 65536
_TAIL: Final = 20
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

_log = logging.getLogger(__name__)

JobName = tuple[str, str]


class ProgressFollower:
    """Follows pods while `run` runs. `tell` is called with a Job's namespace and name when its progress has moved."""

    def __init__(self, client: Client, tell: Callable[[str, str], None]) -> None:
        self._client = client
        self._tell = tell
        self._newest: dict[JobName, dict[tuple[str, str], Progress]] = {}
        self._pods: dict[str, asyncio.Task[None]] = {}
        self._due: set[JobName] = set()
        self._room = asyncio.Semaphore(FOLLOWED)
        self._group: asyncio.TaskGroup | None = None
        self._early: list[Object] = []

    def of(self, namespace: str, job: str) -> tuple[Progress, ...]:
        """Return the newest progress of a Job, by repository and component."""
        lines = self._newest.get((namespace, job), {})
        return tuple(lines[key] for key in sorted(lines))

    def observe_pod(self, old: Object | None, new: Object | None) -> None:
        """Take a change of a pod: begin or end to follow it."""
        pod = new or old
        if pod is None or STEP not in labels_of(pod):
            return
        if self._group is None:
            self._early.append(pod)
            return
        uid: str = pod["metadata"]["uid"]
        running = new is not None and new.get("status", {}).get("phase") == "Running"
        if running and uid not in self._pods and (job := job_of(pod)) is not None:
            task = self._group.create_task(self._follow(pod, job), name=f"progress {job[0]}/{job[1]}")
            self._pods[uid] = task
            task.add_done_callback(lambda _: self._pods.pop(uid, None))
        elif new is None and uid in self._pods:
            self._pods[uid].cancel()

    def forget_job(self, namespace: str, job: str) -> None:
        """Drop the progress of a Job that is gone."""
        self._newest.pop((namespace, job), None)

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            early, self._early = self._early, []
            for pod in early:
                self.observe_pod(None, pod)
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    async def _follow(self, pod: Object, job: JobName) -> None:
        meta = pod["metadata"]
        container: str = annotation(pod, TELLS) or pod["spec"]["containers"][0]["name"]
        async with self._room:
            for pause in _PAUSES:
                try:
                    await self._read(meta["namespace"], meta["name"], container, job)
                    return
                except ApiError as error:
                    _log.debug("progress of pod %s/%s: %s; again in %.1f s", meta["namespace"], meta["name"], error, pause)
                await asyncio.sleep(pause)

    async def _read(self, namespace: str, pod: str, container: str, job: JobName) -> None:
        rest = b""
        async with aclosing(self._client.logs(namespace, pod, container, follow=True, tail_lines=_TAIL)) as chunks:
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > _LINE_LIMIT:
                    rest = b""
                for line in lines:
                    self._take(line, job)

    def _take(self, line: bytes, job: JobName) -> None:
        progress = decode_progress(line)
        if progress is None:
            return
        self._newest.setdefault(job, {})[progress.repository, progress.component] = progress
        if job not in self._due:
            self._due.add(job)
            asyncio.get_running_loop().call_later(TELL_EVERY, self._told, job)

    def _told(self, job: JobName) -> None:
        self._due.discard(job)
        self._tell(*job)


def job_of(pod: Object) -> JobName | None:
    """Return the namespace and name of the Job that owns a pod, or of the StatefulSet of a step that never ends."""
    for reference in pod["metadata"].get("ownerReferences") or ():
        if reference.get("kind") in ("Job", "StatefulSet") and reference.get("controller"):
            return pod["metadata"].get("namespace", ""), reference["name"]
    return None
