"""Jobs whose pods never start: what they read or name is missing, their image can't be had, no node takes them.

Kubernetes looks again by itself and for ever, so what comes a moment late is no fault. How long a pod may wait depends on what
it waits for, see `PATIENCE`; then the run ends and says what was in the way. A pod that has begun is never judged here.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.objects import Object
from holdfast.core.observe import why_pending
from holdfast.core.plan import Step
from holdfast.core.ports import View
from holdfast.core.read import flag, name_of, namespace_of, phase_of, text, uid_of
from holdfast.core.times import parse_time
from holdfast.dialects.kubeblocks.kinds import JOB, POD, SERVICE_ACCOUNT

MISSING: Final = timedelta(seconds=30)
"""How long a Secret, a ConfigMap or a service account may be missing: who applies them together with a Backup needs no more."""

IMAGE: Final = timedelta(minutes=5)
"""How long an image may fail to come."""

START: Final = timedelta(minutes=30)
"""How long a pod may wait for anything else, such as a node with room or a volume: clusters that grow need minutes."""

NO_ACCOUNT: Final = "ServiceAccountNotFound"
"""The reason of a Job without a pod whose service account does not exist: only its events tell else."""

PATIENCE: Final[Mapping[str, timedelta]] = {
    "CreateContainerConfigError": MISSING,
    "InvalidImageName": MISSING,
    NO_ACCOUNT: MISSING,
    "ErrImagePull": IMAGE,
    "ImagePullBackOff": IMAGE,
    "ErrImageNeverPull": IMAGE,
}
"""By the reason that Kubernetes gives for a pod that waits."""


class Obstacle(msgspec.Struct, frozen=True):
    """Why a Job has no pod at work: `reason` is Kubernetes' word for it, empty when it gives none. `end` is when to give up."""

    reason: str
    message: str
    end: datetime


def obstacle(view: View, child: Object) -> Obstacle | None:
    """Return what keeps the Job of a step from its work; None once a pod of it has begun, and for other children."""
    job = view.get(JOB, namespace_of(child), name_of(child)) if child["kind"] == JOB.kind else None
    if job is None or flag(job, "spec", "suspend") or view.step(namespace_of(child), name_of(child)).phase.terminal:
        return None
    return of_runner(view, job)


def of_runner(view: View, runner: Object) -> Obstacle | None:
    """Return what keeps the pods of a Job or StatefulSet that goes on from their work; None once one of them has begun."""
    pods = view.list(POD, namespace_of(runner), owner=uid_of(runner))
    waiting = sorted((pod for pod in pods if phase_of(pod) in ("", "Pending")), key=_born)
    if any(phase_of(pod) not in ("", "Pending", "Failed") for pod in pods) or (pods and not waiting):
        return None
    if waiting:
        reason, message = why_pending(waiting[-1])
    elif account := _missing_account(runner, view):
        reason, message = NO_ACCOUNT, f"{account} does not exist"
    else:
        reason, message = "", ""
    return Obstacle(reason, message, _born(waiting[-1] if waiting else runner) + PATIENCE.get(reason, START))


def due(steps: Iterable[Step], view: View, now: datetime) -> list[datetime]:
    """Return when the Jobs that wait will have waited long enough, as far as that is to come."""
    found = [obstacle(view, step.child) for step in steps]
    return [each.end for each in found if each is not None and each.end > now]


def reasons(steps: Iterable[Step], view: View, now: datetime) -> dict[str, str]:
    """Return what was in the way, by the name of the step, of those that have waited long enough."""
    found = ((step, obstacle(view, step.child)) for step in steps)
    return {step.name: told(each, step.child) for step, each in found if each is not None and now >= each.end}


def told(each: Obstacle, runner: Object) -> str:
    """Return an obstacle in words, with what to do about it."""
    advice = "create what is named" if PATIENCE.get(each.reason) == MISSING else "mend that"
    minutes = round(START / timedelta(minutes=1))
    silent = f"no pod of {runner['kind']} {name_of(runner)} has started in {minutes} minutes (kubectl describe tells of it)"
    return f"namespace {namespace_of(runner)}: {each.message or silent}: {advice}, and start anew"


def _born(obj: Object) -> datetime:
    return parse_time(text(obj, "metadata", "creationTimestamp"))


def _missing_account(runner: Object, view: View) -> str:
    """Return the account without which there will be no pod, if it is not there."""
    namespace = namespace_of(runner)
    account = text(runner, "spec", "template", "spec", "serviceAccountName")
    there = not account or view.get(SERVICE_ACCOUNT, namespace, account) is not None
    return "" if there else f"ServiceAccount {namespace}/{account}"
