"""Commands in pods after a restore: chosen when the job starts, run once the pods that came back run.

Nothing runs before every claim and every resource is back. A pod may take a while to start, so a rule waits for its pods; one
that finds none in time, and a command that fails, make the result partial, since the data is there but the application is not
as it should be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Plan, RunKind
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import at, items, mapping, name_of, number, phase_of, strings, text
from holdfast.dialects.cloudcasa import hooks, ticks
from holdfast.dialects.cloudcasa.handler import Documents
from holdfast.dialects.cloudcasa.kinds import POD

PATIENCE: Final = timedelta(minutes=10)
"""How long the pods of a rule may take to run."""

_LOOKS: Final = timedelta(seconds=2)
_PLAN: Final = "hooks"


def rules(restore: Object, namespaces: Sequence[str], renamed: Mapping[str, str], documents: Documents) -> list[Object] | str:
    """Return what a restore definition asks for, as its job notes it; or why that can't be done.

    `namespaces` are those that come back, under the names that they had.
    """
    found: list[Object] = []
    for use in items(restore, "spec", "post_hooks"):
        chosen = strings(use, "namespaces") or list(namespaces)
        if foreign := [name for name in chosen if name not in namespaces]:
            return f"post_hooks name namespace {', '.join(foreign)}, which is not restored"
        places = [renamed.get(name, name) for name in chosen]
        for ident in strings(use, "hooks"):
            hook = documents.spec_of("kubehooks", ident)
            if hook is None:
                return f"kubehook {ident} is gone"
            for rule in items(hook, "hook"):
                if items(rule, "target"):
                    found.append({"name": text(hook, "name"), "namespaces": places, **rule})
    return found


def wanted(job: Object, now: datetime) -> Desired:
    """Return the plan of the commands; before they are chosen, when to look for the pods again."""
    if at(job, "status", "hooks") is None:
        return Desired(wake_at=now + _LOOKS)
    steps = tuple(hooks.steps(job, "post", ()))
    runs = (Plan(name=_PLAN, kind=RunKind.RESTORE, steps=steps),) if steps else ()
    return Desired(children=hooks.access(job), runs=runs)


def seen(job: Object, view: View, outcome: Outcome, now: datetime) -> Object:
    """Return the fields of the status that the commands change; `state` is among them once all of them have ended."""
    restored, calls = text(job, "status", "restored"), items(job, "status", "hooks")
    if at(job, "status", "hooks") is None:
        return _chosen(job, view, now)
    if calls:
        run = outcome.runs.get(_PLAN)
        if run is None or not run.phase.terminal:
            return {"message": f"runs {len(calls)} hook commands{f': {run.message}' if run and run.message else ''}"}
        if said := hooks.late_failure(run):
            return {"state": "PARTIAL", "message": f"{restored}; {said}"}
    if said := text(job, "status", "hooks_message"):
        return {"state": "PARTIAL", "message": f"{restored}; {said}"}
    return {"state": "COMPLETED", "message": f"{restored}; {len(calls)} hook commands ran"}


def _chosen(job: Object, view: Refs, now: datetime) -> Object:
    """Choose the pods once all of them run, or when it has taken too long."""
    since = number(job, "status", "hooks_since")
    if since is None:
        return {"hooks_since": ticks.seconds(now), "message": "waits for the pods of its hooks"}
    wait = [why for rule in items(job, "status", "hook_rules") if (why := _lacks(rule, view))]
    if wait and now < ticks.moment(since) + PATIENCE:
        return {"message": f"waits for the pods of its hooks: {wait[0]}"}
    calls = [call for rule in items(job, "status", "hook_rules") for call in _calls(rule, view)]
    late = {"hooks_message": f"{wait[0]} after {int(PATIENCE.total_seconds())} s"} if wait else {}
    return {"hooks": calls, "message": f"runs {len(calls)} hook commands", **late}


def _lacks(rule: Object, refs: Refs) -> str:
    """Return which pod of a rule does not run; empty when there is one at least, and all of them do."""
    found = list(_pods(rule, refs))
    waits = next((pod for pod in found if phase_of(pod) not in ("Running", "Succeeded", "Failed")), None)
    if waits is not None:
        return f"hook {text(rule, 'name')}: pod {text(waits, 'metadata', 'namespace')}/{name_of(waits)} does not run"
    if not any(phase_of(pod) == "Running" for pod in found):
        places, labels = ", ".join(strings(rule, "namespaces")), mapping(rule, "labels")
        wanted = ",".join(f"{name}={value}" for name, value in labels.items())
        return f"hook {text(rule, 'name')}: no pod with {wanted} runs in {places}"
    return ""


def _calls(rule: Object, refs: Refs) -> Iterator[Object]:
    for pod in _pods(rule, refs):
        if phase_of(pod) == "Running":
            for target in items(rule, "target"):
                yield {"when": "post", "namespace": text(pod, "metadata", "namespace"), "pod": name_of(pod), **target}


def _pods(rule: Object, refs: Refs) -> Iterator[Object]:
    for namespace in strings(rule, "namespaces"):
        for pod in refs.list(POD, namespace):
            if hooks.fits(pod, mapping(rule, "labels")):
                yield pod
