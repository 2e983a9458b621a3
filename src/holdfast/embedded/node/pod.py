"""One pod from the moment it is bound to this node until it is gone.

Volumes first, then the init containers in order, then the others side by side. Every end has one owner: the
containers themselves, the deadline, or somebody who deletes the pod. The status is written by one task that always
writes the latest, so a pod that is over in a blink costs one or two writes.
"""

import asyncio
import contextlib
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from holdfast.core.objects import Object
from holdfast.core.times import optional_time
from holdfast.embedded.node import build, podstatus, volumes
from holdfast.embedded.node.cgroups import ANNOTATION
from holdfast.embedded.node.container import ContainerRunner, limits_of
from holdfast.embedded.node.failure import NotReady
from holdfast.embedded.node.files import make_directory, replace_file
from holdfast.embedded.node.network.hub import Lease
from holdfast.embedded.node.podstatus import Kept, Verdict, View, is_sidecar
from holdfast.embedded.node.settings import Host
from holdfast.embedded.node.sources import Sources
from holdfast.embedded.node.state import Container, Waiting, resumed
from holdfast.embedded.node.volumes import TOKEN_SECONDS, Places, Volume
from holdfast.embedded.read import items, mapping
from holdfast.kube.builtin import PODS
from holdfast.kube.errors import ApiError, Conflict, NotFound

log = logging.getLogger(__name__)


class PodRunner:
    """Runs one pod. Made and driven by the agent. `again` is why a pod that an earlier node ran starts again."""

    def __init__(self, host: Host, pod: Object, *, again: Verdict | None = None) -> None:
        self.pod: Object = pod
        self.uid = str(pod["metadata"]["uid"])
        self._host = host
        self._directory = host.disk / "pods" / self.uid
        self._places = Places(self._directory, host.memory / self.uid, host.ca, host.capacity)
        self._begun = optional_time(mapping(pod, "status").get("startTime")) or datetime.now(UTC)
        self._again = again
        self._verdict: Verdict | None = None
        self._ended = False
        self._dirty = asyncio.Event()
        self._stopping = asyncio.Event()
        self._written: Object = mapping(pod, "status")
        self._lease: Lease | None = None
        self.pod = pod | {"status": dict(self._written)}
        policy = pod["spec"].get("restartPolicy") or "Always"
        self._init = [self._runner(each, _init_policy(each, policy)) for each in items(pod["spec"], "initContainers")]
        self._main = [self._runner(each, policy) for each in pod["spec"]["containers"]]

    @property
    def ended(self) -> bool:
        """Whether all containers are done for good."""
        return self._ended

    @property
    def network(self) -> int | None:
        """The descriptor of the pod's network namespace, negative for the machine's own; None before it has a place."""
        return None if self._lease is None else self._lease.namespace

    async def run(self) -> None:
        """Run the pod to its end and see its last status written."""
        writer = asyncio.create_task(self._write_statuses())
        deadline = asyncio.create_task(self._expire())
        try:
            await self._run()
            await asyncio.to_thread(self._places.remove_volumes)
            await writer
        finally:
            deadline.cancel()
            writer.cancel()
            if self._lease is not None:
                self._host.network.leave(self._lease)

    async def _run(self) -> None:
        try:
            await self._work()
        except NotReady as problem:
            self._verdict = Verdict(problem.reason, problem.message)
            self._host.events.emit(self.pod, "Warning", problem.reason, problem.message)
        except Exception as problem:
            log.exception("pod %s/%s", self.pod["metadata"]["namespace"], self.pod["metadata"]["name"])
            self._verdict = Verdict("NodeError", f"the node failed to run this pod: {problem!r}")
        finally:
            if not self._ended:
                await self._stop_all(0)
                self._ended = True
            self._dirty.set()

    async def stop(self, grace: float, verdict: Verdict | None = None) -> None:
        """End all containers; `run` returns when they are gone. A verdict overrules what their exits say."""
        if self._verdict is None:
            self._verdict = verdict
        self._stopping.set()
        await self._stop_all(grace)

    def kill(self) -> None:
        """Kill every process at once, without a word to anybody."""
        self._stopping.set()
        for runner in [*self._init, *self._main]:
            if runner.process is not None:
                runner.process.kill()

    def container(self, name: str) -> ContainerRunner | None:
        """Return the runner of a container; the first one for an empty name."""
        for runner in [*self._main, *self._init]:
            if name in ("", runner.state.name):
                return runner
        return None

    async def _work(self) -> None:
        build.refuse_unsupported(self.pod)
        found = await self._prepare()
        if found is None or self._lease is None:
            return
        refresher = asyncio.create_task(self._refresh_tokens())
        try:
            sidecars = await self._initialize(found)
            if sidecars is None:
                return
            await asyncio.gather(*(runner.run(found) for runner in self._main))
            for runner, task in reversed(sidecars):
                await runner.stop(self._grace())
                await task
        finally:
            refresher.cancel()
        self._ended = True

    async def _prepare(self) -> dict[str, Volume] | None:
        """Make the volumes, as often as it takes; None when the pod is stopped meanwhile."""
        wait, settings = self._host.settings.retry, self._host.settings
        while not self._stopping.is_set():
            try:
                self._join()
                sources = Sources(self._host.client, self.pod["metadata"]["namespace"])
                return await volumes.prepare(self.pod, self._places, sources)
            except NotReady as problem:
                if problem.fatal:
                    raise
                self._all_wait(problem.reason, problem.message)
            except (ApiError, OSError) as problem:
                self._all_wait("CreateContainerError", str(problem))
            await self._pause(wait)
            wait = min(wait * 2, settings.retry_cap)
        return None

    def _join(self) -> None:
        """Take the pod's place in the network, once. Raises OSError."""
        if self._lease is not None:
            return
        network = self._host.network
        self._lease = network.join(shared=build.shares_network(self.pod, self._host.images))
        self.pod["status"] |= {"podIP": self._lease.address, "hostIP": network.machine}
        written = network.files(self.pod, self._lease, build.hostname(self.pod))
        files: dict[str, str] = {}
        for target, text in written.items():
            source = make_directory(self._directory / "etc", 0o755) / os.path.basename(target)
            replace_file(source, text.encode(), 0o644)
            files[target] = str(source)
        for runner in [*self._init, *self._main]:
            runner.place(self._lease, files)

    async def _initialize(self, found: dict[str, Volume]) -> list[tuple[ContainerRunner, Any]] | None:
        """Run the init containers in order. Return those that go on beside the others; None when one failed."""
        sidecars: list[tuple[ContainerRunner, Any]] = []
        for runner in self._init:
            if is_sidecar(runner.state.spec):
                task = asyncio.create_task(runner.run(found))
                sidecars.append((runner, task))
                begun = asyncio.create_task(runner.started.wait())
                await asyncio.wait([begun, task], return_when=asyncio.FIRST_COMPLETED)
                begun.cancel()
                continue
            ended = await runner.run(found)
            if ended is None or ended.code != 0 or self._stopping.is_set():
                for other, task in reversed(sidecars):
                    await other.stop(self._grace())
                    await task
                return None
        return sidecars

    async def _stop_all(self, grace: float) -> None:
        """End the containers, and then the sidecars in the opposite order of their start; all in `grace` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        sidecars = [runner for runner in self._init if is_sidecar(runner.state.spec)]
        await asyncio.gather(*(runner.stop(grace) for runner in [*self._init, *self._main] if runner not in sidecars))
        for runner in reversed(sidecars):
            await runner.stop(max(0.0, deadline - loop.time()))

    async def _expire(self) -> None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is not None:
            await asyncio.sleep(float(seconds))
            verdict = Verdict("DeadlineExceeded", f"the pod ran longer than its activeDeadlineSeconds of {seconds}")
            self._verdict = self._verdict or verdict
            await self.stop(self._grace())

    async def _refresh_tokens(self) -> None:
        while True:
            await asyncio.sleep(TOKEN_SECONDS * 0.5)
            with contextlib.suppress(NotReady, ApiError, OSError):
                await volumes.refresh(self.pod, self._places, Sources(self._host.client, self.pod["metadata"]["namespace"]))

    async def _pause(self, seconds: float) -> None:
        """Wait, but not once the stop has begun."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _grace(self) -> float:
        given = self.pod["spec"].get("terminationGracePeriodSeconds")
        return 30.0 if given is None else float(given)

    def _all_wait(self, reason: str, message: str) -> None:
        wanted = Waiting(reason, message)
        if self._main[0].state.state == wanted:
            return
        for runner in self._init + self._main:
            runner.state.state = wanted
        self._host.events.emit(self.pod, "Warning", "FailedMount", message)
        self._dirty.set()

    def _runner(self, spec: Object, policy: str) -> ContainerRunner:
        state = self._before(spec)
        state.state = Waiting("PodInitializing" if self.pod["spec"].get("initContainers") else "ContainerCreating")
        directory: Path = self._directory / "containers" / str(spec["name"])
        return ContainerRunner(self._host, self.pod, state, policy=policy, directory=directory, changed=self._dirty.set)

    def _before(self, spec: Object) -> Container:
        """A container as it is before its first start here."""
        status = mapping(self.pod, "status")
        known = [*items(status, "containerStatuses"), *items(status, "initContainerStatuses")]
        old = next((each for each in known if each.get("name") == spec["name"]), None)
        if self._again is None or old is None:
            return Container(spec=spec)
        return resumed(spec, old, self._again.reason, self._again.message, datetime.now(UTC))

    async def _write_statuses(self) -> None:
        """Write the status whenever it differs from what was written last, until the last one stands."""
        wait = self._host.settings.retry
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            final, wanted = self._ended, self._status()
            if wanted != self._written:
                try:
                    await self._patch(wanted)
                except (NotFound, Conflict):  # gone, or replaced by another pod of this name
                    return
                except ApiError as problem:
                    log.warning("status of pod %s: %s", self.pod["metadata"]["name"], problem)
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, self._host.settings.retry_cap)
                    self._dirty.set()
                    continue
                self._written, wait = wanted, self._host.settings.retry
            if final:
                return

    def _status(self) -> Object:
        view = View(
            init=[runner.state for runner in self._init],
            main=[runner.state for runner in self._main],
            started=self._begun,
            address=self._lease.address if self._lease else "",
            machine=self._host.network.machine,
            now=datetime.now(UTC),
            verdict=self._verdict,
            ended=self._ended,
            limits=self._kept_limits(),
        )
        return podstatus.status(view, self._written)

    def _kept_limits(self) -> list[Kept]:
        """Return by what means the limits of this pod are kept, or why not; nothing for what it has no limit of."""
        limits = [limits_of(each.state.spec) for each in [*self._init, *self._main]]
        found: list[Kept] = []
        if any(each.memory is not None for each in limits):
            found.append(self._kept_memory())
        if any(each.cpu is not None for each in limits):
            limiter = self._host.limiters.cpu
            message = f"CPU limits are kept by the cpu controller of cgroup v{limiter.version}"
            if limiter.root is None:
                message = "this node can make no cpu cgroup, so CPU limits are not kept"
            kept = limiter.root is not None
            found.append(Kept("CPULimited", kept, "Cgroup" if kept else "NoCgroup", message))
        return found

    def _kept_memory(self) -> Kept:
        limiter = self._host.limiters.memory
        if limiter.root is not None:
            message = f"memory limits are kept by the memory controller of cgroup v{limiter.version}"
            return Kept("MemoryLimited", True, "Cgroup", message)
        if mapping(self.pod, "metadata", "annotations").get(ANNOTATION) == "true":
            message = "memory limits are kept as RLIMIT_AS, which counts addresses and not use"
            return Kept("MemoryLimited", False, "AddressSpace", message)
        message = (
            f"this node can make no memory cgroup, so memory limits are not kept; annotate {ANNOTATION}=true for RLIMIT_AS"
        )
        return Kept("MemoryLimited", False, "NoCgroup", message)

    async def _patch(self, wanted: Object) -> None:
        meta = self.pod["metadata"]
        body = {"metadata": {"uid": self.uid}, "status": wanted}
        await self._host.client.merge_patch(PODS, meta["name"], meta["namespace"], body, subresource="status")


def _init_policy(spec: Object, policy: str) -> str:
    if is_sidecar(spec):
        return "Always"
    return "Never" if policy == "Never" else "OnFailure"
