"""The Job controller: carries out what `job_decision` decides.

Pod names are random, so two things are remembered between a write and its echo in the cache: pods that were created,
or a second one would follow, and pods that vanished before they were counted, or a deleted pod would cost nothing.
The count of vanished pods is kept on the Job itself, in an annotation, and survives a restart.
"""

import asyncio
import itertools
import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import msgspec

from holdfast.core.objects import Object
from holdfast.embedded.controllers import job_decision, job_policy
from holdfast.embedded.controllers import pods as podlib
from holdfast.embedded.controllers.echo import Echo
from holdfast.embedded.controllers.job_decision import Decision, Seen
from holdfast.embedded.controllers.replicaset_decision import stable_suffix
from holdfast.embedded.read import items, mapping
from holdfast.kube.builtin import JOBS, PODS
from holdfast.kube.client import Client
from holdfast.kube.controller import Controller, Result
from holdfast.kube.errors import AlreadyExists, NotFound
from holdfast.kube.events import EventRecorder
from holdfast.kube.informer import Informer
from holdfast.kube.objects import Key, controller_of, key_of, owner_keys, owner_uids

LOST = "holdfast.dev/lost-pods"
FORGET_SECONDS = 60.0
"""How long a created pod may take to show up in the cache before it is believed gone."""


class _Lost(msgspec.Struct, frozen=True):
    """Pods that are gone: `killed` of the `failed` ones were running when they went."""

    succeeded: int = 0
    failed: int = 0
    killed: int = 0


class _Memory(msgspec.Struct):
    """What is remembered of one Job: pods created but not seen (name -> when), names whose creation was not answered
    and which are tried again first, pods dismissed by us, pods lost."""

    pending: dict[str, float] = {}
    unsure: list[str] = []
    dismissed: set[str] = set()
    lost: _Lost = _Lost()


class JobController:
    """Keeps Jobs. Make one, then `controller` is what the manager runs."""

    def __init__(self, client: Client, events: EventRecorder, jobs: Informer, pods: Informer, *, backoff: float = 10.0) -> None:
        self._client = client
        self._events = events
        self._jobs = jobs
        self._pods = pods
        self._backoff = backoff
        self._memories: dict[str, _Memory] = {}
        self._echo = Echo(jobs)
        pods.add_index("owner", owner_uids)
        pods.subscribe(self._pod_changed)
        jobs.subscribe(self._job_changed)
        self.controller = Controller("job", self.reconcile, workers=16)
        self.controller.watches(jobs, lambda job: [key_of(job)])
        self.controller.watches(pods, owner_keys("Job", "batch"))

    async def reconcile(self, key: Key) -> Result:
        """Bring one Job a step on."""
        job = self._jobs.get(*key)
        if job is None or job["metadata"].get("deletionTimestamp") or job["spec"].get("managedBy", _MANAGER) != _MANAGER:
            return Result()
        memory = self._memory(job)
        job = await self._keep_lost(job, memory)
        decision = job_decision.decide(self._see(job, memory), datetime.now(UTC))
        if decision.expire:
            await self._expire(job)
            return Result()
        await self._dismiss(memory, decision.delete)
        problem = await self._create(job, memory, decision)
        if problem is not None:
            decision.status["active"] -= decision.create
        await self._show(job, decision)
        if problem is not None:
            raise problem
        return Result(after=decision.after)

    def _see(self, job: Object, memory: _Memory) -> Seen:
        now = time.monotonic()
        memory.pending = {name: since for name, since in memory.pending.items() if now - since < FORGET_SECONDS}
        return Seen(
            job=job,
            pods=self._pods.by_index("owner", job["metadata"]["uid"]),
            pending=len(memory.pending),
            pending_indexes=frozenset(index for name in memory.pending if (index := _index_in(job, name)) is not None),
            lost_failed=memory.lost.failed,
            lost_succeeded=memory.lost.succeeded,
            lost_killed=memory.lost.killed,
            dismissed=frozenset(memory.dismissed),
            backoff=self._backoff,
        )

    async def _create(self, job: Object, memory: _Memory, decision: Decision) -> BaseException | None:
        """Create pods side by side; return the first problem, if there was one."""
        wanted = decision.indexes.items() if decision.indexes else [(None, 0)] * decision.create
        tries = (self._create_one(job, memory, index, failures) for index, failures in wanted)
        made = await asyncio.gather(*tries, return_exceptions=True)
        return next((each for each in made if each is not None), None)

    async def _create_one(self, job: Object, memory: _Memory, index: int | None, failures: int) -> None:
        suffix = memory.unsure.pop() if memory.unsure and index is None else podlib.random_suffix()
        taken = {each["metadata"]["name"] for each in self._pods.by_index("owner", job["metadata"]["uid"])}
        pod = pod_of(job, suffix) if index is None else indexed_pod_of(job, index, failures, taken)
        name = pod["metadata"]["name"]
        memory.pending[name] = time.monotonic()
        try:
            await self._client.create(PODS, pod)
        except AlreadyExists:  # an earlier try of this very name had been heard after all
            return
        except Exception as problem:
            memory.pending.pop(name, None)
            if index is None:
                memory.unsure.append(suffix)
            self._events.emit(job, "Warning", "FailedCreate", f"Error creating pod: {problem}")
            raise

    async def _dismiss(self, memory: _Memory, pods: Sequence[Object]) -> None:
        for pod in pods:
            meta = pod["metadata"]
            memory.dismissed.add(meta["uid"])
            try:
                await self._client.delete(PODS, meta["name"], meta["namespace"], uid=meta["uid"])
            except NotFound:
                continue

    async def _show(self, job: Object, decision: Decision) -> None:
        old, meta = mapping(job, "status"), job["metadata"]
        patch = podlib.patch_of(old, decision.status)
        if not patch or self._echo.awaited(job, patch):
            return
        answer = await self._client.merge_patch(
            JOBS,
            meta["name"],
            meta["namespace"],
            {"status": patch},
            subresource="status",
            resource_version=meta["resourceVersion"],
        )
        self._echo.sent(job, patch)
        if not job_decision.finished(job) and job_decision.finished(answer):
            self._tell(answer)

    def _tell(self, job: Object) -> None:
        for each in job["status"]["conditions"]:
            if each["status"] == "True" and each["type"] == "Complete":
                self._events.emit(job, "Normal", "Completed", "Job completed")
            elif each["status"] == "True" and each["type"] == "Failed":
                self._events.emit(job, "Warning", each["reason"], each["message"])

    async def _expire(self, job: Object) -> None:
        meta = job["metadata"]
        try:
            await self._client.delete(JOBS, meta["name"], meta["namespace"], uid=meta["uid"])
        except NotFound:
            return

    async def _keep_lost(self, job: Object, memory: _Memory) -> Object:
        """Write down how many pods are gone, before anything is decided by it."""
        text = msgspec.json.encode(memory.lost).decode()
        annotations = mapping(job["metadata"], "annotations")
        if memory.lost == _Lost() or annotations.get(LOST) == text:
            return job
        body = {"metadata": {"annotations": {LOST: text}}}
        answer = await self._client.merge_patch(JOBS, job["metadata"]["name"], job["metadata"]["namespace"], body)
        return job | {"metadata": answer["metadata"]}

    def _memory(self, job: Object) -> _Memory:
        uid = str(job["metadata"]["uid"])
        if uid not in self._memories:
            self._memories[uid] = _Memory(lost=_lost_of(job))
        return self._memories[uid]

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        owner = controller_of(pod) if pod else None
        if pod is None or owner is None or owner.get("kind") != "Job":
            return
        memory = self._memories.get(owner["uid"])
        if memory is not None:
            memory.pending.pop(pod["metadata"]["name"], None)
        if new is None:
            self._count_lost(pod, owner)

    def _count_lost(self, pod: Object, owner: Object) -> None:
        job = self._jobs.get(pod["metadata"]["namespace"], owner["name"])
        if job is None or job["metadata"]["uid"] != owner["uid"] or job_decision.finished(job):
            return
        memory = self._memory(job)
        if pod["metadata"]["uid"] in memory.dismissed:
            memory.dismissed.discard(pod["metadata"]["uid"])
            return
        phase, lost = podlib.phase(pod), memory.lost
        succeeded, killed = phase == "Succeeded", phase == "Running"
        memory.lost = _Lost(lost.succeeded + succeeded, lost.failed + (not succeeded), lost.killed + killed)

    def _job_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            self._memories.pop(str(old["metadata"]["uid"]), None)


_MANAGER = "kubernetes.io/job-controller"


def pod_of(job: Object, suffix: str) -> Object:
    """Build a pod of a Job, named `<job>-<suffix>`."""
    meta = job["metadata"]
    labels = {
        "job-name": meta["name"],
        "controller-uid": meta["uid"],
        "batch.kubernetes.io/job-name": meta["name"],
        "batch.kubernetes.io/controller-uid": meta["uid"],
    }
    return podlib.from_template(job, job["spec"]["template"], f"{meta['name'][:57]}-{suffix}", labels=labels)


def indexed_pod_of(job: Object, index: int, failures: int, taken: Collection[str]) -> Object:
    """Build the pod of an index. Its name is the first in a fixed order that no pod has, so that it can't be made twice."""
    pod = pod_of(job, "")
    meta, spec = pod["metadata"], pod["spec"]
    name = f"{job['metadata']['name'][:50]}-{index}"
    suffixes = (stable_suffix(job["metadata"]["uid"], str(index), str(number)) for number in itertools.count())
    suffix = next(each for each in suffixes if f"{name}-{each}" not in taken)
    mark = {job_policy.INDEX: str(index)}
    remembered = {job_policy.FAILURES: str(failures)} if job["spec"].get("backoffLimitPerIndex") is not None else {}
    reference = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{job_policy.INDEX}']"}}
    variable: Object = {"name": _INDEX_VARIABLE, "valueFrom": reference}
    return pod | {
        "metadata": {
            **meta,
            "name": f"{name}-{suffix}",
            "labels": {**meta["labels"], **mark},
            "annotations": {**meta["annotations"], **mark, **remembered},
        },
        "spec": {**spec, "hostname": name} | {group: _with(spec, group, variable) for group in _GROUPS if group in spec},
    }


_INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
_GROUPS = ("initContainers", "containers")


def _with(spec: Object, group: str, variable: Object) -> list[Object]:
    """The containers of a group, each with one variable more, unless it sets that itself."""
    return [
        each
        if any(one.get("name") == variable["name"] for one in items(each, "env"))
        else {**each, "env": [*items(each, "env"), variable]}
        for each in items(spec, group)
    ]


def _index_in(job: Object, name: str) -> int | None:
    """The completion index in the name of a pod that was created and not seen yet."""
    if not job_policy.indexed(job):
        return None
    text = name.removeprefix(f"{job['metadata']['name'][:50]}-").partition("-")[0]
    return int(text) if text.isdigit() else None


def _lost_of(job: Object) -> _Lost:
    text = mapping(job["metadata"], "annotations").get(LOST)
    try:
        return msgspec.json.decode(text, type=_Lost) if text else _Lost()
    except msgspec.DecodeError:
        return _Lost()
