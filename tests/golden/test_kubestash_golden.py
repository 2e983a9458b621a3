"""What KubeStash manifests turn into: every child, every call of a mover and every status, as files that people can read.

`in/<case>.yaml` is applied beside the sample's surroundings, `CASES` says what happens then, `out/<case>.yaml` is all that
the handlers made of it. `HOLDFAST_UPDATE_GOLDEN=1 pytest tests/golden/test_kubestash_golden.py` writes the files anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.golden.rendered import rendered
from tests.unit.kubestash.blueprints import asking
from tests.unit.kubestash.builders import REPO, run, sample_world, session
from tests.unit.kubestash.verifiers import verify
from tests.unit.kubestash.world import World, succeeded

from holdfast.core.report import Failure, RepositoryResult

FOLDER = Path(__file__).parent / "kubestash"
MADE = ("CronJob", "Job", "PersistentVolumeClaim", "Repository", "RoleBinding", "ServiceAccount", "Snapshot", "BackupSession")
TOLD = ("BackupConfiguration", "BackupStorage", "RestoreSession", "BackupVerificationSession")
GIVEN = frozenset({"backup-store"})


def initialise(world: World) -> None:
    """End every initialising Job well."""
    for _ in range(2):
        for name in [name for name in world.names("Job") if name.startswith("init-")]:
            world.finish(name)
        world.settle()


def applied(world: World) -> None:
    world.settle()


def initialised(world: World) -> None:
    world.settle()
    initialise(world)


def backed_up(world: World) -> None:
    initialised(world)
    run(world, "run-1", "4f5a6b7c")


def retained(world: World) -> None:
    backed_up(world)
    world.later(minutes=5)
    run(world, "run-2", "5f5a6b7c")
    world.finish(f"retentionpolicy-run-2-{REPO}")
    world.settle()


def failed(world: World) -> None:
    initialised(world)
    world.add(session("run-1", retryLeft=1))
    world.settle()
    world.finish("run-1-dump-pod-0", failure=Failure("WrongPassword", "the password opens no key of the repository"))
    world.later(seconds=30)
    world.settle()


def copied_twice(world: World) -> None:
    initialised(world)
    wanted = session("run-1", session="nightly", retryLeft=0)
    wanted["spec"]["invoker"]["name"] = "sample-two-backends"
    world.add(wanted)
    world.settle()
    world.finish("run-1-dump-pod-0", succeeded("local-copy", "dump-pod-0", "1a"), succeeded("s3-copy", "dump-pod-0", "1b"))
    world.settle()


def restored(world: World) -> None:
    back = world.objects.pop(next(key for key in world.objects if key[0].kind == "RestoreSession"))
    backed_up(world)
    world.add(back)
    world.settle()
    world.later(seconds=20)
    world.finish("back-dump-pod-0", RepositoryResult(REPO, "dump-pod-0", files=30_000, bytes=5_000_000, seconds=4.0))
    world.settle()


def hooked(world: World) -> None:
    initialised(world)
    world.add(session("run-1", retryLeft=0))
    world.settle()
    world.finish("hook-run-1-pre-0")
    world.settle()
    world.finish("run-1-dump-pod-0", succeeded(REPO))
    world.settle()


def dumped(world: World) -> None:
    initialised(world)
    world.add(session("run-1", retryLeft=0))
    world.settle()
    world.finish("run-1-dump", succeeded(REPO, "dump", "beef0001"))
    world.settle()


def asked(world: World) -> None:
    asking(world, name="nightly", path="/source/data")
    initialised(world)


def verified(world: World) -> None:
    backed_up(world)
    verify(world)
    world.later(seconds=20)
    world.finish("proof-dump-pod-0", RepositoryResult(REPO, "dump-pod-0", files=3, bytes=5))
    world.settle()


CASES: dict[str, Callable[[World], None]] = {
    "sample-applied": applied,
    "sample-ready": initialised,
    "sample-backed-up": backed_up,
    "bad-cron": applied,
    "retention": retained,
    "failed-run": failed,
    "two-backends": copied_twice,
    "claim-target": initialised,
    "restore": restored,
    "hooks": hooked,
    "own-addon": dumped,
    "blueprint": asked,
    "verified": verified,
}


@pytest.mark.parametrize("case", CASES)
def test_a_manifest_turns_into(case: str):
    world = sample_world()
    world.load(FOLDER / "in" / f"{case}.yaml")
    CASES[case](world)
    found = yaml.safe_dump_all(rendered(world, TOLD, MADE, GIVEN), sort_keys=True, width=128)
    path = FOLDER / "out" / f"{case}.yaml"
    if os.environ.get("HOLDFAST_UPDATE_GOLDEN") == "1":
        path.write_text(found)
    assert path.read_text() == found, f"{path.name} differs: HOLDFAST_UPDATE_GOLDEN=1 writes it anew, if the change is meant"
