"""What a Job and its pods say about a step: the report first, then wherever Kubernetes hides the reason."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from holdfast.core.labels import MOVER, TELLS
from holdfast.core.objects import Object
from holdfast.core.observe import LAST_WORD_GRACE, last_word_due, observe_job
from holdfast.core.plan import Phase
from holdfast.core.report import Failure, Progress, Report

NOW = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)
ENDED = "2026-11-20T13:00:00Z"


def job(ended: str = "", reason: str = "", *, mover: bool = True, **spec: object) -> Object:
    conditions = [
        {"type": ended, "status": "True", "reason": reason, "lastTransitionTime": ENDED, "message": "as the Job says"}
    ]
    return {
        "metadata": {"name": "j", "namespace": "demo", "labels": {MOVER: "volume-backup"} if mover else {}},
        "spec": spec,
        "status": {"startTime": "2026-11-20T12:59:00Z"} | ({"conditions": conditions} if ended else {}),
    }


def pod(phase: str = "Running", *, terminated: Object | None = None, waiting: Object | None = None, **status: object) -> Object:
    state = {"terminated": terminated} if terminated else {"waiting": waiting} if waiting else {"running": {}}
    return {
        "metadata": {"name": "j-x"},
        "status": {"phase": phase, "containerStatuses": [{"name": "main", "state": state}], **status},
    }


def said(report: Report) -> str:
    return msgspec.json.encode(report).decode()


FAILED = Report(mover="volume-backup", failure=Failure("WrongPassword", "the password opens no key", "check the Secret"))


def test_no_job_is_a_step_that_waits() -> None:
    state = observe_job(None, (), (), NOW)
    assert (state.phase, state.exists) == (Phase.WAITING, False)


def test_a_job_without_a_verdict_runs_with_its_progress() -> None:
    state = observe_job(job(), [pod()], [Progress(repository="r", files_done=3)], NOW)
    assert (state.phase, state.message, state.progress[0].files_done) == (Phase.RUNNING, "", 3)
    assert state.started == NOW - timedelta(minutes=1)


def test_a_complete_job_with_its_report_succeeded() -> None:
    end = pod("Succeeded", terminated={"exitCode": 0, "message": said(Report(mover="volume-backup"))})
    state = observe_job(job("Complete"), [end], (), NOW)
    assert (state.phase, state.finished) == (Phase.SUCCEEDED, NOW)
    assert state.report is not None


def test_a_complete_job_whose_report_says_failure_failed() -> None:
    end = pod("Succeeded", terminated={"exitCode": 0, "message": said(FAILED)})
    state = observe_job(job("Complete"), [end], (), NOW)
    assert (state.phase, state.reason, state.message) == (
        Phase.FAILED,
        "WrongPassword",
        "the password opens no key (check the Secret)",
    )


def test_a_complete_job_waits_for_the_pod_with_its_report_and_then_fails_without_one() -> None:
    assert observe_job(job("Complete"), [pod()], (), NOW).phase is Phase.RUNNING
    assert last_word_due(job("Complete"), NOW) == NOW + LAST_WORD_GRACE
    late = observe_job(job("Complete"), [], (), NOW + LAST_WORD_GRACE)
    assert (late.phase, late.reason) == (Phase.FAILED, "ReportMissing")


def test_a_job_that_no_mover_fills_needs_no_report() -> None:
    assert observe_job(job("Complete", mover=False), [], (), NOW).phase is Phase.SUCCEEDED


def test_a_failed_job_waits_for_its_pods_last_word() -> None:
    assert observe_job(job("Failed", "BackoffLimitExceeded"), [pod()], (), NOW).phase is Phase.RUNNING
    alone = observe_job(job("Failed", "PodFailurePolicy"), [], (), NOW)
    assert (alone.phase, alone.reason, alone.message) == (Phase.FAILED, "PodFailurePolicy", "as the Job says")


def test_a_failed_job_without_a_pod_lost_it_to_somebody_who_deleted_it() -> None:
    failed = job("Failed", "BackoffLimitExceeded")
    assert observe_job(failed, [], (), NOW).phase is Phase.RUNNING
    state = observe_job(failed, [], (), NOW + LAST_WORD_GRACE)
    assert (state.phase, state.reason) == (Phase.FAILED, "PodDeleted")
    assert state.message == "the pod of Job j was deleted before it had finished"


@pytest.mark.parametrize(("code", "reason"), [(143, "PodDeleted"), (137, "PodDeleted"), (1, "Error")])
def test_a_pod_that_is_on_its_way_out_was_deleted_unless_it_had_failed_by_itself(code: int, reason: str) -> None:
    end = pod("Failed", terminated={"exitCode": code})
    end["metadata"]["deletionTimestamp"] = ENDED
    assert observe_job(job("Failed", "BackoffLimitExceeded"), [end], (), NOW).reason == reason


def test_the_report_outranks_the_exit_code() -> None:
    end = pod("Failed", terminated={"exitCode": 1, "message": said(FAILED)})
    assert observe_job(job("Failed", "BackoffLimitExceeded"), [end], (), NOW).reason == "WrongPassword"


def test_a_deadline_outranks_what_the_stopped_mover_reports() -> None:
    end = pod("Failed", terminated={"exitCode": 1, "message": said(FAILED)})
    state = observe_job(job("Failed", "DeadlineExceeded", activeDeadlineSeconds=5), [end], (), NOW)
    assert state.reason == "DeadlineExceeded"
    assert state.message.startswith("stopped at its deadline of 5s: the password")


@pytest.mark.parametrize(
    ("failed", "reason", "words"),
    [
        (pod("Failed", terminated={"exitCode": 137, "reason": "OOMKilled"}), "OOMKilled", "more memory than its limit"),
        (pod("Failed", reason="Evicted", message="The node was low on resource: memory."), "Evicted", "low on resource"),
        (pod("Failed", reason="NodeRestarted"), "NodeRestarted", "pod j-x: NodeRestarted"),
        (
            pod("Failed", terminated={"exitCode": 3, "reason": "Error", "message": "x\nno space left"}),
            "Error",
            "exit code 3: x no space left",
        ),
        (pod("Failed", terminated={"exitCode": 143, "reason": "Error"}), "Error", "killed by signal 15"),
        (
            pod(
                "Failed",
                conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "m"}],
            ),
            "PreemptionByScheduler",
            "pod j-x: m",
        ),
    ],
)
def test_without_a_report_the_pod_says_why(failed: Object, reason: str, words: str) -> None:
    state = observe_job(job("Failed", "BackoffLimitExceeded"), [failed], (), NOW)
    assert state.reason == reason
    assert words in state.message


def test_the_last_words_of_a_crash_are_kept_short() -> None:
    end = pod("Failed", terminated={"exitCode": 1, "message": "noise " * 1000 + "the cause"})
    message = observe_job(job("Failed"), [end], (), NOW).message
    assert message.endswith("the cause")
    assert len(message) < 800


@pytest.mark.parametrize(
    ("waiting", "reason", "words"),
    [
        (
            pod("Pending", waiting={"reason": "CreateContainerConfigError", "message": 'secret "aws" not found'}),
            "CreateContainerConfigError",
            '"aws"',
        ),
        (
            pod(
                "Pending",
                conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}],
            ),
            "Unschedulable",
            "0/3 nodes",
        ),
        (pod("Pending", waiting={"reason": "ContainerCreating"}), "", ""),
    ],
)
def test_a_pending_pod_says_what_it_waits_for(waiting: Object, reason: str, words: str) -> None:
    state = observe_job(job(), [waiting], (), NOW)
    assert (state.phase, state.reason) == (Phase.RUNNING, reason)
    assert words in state.message


def test_progress_is_no_part_of_the_last_words() -> None:
    lines = 'asking the server\n{"progress":{"repository":"users","filesTotal":1}}\nno answer\n'
    state = observe_job(job("Failed"), [pod("Failed", terminated={"exitCode": 137, "message": lines})], (), NOW)
    assert state.message.endswith("killed by signal 9: asking the server no answer")


def test_a_suspended_job_says_so() -> None:
    assert observe_job(job(suspend=True), [], (), NOW).reason == "Suspended"


def test_of_several_containers_a_sidecar_speaks_before_what_ran_first() -> None:
    def ended(name: str, message: str) -> Object:
        return {"name": name, "state": {"terminated": {"exitCode": 0, "message": message}}}

    told = Report("attendant", details={"totalSize": "7"})
    first, side = ended("install", said(Report("install"))), ended("side", said(told))
    done = pod("Succeeded", terminated={"exitCode": 0}, initContainerStatuses=[first, side])

    assert observe_job(job("Complete", mover=False), [done], (), NOW).report == told


def test_of_a_pod_that_has_succeeded_only_the_container_that_tells_is_heard() -> None:
    def ended(name: str, message: str) -> Object:
        return {"name": name, "state": {"terminated": {"exitCode": 0, "message": message}}}

    installed, earlier = said(Report("installer")), said(Report("manager", details={"storedBytes": 1}))
    silent = pod("Succeeded", initContainerStatuses=[ended("installer", installed), ended("manager", "")])
    failed = pod("Failed", initContainerStatuses=[ended("installer", installed), ended("manager", earlier)])
    for each in (silent, failed):
        each["metadata"]["annotations"] = {TELLS: "manager"}

    state = observe_job(job("Complete", mover=False), [failed, silent], (), NOW)

    assert (state.phase, state.report) == (Phase.SUCCEEDED, None), "neither another container nor an earlier pod knows"
