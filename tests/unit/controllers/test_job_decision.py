from datetime import timedelta

import pytest
from tests.unit.controllers.objects import NOW, ago, job, pod, with_status

from holdfast.core.conditions import find, is_true
from holdfast.core.objects import Object
from holdfast.embedded.controllers.job import pod_of
from holdfast.embedded.controllers.job_decision import Decision, Seen, decide


def judge(obj: Object, *pods: Object, after: float = 0, **seen: object) -> Decision:
    return decide(Seen(job=obj, pods=pods, **seen), NOW + timedelta(seconds=after))  # type: ignore[arg-type]


def condition(decision: Decision, kind: str) -> Object:
    return find(decision.status.get("conditions"), kind) or {}


def test_a_new_job_gets_its_pod_and_its_start_time() -> None:
    decision = judge(job())
    assert (decision.create, decision.status["active"], decision.status["startTime"]) == (1, 1, ago(0))


def test_a_pod_that_was_created_but_not_seen_yet_is_not_created_again() -> None:
    assert judge(job(), pending=1).create == 0


def test_parallelism_is_bounded_by_what_is_left_to_complete() -> None:
    done = [pod(f"p{n}", "Succeeded") for n in range(4)]
    assert judge(job(parallelism=3, completions=5), *done).create == 1
    assert judge(job(parallelism=3, completions=5)).create == 3


def test_a_succeeded_pod_completes_the_job() -> None:
    decision = judge(job(), pod("a", "Succeeded"))
    assert is_true(decision.status["conditions"], "Complete")
    assert decision.status["completionTime"] == ago(0)
    assert (decision.status["succeeded"], decision.status["active"]) == (1, 0)


def test_without_completions_one_success_is_enough_and_the_others_may_finish() -> None:
    obj = job(parallelism=2)
    del obj["spec"]["completions"]
    running = judge(obj, pod("a", "Succeeded"), pod("b", "Running"))
    assert (running.create, running.delete, "completionTime" in running.status) == (0, (), False)
    assert is_true(judge(obj, pod("a", "Succeeded"), pod("b", "Succeeded")).status["conditions"], "Complete")


def test_a_pod_that_is_deleted_by_force_while_it_runs_was_killed_for_the_pod_failure_policy() -> None:
    again = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [75]}}]}
    told = condition(judge(job(podFailurePolicy=again), lost_failed=1, lost_killed=1), "Failed")
    assert (told["reason"], "failed with exit code 137" in told["message"]) == ("PodFailurePolicy", True)
    assert judge(job(podFailurePolicy=again), lost_failed=1).create == 1, "one that had not begun is made again"
    assert judge(job(), lost_failed=1, lost_killed=1).create == 1, "and so is any without such a rule"


def test_surplus_pods_go_before_the_job_is_complete() -> None:
    decision = judge(job(parallelism=2), pod("a", "Succeeded"), pod("b", "Running"))
    assert [each["metadata"]["name"] for each in decision.delete] == ["b"]
    assert not is_true(decision.status["conditions"], "Complete")
    assert is_true(decision.status["conditions"], "SuccessCriteriaMet")


@pytest.mark.parametrize(("failures", "wait"), [(1, 10), (2, 20), (3, 40)])
def test_a_failed_pod_is_replaced_after_a_wait_that_doubles(failures: int, wait: int) -> None:
    pods = [pod(f"p{n}", "Failed", ended=0) for n in range(failures)]
    early, late = judge(job(), *pods, after=wait - 1), judge(job(), *pods, after=wait)
    assert (early.create, early.after) == (0, pytest.approx(1))
    assert late.create == 1


def test_past_its_backoff_limit_a_job_fails() -> None:
    decision = judge(job(backoffLimit=1), pod("a", "Failed"), pod("b", "Failed"))
    assert condition(decision, "Failed")["reason"] == "BackoffLimitExceeded"
    assert decision.create == 0


def test_a_job_with_restarting_containers_fails_at_its_backoff_limit() -> None:
    obj = job(backoffLimit=2)
    obj["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    running = pod("a", "Running")
    running["status"]["containerStatuses"][0]["restartCount"] = 2
    decision = judge(obj, running)
    assert condition(decision, "FailureTarget")["reason"] == "BackoffLimitExceeded"
    assert decision.delete == (running,)


def test_a_job_past_its_deadline_loses_its_pods_first_and_is_failed_when_they_are_gone() -> None:
    obj = with_status(job(activeDeadlineSeconds=30), {"startTime": ago(31)})
    first = judge(obj, pod("a", "Running"))
    assert condition(first, "FailureTarget")["reason"] == "DeadlineExceeded"
    assert not is_true(first.status["conditions"], "Failed")
    going = judge(with_status(obj, first.status), pod("a", "Running", deletionTimestamp=ago(0)))
    assert not is_true(going.status["conditions"], "Failed")
    last = judge(with_status(obj, first.status))
    assert condition(last, "Failed")["reason"] == "DeadlineExceeded"


def test_a_deadline_is_looked_at_again_in_time() -> None:
    obj = with_status(job(activeDeadlineSeconds=30), {"startTime": ago(10)})
    assert judge(obj, pod("a", "Running")).after == pytest.approx(20)


def test_a_deleted_pod_counts_as_a_failed_one() -> None:
    assert condition(judge(job(backoffLimit=0), lost_failed=1), "Failed")["reason"] == "BackoffLimitExceeded"
    dying = judge(job(backoffLimit=0), pod("a", "Running", deletionTimestamp=ago(0)))
    assert condition(dying, "FailureTarget")["reason"] == "BackoffLimitExceeded"


def test_a_pod_that_the_controller_itself_sent_away_does_not_count() -> None:
    gone = pod("a", "Failed")
    decision = judge(job(backoffLimit=0), gone, dismissed=frozenset({gone["metadata"]["uid"]}))
    assert decision.create == 1


def test_a_suspended_job_loses_its_pods_and_its_start_time_and_starts_afresh() -> None:
    obj = with_status(job(suspend=True), {"startTime": ago(100)})
    decision = judge(obj, pod("a", "Running"))
    assert len(decision.delete) == 1
    assert "startTime" not in decision.status
    assert is_true(decision.status["conditions"], "Suspended")
    resumed = judge(with_status(job(), decision.status), after=50)
    assert (resumed.create, resumed.status["startTime"]) == (1, ago(-50))


def test_a_finished_job_expires_after_its_ttl() -> None:
    done = judge(job(), pod("a", "Succeeded")).status
    obj = with_status(job(ttlSecondsAfterFinished=10), done)
    assert (judge(obj, after=4).expire, judge(obj, after=4).after) == (False, pytest.approx(6))
    assert judge(obj, after=10).expire


def test_a_finished_job_never_changes_its_mind() -> None:
    failed = judge(job(backoffLimit=0), pod("a", "Failed")).status
    again = judge(with_status(job(backoffLimit=9), failed), pod("a", "Failed"), pod("b", "Succeeded"))
    assert (again.status, again.create) == (failed, 0)


def test_nothing_changes_when_nothing_happens() -> None:
    obj = job()
    running = pod("a", "Running")
    status = judge(obj, running).status
    assert judge(with_status(obj, status), running, after=5).status == status


def test_a_pod_carries_the_names_by_which_people_and_programs_find_it() -> None:
    made = pod_of(job(), "abcde")
    assert made["metadata"]["name"] == "nightly-abcde"
    assert made["metadata"]["labels"]["job-name"] == made["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "nightly"
    assert made["metadata"]["labels"]["controller-uid"] == "job-1"
    assert made["metadata"]["ownerReferences"][0]["controller"] is True
