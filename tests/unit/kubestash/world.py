"""A cluster in memory that runs the KubeStash handlers for real: compile, advance, project, and the effects of it.

No clock, no server: a test says what time it is and how each Job ends. Statuses are held against the CRDs, so one that the
API server would prune or refuse fails the test that writes it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import yaml

from holdfast.core.advance import advance
from holdfast.core.calls import CALLS, decode_call
from holdfast.core.diff import merge_patch
from holdfast.core.effects import AddFinalizer, AmendOwner, Apply, CopySecret, Create, Delete, Emit, ReleaseFinalizer
from holdfast.core.kinds import JOB, POD
from holdfast.core.objects import Kind, Object, kind_of
from holdfast.core.observe import observe_job
from holdfast.core.observe_objects import observe_object
from holdfast.core.plan import Plan, Problems, Step, StepState, Until
from holdfast.core.ports import Fill, Handler, Outcome
from holdfast.core.report import Failure, Progress, Report, RepositoryResult
from holdfast.core.times import format_time
from holdfast.dialects.kubestash.dialect import KubeStash
from holdfast.dialects.kubestash.types import KINDS
from holdfast.engine.jobs import finish_child, finish_step
from holdfast.schema.emit import openapi_of
from holdfast.schema.kind import KindSpec
from holdfast.schema.structural import Schema

START = datetime(2026, 11, 20, 13, 42, 30, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]


def schemas_of(kinds: Iterable[KindSpec]) -> Mapping[Kind, Schema]:
    """Compile the schemas of kinds."""
    return {Kind(spec.group, spec.kind): Schema.compile(openapi_of(spec.type)) for spec in kinds}


class FakeMover(msgspec.Struct, frozen=True):
    name: str

    def fill(self, step: Step) -> Fill:
        assert step.mover is not None
        decode_call(step.mover.mover, step.mover.arguments)
        text = msgspec.json.encode({"mover": step.mover.mover, "arguments": step.mover.arguments}).decode()
        secrets = ",".join(f"{item.mount}={item.secret}" for item in step.mover.secrets)
        return Fill(("holdfast-mover", "run"), {"HOLDFAST_CALL": text, "SECRETS": secrets})


MOVERS = {name: FakeMover(name) for name in CALLS}


class World:
    """Every object of a cluster by kind, namespace and name. A subclass may speak another API."""

    schemas: ClassVar[Mapping[Kind, Schema]] = schemas_of(KINDS)
    cluster_scoped: ClassVar[frozenset[str]] = frozenset(
        {"Namespace", "Addon", "Function", "ClusterRole", "ClusterRoleBinding"}
    )

    def spoken(self) -> Iterable[Handler]:
        """Return the handlers of the API."""
        return KubeStash().handlers

    def final(self, owner: Object) -> bool:
        """Whether the phase of an object can't change any more."""
        before = (owner.get("status") or {}).get("phase")
        return before in ("Succeeded", "Failed", "Skipped") or (before == "Invalid" and owner["kind"] == "RestoreSession")

    def __init__(self, *objects: Object, now: datetime = START) -> None:
        self.now = now
        self.objects: dict[tuple[Kind, str, str], Object] = {}
        self.handlers: dict[Kind, Handler] = {handler.kind: handler for handler in self.spoken()}
        self.progress: dict[str, tuple[Progress, ...]] = {}
        self.copied: list[CopySecret] = []
        self.missing_secret = ""
        self.records = True
        self.notes: set[tuple[str, str]] = set()
        self.log: list[tuple[str, ...]] = []
        self.writes = 0
        self.wakes: list[datetime] = []
        for obj in objects:
            self.add(obj)

    # what a View and a World of `advance` offer

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.objects.get((kind, namespace, name))

    def list(
        self, kind: Kind, namespace: str | None = None, *, label: tuple[str, str] | None = None, owner: str = ""
    ) -> list[Object]:
        found = [obj for (of, place, _), obj in sorted(self.objects.items()) if of == kind and namespace in (None, place)]
        if label is not None:
            found = [obj for obj in found if (obj["metadata"].get("labels") or {}).get(label[0]) == label[1]]
        if owner:
            found = [obj for obj in found if owner in {ref["uid"] for ref in obj["metadata"].get("ownerReferences") or ()}]
        return found

    def step(self, namespace: str, name: str, kind: Kind = JOB, until: Until | None = None) -> StepState:
        if kind != JOB:
            return observe_object(self, namespace, name, kind, until)
        found = self.get(JOB, namespace, name)
        pods = self.list(POD, namespace, owner=found["metadata"]["uid"]) if found else []
        return observe_job(found, pods, self.progress.get(name, ()), self.now)

    def admit(self, plan: Plan, step: Step) -> str:
        return self.missing_secret

    def settled(self, wanted: Object, actual: Object) -> bool:
        return False

    # what a test does to it

    def add(self, obj: Object) -> Object:
        """Create or replace an object, as `kubectl apply` would."""
        obj = copy.deepcopy(obj)
        meta = obj["metadata"]
        kind = kind_of(obj)
        if kind.kind not in self.cluster_scoped:
            meta.setdefault("namespace", "demo")
        if kind in self.schemas:
            status = obj.get("status")
            outcome = self.schemas[kind].process({key: value for key, value in obj.items() if key != "status"})
            faults = [str(error) for error in outcome.errors] + [f"unknown field {path}" for path in outcome.unknown]
            assert faults == [], f"{kind} {meta['name']}"
            obj = {**outcome.object, **({"status": status} if status else {})}
            meta = obj["metadata"]
        key = (kind, meta.get("namespace", ""), meta["name"])
        old = self.objects.get(key)
        if old is not None:
            changed = old.get("spec") != obj.get("spec")
            kept = {
                name: old["metadata"][name] for name in ("uid", "creationTimestamp", "finalizers") if name in old["metadata"]
            }
            meta.update(kept, generation=old["metadata"]["generation"] + int(changed))
            if "status" in old and "status" not in obj:
                obj["status"] = old["status"]
        meta.setdefault("uid", f"uid-{kind.kind.lower()}-{meta.get('namespace', '')}-{meta['name']}")
        meta.setdefault("creationTimestamp", format_time(self.now))
        meta.setdefault("generation", 1)
        self.objects[key] = obj
        self.writes += 1
        return obj

    def load(self, *paths: Path) -> None:
        for path in paths:
            for document in yaml.safe_load_all(path.read_text()):
                if document:
                    self.add(document)

    def find(self, kind: str, name: str, namespace: str = "demo") -> Object:
        return next(
            obj for (of, place, at), obj in self.objects.items() if of.kind == kind and at == name and place in ("", namespace)
        )

    def all(self, kind: str) -> list[Object]:
        return [obj for (of, _, _), obj in sorted(self.objects.items()) if of.kind == kind]

    def names(self, kind: str) -> list[str]:
        return [obj["metadata"]["name"] for obj in self.all(kind)]

    def delete(self, kind: str, name: str, namespace: str = "demo") -> None:
        obj = self.find(kind, name, namespace)
        if obj["metadata"].get("finalizers"):
            obj["metadata"]["deletionTimestamp"] = format_time(self.now)
        else:
            self._remove(obj)

    def later(self, **delta: float) -> None:
        self.now += timedelta(**delta)

    def call(self, name: str, kind: str = "Job") -> tuple[str, Object, str]:
        """Return what the mover of a Job or CronJob is told: its name, its arguments, and the Secrets by mount."""
        spec = self.find(kind, name)["spec"]
        template = spec["template"] if kind == "Job" else spec["jobTemplate"]["spec"]["template"]
        env = {item["name"]: item["value"] for item in template["spec"]["containers"][0]["env"]}
        call = msgspec.json.decode(env["HOLDFAST_CALL"])
        return call["mover"], call["arguments"], env["SECRETS"]

    def problems(self, obj: Object, old: Object | None = None) -> str:
        """Return what admission says, after the CRD's own defaults."""
        outcome = self.schemas[kind_of(obj)].process(obj)
        found = self.handlers[kind_of(obj)].validate(outcome.object, old, self)
        return "" if found is None else str(found)

    def finish(
        self, name: str, *results: RepositoryResult, failure: Failure | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        """End a Job as its mover would report it."""
        job = next(obj for obj in self.all("Job") if obj["metadata"]["name"] == name)
        mover = job["metadata"]["labels"].get("holdfast.dev/mover", "function")
        report = Report(mover, tuple(results), failure, details=details or {})
        self._end(job, msgspec.json.encode(report).decode(), failed=failure is not None)

    def crash(self, name: str, reason: str, message: str) -> None:
        """End a Job whose pod left no report."""
        job = next(obj for obj in self.all("Job") if obj["metadata"]["name"] == name)
        self._end(job, "", failed=True, pod={"reason": reason, "message": message})

    def end_silently(self, name: str) -> None:
        """End a Job well whose pod left no report."""
        self._end(self.find("Job", name, "default"), "", failed=False)

    def waits(self, name: str, reason: str, message: str) -> None:
        """Let the pod of a Job wait for something."""
        job = next(obj for obj in self.all("Job") if obj["metadata"]["name"] == name)
        waiting = {"name": "main", "state": {"waiting": {"reason": reason, "message": message}}}
        self._pod(job, {"phase": "Pending", "containerStatuses": [waiting]})

    def settle(self, limit: int = 40) -> None:
        """Run every handler until nothing changes. Two handlers that never agree fail here."""
        for _ in range(limit):
            before = self.writes
            for key in list(self.objects):
                if key[0] in self.handlers and key in self.objects:
                    self.reconcile(key)
            if self.writes == before and not self._record():
                return
        raise AssertionError("the handlers never come to rest")

    def _record(self) -> bool:
        """End well each retention Job that has nothing to forget and only records a Snapshot."""
        names = [name for name in self.names("Job") if name.startswith("retentionpolicy-")] if self.records else []
        for name in names:
            if "status" not in self.find("Job", name) and not self.call(name)[1]["forget"]:
                self.finish(name)
                return True
        return False

    def reconcile(self, key: tuple[Kind, str, str]) -> None:
        owner, handler = self.objects[key], self.handlers[key[0]]
        if owner["metadata"].get("deletionTimestamp") and handler.finalizer not in owner["metadata"].get("finalizers", ()):
            return
        desired = handler.compile(owner, self, self.now)
        last: Iterable[Any] = ()
        if isinstance(desired, Problems):
            outcome = Outcome(problems=desired)
        else:
            children = tuple(
                msgspec.structs.replace(child, object=finish_child(child, MOVERS, "image"), mover=None)
                for child in desired.children
            )
            desired = msgspec.structs.replace(desired, children=children)
            decision = advance(owner, desired, self, self.now, finalizer=handler.finalizer)
            for effect in decision.first:
                self._carry_out(owner, effect)
            if decision.first:
                owner = self.objects[key]
                decision = advance(owner, desired, self, self.now, finalizer=handler.finalizer)
            outcome, last = Outcome(runs=decision.runs), decision.last
            if decision.requeue:
                assert decision.requeue.at > self.now, "a handler asks to be looked at again at once"
                self.wakes.append(decision.requeue.at)
        status = handler.project(owner, self, outcome, self.now)
        if merge_patch(owner.get("status") or {}, status):
            self._write_status(owner, status)
        for effect in last:
            self._carry_out(owner, effect)

    def _carry_out(self, owner: Object, effect: Any) -> None:
        match effect:
            case AddFinalizer(finalizer=finalizer):
                owner["metadata"].setdefault("finalizers", []).append(finalizer)
                self.writes += 1
            case AmendOwner(amend=amend):
                merge(owner, amend.patch)
                self.writes += 1
            case Apply(object=obj):
                self.add(obj)
            case Create(object=obj, step=None):
                meta = obj["metadata"]
                if (kind_of(obj), meta.get("namespace", ""), meta["name"]) not in self.objects:
                    self.add(obj)
            case Create(step=step, run=run):
                assert step is not None
                self.add(finish_step(owner, run, step, MOVERS, "image"))
            case CopySecret():
                if effect not in self.copied:
                    self.copied.append(effect)
            case Delete(ref=ref):
                if (ref.kind, ref.namespace, ref.name) in self.objects:
                    self.delete(ref.kind.kind, ref.name, ref.namespace)
                    self.writes += 1
            case ReleaseFinalizer():
                self._remove(owner)
            case Emit(note=note):
                self.notes.add((note.reason, note.message))
            case _:
                raise AssertionError(f"unknown effect {effect}")

    def _write_status(self, owner: Object, status: Object) -> None:
        outcome = self.schemas[kind_of(owner)].process({**owner, "status": status})
        faults = [str(error) for error in outcome.errors] + [f"{path} would be pruned" for path in outcome.unknown]
        assert [fault for fault in faults if fault.startswith("status")] == [], owner["metadata"]["name"]
        before = (owner.get("status") or {}).get("phase")
        assert not self.final(owner) or status["phase"] == before, f"{owner['metadata']['name']} left its final phase {before}"
        owner["status"] = status
        self.writes += 1

    def _remove(self, obj: Object) -> None:
        meta = obj["metadata"]
        self.objects.pop((kind_of(obj), meta.get("namespace", ""), meta["name"]), None)
        self.writes += 1
        for child in [child for child in self.objects.values() if meta["uid"] in _owners(child)]:
            if (kind_of(child), child["metadata"].get("namespace", ""), child["metadata"]["name"]) in self.objects:
                self.delete(child["kind"], child["metadata"]["name"], child["metadata"].get("namespace", ""))

    def _end(self, job: Object, message: str, *, failed: bool, pod: Mapping[str, str] | None = None) -> None:
        now = format_time(self.now)
        kind = {"type": "Failed", "reason": "BackoffLimitExceeded"} if failed else {"type": "Complete"}
        job["status"] = {
            "startTime": format_time(self.now - timedelta(seconds=5)),
            "conditions": [{**kind, "status": "True", "lastTransitionTime": now}],
            **({} if failed else {"completionTime": now}),
        }
        ended = {"terminated": {"exitCode": int(failed), "message": message}}
        phase = "Failed" if failed else "Succeeded"
        status = {"phase": phase, "containerStatuses": [{"name": "main", "state": ended}], **(pod or {})}
        self._pod(job, status)

    def _pod(self, job: Object, status: Object) -> None:
        meta = job["metadata"]
        reference = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"], "controller": True}
        place = {"name": f"{meta['name']}-abcde", "namespace": meta["namespace"], "ownerReferences": [reference]}
        self.add({"apiVersion": "v1", "kind": "Pod", "metadata": place, "spec": {}, "status": status})


def merge(into: Object, patch: Mapping[str, Any]) -> None:
    """Carry out a merge patch in place."""
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def _owners(obj: Object) -> set[str]:
    return {reference["uid"] for reference in obj["metadata"].get("ownerReferences") or ()}


def succeeded(
    repository: str, component: str = "dump-pod-0", *ids: str, size: int = 5_000_000, **more: Any
) -> RepositoryResult:
    """Build what a mover reports of a good backup."""
    return RepositoryResult(
        repository=repository,
        component=component,
        snapshot_ids=ids or (f"{repository}-id".ljust(8, "0"),),
        files=30_000,
        bytes=size,
        added=more.pop("added", 1_000_000),
        repository_bytes=more.pop("repository_bytes", 2_000_000),
        seconds=12.5,
        started=more.pop("started", "2026-11-20T13:43:00Z"),
        finished=more.pop("finished", "2026-11-20T13:43:12.5Z"),
        integrity=True,
        **more,
    )


def condition(obj: Object, type_: str) -> Object:
    return next((item for item in obj.get("status", {}).get("conditions", []) if item["type"] == type_), {})
