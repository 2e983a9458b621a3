"""Alert rules and dashboard: promtool judges the rules on recorded series, and both ask for metrics that exist."""

import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from tests import tools

from holdfast.cli.health import Health, OperatorMetrics
from holdfast.kube.controller import Controller

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "observability"
_NAME = re.compile(r"holdfast_[a-z_]+")


def served() -> set[str]:
    """The names of everything that an operator's /metrics can show."""

    async def nothing(_: tuple[str, str]) -> None:
        return None

    health = Health()
    engine = SimpleNamespace(controllers_by_name=lambda: {"K": Controller("K", nothing)}, budget=lambda: (0, 0))
    health.engine = cast(Any, engine)
    client = SimpleNamespace(sent={"GET": 1})
    health.registry.register(OperatorMetrics(health, cast(Any, client), lambda: 1.0))
    found: set[str] = set()
    for metric in health.registry.collect():
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(metric.type, [""])
        found.update(metric.name + ending for ending in endings)
    return found


@pytest.mark.parametrize("words", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts-test.yaml")])
def test_promtool_accepts_the_rules(words: tuple[str, ...]) -> None:
    done = subprocess.run([tools.promtool(), *words], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_tested() -> None:
    rules = {
        rule["alert"] for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
    }
    tests = yaml.safe_load((FOLDER / "alerts-test.yaml").read_text())["tests"]
    raised = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert raised == rules


def test_rules_and_dashboard_ask_for_metrics_that_exist() -> None:
    for name in ("alerts.yaml", "dashboard.json"):
        asked = set(_NAME.findall((FOLDER / name).read_text()))
        assert asked
        assert asked <= served(), name


def test_the_dashboard_shows_every_metric_of_runs() -> None:
    asked = set(_NAME.findall((FOLDER / "dashboard.json").read_text()))
    runs = {name for name in served() if name.startswith(("holdfast_run", "holdfast_last"))}
    assert {name for name in runs - asked if not name.endswith(("_sum", "_count"))} == set()
    assert json.loads((FOLDER / "dashboard.json").read_text())["title"] == "Holdfast"
