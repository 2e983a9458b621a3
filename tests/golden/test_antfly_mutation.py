"""Every spec field of the Antfly API does something: a generated mutation changes plans, children, conditions or Problems."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import yaml
from tests.fields.ledger import rows
from tests.fields.mutation import allowed, differences, unread
from tests.fields.scene import Scene, made

from holdfast.core.objects import Object
from holdfast.dialects.antfly.dialect import Antfly
from holdfast.dialects.antfly.types import KINDS

EXAMPLES = Path(__file__).parents[2] / "examples" / "antfly"
NOW = datetime(2026, 11, 20, 13, 42, 30, tzinfo=UTC)


def sample(name: str) -> Object:
    document = next(yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text()))
    return made(document, creationTimestamp="2026-11-20T13:40:00Z")


def cluster(**spec: object) -> Object:
    meta = {"name": "my-cluster", "namespace": "production"}
    kind = {"apiVersion": "antfly.io/v1", "kind": "AntflyCluster"}
    return made({**kind, "metadata": meta, "spec": {"image": "antfly:1", **spec}}, creationTimestamp="2026-11-20T13:40:00Z")


def scenes() -> Sequence[Scene]:
    served = cluster(publicAPI={"enabled": True})
    single = cluster(mode="Swarm", swarm={"envFrom": [{"secretRef": {"name": "backup-credentials"}}]})
    return [
        Scene(objects, Antfly().handlers, NOW)
        for objects in (
            (sample("critical-tables"), cluster()),
            (sample("daily-backup"), served),
            (sample("daily-backup"), single),
            (sample("restore"), cluster()),
        )
    ]


def test_no_field_of_a_spec_is_without_effect() -> None:
    found = differences(unread(rows("antfly"), KINDS, scenes()), allowed("antfly"))
    assert not found, "\n".join(found)
