"""Commands in pods around a snapshot: chosen when the job starts, run one after the other, the later ones however it went.

A command that fails before the snapshot ends the run: data that could not be brought to rest is not a good copy. One that
fails afterwards leaves the snapshot as it is, and the result is called partial.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from holdfast.core.access import exec_access, run_as
from holdfast.core.cluster_calls import Exec
from holdfast.core.labels import OWNER_UID
from holdfast.core.objects import Object
from holdfast.core.plan import Child, OnError, Phase, Run, Step, When
from holdfast.core.ports import Refs
from holdfast.core.read import items, mapping, name_of, phase_of, strings, text, uid_of
from holdfast.dialects.cloudcasa import pods
from holdfast.dialects.cloudcasa.handler import Documents
from holdfast.dialects.cloudcasa.kinds import POD

TIMEOUT: Final = timedelta(minutes=10)
_FIELDS: Final = (("pre", "pre_hooks"), ("post", "post_hooks"))


def choose(backup: Object, namespaces: Sequence[str], refs: Refs, documents: Documents) -> tuple[Object, ...]:
    """Return the commands that a snapshot definition asks for, with the pods that run now."""
    return tuple(
        call
        for when, field in _FIELDS
        for use in items(backup, "spec", field)
        for call in _calls(when, use, namespaces, refs, documents)
    )


def _calls(when: str, use: Object, namespaces: Sequence[str], refs: Refs, documents: Documents) -> Iterable[Object]:
    places = [name for name in (strings(use, "namespaces") or namespaces) if name in namespaces]
    for ident in strings(use, "hooks"):
        for rule in items(documents.spec_of("kubehooks", ident) or {}, "hook"):
            for namespace in places:
                for pod in refs.list(POD, namespace):
                    if phase_of(pod) == "Running" and fits(pod, mapping(rule, "labels")):
                        for target in items(rule, "target"):
                            yield {"when": when, "namespace": namespace, "pod": name_of(pod), **target}


def fits(pod: Object, labels: Object) -> bool:
    """Whether every label fits; commas in a value give alternatives."""
    have = mapping(pod, "metadata", "labels")
    return all(have.get(name) in [each.strip() for each in str(wanted).split(",")] for name, wanted in labels.items())


def steps(job: Object, when: str, needs: Sequence[str]) -> list[Step]:
    """Return the steps of the commands before (`pre`) or after (`post`) the snapshot, in a row after `needs`."""
    made: list[Step] = []
    for index, call in enumerate(items(job, "status", "hooks")):
        if text(call, "when") != when:
            continue
        after = [made[-1].name] if made else list(needs)
        made.append(_step(job, index, call, after))
    return made


def access(job: Object) -> tuple[Child, ...]:
    """Return the accounts that the commands run with: one in each namespace, for the pods there."""
    places = sorted({text(call, "namespace") for call in items(job, "status", "hooks")})
    labels = {OWNER_UID: uid_of(job)}
    return tuple(child for place in places for child in exec_access(_account(job), place, labels=labels))


def failure(run: Run) -> str:
    """Return what the first command before the snapshot failed with; empty when none did."""
    return next(
        (_said(name, run) for name in run.steps if name.startswith("pre-") and run.steps[name].phase is Phase.FAILED), ""
    )


def late_failure(run: Run) -> str:
    """Return what the first command after the snapshot failed with; empty when none did."""
    return next(
        (_said(name, run) for name in run.steps if name.startswith("post-") and run.steps[name].phase is Phase.FAILED), ""
    )


def _said(name: str, run: Run) -> str:
    state = run.steps[name]
    return f"hook {name}: {state.message or state.reason}"


def _account(job: Object) -> str:
    return f"cloudcasa-hooks-{name_of(job)[:12]}"


def _step(job: Object, index: int, call: Object, needs: Sequence[str]) -> Step:
    when, namespace = text(call, "when"), text(call, "namespace")
    child = pods.job(f"cloudcasa-{when}-{name_of(job)[:12]}-{index}", namespace)
    run_as(child, _account(job))
    command = ("sh", "-c", text(call, "command"))
    seconds = int(TIMEOUT.total_seconds())
    asked = Exec(namespace, text(call, "pod"), command, container=text(call, "container"), timeout=seconds).call()
    last = when == "post"
    return Step(
        name=f"{when}-{index}",
        child=child,
        mover=asked,
        needs=tuple(needs),
        when=When.ALWAYS if last else When.SUCCESS,
        on_error=OnError.CONTINUE if last else OnError.FAIL,
        deadline=TIMEOUT + timedelta(minutes=2),
    )
