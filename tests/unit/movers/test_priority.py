"""The priority that users ask for is that of the mover's process, and one that can't be had stops nothing."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from holdfast.movers.priority import settle_priority
settle_priority(os.environ)
print(os.getpriority(os.PRIO_PROCESS, 0))
"""
SHOW = "import subprocess\nprint(subprocess.run(['ionice', '-p', str(os.getpid())], capture_output=True, text=True).stdout)"


def niceness(**environment: str) -> list[str]:
    env = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.splitlines()


def test_a_nice_adjustment_is_added_to_what_the_process_has():
    before = int(niceness()[-1])
    assert int(niceness(NICE_ADJUSTMENT="3")[-1]) == min(before + 3, 19)


@pytest.mark.parametrize(("kind", "shown"), [("3", "idle"), ("2", "best-effort: prio 6")])
def test_the_disk_class_is_that_of_the_process(kind: str, shown: str):
    program = PROGRAM + SHOW
    env = {"PATH": os.environ["PATH"], "IONICE_CLASS": kind, "IONICE_CLASS_DATA": "6"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True, timeout=20)
    assert shown in done.stdout


def test_a_priority_that_cant_be_had_is_logged_and_nothing_else():
    assert niceness(NICE_ADJUSTMENT="much")[0].startswith("priority not set: ")
