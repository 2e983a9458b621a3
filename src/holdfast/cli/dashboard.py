"""The Grafana dashboard, made from one table of questions: what an operator of backups asks first stands first."""

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec


class Panel(msgspec.Struct, frozen=True):
    """One panel: its title, its queries with their legends, its unit in Grafana's words. `wide` of 24 columns."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    wide: int = 12


PANELS: Final = (
    Panel(
        "Age of the last good backup",
        [("time() - holdfast_last_success_timestamp_seconds", "{{kind}} {{namespace}}/{{name}}")],
        "s",
        "table",
        24,
    ),
    Panel("Runs that ended, per hour", [("sum by (run, outcome) (increase(holdfast_runs_total[1h]))", "{{run}} {{outcome}}")]),
    Panel("Runs under way", [("sum by (kind, run) (holdfast_runs_active)", "{{kind}} {{run}}")]),
    Panel(
        "Duration of runs, 95 of 100 are shorter",
        [("histogram_quantile(0.95, sum by (le, run) (rate(holdfast_run_duration_seconds_bucket[6h])))", "{{run}}")],
        "s",
    ),
    Panel("Bytes read and stored", [("sum by (what) (rate(holdfast_run_bytes_total[1h]))", "{{what}}")], "Bps"),
    Panel("Movers", [("holdfast_movers_active", "active"), ("holdfast_movers_waiting", "waiting for a slot")]),
    Panel("Who leads", [("holdfast_leader", "{{pod}}")], wide=12),
    Panel("Requests to the API server", [("sum by (method) (rate(holdfast_api_requests_total[5m]))", "{{method}}")], "reqps"),
    Panel("Objects that wait for a pass", [("holdfast_queue_depth", "{{kind}}")]),
    Panel("Passes that failed", [("sum by (kind) (rate(holdfast_pass_failures_total[5m]))", "{{kind}}")], "ops"),
    Panel(
        "Seconds a pass takes",
        [
            (
                "sum by (kind) (rate(holdfast_pass_seconds_total[5m])) / sum by (kind) (rate(holdfast_passes_total[5m]))",
                "{{kind}}",
            )
        ],
        "s",
    ),
)


def dashboard() -> str:
    """Return the dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    x = y = 0
    for number, panel in enumerate(PANELS, 1):
        if x + panel.wide > 24:
            x, y = 0, y + 8
        panels.append(_panel(number, panel, x, y))
        x += panel.wide
    document = {
        "title": "Holdfast",
        "uid": "holdfast",
        "schemaVersion": 39,
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "1m",
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Data source"}]},
        "panels": panels,
    }
    return json.dumps(document, indent=1) + "\n"


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    instant = panel.kind == "table"
    return {
        "id": number,
        "title": panel.title,
        "type": panel.kind,
        "datasource": source,
        "gridPos": {"x": x, "y": y, "w": panel.wide, "h": 8},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {"refId": chr(65 + at), "expr": query, "legendFormat": legend, "instant": instant, "datasource": source}
            for at, (query, legend) in enumerate(panel.queries)
        ],
    }
