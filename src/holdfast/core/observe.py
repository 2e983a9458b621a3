"""What the cluster shows of a Job, as the state of a step.

The end of a step is told by its mover's report; the Job's own verdict comes second, since a Job that completed without a
report proves nothing. Where there is no report the reason is looked for where Kubernetes hides it: in the pod's reason
(evicted, node restarted), in the container's (killed for memory, exit code), in the scheduler's condition, or in that there
is no pod any more. Jobs and pods arrive on two streams, so a Job may be seen to end before its pod: for a short grace the
step counts as running then.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from holdfast.core.labels import MOVER, TELLS, annotation
from holdfast.core.objects import Object
from holdfast.core.plan import Phase, StepState
from holdfast.core.report import Progress, Report, decode_progress, decode_report
from holdfast.core.times import optional_time

LAST_WORD_GRACE: Final = timedelta(seconds=15)
"""How long an ended Job may wait for the pod that carries its report to be seen."""

_LAST_WORDS: Final = 600
_POD_FAILED: Final = "BackoffLimitExceeded"
_SIGTERM, _SIGKILL = 143, 137
_NORMAL_WAITS: Final = frozenset({"", "ContainerCreating", "PodInitializing"})


def observe_job(job: Object | None, pods: Iterable[Object], progress: Sequence[Progress], now: datetime) -> StepState:
    """Return the state of the step whose child is `job`; `pods` are those the Job owns."""
    if job is None:
        return StepState()
    ordered = sorted(
        pods, key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]), reverse=True
    )
    verdict = _verdict(job)
    started = optional_time(job.get("status", {}).get("startTime"))
    if verdict is None or _last_word_pending(job, verdict, ordered, now):
        reason, message = ("", "") if verdict else _waits_for(job, ordered)
        return StepState(
            phase=Phase.RUNNING, exists=True, reason=reason, message=message, started=started, progress=tuple(progress)
        )
    report = _report(ordered)
    phase, reason, message = _ended(job, verdict, ordered, report)
    return StepState(
        phase=phase,
        exists=True,
        reason=reason,
        message=message,
        started=started,
        finished=_finished(job, verdict),
        report=report,
        progress=tuple(progress),
    )


def last_word_due(job: Object, now: datetime) -> datetime | None:
    """Return when an ended Job stops waiting for its pod, if that is still to come: a reason to look again."""
    verdict = _verdict(job)
    finished = _finished(job, verdict) if verdict else None
    return finished + LAST_WORD_GRACE if finished and finished + LAST_WORD_GRACE > now else None


def _verdict(job: Object) -> Object | None:
    """Return the condition by which the Job ended."""
    conditions: list[Object] = job.get("status", {}).get("conditions") or []
    ended = (item for item in conditions if item.get("type") in ("Complete", "Failed") and item.get("status") == "True")
    return next(ended, None)


def _finished(job: Object, verdict: Object) -> datetime | None:
    return optional_time(job["status"].get("completionTime") or verdict.get("lastTransitionTime"))


def _last_word_pending(job: Object, verdict: Object, pods: Sequence[Object], now: datetime) -> bool:
    finished = _finished(job, verdict)
    if finished is None or now >= finished + LAST_WORD_GRACE or _report(pods) is not None:
        return False
    if verdict["type"] == "Complete":
        return MOVER in job["metadata"].get("labels", {})
    if not pods:
        return verdict.get("reason") == _POD_FAILED
    return any(not _pod_ended(pod) for pod in pods)


def _pod_ended(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _ended(job: Object, verdict: Object, pods: Sequence[Object], report: Report | None) -> tuple[Phase, str, str]:
    name = job["metadata"]["name"]
    if verdict["type"] == "Complete" and (report is None or report.failure is None):
        if report is None and MOVER in job["metadata"].get("labels", {}):
            return Phase.FAILED, "ReportMissing", f"Job {name} completed but left no report: what it did is not known"
        return Phase.SUCCEEDED, "", ""
    said = f"{report.failure.message}{_hint(report.failure.hint)}" if report and report.failure else ""
    if verdict.get("reason") == "DeadlineExceeded":
        limit = job.get("spec", {}).get("activeDeadlineSeconds")
        stopped = f"stopped at its deadline of {limit}s" if limit else "stopped at its deadline"
        return Phase.FAILED, "DeadlineExceeded", f"{stopped}: {said}" if said else stopped
    if report and report.failure:
        return Phase.FAILED, report.failure.reason, said
    for pod in pods:
        if (cause := _cause(pod)) is not None:
            return Phase.FAILED, *cause
    if not pods and verdict.get("reason") == _POD_FAILED:
        return Phase.FAILED, "PodDeleted", f"the pod of Job {name} was deleted before it had finished"
    return Phase.FAILED, verdict.get("reason") or "JobFailed", verdict.get("message") or f"Job {name} failed"


def _hint(hint: str) -> str:
    return f" ({hint})" if hint else ""


def _report(pods: Sequence[Object]) -> Report | None:
    """Return the report of the newest pod that left one; a successful pod is preferred to a failed one.

    Of several containers the first one speaks, then sidecars, then what ran before them. Where the pod names the one that tells
    (annotation TELLS) its silence is final once the pod has succeeded: nobody else knows, and no earlier pod.
    """
    for pod in sorted(pods, key=lambda pod: pod.get("status", {}).get("phase") != "Succeeded"):
        status: dict[str, Any] = pod.get("status", {})
        before: list[dict[str, Any]] = status.get("initContainerStatuses") or []
        teller = annotation(pod, TELLS) if status.get("phase") == "Succeeded" else ""
        for each in [*(status.get("containerStatuses") or ()), *reversed(before)]:
            if teller and each["name"] != teller:
                continue
            text = each.get("state", {}).get("terminated", {}).get("message")
            if text and (report := decode_report(text)) is not None:
                return report
        if teller:
            return None
    return None


def _containers(pod: Object) -> list[dict[str, Any]]:
    status: dict[str, Any] = pod.get("status", {})
    return [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]


def _cause(pod: Object) -> tuple[str, str] | None:
    """Return why a pod failed, as (reason, message); None when it does not say."""
    status: dict[str, Any] = pod.get("status", {})
    name = pod["metadata"]["name"]
    if status.get("reason"):
        return status["reason"], f"pod {name}: {status.get('message') or status['reason']}"
    for item in status.get("conditions") or ():
        if item.get("type") == "DisruptionTarget" and item.get("status") == "True":
            return item.get("reason") or "Disrupted", f"pod {name}: {item.get('message') or 'disrupted'}"
    ended = [(item, item["state"]["terminated"]) for item in _containers(pod) if item.get("state", {}).get("terminated")]
    for item, end in ended:
        if end.get("reason") == "OOMKilled":
            return "OOMKilled", f"container {item['name']} of pod {name} used more memory than its limit and was killed"
    if pod["metadata"].get("deletionTimestamp") and all(end.get("exitCode") in (_SIGTERM, _SIGKILL) for _, end in ended):
        return "PodDeleted", f"pod {name} was deleted before it had finished"
    for item, end in ended:
        if end.get("exitCode"):
            return _exit(item["name"], name, end)
    return None


def _exit(container: str, pod: str, end: dict[str, Any]) -> tuple[str, str]:
    code: int = end["exitCode"]
    how = f"was killed by signal {code - 128}" if code > 128 else f"ended with exit code {code}"
    lines = [line for line in (end.get("message") or "").splitlines() if decode_progress(line.encode()) is None]
    words = " ".join(" ".join(lines).split())
    if len(words) > _LAST_WORDS:
        words = "..." + words[-_LAST_WORDS:]
    text = f"container {container} of pod {pod} {how}"
    return end.get("reason") or "Error", f"{text}: {words}" if words else text


def _waits_for(job: Object, pods: Sequence[Object]) -> tuple[str, str]:
    """Return what a Job that has not ended waits for, as (reason, message); both empty while it works."""
    if job.get("spec", {}).get("suspend"):
        return "Suspended", f"Job {job['metadata']['name']} is suspended"
    pod = next((pod for pod in pods if pod.get("status", {}).get("phase", "Pending") == "Pending"), None)
    if pod is None:
        return "", ""
    return why_pending(pod)


def why_pending(pod: Object) -> tuple[str, str]:
    """Return what a pod that has not begun waits for, as (reason, message); both empty while all goes its normal way."""
    name = pod["metadata"]["name"]
    for item in pod.get("status", {}).get("conditions") or ():
        if item.get("type") == "PodScheduled" and item.get("status") == "False":
            return item.get("reason") or "Unschedulable", f"pod {name} can't be scheduled: {item.get('message', '')}"
    for container in _containers(pod):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason", "") not in _NORMAL_WAITS:
            return waiting[
                "reason"
            ], f"container {container['name']} of pod {name}: {waiting.get('message') or waiting['reason']}"
    return "", ""
