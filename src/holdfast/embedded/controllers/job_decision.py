"""What to do about a Job: pure. The rules are those of the Job documentation of Kubernetes.

A Job that must fail first loses its pods and only then becomes Failed, so that nobody takes it for over while a pod
still writes. Pods that were deleted by somebody count as failed ones.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from holdfast.core.conditions import condition, find, is_true, upsert
from holdfast.core.objects import Object
from holdfast.core.times import format_time, optional_time
from holdfast.embedded.controllers import job_policy
from holdfast.embedded.controllers import pods as podlib
from holdfast.embedded.read import mapping

BACKOFF_CAP = 360.0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A Job and its pods. `pending` pods were created and are not in the cache yet; `lost` ones are gone for good.

    `pending_indexes` are those of the pending pods of an indexed Job.
    """

    job: Object
    pods: Sequence[Object]
    pending: int = 0
    pending_indexes: frozenset[int] = frozenset()
    lost_failed: int = 0
    lost_succeeded: int = 0
    lost_killed: int = 0
    dismissed: frozenset[str] = frozenset()
    backoff: float = 10.0


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do: pods to create (a number) and to delete, the status to show, and when to look again.

    `expire` says that the Job itself is to go.
    """

    status: Object
    create: int = 0
    indexes: Mapping[int, int] = {}
    """Of an indexed Job: the index of each pod to create, and how many of that index have failed."""
    delete: tuple[Object, ...] = ()
    expire: bool = False
    after: float | None = None


class _Count(msgspec.Struct, frozen=True):
    active: Sequence[Object]
    terminating: int
    succeeded: int
    failed: int
    last_failure: datetime | None
    completed: frozenset[int] = frozenset()
    failed_indexes: frozenset[int] = frozenset()
    index_failures: Mapping[int, int] = {}
    verdict: str = ""
    """Why the podFailurePolicy fails the Job."""


def decide(seen: Seen, now: datetime) -> Decision:
    """Judge a Job at a moment."""
    job = seen.job
    status: Object = dict(mapping(job, "status"))
    conditions = status.get("conditions")
    count = _count(seen)
    if finished(job):
        return _clean_up(job, count, status, now)
    shown = status | _figures(count, seen)
    if job["spec"].get("suspend"):
        return _suspended(count, shown, now)
    if find(conditions, "Suspended") is not None and is_true(conditions, "Suspended"):
        shown["conditions"] = upsert(conditions, condition("Suspended", False, "JobResumed", "Job resumed"), now)
        shown["startTime"] = format_time(now)
    shown.setdefault("startTime", format_time(now))
    target = find(shown.get("conditions"), "FailureTarget")
    failure = (target["reason"], target["message"]) if target else _failure(seen, count, shown, now)
    if failure is not None:
        return _fail(failure, count, seen, shown, now)
    success = find(shown.get("conditions"), "SuccessCriteriaMet")
    if success is not None or _complete(job, count, seen.pending) or job_policy.success_met(job, count.completed):
        by_policy = success["reason"] == "SuccessPolicy" if success else job_policy.success_met(job, count.completed)
        return _succeed(count, shown, now, by_policy=by_policy)
    return _go_on(seen, count, shown, now)


def finished(job: Object) -> bool:
    """Whether a Job is Complete or Failed."""
    conditions = mapping(job, "status").get("conditions")
    return is_true(conditions, "Complete") or is_true(conditions, "Failed")


def _count(seen: Seen) -> _Count:
    mine = [pod for pod in seen.pods if pod["metadata"].get("uid") not in seen.dismissed]
    over = [pod for pod in mine if podlib.phase(pod) == "Failed" or podlib.terminating(pod)]
    judged = [(pod, *job_policy.judge_failure(seen.job, pod)) for pod in over]
    failed = [pod for pod, action, _ in judged if action != "Ignore"]
    killed = [job_policy.killed_pod(seen.job)] if seen.lost_killed else []
    verdicts = [verdict[1:] for verdict in judged] + [job_policy.judge_failure(seen.job, pod) for pod in killed]
    verdict = next((why for action, why in verdicts if action == "FailJob"), "")
    ends = [moment for pod in failed if (moment := podlib.finished_at(pod) or _deleted_at(pod)) is not None]
    count = _Count(
        active=[pod for pod in mine if podlib.active(pod)],
        terminating=sum(podlib.terminating(pod) for pod in seen.pods),
        succeeded=sum(podlib.phase(pod) == "Succeeded" for pod in mine) + seen.lost_succeeded,
        failed=len(failed) + seen.lost_failed,
        last_failure=max(ends, default=None),
        verdict=verdict,
    )
    if not job_policy.indexed(seen.job):
        return count
    given_up = {index for pod, action, _ in judged if action == "FailIndex" and (index := job_policy.index_of(pod)) is not None}
    return _by_index(seen.job, count, mine, failed, given_up)


def _by_index(job: Object, count: _Count, mine: Sequence[Object], failed: Sequence[Object], given_up: set[int]) -> _Count:
    """What is done is remembered in the status: a pod that succeeded and was removed since still counts."""
    status, spec = mapping(job, "status"), job["spec"]
    done = job_policy.parse_indexes(str(status.get("completedIndexes") or ""))
    done |= {index for pod in mine if podlib.phase(pod) == "Succeeded" and (index := job_policy.index_of(pod)) is not None}
    done &= set(range(int(spec.get("completions") or 0)))
    failures = job_policy.failures_by_index([*failed, *(pod for pod in mine if podlib.active(pod))])
    given_up |= job_policy.parse_indexes(str(status.get("failedIndexes") or ""))
    if spec.get("backoffLimitPerIndex") is not None:
        given_up |= {index for index, number in failures.items() if number > int(spec["backoffLimitPerIndex"])}
    return msgspec.structs.replace(
        count,
        succeeded=len(done),
        completed=frozenset(done),
        failed_indexes=frozenset(given_up - done),
        index_failures=failures,
    )


def _deleted_at(pod: Object) -> datetime | None:
    """Return when somebody deleted the pod; its deletionTimestamp says when its grace is over."""
    meta = pod["metadata"]
    over = optional_time(meta.get("deletionTimestamp"))
    return over - timedelta(seconds=meta.get("deletionGracePeriodSeconds") or 0) if over else None


def _figures(count: _Count, seen: Seen) -> Object:
    by_index: Object = {}
    if job_policy.indexed(seen.job):
        by_index["completedIndexes"] = job_policy.format_indexes(count.completed)
    if seen.job["spec"].get("backoffLimitPerIndex") is not None:
        by_index["failedIndexes"] = job_policy.format_indexes(count.failed_indexes)
    return by_index | {
        "active": len(count.active) + seen.pending,
        "ready": sum(podlib.ready(pod) for pod in count.active),
        "succeeded": count.succeeded,
        "failed": count.failed,
        "terminating": count.terminating,
    }


def _clean_up(job: Object, count: _Count, status: Object, now: datetime) -> Decision:
    """Finish what is left of a finished Job, and let it expire."""
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    conditions = status.get("conditions")
    end = find(conditions, "Complete") or find(conditions, "Failed") or {}
    ended = optional_time(end.get("lastTransitionTime")) or now
    left = None if ttl is None else (ended + timedelta(seconds=ttl) - now).total_seconds()
    expire = left is not None and left <= 0 and not job["metadata"].get("deletionTimestamp")
    after = left if left is not None and left > 0 else None
    return Decision(status=status, delete=tuple(count.active), expire=expire, after=after)


def _suspended(count: _Count, shown: Object, now: datetime) -> Decision:
    shown["conditions"] = upsert(shown.get("conditions"), condition("Suspended", True, "JobSuspended", "Job suspended"), now)
    shown.pop("startTime", None)
    return Decision(status=shown, delete=tuple(count.active))


def _failure(seen: Seen, count: _Count, shown: Mapping[str, Any], now: datetime) -> tuple[str, str] | None:
    """Return reason and message when the Job must fail."""
    spec = seen.job["spec"]
    if count.verdict:
        return "PodFailurePolicy", count.verdict
    if count.failed_indexes and (reason := _failed_indexes(spec, count)):
        return reason
    limit = int(spec["backoffLimit"]) if spec.get("backoffLimit") is not None else 6
    policy = mapping(spec["template"], "spec").get("restartPolicy")
    again = podlib.restarts(count.active) if policy == "OnFailure" else 0
    if count.failed > limit or (again > 0 and again >= max(limit, 1)):
        return "BackoffLimitExceeded", f"Job has reached the specified backoff limit of {limit}"
    deadline, started = spec.get("activeDeadlineSeconds"), optional_time(shown.get("startTime"))
    if deadline is not None and started is not None and now >= started + timedelta(seconds=deadline):
        return "DeadlineExceeded", f"Job was active longer than its deadline of {deadline}s"
    return None


def _failed_indexes(spec: Mapping[str, Any], count: _Count) -> tuple[str, str] | None:
    most = spec.get("maxFailedIndexes")
    if most is not None and len(count.failed_indexes) > int(most):
        return "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
    over = len(count.failed_indexes) + len(count.completed) >= int(spec.get("completions") or 0)
    return ("FailedIndexes", "Job has failed indexes") if over else None


def _fail(failure: tuple[str, str], count: _Count, seen: Seen, shown: Object, now: datetime) -> Decision:
    """Take the pods away first; the Job is Failed when none is left."""
    reason, message = failure
    left = count.active or count.terminating or seen.pending
    kind = "FailureTarget" if left else "Failed"
    shown["conditions"] = upsert(shown.get("conditions"), condition(kind, True, reason, message), now)
    if not left:
        shown["ready"] = 0
    return Decision(status=shown, delete=tuple(count.active), after=60.0 if seen.pending else None)


def _complete(job: Object, count: _Count, pending: int) -> bool:
    completions = job["spec"].get("completions")
    if completions is None:
        return count.succeeded > 0 and not count.active and not pending
    return count.succeeded >= completions


def _succeed(count: _Count, shown: Object, now: datetime, *, by_policy: bool) -> Decision:
    """Take surplus pods away first, for the same reason."""
    left = count.active or count.terminating
    kind, reason = "SuccessCriteriaMet" if left else "Complete", "SuccessPolicy" if by_policy else "CompletionsReached"
    message = "Matched a rule of the success policy" if by_policy else "Reached expected number of succeeded pods"
    shown["conditions"] = upsert(shown.get("conditions"), condition(kind, True, reason, message), now)
    if not left:
        shown["completionTime"] = format_time(now)
        shown["ready"] = 0
    return Decision(status=shown, delete=tuple(count.active))


def _go_on(seen: Seen, count: _Count, shown: Object, now: datetime) -> Decision:
    spec = seen.job["spec"]
    running = len(count.active) + seen.pending
    if spec.get("podReplacementPolicy") == "Failed":
        running += count.terminating
    wanted = _wanted(spec, count, running)
    after = _until_deadline(spec, shown, now)
    if running > wanted:
        surplus = job_policy.surplus(count.active, running - wanted)
        return Decision(status=shown, delete=tuple(surplus), after=after)
    wait = _backoff_left(seen, count, now)
    if wait > 0 and running < wanted:
        return Decision(status=shown, after=wait if after is None else min(wait, after))
    create = wanted - running
    if not job_policy.indexed(seen.job):
        shown["active"] = running + create
        return Decision(status=shown, create=create, after=after)
    ended_first = spec.get("podReplacementPolicy") == "Failed"
    held = [pod for pod in seen.pods if not podlib.finished(pod)] if ended_first else count.active
    busy = {index for pod in held if (index := job_policy.index_of(pod)) is not None}
    busy |= seen.pending_indexes | count.completed | count.failed_indexes
    free = job_policy.free_indexes(seen.job, busy, create)
    shown["active"] = running + len(free)
    indexes = {index: count.index_failures.get(index, 0) for index in free}
    return Decision(status=shown, create=len(free), indexes=indexes, after=after)


def _wanted(spec: Mapping[str, Any], count: _Count, running: int) -> int:
    given = spec.get("parallelism")
    parallel = 1 if given is None else int(given)
    completions = spec.get("completions")
    if completions is None:
        return min(running, parallel) if count.succeeded else parallel
    return min(parallel, int(completions) - count.succeeded - len(count.failed_indexes))


def _backoff_left(seen: Seen, count: _Count, now: datetime) -> float:
    """Return for how many seconds no new pod may start after a failure."""
    if not count.failed or count.last_failure is None:
        return 0.0
    wait = min(seen.backoff * 2 ** min(count.failed - 1, 30), max(BACKOFF_CAP, seen.backoff))
    return wait - (now - count.last_failure).total_seconds()


def _until_deadline(spec: Mapping[str, Any], shown: Mapping[str, Any], now: datetime) -> float | None:
    deadline, started = spec.get("activeDeadlineSeconds"), optional_time(shown.get("startTime"))
    if deadline is None or started is None:
        return None
    return max((started + timedelta(seconds=deadline) - now).total_seconds(), 0.01)
