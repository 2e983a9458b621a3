"""One container from its first wait to its last exit: gather, start, watch, restart.

The runner owns its `Container` state and calls `changed` whenever it differs. It never decides about the pod: the
pod's runner does, with the exit that `run` returns.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from holdfast.core.objects import Object
from holdfast.core.quantity import parse_quantity
from holdfast.embedded.node import build, forks, logs, probes
from holdfast.embedded.node.attachment import Audience
from holdfast.embedded.node.backoff import Backoff
from holdfast.embedded.node.cgroups import ANNOTATION, Limits
from holdfast.embedded.node.environment import environment
from holdfast.embedded.node.failure import NotReady
from holdfast.embedded.node.hooks import run_hook
from holdfast.embedded.node.images import Image
from holdfast.embedded.node.logs import LogFile
from holdfast.embedded.node.network.hub import Lease
from holdfast.embedded.node.process import Exit, Process, start
from holdfast.embedded.node.sandbox import Sandbox
from holdfast.embedded.node.settings import Host
from holdfast.embedded.node.sources import Sources
from holdfast.embedded.node.state import MAX_MESSAGE, Container, Running, Terminated, Waiting, last_words, reason_of
from holdfast.embedded.node.volumes import Volume
from holdfast.embedded.read import mapping
from holdfast.kube.errors import ApiError

log = logging.getLogger(__name__)

LEAST_GRACE = 2.0
"""Seconds that a kubelet, too, adds once for a preStop hook that leaves nothing of the grace period."""


class ContainerRunner:
    """Runs one container of one pod. `policy` is Always, OnFailure or Never."""

    def __init__(
        self,
        host: Host,
        pod: Object,
        state: Container,
        *,
        policy: str,
        directory: Path,
        changed: Callable[[], None],
    ) -> None:
        self.state = state
        self.started = asyncio.Event()
        self.log: LogFile | None = None
        self.audience = Audience()
        self._lease = Lease(host.address)
        self._files: Mapping[str, str] = {}
        self._host = host
        self._pod = pod
        self._policy = policy
        self._directory = directory
        self._backoff = Backoff(directory / "backoff.json", host.settings)
        self._changed = changed
        self._process: Process | None = None
        self._said_goodbye = False
        self._stopping = asyncio.Event()

    def place(self, lease: Lease, files: Mapping[str, str]) -> None:
        """Say which place in the network the pod has, and which files its containers find names by."""
        self._lease, self._files = lease, files

    @property
    def process(self) -> Process | None:
        """The running process, if any."""
        return self._process

    async def run(self, volumes: Mapping[str, Volume]) -> Exit | None:
        """Run until the container has ended for good; None when it was stopped before it ever started."""
        if self.state.last is not None and (left := self._backoff.left()):
            await self._wait(left, self.state.last)
        while not self._stopping.is_set():
            ended = await self._once(volumes)
            if ended is None or self._stopping.is_set() or not self._restarts(ended):
                return ended
            assert isinstance(self.state.state, Terminated)
            last = self.state.state
            await self._wait(self._backoff.failed((last.finished - last.started).total_seconds()), last)
            if not self._stopping.is_set():
                self._count_restart()
        return None

    async def stop(self, grace: float) -> None:
        """End the container for good: its preStop hook and TERM, and KILL once `grace` seconds are over.

        A hook that takes all of them leaves the container `LEAST_GRACE` seconds to heed its TERM.
        """
        self._stopping.set()
        await self._end(grace)

    def log_path(self, restart: int | None = None) -> Path:
        """Return the log of the present run, or of an earlier one."""
        number = self.state.restarts if restart is None else restart
        return self._directory / f"{number}.log"

    async def _end(self, grace: float) -> None:
        process = self._process
        if process is None:
            return
        if not self._said_goodbye:
            self._tell("Normal", "Killing", f"Stopping container {self.state.name}")
        deadline, least = asyncio.get_running_loop().time() + grace, 0.0
        if grace > 0 and not self._said_goodbye:
            self._said_goodbye = True
            try:
                async with asyncio.timeout(grace):
                    await self._hook("preStop", process)
            except TimeoutError:
                least = LEAST_GRACE
                message = f"container {self.state.name!r}, preStop: it took the whole grace period of {grace:g} s"
                self._tell("Warning", "FailedPreStopHook", message)
        await process.stop(max(deadline - asyncio.get_running_loop().time(), least))

    async def _once(self, volumes: Mapping[str, Volume]) -> Exit | None:
        """Start once, and wait for the end."""
        process = await self._start(volumes)
        if process is None:
            return None
        begun = datetime.now(UTC)
        self._process = process
        self.state.begun = True
        self.state.state = Running(begun)
        self._tell("Normal", "Started", f"Started container {self.state.name}")
        probed = asyncio.create_task(self._look_after(process))
        self._changed()
        if self._stopping.is_set():
            process.kill()
        try:
            ended = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            raise
        finally:
            probed.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await probed
        self._finish(ended, begun)
        return ended

    async def _start(self, volumes: Mapping[str, Volume]) -> Process | None:
        """Gather what the container needs and start it, as often as it takes; None when it is stopped meanwhile."""
        wait = self._host.settings.retry
        while not self._stopping.is_set():
            try:
                async with self._host.starting:
                    return await self._launch(volumes)
            except NotReady as problem:
                self._show_waiting(problem.reason, problem.message)
            except (ApiError, OSError) as problem:
                self._show_waiting("CreateContainerError", f"container {self.state.name!r}: {problem}")
            await self._pause(wait)
            wait = min(wait * 2, self._host.settings.retry_cap)
        return None

    async def _launch(self, volumes: Mapping[str, Volume]) -> Process:
        pod, spec, host = self._pod, self.state.spec, self._host
        image = host.images.find(spec.get("image") or "")
        sources = Sources(host.client, pod["metadata"]["namespace"])
        variables = await environment(
            pod,
            spec,
            sources,
            base=build.base_environment(pod, spec, image, host.network.variables(self._lease)),
            capacity=host.capacity,
        )
        parts = build.Parts(
            image=image,
            environment=variables,
            volumes=volumes,
            termination=self._termination_file(),
            files=self._files,
            capabilities=host.tools.capabilities,
        )
        job = build.sandbox_of(pod, spec, parts)
        self.state.id = f"bwrap://{uuid.uuid4().hex}"
        self._tell("Normal", "Pulled", f'Container image "{spec.get("image") or ""}" already present on machine')
        self._tell("Normal", "Created", f"Created container: {self.state.name}")
        self.log = LogFile(self.log_path(), max_bytes=host.settings.log_bytes)
        try:
            return await self._begin(job, image)
        except BaseException:
            self.log.close()
            raise

    async def _begin(self, job: Sandbox, image: Image | None) -> Process:
        """Start the container's program: from a fork server where there is one for it, else by executing it."""
        tools, network = self._host.tools, self._lease.namespace
        server = self._host.forks.get(image.server) if image else None
        if image is not None and server is not None and forks.suits(job, image.served) and server.warm():
            wrapper, members = self.limit(), self._host.limiters.members(self._group())
            try:
                return await forks.start(
                    server, job, tools, self._written, wrapper=wrapper, groups_files=members, network=network
                )
            except OSError as problem:
                log.warning("container %s is executed instead of forked: %s", self.state.name, problem)
        return await start(job, tools, self._written, wrapper=self.limit(), network=network)

    def _written(self, stream: str, data: bytes) -> None:
        """Take in what the container wrote."""
        assert self.log is not None
        self.log.write(stream, data)
        self.audience.say(stream, data)

    def limit(self) -> list[str]:
        """Return the command prefix that puts a process below the container's limits; empty without any."""
        limits = limits_of(self.state.spec)
        annotations = mapping(self._pod["metadata"], "annotations")
        by_addresses = annotations.get(ANNOTATION) == "true"
        return self._host.limiters.wrapper(self._group(), limits, address_space=by_addresses)

    def _finish(self, ended: Exit, begun: datetime) -> None:
        assert self.log is not None
        self.log.close()
        self.audience.end()
        self._process = None
        out_of_memory = self._host.limiters.memory.killed(self._group())
        self._host.limiters.remove(self._group())
        written = _read(self._directory / "termination", MAX_MESSAGE)
        policy = self.state.spec.get("terminationMessagePolicy") or "File"
        tail = logs.last_lines(self.log_path(), 80) if ended.code else []
        reason, message = reason_of(ended, out_of_memory=out_of_memory), last_words(written, tail, policy, ended)
        if tail and tail[-1].startswith("bwrap: "):
            reason, message = "StartError", tail[-1]
        self.state.state = Terminated(
            exit=ended, reason=reason, started=begun, finished=datetime.now(UTC), message=message, id=self.state.id
        )
        self.state.ready = self.state.up = False
        self._changed()

    async def _look_after(self, process: Process) -> None:
        """Run the hook of the start, and then the probes until cancelled."""
        if await self._hook("postStart", process):
            await process.stop(self._grace())
            return
        spec, address = self.state.spec, self._lease.address
        await probes.run_probes(spec, process, address, started=self._up, ready=self._ready, sick=self._sick)

    async def _hook(self, name: str, process: Process) -> str:
        """Carry out a lifecycle hook. What goes wrong is said as an event, and returned."""
        problem = await run_hook(self.state.spec, name, process, self._lease.address, self.limit())
        if problem:
            reason = f"Failed{name[0].upper()}{name[1:]}Hook"
            self._tell("Warning", reason, f"container {self.state.name!r}, {name}: {problem}")
        return problem

    def _up(self) -> None:
        self.state.up = True
        self.started.set()
        self._changed()

    def _ready(self, value: bool) -> None:
        if self.state.ready != value:
            self.state.ready = value
            self._changed()

    async def _sick(self, why: str) -> None:
        self._tell("Warning", "Unhealthy", f"container {self.state.name!r} is restarted: {why}")
        process = self._process
        if process is not None:
            await process.stop(self._grace())

    def _grace(self) -> float:
        grace = self._pod["spec"].get("terminationGracePeriodSeconds")
        return 30.0 if grace is None else float(grace)

    def _restarts(self, ended: Exit) -> bool:
        return self._policy == "Always" or (self._policy == "OnFailure" and ended.code != 0)

    async def _wait(self, seconds: float, last: Terminated) -> None:
        """Wait before the next start, and keep the last end for people to see."""
        self.state.last = last
        name = self._pod["metadata"]["name"]
        message = f"back-off {seconds:g}s restarting failed container={self.state.name} pod={name}"
        self._show_waiting("CrashLoopBackOff", message)
        await self._pause(seconds)
        if self._stopping.is_set():
            self.state.state = last
        self._changed()

    def _count_restart(self) -> None:
        self.state.restarts += 1
        outdated = self.log_path(self.state.restarts - 2)
        for path in (outdated, logs.rotated(outdated)):
            path.unlink(missing_ok=True)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not once the stop has begun."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _show_waiting(self, reason: str, message: str) -> None:
        wanted = Waiting(reason, message)
        if self.state.state != wanted:
            self.state.state = wanted
            self._tell("Warning", _EVENTS.get(reason, "Failed"), message)
            self._changed()

    def _tell(self, kind: str, reason: str, message: str) -> None:
        """Record an event about this container."""
        name = self.state.name
        group = "containers" if any(each["name"] == name for each in self._pod["spec"]["containers"]) else "initContainers"
        self._host.events.emit(self._pod, kind, reason, message, part=f"spec.{group}{{{name}}}")

    def _group(self) -> str:
        return f"{self._pod['metadata']['uid']}-{self.state.name}"

    def _termination_file(self) -> Path:
        """Return a new, empty file that any user may write its last words to."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / "termination"
        path.write_bytes(b"")
        path.chmod(0o666)
        return path


_EVENTS = {"CrashLoopBackOff": "BackOff", "ImageNeverRuns": "ImageNeverRuns"}


def limits_of(spec: Object) -> Limits:
    """Return what a container may use at most."""
    found = mapping(spec, "resources", "limits")
    memory, cpu = found.get("memory"), found.get("cpu")
    return Limits(
        memory=None if memory is None else int(parse_quantity(str(memory))),
        cpu=None if cpu is None else parse_quantity(str(cpu)),
    )


def _read(path: Path, limit: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError:
        return b""
