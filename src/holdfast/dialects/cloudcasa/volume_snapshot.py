"""The snapshots of a job's claims: one plan, so that all are taken at nearly the same moment, between the hooks."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.plan import OnError, Phase, Plan, Run, RunKind, Step
from holdfast.core.read import items, name_of, text
from holdfast.dialects.cloudcasa import hooks
from holdfast.dialects.cloudcasa.kinds import POINT
from holdfast.dialects.cloudcasa.points import snapshot_id

LIMIT: Final = timedelta(hours=1)
"""How long a snapshot may take until it can be used."""


def snapshot_plan(job: Object, name: str) -> Plan:
    """Return the plan that takes the snapshots of a job."""
    before = hooks.steps(job, "pre", ())
    first = (before[-1].name,) if before else ()
    taken = [_step(job, index, claim, first) for index, claim in enumerate(items(job, "status", "volumes"))]
    after = hooks.steps(job, "post", [step.name for step in (*before, *taken)])
    return Plan(name=name, kind=RunKind.BACKUP, steps=(*before, *taken, *after))


def seen(job: Object, run: Run | None) -> list[Object] | None:
    """Return the claims with what became of their snapshots; None until all of it has ended."""
    claims = items(job, "status", "volumes")
    if run is None:
        return [] if not claims and not items(job, "status", "hooks") else None
    if not run.phase.terminal:
        return None
    return [_seen(job, index, claim, run) for index, claim in enumerate(claims)]


def _seen(job: Object, index: int, claim: Object, run: Run) -> Object:
    state = run.steps[f"snapshot-{index}"]
    if state.phase is Phase.SUCCEEDED:
        return {**claim, "state": "COMPLETED", "volume_snapshot": snapshot_name(job, index)}
    return {**claim, "state": "FAILED", "message": state.message or state.reason or "no snapshot was taken"}


def snapshot_name(job: Object, index: int) -> str:
    """Return the name of the VolumeSnapshot of a job's claim."""
    return f"cloudcasa-{name_of(job)[:12]}-{index}"


def _step(job: Object, index: int, claim: Object, needs: tuple[str, ...]) -> Step:
    child: Object = {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": {
            "name": snapshot_name(job, index),
            "namespace": text(claim, "namespace"),
            "labels": {POINT: snapshot_id(job)},
        },
        "spec": {"source": {"persistentVolumeClaimName": text(claim, "claim")}},
    }
    return Step(name=f"snapshot-{index}", child=child, needs=needs, on_error=OnError.CONTINUE, deadline=LIMIT, outlives=True)
