"""The numbers of the engine: each run once, by the end that was seen, and the last success of what people look at."""

from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from holdfast.core.objects import Object
from holdfast.core.plan import Phase, Run, RunKind, StepState
from holdfast.core.report import Report, RepositoryResult
from holdfast.engine.metrics import RunMetrics

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
CONFIGURATION = {"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration", "name": "nightly", "uid": "c"}
SESSION: Object = {
    "apiVersion": "core.kubestash.com/v1alpha1",
    "kind": "BackupSession",
    "metadata": {
        "name": "nightly-1",
        "namespace": "demo",
        "uid": "s",
        "ownerReferences": [{**CONFIGURATION, "controller": True}],
    },
}
WORDS = {"kind": "BackupSession.core.kubestash.com", "run": "backup"}
LAST = {"kind": "BackupConfiguration.core.kubestash.com", "namespace": "demo", "name": "nightly"}


def run(phase: Phase, seconds: int = 90) -> dict[str, Run]:
    report = Report("backup", (RepositoryResult("r", bytes=1000, stored=400),)) if phase.terminal else None
    finished = AT + timedelta(seconds=seconds) if phase.terminal else None
    step = StepState(phase=phase, exists=True, started=AT, finished=finished, report=report)
    return {"b": Run(name="b", kind=RunKind.BACKUP, phase=phase, steps={"dump": step})}


def made() -> tuple[RunMetrics, CollectorRegistry]:
    registry = CollectorRegistry()
    return RunMetrics(registry), registry


def test_a_run_counts_once_when_it_is_seen_to_end() -> None:
    metrics, registry = made()
    metrics.observe(SESSION, run(Phase.RUNNING))
    assert registry.get_sample_value("holdfast_runs_active", WORDS) == 1
    for _ in range(3):
        metrics.observe(SESSION, run(Phase.SUCCEEDED))
    assert registry.get_sample_value("holdfast_runs_active", WORDS) == 0
    assert registry.get_sample_value("holdfast_runs_total", {**WORDS, "outcome": "Succeeded"}) == 1
    assert registry.get_sample_value("holdfast_run_duration_seconds_sum", WORDS) == 90
    assert registry.get_sample_value("holdfast_run_bytes_total", {**WORDS, "what": "stored"}) == 400


def test_a_restarted_operator_counts_no_old_run_but_knows_the_last_success() -> None:
    metrics, registry = made()
    metrics.observe(SESSION, run(Phase.SUCCEEDED))
    assert registry.get_sample_value("holdfast_runs_total", {**WORDS, "outcome": "Succeeded"}) is None
    assert (
        registry.get_sample_value("holdfast_last_success_timestamp_seconds", LAST) == (AT + timedelta(seconds=90)).timestamp()
    )


def test_a_failure_leaves_the_last_success_as_it_was() -> None:
    metrics, registry = made()
    metrics.observe(SESSION, run(Phase.SUCCEEDED))
    metrics.observe({**SESSION, "metadata": {**SESSION["metadata"], "name": "nightly-2"}}, run(Phase.FAILED, 999))
    assert (
        registry.get_sample_value("holdfast_last_success_timestamp_seconds", LAST) == (AT + timedelta(seconds=90)).timestamp()
    )


def test_what_is_gone_is_told_no_more() -> None:
    metrics, registry = made()
    metrics.observe(SESSION, run(Phase.SUCCEEDED))
    metrics.forget(LAST["kind"], "demo", "nightly")
    metrics.forget(LAST["kind"], "demo", "nightly")
    assert registry.get_sample_value("holdfast_last_success_timestamp_seconds", LAST) is None
