"""The node's loop: which pods it runs, which it ends, which it must give up.

Driven by the watch of the pods that are bound to this node. A pod is known from its first sight until its object is
gone, so that a late event about a pod that is over can't start it again. A pod that has a start time but is unknown
was run by an earlier process and died with it: one that is to run always starts again, any other is marked Failed, for its
owner to decide.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec

from holdfast.core.objects import Object
from holdfast.core.times import format_time
from holdfast.embedded.node.files import remove_tree
from holdfast.embedded.node.pod import PodRunner
from holdfast.embedded.node.podstatus import Verdict
from holdfast.embedded.node.settings import Host
from holdfast.embedded.read import items, mapping
from holdfast.kube.builtin import PODS
from holdfast.kube.errors import ApiError, Conflict, NotFound
from holdfast.kube.informer import Informer

log = logging.getLogger(__name__)

TERMINAL = ("Succeeded", "Failed")

LAST_WORD = 1.0
"""Seconds that a node which is being stopped allows for the last statuses of its pods."""

_LOST = Verdict("NodeRestarted", "the node's process ended while this pod ran, and its containers with it")


class _Known(msgspec.Struct):
    pod: Object
    runner: PodRunner | None = None
    task: "asyncio.Task[None] | None" = None
    removing: bool = False


class Agent:
    """Keeps the pods of one node."""

    def __init__(self, host: Host, pods: Informer) -> None:
        self._host = host
        self._pods = pods
        self._known: dict[str, _Known] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        pods.subscribe(self._seen)

    def runner(self, uid: str) -> PodRunner | None:
        """Return the runner of a pod that this process has run."""
        known = self._known.get(uid)
        return known.runner if known else None

    def find(self, namespace: str, name: str) -> Object | None:
        """Return a pod of this node by name."""
        return self._pods.get(namespace, name)

    async def run(self) -> None:
        """Clear away what pods of long ago have left, then serve until cancelled; then end every pod."""
        try:
            await self._pods.synced()
            self._clear()
            await asyncio.Event().wait()
        finally:
            await self._shut_down()

    def _seen(self, old: Object | None, new: Object | None) -> None:
        """Take in one change of one pod."""
        if new is None:
            if old is not None:
                self._gone(str(old["metadata"]["uid"]))
            return
        uid = str(new["metadata"]["uid"])
        if old is not None and str(old["metadata"]["uid"]) != uid:
            self._gone(str(old["metadata"]["uid"]))
        known = self._known.get(uid)
        if known is None:
            known = self._known[uid] = _Known(new)
            self._begin(known)
        hurried = known.removing and _grace(new) < _grace(known.pod)
        known.pod = new
        if new["metadata"].get("deletionTimestamp") and not known.removing:
            known.removing = True
            self._spawn(self._remove(known))
        elif known.runner is not None and not known.runner.ended and (hurried or _over(new)):
            self._spawn(known.runner.stop(_grace(new) if hurried else 0.0))

    def _begin(self, known: _Known) -> None:
        pod = known.pod
        status = mapping(pod, "status")
        if _over(pod):
            return
        going, again = bool(pod["metadata"].get("deletionTimestamp")), bool(status.get("startTime"))
        if again and (going or (pod["spec"].get("restartPolicy") or "Always") != "Always"):
            self._spawn(self._give_up(pod))
        elif not going:
            known.runner = PodRunner(self._host, pod, again=_LOST if again else None)
            known.task = self._spawn(known.runner.run())

    def _gone(self, uid: str) -> None:
        known = self._known.pop(uid, None)
        if known is not None:
            self._spawn(self._forget(uid, known))

    async def _forget(self, uid: str, known: _Known) -> None:
        if known.runner is not None and known.task is not None:
            await known.runner.stop(0)
            await asyncio.wait([known.task])
        remove_tree(self._host.disk / "pods" / uid)
        remove_tree(self._host.memory / uid)

    async def _remove(self, known: _Known) -> None:
        """End a pod that is being deleted, and let its object go."""
        if known.runner is not None and known.task is not None:
            await known.runner.stop(_grace(known.pod))
            await asyncio.wait([known.task])
        meta = known.pod["metadata"]

        async def delete() -> None:
            client = self._host.client
            await client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"], grace_period_seconds=0)

        await self._insist(delete)

    async def _give_up(self, pod: Object) -> None:
        """Mark a pod Failed that an earlier process of this node was running."""
        meta = pod["metadata"]

        async def patch() -> None:
            body = {"metadata": {"uid": meta["uid"]}, "status": given_up(pod, _LOST, datetime.now(UTC))}
            await self._host.client.merge_patch(PODS, meta["name"], meta["namespace"], body, subresource="status")

        await self._insist(patch)

    async def _insist(self, call: Callable[[], Awaitable[None]]) -> None:
        """Make a call until it is done or has no object any more."""
        wait = self._host.settings.retry
        while True:
            try:
                await call()
                return
            except (NotFound, Conflict):
                return
            except ApiError as problem:
                log.warning("%s", problem)
                await asyncio.sleep(wait)
                wait = min(wait * 2, self._host.settings.retry_cap)

    def _spawn(self, work: Awaitable[None]) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _clear(self) -> None:
        """Remove directories of pods that no longer exist."""
        for parent in (self._host.disk / "pods", self._host.memory):
            with contextlib.suppress(FileNotFoundError):
                for path in parent.iterdir():
                    if path.name not in self._known:
                        remove_tree(path)

    async def _shut_down(self) -> None:
        """Ask every process to end, wait a little, and kill what is left."""
        runners = [known.runner for known in self._known.values() if known.runner and not known.runner.ended]
        verdict = Verdict("NodeShutdown", "the node was stopped, and its pods with it")
        stops = [asyncio.create_task(runner.stop(self._host.settings.shutdown, verdict)) for runner in runners]
        if stops:
            await asyncio.wait(stops, timeout=self._host.settings.shutdown + 1)
        for runner in runners:
            runner.kill()
        running = [known.task for known in self._known.values() if known.task and not known.task.done()]
        if running:
            await asyncio.wait(running, timeout=LAST_WORD)
        for task in [*self._tasks, *stops]:
            task.cancel()
        await asyncio.gather(*self._tasks, *stops, return_exceptions=True)


def _over(pod: Object) -> bool:
    """Whether the pod's status says that it has ended, as somebody else may have said of a lost node."""
    return mapping(pod, "status").get("phase") in TERMINAL


def _grace(pod: Object) -> float:
    given = pod["metadata"].get("deletionGracePeriodSeconds")
    return 30.0 if given is None else float(given)


async def _logged(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception:
        log.exception("work on a pod failed")


def given_up(pod: Object, verdict: Verdict, now: datetime) -> Object:
    """Return the status of a pod that nobody runs any more: what ran is terminated, what waited never ran."""
    status: Object = mapping(pod, "status")
    moment = format_time(now)
    found: Object = {"phase": "Failed", "reason": verdict.reason, "message": verdict.message}
    for key in ("containerStatuses", "initContainerStatuses"):
        listed = status.get(key)
        if listed:
            found[key] = [_ended(each, verdict, moment) for each in listed]
    conditions = items(status, "conditions")
    found["conditions"] = [_unready(each, verdict, moment) for each in conditions]
    return found


def _ended(status: Object, verdict: Verdict, moment: str) -> Object:
    running = mapping(status, "state").get("running")
    if running is None:
        return status | {"ready": False}
    ended = {
        "exitCode": 137,
        "reason": verdict.reason,
        "message": verdict.message,
        "startedAt": running.get("startedAt"),
        "finishedAt": moment,
        "containerID": status.get("containerID", ""),
    }
    return status | {"ready": False, "started": False, "state": {"terminated": ended}}


def _unready(condition: Object, verdict: Verdict, moment: str) -> Object:
    if condition.get("type") not in ("Ready", "ContainersReady") or condition.get("status") == "False":
        return condition
    return condition | {"status": "False", "reason": verdict.reason, "lastTransitionTime": moment}
