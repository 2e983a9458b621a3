"""Indexed Jobs and the policies of a Job: what counts, what is given up, and when it is over."""

import pytest
from tests.unit.controllers.objects import NOW, job, pod

from holdfast.core.conditions import find
from holdfast.core.objects import Object
from holdfast.embedded.controllers.job import indexed_pod_of
from holdfast.embedded.controllers.job_decision import Decision, Seen, decide
from holdfast.embedded.controllers.job_policy import INDEX, format_indexes, parse_indexes

FAIL_ON_42 = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}
EVICTED = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}


def indexed(completions: int = 4, **spec: object) -> Object:
    return job(completions=completions, parallelism=2, completionMode="Indexed", **spec)


def of(index: int, phase: str, name: str = "", *, code: int = 1, **meta: object) -> Object:
    found = pod(name or f"p{index}-{phase}", phase, annotations={INDEX: str(index)}, ended=4000, **meta)
    if phase == "Failed":
        found["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = code
    return found


def judge(obj: Object, *pods: Object, **seen: object) -> Decision:
    return decide(Seen(job=obj, pods=pods, **seen), NOW)  # type: ignore[arg-type]


def reason(decision: Decision, kind: str = "Failed") -> str:
    return (find(decision.status.get("conditions"), kind) or {}).get("reason", "")


@pytest.mark.parametrize("text", ["", "0", "0-3,5", "1,3,5-6", "0-1"])
def test_sets_of_indexes_are_written_as_kubernetes_does(text: str) -> None:
    assert format_indexes(parse_indexes(text)) == text


def test_each_index_gets_a_pod_of_its_own() -> None:
    assert list(judge(indexed()).indexes) == [0, 1]
    assert list(judge(indexed(), of(0, "Running"), of(1, "Succeeded")).indexes) == [2]
    assert list(judge(indexed(), pending=1, pending_indexes=frozenset({1})).indexes) == [0]


def test_what_succeeded_stays_done_when_its_pod_is_gone() -> None:
    obj = indexed() | {"status": {"completedIndexes": "0,2"}}
    found = judge(obj, of(1, "Succeeded"))
    assert (found.status["completedIndexes"], found.status["succeeded"], list(found.indexes)) == ("0-2", 3, [3])
    assert reason(judge(obj, of(1, "Succeeded"), of(3, "Succeeded")), "Complete") == "CompletionsReached"


def test_a_failed_index_is_tried_again_under_another_name() -> None:
    obj = indexed(backoffLimitPerIndex=1, backoffLimit=100)
    first = indexed_pod_of(obj, 0, 0, ())
    assert first["metadata"]["labels"][INDEX] == "0"
    assert first["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
    failed = of(0, "Failed", first["metadata"]["name"])
    found = judge(obj, failed, of(1, "Running"))
    assert found.indexes == {0: 1}
    assert indexed_pod_of(obj, 0, 1, [first["metadata"]["name"]])["metadata"]["name"] != first["metadata"]["name"]


def test_an_index_past_its_limit_is_given_up_and_the_others_go_on() -> None:
    obj = indexed(backoffLimitPerIndex=0, backoffLimit=100)
    found = judge(obj, of(0, "Failed"), of(1, "Running"))
    assert (found.status["failedIndexes"], list(found.indexes), reason(found)) == ("0", [2], "")
    over = judge(obj, of(0, "Failed"), *(of(index, "Succeeded") for index in (1, 2, 3)))
    assert reason(over) == "FailedIndexes"
    assert over.status["completedIndexes"] == "1-3"


def test_too_many_failed_indexes_fail_the_job() -> None:
    obj = indexed(backoffLimitPerIndex=0, backoffLimit=100, maxFailedIndexes=1)
    assert reason(judge(obj, of(0, "Failed"))) == ""
    assert reason(judge(obj, of(0, "Failed"), of(1, "Failed"))) == "MaxFailedIndexesExceeded"


def test_a_failure_that_can_not_heal_fails_the_job_at_once() -> None:
    obj = job(podFailurePolicy=FAIL_ON_42)
    bad = pod("a", "Failed")
    assert reason(judge(obj, bad)) == ""
    bad["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = 42
    found = judge(obj, bad)
    assert reason(found) == "PodFailurePolicy"
    words = "Container c for pod demo/a failed with exit code 42 matching FailJob rule at index 0"
    assert (find(found.status["conditions"], "Failed") or {})["message"] == words


def test_an_eviction_does_not_count_where_the_policy_says_so() -> None:
    evicted = pod("a", "Failed", ended=4000)
    evicted["status"]["conditions"].append({"type": "DisruptionTarget", "status": "True"})
    assert reason(judge(job(backoffLimit=0, podFailurePolicy=EVICTED), evicted)) == ""
    assert judge(job(backoffLimit=0, podFailurePolicy=EVICTED), evicted).create == 1
    assert reason(judge(job(backoffLimit=0), evicted)) == "BackoffLimitExceeded"


def test_a_success_policy_ends_the_job_before_all_are_done() -> None:
    obj = indexed(successPolicy={"rules": [{"succeededIndexes": "0-2", "succeededCount": 2}]})
    assert reason(judge(obj, of(0, "Succeeded"), of(3, "Succeeded")), "Complete") == ""
    ending = judge(obj, of(0, "Succeeded"), of(2, "Succeeded"), of(1, "Running"))
    assert (reason(ending, "SuccessCriteriaMet"), len(ending.delete)) == ("SuccessPolicy", 1)
    done = judge(obj, of(0, "Succeeded"), of(2, "Succeeded"))
    assert reason(done, "Complete") == "SuccessPolicy"
