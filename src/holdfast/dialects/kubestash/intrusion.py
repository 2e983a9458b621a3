"""Pods that came to a claim while a restore was writing it: what they read was half of a backup, what they wrote may be lost.

Nothing starts under a running pod, but nobody can keep a pod from starting later, and a scaled up workload does. So each
pass looks at the claims of every Job that is not settled, also after the Job has ended: a pod that began before that end
was there while it wrote. The movers' own pods carry the mark of their RestoreSession.
"""

from collections.abc import Mapping

from holdfast.core.labels import owner_uid
from holdfast.core.objects import Object
from holdfast.core.plan import Phase, StepState
from holdfast.core.ports import View
from holdfast.core.read import items, mapping, name_of, namespace_of, phase_of, text, uid_of
from holdfast.core.times import optional_time
from holdfast.dialects.kubestash.decode import Place
from holdfast.dialects.kubestash.kinds import POD
from holdfast.dialects.kubestash.recorded import TERMINAL

ENDED = ("Succeeded", "Failed")


def intrusions(
    obj: Object, written: Mapping[str, tuple[Place, ...]], states: Mapping[str, StepState], view: View
) -> dict[str, str]:
    """Return for each component whose claims were mounted under its Job what to tell about it."""
    found: dict[str, str] = {}
    for name, claims in written.items():
        state = states[name]
        settled = text(mapping(obj, "status", "components", name), "phase") in TERMINAL
        if settled or not state.exists or state.phase is Phase.FAILED:
            continue
        for claim in claims:
            pod = next((pod for pod in users(claim, view) if owner_uid(pod) != uid_of(obj) and _met(pod, state)), None)
            if pod is not None:
                found[name] = _told(pod, claim)
                break
    return found


def users(claim: Place, view: View) -> list[Object]:
    """Return the pods that name a claim, also those that have ended."""
    return [
        pod
        for pod in view.list(POD, claim.namespace)
        if namespace_of(pod) == claim.namespace
        and uid_of(pod)
        and any(text(volume, "persistentVolumeClaim", "claimName") == claim.name for volume in items(pod, "spec", "volumes"))
    ]


def _met(pod: Object, state: StepState) -> bool:
    """Whether a pod had the claim while the Job ran. One that waits for a node has nothing mounted yet."""
    ended = phase_of(pod) in ENDED
    if not (ended or phase_of(pod) == "Running" or text(pod, "spec", "nodeName")):
        return False
    since = optional_time(text(pod, "status", "startTime") or text(pod, "metadata", "creationTimestamp"))
    if since is not None and state.finished is not None and since > state.finished:
        return False
    return not ended or (since is not None and state.started is not None and since > state.started)


def _told(pod: Object, claim: Place) -> str:
    who = f"pod {namespace_of(pod)}/{name_of(pod)}"
    what = f"{who} mounted PersistentVolumeClaim {claim} while the restore was writing to it, so its content can't be trusted"
    return f"{what}: scale its workload to 0 and create another RestoreSession"
