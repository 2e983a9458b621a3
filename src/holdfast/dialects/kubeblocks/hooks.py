"""Steps that run inside a pod of the target, through the pods/exec API: as a small Job, so that a restart adopts them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from holdfast.core.access import run_as
from holdfast.core.cluster_calls import Exec
from holdfast.core.objects import Object
from holdfast.core.plan import Child, OnError, Step
from holdfast.core.read import name_of, strings, text, uid_of
from holdfast.core.times import parse_duration
from holdfast.dialects.kubeblocks import targets, worker

TIMEOUT: Final = timedelta(hours=1)
"""The time of a command for which the action set sets none: nothing runs for ever."""

_GRACE: Final = timedelta(minutes=5)


def exec_step(name: str, job: str, namespace: str, pod: Object, raw: Object, labels: Mapping[str, str]) -> Step:
    """Return the step that runs an exec action in a pod: in the container that it names, else in the pod's first one.

    The API takes no default for a pod of several containers, so the first one is named.
    """
    limit = timeout(raw)
    call = Exec(
        namespace=namespace,
        pod=name_of(pod),
        command=tuple(strings(raw, "command")),
        container=text(raw, "container") or text(targets.first_container(pod), "name"),
        uid=uid_of(pod),
        timeout=max(1, round(limit.total_seconds())),
    )
    child: Object = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "backoffLimit": 0,
            "template": {"metadata": {"labels": dict(labels)}, "spec": {"containers": [{"name": "exec"}]}},
        },
    }
    run_as(child, worker.EXEC)
    return Step(name=name, child=child, mover=call.call(), on_error=on_error(raw), deadline=limit + _GRACE)


def timeout(raw: Object) -> timedelta:
    """Return after what time a command has failed."""
    given = text(raw, "timeout")
    try:
        return parse_duration(given) if given else TIMEOUT
    except ValueError:
        return TIMEOUT


def on_error(raw: Object) -> OnError:
    """Return what the failure of an action means."""
    return OnError.CONTINUE if text(raw, "onError") == "Continue" else OnError.FAIL


def accounts(namespace: str, steps: Sequence[Step]) -> Sequence[Child]:
    """Return the account that the steps need, if one of them runs in a pod."""
    wanted = any(step.mover is not None and step.mover.mover == Exec.MOVER for step in steps)
    return worker.exec_children(namespace) if wanted else ()
