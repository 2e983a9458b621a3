"""Jobs whose pods can't start since a Secret or ConfigMap that they read is missing: they would wait for ever.

Kubernetes looks again by itself, so one that comes a moment late is no fault; after `PATIENCE` the run says what is missing.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.plan import Phase, Step
from holdfast.core.ports import View
from holdfast.core.read import name_of, namespace_of, text
from holdfast.core.times import parse_time
from holdfast.dialects.kubeblocks.kinds import JOB

PATIENCE: Final = timedelta(seconds=30)
"""How long a Job's pods may wait for what they read."""

_MISSING: Final = "CreateContainerConfigError"


def since(view: View, child: Object) -> datetime | None:
    """Return since when the Job of a step waits for something that is missing; None while it does not."""
    job = view.get(JOB, namespace_of(child), name_of(child)) if child["kind"] == JOB.kind else None
    if job is None:
        return None
    state = view.step(namespace_of(child), name_of(child))
    waits = state.phase is Phase.RUNNING and state.reason == _MISSING
    return parse_time(text(job, "metadata", "creationTimestamp")) if waits else None


def due(steps: Iterable[Step], view: View, now: datetime) -> list[datetime]:
    """Return when the Jobs that wait will have waited long enough, as far as that is to come."""
    ends = [moment + PATIENCE for step in steps if (moment := since(view, step.child)) is not None]
    return [end for end in ends if end > now]


def reasons(steps: Iterable[Step], view: View, now: datetime) -> dict[str, str]:
    """Return what is missing, by the name of the step, of those that have waited long enough."""
    found: dict[str, str] = {}
    for step in steps:
        moment = since(view, step.child)
        if moment is not None and now >= moment + PATIENCE:
            said = view.step(namespace_of(step.child), name_of(step.child)).message
            found[step.name] = f"namespace {namespace_of(step.child)}: {said}: create what is named, and start anew"
    return found
