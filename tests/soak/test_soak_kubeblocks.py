"""Backups of the KubeBlocks API while controller and jobs are killed: none is stuck, no good one is lost.

Each round takes a backup and, at a moment that a seed draws, kills the controller, the job's script or its storing program.
What is Completed must be whole, as must every earlier one. `make test` tries a small sample, `make soak SEED= N=` 50 rounds for
each N.
"""

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
import pytest_asyncio

from tests.kubeblocks_backups import action_set, backup, make_database, method, policy
from tests.kubeblocks_world import World, status, world
from tests.soak.scale import KILLS, SEED

__all__ = ["world"]
ROUNDS = 50 * KILLS if KILLS else 4
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(20_000 if KILLS else 180)]

SAVE = """
: kill-me-here
export PATH="$PATH:$DP_DATASAFED_BIN_PATH" DATASAFED_BACKEND_BASE_PATH="$DP_BACKUP_BASE_PATH"
for part in 1 2 3; do
    seq 1000 | sed "s/^/$DP_BACKUP_NAME $part /" | datasafed push -z zstd - part-$part; sleep 0.2
done
echo '{"totalSize":"3"}' > $DP_BACKUP_INFO_FILE
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def database(world: World) -> None:
    await make_database(world)
    await world.apply(action_set("soaked", SAVE), policy("soaked", method("soaked"), backoffLimit=4))


def victims(mark: bytes) -> list[int]:
    """The processes of this machine whose command line holds a mark."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid() and mark in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


async def strike(world: World, what: str) -> None:
    """Kill one part."""
    if what == "controller":
        await world.stop_part("engine")
        await world.start_engine()
        return
    marks = {"script": b"kill-me-here", "tool": b"datasafed\0push"}
    for pid in victims(marks[what]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def whole(world: World, name: str) -> bool:
    """Whether every part of a backup lies in the repository."""
    (folder,) = (world.directory / "volumes").glob(f"*/default/{name}")
    return {"part-1", "part-2", "part-3", "kubeblocks-backup.json"} <= {path.name for path in folder.iterdir()}


async def test_no_backup_is_stuck_and_no_good_one_is_lost(world: World) -> None:
    draw, good, seen = random.Random(SEED), list[str](), Counter[str]()
    for number in range(ROUNDS):
        name, what = f"soak-{number}", draw.choice(("controller", "script", "tool"))
        await world.apply(backup(name, "soaked"))
        await asyncio.sleep(draw.uniform(0, 1.5))
        await strike(world, what)
        ended = await world.wait("Backup", name, lambda obj: status(obj).get("phase") in ("Completed", "Failed"), seconds=90)
        seen[f"{what}: {status(ended)['phase']}"] += 1
        if status(ended)["phase"] == "Completed":
            good.append(name)
        else:
            assert status(ended)["failureReason"], f"{name} failed without a reason"
        assert all(whole(world, each) for each in good), f"after {what} in round {number}"
    print(f"\nkubeblocks: {dict(seen)}")
    assert good, dict(seen)
