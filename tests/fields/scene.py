"""A cluster at one moment, in memory: what the handlers of a dialect make of every object in it.

This is what the mutation tool looks at: plans, children, problems and conditions, but no field that is merely copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from holdfast.core.advance import advance
from holdfast.core.objects import Kind, Object, Ref, kind_of, owner_reference, ref_of
from holdfast.core.observe import observe_job
from holdfast.core.observe_objects import observe_object
from holdfast.core.plan import Desired, Plan, Problems, Step, StepState, Until
from holdfast.core.ports import Handler, Outcome

JOB, POD = Kind("batch", "Job"), Kind("", "Pod")


class Scene:
    """Objects by reference, and the handlers that look at them. A `View` and a `World` of `advance`."""

    def __init__(self, objects: Iterable[Object], handlers: Sequence[Handler], now: datetime) -> None:
        self.objects = {ref_of(obj): obj for obj in objects}
        self._handlers = {handler.kind: handler for handler in handlers}
        self._now = now
        self._verdicts: dict[Ref, tuple[Desired | Problems, list[Object]]] = {}
        self._looks: dict[Ref, set[Ref | Kind]] = {}
        self._looking: set[Ref | Kind] = set()

    def swapped(self, obj: Object) -> Scene:
        """Return the scene with another version of one object. What never looked at it is not judged again."""
        self.told()
        other, changed = Scene([*self.objects.values(), obj], list(self._handlers.values()), self._now), ref_of(obj)
        for ref, verdict in self._verdicts.items():
            if ref != changed and not self._looks[ref] & {changed, changed.kind}:
                other._verdicts[ref], other._looks[ref] = verdict, self._looks[ref]
        return other

    def told(self) -> Mapping[Ref, Any]:
        """Return what becomes of each object that has a handler."""
        return {ref: self.verdict(ref) for ref in self.objects if ref.kind in self._handlers}

    def verdict(self, ref: Ref) -> tuple[Desired | Problems, list[Object]]:
        """Return what becomes of one object; it is judged once."""
        if ref not in self._verdicts:
            self._looking = self._looks[ref] = set()
            self._verdicts[ref] = self._judged(self.objects[ref])
        return self._verdicts[ref]

    def nearest_first(self, changed: Ref) -> list[Ref]:
        """Return the objects that have a handler, those first on which a change of one is likely to be seen."""
        found = [ref for ref in self.objects if ref.kind in self._handlers]
        return sorted(found, key=lambda ref: (ref != changed, not ref.kind.kind.endswith("Session"), ref))

    def _judged(self, obj: Object) -> tuple[Desired | Problems, list[Object]]:
        handler = self._handlers[kind_of(obj)]
        desired = handler.compile(obj, self, self._now)
        if isinstance(desired, Problems):
            outcome = Outcome(problems=desired)
        else:
            outcome = Outcome(runs=advance(obj, desired, self, self._now, finalizer=handler.finalizer).runs)
        status = handler.project(obj, self, outcome, self._now)
        return desired, [{key: each.get(key) for key in _CONDITION} for each in status.get("conditions", ())]

    # what a View and a World of `advance` offer

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        self._looking.add(Ref(kind, namespace, name))
        return self.objects.get(Ref(kind, namespace, name))

    def list(
        self, kind: Kind, namespace: str | None = None, *, label: tuple[str, str] | None = None, owner: str = ""
    ) -> list[Object]:
        self._looking.add(kind)
        found = [obj for ref, obj in sorted(self.objects.items()) if ref.kind == kind and namespace in (None, ref.namespace)]
        if label is not None:
            found = [obj for obj in found if (obj["metadata"].get("labels") or {}).get(label[0]) == label[1]]
        if owner:
            found = [obj for obj in found if owner in {each["uid"] for each in obj["metadata"].get("ownerReferences") or ()}]
        return found

    def step(self, namespace: str, name: str, kind: Kind = JOB, until: Until | None = None) -> StepState:
        if kind != JOB:
            return observe_object(self, namespace, name, kind, until)
        found = self.get(JOB, namespace, name)
        pods = self.list(POD, namespace, owner=found["metadata"]["uid"]) if found else []
        return observe_job(found, pods, (), self._now)

    def admit(self, plan: Plan, step: Step) -> str:
        return ""

    def settled(self, wanted: Object, actual: Object) -> bool:
        return False


_CONDITION = ("type", "status", "reason", "message")


def made(document: Object, **meta: Any) -> Object:
    """Return an object as an API server has it: with a uid, a generation and a time of creation."""
    known = document["metadata"]
    uid = f"uid-{document['kind'].lower()}-{known.get('namespace', '')}-{known['name']}"
    return {**document, "metadata": {"uid": uid, "generation": 1, **meta, **known}}


def ended_job(job: Object, report: Any, *, owner: Object | None = None, failed: bool = False, at: str) -> tuple[Object, Object]:
    """Return a Job that ended at a time, and its pod with the report that it left."""
    kind = {"type": "Failed", "reason": "BackoffLimitExceeded"} if failed else {"type": "Complete"}
    status = {
        "startTime": at,
        "conditions": [{**kind, "status": "True", "lastTransitionTime": at}],
        **({} if failed else {"completionTime": at}),
    }
    owners = {"ownerReferences": [owner_reference(owner)]} if owner else {}
    full = made({**job, "metadata": {**job["metadata"], **owners}, "status": status}, creationTimestamp=at)
    message = msgspec.json.encode(report).decode() if report is not None else ""
    state = {"terminated": {"exitCode": int(failed), "message": message}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{job['metadata']['name']}-abcde",
            "namespace": job["metadata"]["namespace"],
            "ownerReferences": [owner_reference(full)],
        },
        "spec": {},
        "status": {"phase": "Failed" if failed else "Succeeded", "containerStatuses": [{"name": "main", "state": state}]},
    }
    return full, made(pod, creationTimestamp=at)
