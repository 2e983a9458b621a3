"""What documents may ask for and nothing here does is refused with a reason; hooks of a restore wait, but not for ever."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.fields.scene import Scene, made

from holdfast.core.objects import Object
from holdfast.core.ports import Outcome
from holdfast.dialects.cloudcasa import restore_hooks, validate
from holdfast.dialects.cloudcasa.resources import COLLECTIONS

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
IDENT = "6064313324111b4af430d936"


class Hooks:
    """The `Lookup` of one POST_BACKUP hook."""

    def spec_of(self, plural: str, ident: str) -> Object | None:
        return {"name": "thaw", "hook_type": "POST_BACKUP"} if plural in ("kubehooks", "kubeclusters") else None


@pytest.mark.parametrize(
    ("plural", "spec", "field"),
    [
        ("kubeclusters", {"container_registry": "registry.test/us"}, "container_registry"),
        ("kubeclusters", {"image_pull_secret_name": "pull"}, "image_pull_secret_name"),
        ("kuberestores", {"all_namespaces": True, "migrationdef": IDENT}, "migrationdef"),
        ("kuberestores", {"all_namespaces": True, "post_hooks": [{"hooks": [IDENT]}]}, "post_hooks[0].hooks[0]"),
    ],
)
def test_what_nothing_acts_on_is_refused(plural: str, spec: Object, field: str) -> None:
    found = [problem.field for problem in validate.problems(COLLECTIONS[plural], spec, None, Hooks())]
    assert found == [field]


def test_the_empty_text_that_clients_send_for_nothing_is_accepted() -> None:
    spec = {"name": "c", "container_registry": "", "image_pull_secret_name": ""}
    assert validate.problems(COLLECTIONS["kubeclusters"], spec, None, Hooks()) == []


def seen(phase: str, after: timedelta) -> Object:
    """Return what a restore says of its hooks, so long after it had brought all back, with its pod in this phase."""
    meta: Object = {"name": "db", "namespace": "shop", "labels": {"app": "db"}}
    pod = made({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}, "status": {"phase": phase}})
    rule = {"name": "thaw", "namespaces": ["shop"], "labels": {"app": "db"}, "target": [{"command": "thaw"}]}
    status: Any = {"restored": "all", "hook_rules": [rule], "hooks_since": int(NOW.timestamp())}
    return restore_hooks.seen({"metadata": meta, "status": status}, Scene([pod], (), NOW), Outcome(), NOW + after)  # pyright: ignore[reportArgumentType]


def test_hooks_of_a_restore_run_once_their_pods_do() -> None:
    assert "hooks" not in seen("Pending", timedelta(minutes=1))
    assert "pod shop/db does not run" in seen("Pending", timedelta(minutes=1))["message"]
    assert [call["pod"] for call in seen("Running", timedelta(minutes=1))["hooks"]] == ["db"]


def test_a_pod_that_never_runs_is_told_and_waited_for_no_longer() -> None:
    late = seen("Pending", restore_hooks.PATIENCE)
    assert late["hooks"] == []
    assert "does not run after 600 s" in late["hooks_message"]
