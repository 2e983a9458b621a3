"""POST pods/x/eviction: a delete that the PodDisruptionBudgets of the pod must allow.

The rules are those of Kubernetes' documentation, "API-initiated Eviction" and "Unhealthy Pod Eviction Policy". A budget's
status is kept by its controller; what is granted is taken off it in the transaction that deletes the pod, so that two evictions
at once can't share the last one that is allowed.
"""

from typing import Final

import msgspec

from holdfast.embedded.apiserver.ages import stamp_now
from holdfast.embedded.apiserver.api import Answer, Api, Call
from holdfast.embedded.apiserver.deletion import Options, options_of, remove, require
from holdfast.embedded.apiserver.errors import StatusError, bad_request, too_many
from holdfast.embedded.apiserver.objects import Object, part, parts
from holdfast.embedded.apiserver.selectors import label_test
from holdfast.embedded.apiserver.store import Record, Transaction
from holdfast.embedded.apiserver.subresources import SUCCESS
from holdfast.embedded.apiserver.wire import parse_object

BUDGETS: Final = "policy/poddisruptionbudgets"
_CAUSE: Final = "DisruptionBudget"
_OVER: Final = ("Succeeded", "Failed", "Pending")
_RETRY_SECONDS: Final = 10


async def evict(api: Api, call: Call) -> Answer:
    """Delete a pod unless a budget forbids it: 429 with the cause DisruptionBudget; 500 when two budgets claim the pod."""
    body = parse_object(call.body, allow_yaml="yaml" in call.media)
    name = part(body, "metadata").get("name", call.route.name)
    if name != call.route.name:
        raise bad_request(f"name in URL does not match name in Eviction object: {name} and {call.route.name}")
    options = options_of(msgspec.structs.replace(call, body=msgspec.json.encode(part(body, "deleteOptions"))))

    def run(transaction: Transaction) -> None:
        record = transaction.get(call.key)
        if record is None:
            raise call.missing()
        require(call, record, options)
        _ask(transaction, record, options)
        remove(transaction, record, options)

    await api.store.write(run, dry_run=options.dry_run or call.query.dry_run)
    return Answer(SUCCESS, 201)


def _ask(transaction: Transaction, record: Record, options: Options) -> None:
    """Take one disruption off the pod's budget; 429 when there is none left."""
    pod = record.object()
    if part(pod, "status").get("phase") in _OVER or pod["metadata"].get("deletionTimestamp"):
        return
    found = [item for item in transaction.objects(BUDGETS, record.key.ns) if _covers(item, record)]
    if len(found) > 1:
        text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise StatusError(500, "InternalError", text)
    if found:
        _take(transaction, found[0], pod)


def _covers(budget: Record, pod: Record) -> bool:
    selector = part(budget.object(), "spec").get("selector")
    return isinstance(selector, dict) and label_test(part(budget.object(), "spec", "selector"))(pod.labels)


def _take(transaction: Transaction, record: Record, pod: Object) -> None:
    record = transaction.get(record.key) or record
    budget = record.object()
    status = part(budget, "status")
    healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    if not _is_ready(pod):
        policy = part(budget, "spec").get("unhealthyPodEvictionPolicy")
        if policy == "AlwaysAllow" or (healthy >= wanted > 0):
            return
    name = record.key.name
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 1):
        raise _refusal(f"The disruption budget {name} is still being processed by the server.", retry=True)
    if status.get("disruptionsAllowed", 0) < 1:
        raise _refusal(f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently")
    granted = {**part(status, "disruptedPods"), pod["metadata"]["name"]: stamp_now()}
    left = status["disruptionsAllowed"] - 1
    transaction.put(record.key, {**budget, "status": {**status, "disruptionsAllowed": left, "disruptedPods": granted}})


def _refusal(why: str, *, retry: bool = False) -> StatusError:
    details: Object = {"causes": [{"reason": _CAUSE, "message": why}]}
    if retry:
        details["retryAfterSeconds"] = _RETRY_SECONDS
    return too_many("Cannot evict pod as it would violate the pod's disruption budget.", details)


def _is_ready(pod: Object) -> bool:
    conditions = parts(pod, "status", "conditions")
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)
