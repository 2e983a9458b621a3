"""A dialect of one kind, and an engine on a real API server: what the engine's conformance tests drive.

`Thing` has `spec.ref` (a ConfigMap that must exist), `spec.job` (the namespace of its one Job) and `spec.secret` (copied
there). No controller of Jobs runs: a test ends a Job by writing its status.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from holdfast.core.objects import Kind, Object, Ref, owner_reference
from holdfast.core.plan import Child, Desired, MoverCall, Note, Plan, Problems, RunKind, SecretCopy, Step
from holdfast.core.ports import Dialect, Fill, Handler, Outcome, Refs, View
from holdfast.engine.shell import Engine
from holdfast.kube.builtin import CONFIGMAPS, CRDS, CRONJOBS, JOBS, NAMESPACES
from holdfast.kube.client import Client
from holdfast.kube.errors import ApiError, NotFound
from holdfast.kube.events import EventRecorder
from holdfast.kube.resource import Resource

GROUP = "engine.test.holdfast.dev"
THING = Kind(GROUP, "Thing")
CONFIG_MAP, SECRET, CRON_JOB = Kind("", "ConfigMap"), Kind("", "Secret"), Kind("batch", "CronJob")
THINGS = Resource(GROUP, "v1", "Thing", "things")
OTHER, OTHERS = Kind(GROUP, "Other"), Resource(GROUP, "v1", "Other", "others")
RESOURCES = {THING: THINGS, OTHER: OTHERS, CONFIG_MAP: CONFIGMAPS, CRON_JOB: CRONJOBS}
DONE = ("Succeeded", "Failed")


class ThingHandler:
    kind = THING
    finalizer = ""

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        spec, meta = obj["spec"], obj["metadata"]
        if obj.get("status", {}).get("phase") in DONE or (spec.get("ref") and not self._ready(obj, view)):
            return Desired()
        if "schedule" in spec:
            return Desired(children=(Child(cron_job(obj)),))
        if "job" not in spec:
            return Desired()
        place = spec["job"] or meta["namespace"]
        job: Object = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": f"job-{meta['name']}", "namespace": place}}
        begun = bool(obj.get("status", {}).get("begun"))
        step = Step(name="dump", child=job, mover=MoverCall("fake", {}), begun=begun)
        copies = (
            [SecretCopy(Ref(SECRET, meta["namespace"], spec["secret"]), Ref(SECRET, place, "copy"))] if "secret" in spec else []
        )
        plan = Plan(name="run", kind=RunKind.BACKUP, steps=(step,))
        return Desired(runs=(plan,), secret_copies=tuple(copies), notes=(Note("Looked", "it was looked at"),))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        status = dict(obj.get("status", {}))
        if status.get("phase") in DONE:
            return status
        if run := outcome.runs.get("run"):
            begun = status.get("begun") or run.steps["dump"].exists or None
            return {"phase": run.phase.value, "reason": run.reason or None, "message": run.message or None, "begun": begun}
        return {"phase": "Ready" if self._ready(obj, view) else "NotReady"}

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        return None

    def _ready(self, obj: Object, view: View) -> bool:
        return view.get(CONFIG_MAP, obj["metadata"]["namespace"], obj["spec"].get("ref", "")) is not None


class ThingDialect:
    name = "things"
    watched: Sequence[Kind] = (CONFIG_MAP, CRON_JOB)
    makes: Sequence[Kind] = (CONFIG_MAP, CRON_JOB)

    def __init__(self) -> None:
        self.handlers: Sequence[Handler] = (ThingHandler(),)


class FakeMover:
    name = "fake"

    def fill(self, step: Step) -> Fill:
        return Fill(command=("true",))


def cron_job(owner: Object) -> Object:
    """A child whose quantity the server may spell its own way, and whose suspension comes and goes."""
    container = {"name": "main", "image": "x", "command": ["true"], "resources": {"requests": {"cpu": "0.5"}}}
    pod = {"restartPolicy": "Never", "containers": [container]}
    meta = {"name": "child", "namespace": "demo", "ownerReferences": [owner_reference(owner)]}
    spec: Object = {"schedule": owner["spec"]["schedule"], "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    if "suspend" in owner["spec"]:
        spec["suspend"] = True
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": spec}


def crd_of(kind: str) -> Object:
    """The definition of a kind of the tests' group that takes any spec and status."""
    plural = f"{kind.lower()}s"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}},
    }
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


async def install(client: Client) -> None:
    """Make namespaces demo and app, and the kind Thing, and wait until it is served."""
    await client.create(CRDS, crd_of("Thing"))
    for name in ("demo", "app"):
        await client.create(NAMESPACES, {"metadata": {"name": name}})

    await served(client, THINGS)


async def served(client: Client, resource: Resource) -> None:
    """Wait until a kind that was just defined is served."""

    async def there() -> bool:
        try:
            await client.list(resource)
        except NotFound:
            return False
        return True

    await until(there)


@asynccontextmanager
async def engine_on(client: Client, *, dialects: Sequence[Dialect] = (), **options: object) -> AsyncIterator[Engine]:
    """Run an engine, with a connection of its own, until the block ends; by default of Things."""
    async with Client(client.config, field_manager="engine") as own:
        recorder = EventRecorder(own, "engine")
        engine = Engine(
            own, dialects or [ThingDialect()], {"fake": FakeMover()}, RESOURCES, image="test", recorder=recorder, **options
        )  # type: ignore[arg-type]
        engine.sent = own.sent  # type: ignore[attr-defined]
        task = asyncio.create_task(engine.run())
        try:
            await asyncio.wait_for(engine.manager.synced(), 10)
            yield engine
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await recorder.close()


async def make(client: Client, name: str, **spec: str) -> Object:
    return await client.create(THINGS, {"metadata": {"name": name, "namespace": "demo"}, "spec": spec})


async def status_of(client: Client, name: str) -> Object:
    return (await client.get(THINGS, name, "demo")).get("status", {})


async def end_job(client: Client, name: str, namespace: str, kind: str = "Complete") -> None:
    """Write what a Job controller would, with no report: only steps without a mover may succeed like this."""
    condition = {
        "type": kind,
        "status": "True",
        "reason": "Test",
        "message": "as the test says",
        "lastTransitionTime": "2026-11-20T13:00:00Z",
    }
    await client.merge_patch(JOBS, name, namespace, {"status": {"conditions": [condition]}}, subresource="status")


async def until(check: Callable[[], object], seconds: float = 10) -> None:
    """Ask again until an async check returns a true value."""
    async with asyncio.timeout(seconds):
        pause = 0.005
        while not await check():  # type: ignore[misc]
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.1)


async def phase_is(client: Client, name: str, phase: str, seconds: float = 10) -> None:
    async def there() -> bool:
        return (await status_of(client, name)).get("phase") == phase

    try:
        await until(there, seconds)
    except TimeoutError:
        raise AssertionError(f"{name} is {await status_of(client, name)} instead of {phase}") from None


async def exists(client: Client, resource: Resource, name: str, namespace: str) -> bool:
    try:
        await client.get(resource, name, namespace)
    except ApiError:
        return False
    return True
