"""What the engine tells Prometheus: runs and how they ended, how long they took, what they moved, when the last one went well.

Runs count when they are seen to end, once; those that had ended before this process started do not count again. The time of
the last success is read from the cluster itself, so it survives a restart. Labels name kinds and the user's own objects,
never values of them: a session belongs to the configuration that controls it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from holdfast.core.objects import Object, kind_of
from holdfast.core.plan import Phase, Run, RunKind
from holdfast.kube.objects import labels_of

_BUCKETS: Final = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 48 * 3600)
_PROVES: Final = (RunKind.BACKUP,)

Subject = tuple[str, str, str]
"""Kind with group, namespace and name of the object that people look at."""


class RunMetrics:
    """Counts runs. One for each engine; `registry` is what `/metrics` shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter("holdfast_runs", "Runs that ended.", ("kind", "run", "outcome"), registry=registry)
        self._seconds = Histogram(
            "holdfast_run_duration_seconds",
            "From the first step's start to the last one's end.",
            ("kind", "run"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._bytes = Counter(
            "holdfast_run_bytes",
            "Bytes that runs read and stored.",
            ("kind", "run", "what"),
            registry=registry,
        )
        self._active = Gauge("holdfast_runs_active", "Runs under way.", ("kind", "run"), registry=registry)
        self._last = Gauge(
            "holdfast_last_success_timestamp_seconds",
            "When the last backup of an object ended well.",
            ("kind", "namespace", "name"),
            registry=registry,
        )
        self._live: dict[tuple[Subject, str], tuple[str, str]] = {}
        self._proved: dict[Subject, float] = {}

    def observe(self, owner: Object, runs: Mapping[str, Run], label: str = "") -> None:
        """Take the runs of an object as one pass saw them; `label` as in `core.ports.Grouped`."""
        me = _itself(owner)
        for run in runs.values():
            key, words = (me, run.name), (me[0], run.kind.value)
            if not run.phase.terminal:
                if key not in self._live and run.phase is Phase.RUNNING:
                    self._live[key] = words
                    self._active.labels(*words).inc()
                continue
            if self._live.pop(key, None):
                self._active.labels(*words).dec()
                self._count(words, run)
            if run.phase is Phase.SUCCEEDED and run.kind in _PROVES:
                self._succeeded(subject_of(owner, label), run)

    def forget(self, kind: str, namespace: str, name: str) -> None:
        """Drop what is kept of an object that is gone."""
        self._proved.pop((kind, namespace, name), None)
        self._drop(self._last, kind, namespace, name)
        for key in [key for key in self._live if key[0] == (kind, namespace, name)]:
            self._active.labels(*self._live.pop(key)).dec()

    def _count(self, words: tuple[str, str], run: Run) -> None:
        self._ended.labels(*words, run.phase.value).inc()
        started, finished = _span(run)
        if started and finished:
            self._seconds.labels(*words).observe(max((finished - started).total_seconds(), 0))
        results = [result for step in run.steps.values() if step.report for result in step.report.results]
        self._bytes.labels(*words, "read").inc(sum(result.bytes for result in results))
        self._bytes.labels(*words, "stored").inc(sum(result.stored for result in results))

    def _succeeded(self, subject: Subject, run: Run) -> None:
        _, finished = _span(run)
        if finished and finished.timestamp() > self._proved.get(subject, 0):
            self._proved[subject] = finished.timestamp()
            self._last.labels(*subject).set(finished.timestamp())

    @staticmethod
    def _drop(metric: Gauge, *labels: str) -> None:
        try:
            metric.remove(*labels)
        except KeyError:
            return


def subject_of(owner: Object, label: str = "") -> Subject:
    """Return what people look at: what a label names, or what controls this one (a session's configuration), else itself.

    Objects of one run each would be one series each, for ever: tens of thousands in a large cluster.
    """
    meta = owner["metadata"]
    if named := labels_of(owner).get(label):
        return str(kind_of(owner)), meta.get("namespace", ""), named
    for reference in meta.get("ownerReferences") or ():
        if reference.get("controller"):
            group = reference["apiVersion"].rpartition("/")[0]
            kind = f"{reference['kind']}.{group}" if group else reference["kind"]
            return kind, meta.get("namespace", ""), reference["name"]
    return _itself(owner)


def _itself(obj: Object) -> Subject:
    meta = obj["metadata"]
    return str(kind_of(obj)), meta.get("namespace", ""), meta["name"]


def _span(run: Run) -> tuple[datetime | None, datetime | None]:
    started = [step.started for step in run.steps.values() if step.started]
    finished = [step.finished for step in run.steps.values() if step.finished]
    return min(started, default=None), max(finished, default=None)
