"""What Mirantis manifests turn into: the Jobs of a backup by destination, the children of a schedule, and their statuses.

`HOLDFAST_UPDATE_GOLDEN=1 pytest tests/golden/test_mirantis_golden.py` writes `mirantis/*.yaml` anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from tests.golden.test_mirantis_mutation import BUCKET, KEY, SHARE, credential, key, node, thing
from tests.sim.cluster import Cluster
from tests.sim.test_mirantis_sim import BAD, GOOD, START, born

from holdfast.core.objects import Object
from holdfast.dialects.mirantis.dialect import Mirantis
from holdfast.dialects.mirantis.kinds import CLUSTER_BACKUP, CLUSTER_BACKUP_SCHEDULE, JOB

FOLDER = Path(__file__).parent / "mirantis"
EXAMPLES = Path(__file__).parents[2] / "examples" / "mirantis"


def cluster(**backup: Any) -> Cluster:
    world = Cluster(Mirantis("Europe/Prague").handlers, START)
    for obj in (thing("Cluster", "kaas-mgmt", **({"backup": backup} if backup else {})), node(), credential(), key()):
        world.put(born(obj, START))
    return world


def one(**parameters: Any) -> Callable[[], Cluster]:
    """A backup with these parameters whose Job runs."""

    def made() -> Cluster:
        world = cluster()
        spec = {"targetCluster": "kaas-mgmt", **({"parameters": parameters} if parameters else {})}
        world.put(born(thing("ClusterBackup", "now", **spec), START))
        world.settle()
        return world

    return made


def example(name: str) -> Callable[[], Cluster]:
    """A schedule of the examples an hour and two runs later, the second of which failed."""

    def made() -> Cluster:
        world = cluster()
        document = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
        document.pop("status", None)
        world.put(born(document, START))
        for report in (GOOD, BAD):
            world.settle()
            world.now = (world.now + timedelta(days=1)).replace(hour=23, minute=0)
            world.settle()
            for ref in world.running():
                world.end(ref, report, failed=report is BAD)
        world.settle()
        return world

    return made


CASES: dict[str, Callable[[], Cluster]] = {
    "local": one(),
    "share": one(**SHARE),
    "bucket": one(**BUCKET),
    "bucket-encrypted": one(**BUCKET, **KEY),
    "sample-schedule": example("sample-schedule"),
    "schedule-kept": example("schedule-kept"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_manifest_turns_into(case: str) -> None:
    found = yaml.safe_dump_all(rendered(CASES[case]()), sort_keys=True, width=128)
    path = FOLDER / f"{case}.yaml"
    if os.environ.get("HOLDFAST_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    assert path.read_text() == found, f"{path.name} differs: HOLDFAST_UPDATE_GOLDEN=1 writes it anew, if the change is meant"


def rendered(world: Cluster) -> list[Object]:
    kinds = (CLUSTER_BACKUP_SCHEDULE, CLUSTER_BACKUP, JOB)
    return [_shown(obj) for kind in kinds for ref, obj in sorted(world.objects.items()) if ref.kind == kind]


def _shown(obj: Object) -> Object:
    """Return an object with the call of its mover as YAML."""
    found = msgspec.json.decode(msgspec.json.encode(obj))
    for container in found["spec"].get("template", {}).get("spec", {}).get("containers", []):
        for item in container.get("env", []):
            if item["name"] == "HOLDFAST_CALL":
                item["value"] = msgspec.json.decode(item["value"])
    return found
