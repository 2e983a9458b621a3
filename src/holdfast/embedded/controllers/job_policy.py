"""Indexes of a Job and the policies that judge its pods: pure. The rules are those of the Job documentation of Kubernetes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from holdfast.core.conditions import find
from holdfast.core.objects import Object
from holdfast.embedded.controllers import pods as podlib
from holdfast.embedded.read import items, mapping

INDEX = "batch.kubernetes.io/job-completion-index"
"""Annotation and label of a pod of an indexed Job."""

FAILURES = "batch.kubernetes.io/job-index-failure-count"
KILLED = 137
"""The exit code of a container that was ended by SIGKILL."""
"""Annotation of a pod: how many pods of its index had failed when it was made."""

Action = Literal["FailJob", "FailIndex", "Ignore", "Count"]


def indexed(job: Object) -> bool:
    """Whether each completion has an index of its own."""
    return job["spec"].get("completionMode") == "Indexed"


def index_of(pod: Object) -> int | None:
    """The completion index of a pod."""
    text = mapping(pod["metadata"], "annotations").get(INDEX, "")
    return int(text) if str(text).isdigit() else None


def parse_indexes(text: str) -> set[int]:
    """Read `0-3,5`; what can't be read is left out."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return found


def format_indexes(indexes: Collection[int]) -> str:
    """Write `0-3,5`; two neighbours are a range too, as Kubernetes writes them."""
    parts: list[str] = []
    ordered = sorted(indexes)
    at = 0
    while at < len(ordered):
        end = at
        while end + 1 < len(ordered) and ordered[end + 1] == ordered[end] + 1:
            end += 1
        parts.append(f"{ordered[at]}-{ordered[end]}" if end > at else str(ordered[at]))
        at = end + 1
    return ",".join(parts)


def judge_failure(job: Object, pod: Object) -> tuple[Action, str]:
    """What the podFailurePolicy says of a failed pod, and the words for it. Without a rule that matches it counts."""
    for number, rule in enumerate(items(job["spec"], "podFailurePolicy", "rules")):
        why = _exit_code(rule, pod) or _condition(rule, pod)
        if why:
            name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            return rule.get("action", "Count"), why.format(pod=name, action=rule.get("action"), rule=number)
    return "Count", ""


def killed_pod(job: Object) -> Object:
    """Return what is known of a pod that was deleted by force while it ran: every container of it was killed.

    In a cluster the finalizer of a Job's pods keeps such a pod until the kubelet has written its exit codes; here it is gone.
    """
    containers = items(job["spec"], "template", "spec", "containers")
    states = [{"name": each.get("name"), "state": {"terminated": {"exitCode": KILLED}}} for each in containers]
    meta = job["metadata"]
    return {
        "metadata": {"name": f"{meta['name']} (deleted)", "namespace": meta["namespace"]},
        "status": {"containerStatuses": states},
    }


def _exit_code(rule: Mapping[str, Any], pod: Object) -> str:
    wanted = mapping(rule, "onExitCodes")
    if not wanted:
        return ""
    values = items(wanted, "values")
    for each in [*items(pod, "status", "containerStatuses"), *items(pod, "status", "initContainerStatuses")]:
        code = mapping(each, "state", "terminated").get("exitCode")
        if not code or wanted.get("containerName") not in (None, "", each.get("name")):
            continue
        if (code in values) == (wanted.get("operator") == "In"):
            text = f"Container {each.get('name')} for pod {{pod}} failed with exit code {code}"
            return text + " matching {action} rule at index {rule}"
    return ""


def _condition(rule: Mapping[str, Any], pod: Object) -> str:
    for pattern in items(rule, "onPodConditions"):
        found = find(items(pod, "status", "conditions"), pattern.get("type", "")) or {}
        if found.get("status") == (pattern.get("status") or "True"):
            return f"Pod {{pod}} has condition {pattern['type']} matching {{action}} rule at index {{rule}}"
    return ""


def failures_by_index(pods: Iterable[Object]) -> dict[int, int]:
    """How many pods of each index have failed, those included that a present pod remembers."""
    found: dict[int, int] = {}
    remembered: dict[int, int] = {}
    for pod in pods:
        index = index_of(pod)
        if index is None:
            continue
        text = str(mapping(pod["metadata"], "annotations").get(FAILURES, "0"))
        remembered[index] = max(remembered.get(index, 0), int(text) if text.isdigit() else 0)
        if podlib.phase(pod) == "Failed" or podlib.terminating(pod):
            found[index] = found.get(index, 0) + 1
    return {index: max(found.get(index, 0), remembered.get(index, 0)) for index in {*found, *remembered}}


def success_met(job: Object, completed: Collection[int]) -> bool:
    """Whether the successPolicy is content with these indexes."""
    for rule in items(job["spec"], "successPolicy", "rules"):
        text = rule.get("succeededIndexes")
        wanted = parse_indexes(text) if text else set(range(int(job["spec"].get("completions") or 0)))
        count = rule.get("succeededCount")
        if len(wanted & set(completed)) >= (len(wanted) if count is None else int(count)):
            return True
    return False


def free_indexes(job: Object, busy: Collection[int], count: int) -> list[int]:
    """The lowest `count` indexes that nobody works on and that are not done."""
    completions = int(job["spec"].get("completions") or 0)
    return [index for index in range(completions) if index not in busy][:count]


def surplus(active: Sequence[Object], count: int) -> list[Object]:
    """Which pods to take away when fewer shall run: those of the highest indexes, then the youngest."""
    if count <= 0:
        return []
    return sorted(active, key=lambda pod: (index_of(pod) or 0, str(pod["metadata"].get("creationTimestamp") or "")))[-count:]
