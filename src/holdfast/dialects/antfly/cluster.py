"""AntflyCluster: where no operator looks after it, its server is asked now and then how it is.

An Antfly operator writes the status of its clusters; a status that we did not write is never touched. Ours is known by its
field `endpoint`, which the operator's own CRD does not have.
"""

from datetime import datetime, timedelta
from typing import Final

from holdfast.core.calls import AntflyHealth, AntflyServer
from holdfast.core.conditions import condition, upsert
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Desired, Doomed, Phase, Plan, Problems, RunKind, Step
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import at, conditions_of, deleting, generation_of, mapping, name_of, namespace_of, number, text
from holdfast.core.times import format_time, optional_time, parse_time
from holdfast.dialects.antfly import clusters, decode, jobs, names
from holdfast.dialects.antfly.kinds import CLUSTER, JOB

PLAN: Final = "health"
PATIENCE: Final = timedelta(seconds=60)
"""How long one question may take, the start of its pod included."""

WHEN_WELL, WHEN_ILL = timedelta(minutes=10), timedelta(seconds=30)
SETTLE: Final = timedelta(seconds=2)
"""How long a new cluster is left to an operator that might look after it."""


class AntflyClusterHandler:
    """Handles AntflyClusters that nobody else looks after."""

    kind = CLUSTER
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge nothing: the kind is not ours."""
        return None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Ask when it is due, and clear the last question away."""
        if deleting(obj) or _others(obj):
            return Desired()
        count = number(obj, "status", "checks") or 0
        due = _due(obj)
        if now < due:
            return Desired(wake_at=due, doomed=_asked(obj, count - 1, view))
        place = decode.place_of(obj)
        call = AntflyHealth(AntflyServer(clusters.endpoint(place, obj), str(place))).call()
        step = Step(name=PLAN, child=_job(obj, count), mover=call, deadline=PATIENCE)
        return Desired(runs=(Plan(name=PLAN, kind=RunKind.INITIALIZE, steps=(step,)),))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return what the server said when it was last asked."""
        run = outcome.runs.get(PLAN)
        if run is None or not run.phase.terminal:
            return mapping(obj, "status")
        well, state = run.phase is Phase.SUCCEEDED, run.steps[PLAN]
        reason = "Healthy" if well else state.reason or "Unhealthy"
        message = "the server says that it is healthy" if well else state.message
        told = condition("Ready", well, reason, message, generation=generation_of(obj))
        return {
            "conditions": upsert(conditions_of(obj), told, now),
            "endpoint": clusters.endpoint(decode.place_of(obj), obj),
            "checks": (number(obj, "status", "checks") or 0) + 1,
            "nextCheck": format_time(now + (WHEN_WELL if well else WHEN_ILL)),
            "observedGeneration": generation_of(obj),
        }


def _others(obj: Object) -> bool:
    """Whether somebody else writes the status, or there is nothing to ask."""
    if mapping(obj, "status") and at(obj, "status", "endpoint") is None:
        return True
    return not clusters.readiness(decode.place_of(obj), obj).usable


def _due(obj: Object) -> datetime:
    """Return when to ask: at once after a change of spec or endpoint."""
    changed = text(obj, "status", "endpoint") != clusters.endpoint(decode.place_of(obj), obj) or number(
        obj, "status", "observedGeneration"
    ) != generation_of(obj)
    planned = None if changed else optional_time(text(obj, "status", "nextCheck"))
    return planned or parse_time(text(obj, "metadata", "creationTimestamp")) + SETTLE


def _job(obj: Object, count: int) -> Object:
    labels = names.health_labels()
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": names.health_job(name_of(obj), count), "namespace": namespace_of(obj), "labels": labels},
        "spec": jobs.job_spec("health", labels, timeout=PATIENCE, retries=0),
    }


def _asked(obj: Object, count: int, view: View) -> tuple[Doomed, ...]:
    name = names.health_job(name_of(obj), count)
    if count < 0 or view.get(JOB, namespace_of(obj), name) is None:
        return ()
    return (Doomed(Ref(JOB, namespace_of(obj), name), "its answer is in the status"),)
