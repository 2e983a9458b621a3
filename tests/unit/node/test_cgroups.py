"""Groups that killed nodes leave behind, on a plain folder in place of a cgroup's."""

import signal
import subprocess
import sys
from pathlib import Path

from holdfast.embedded.node.cgroups import remove_abandoned

GONE, ALIVE = "holdfast-0123456789ab", "holdfast-ba9876543210"

OWNER = """
import os, sys
from pathlib import Path
from holdfast.embedded.node import cgroups
os.geteuid = lambda: 0
limiter = cgroups.find_limiters(sys.argv[2], {"memory": [(1, Path(sys.argv[1]))]}).memory
for file in (limiter.root / "probe").iterdir():
    file.unlink()
limiter.remove("probe")
print(limiter.root.name, flush=True)
sys.stdin.read()
"""


def names(top: Path) -> set[str]:
    return {path.name for path in top.iterdir()}


def test_a_group_lives_as_long_as_its_node_and_is_removed_after_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path), ALIVE.removeprefix("holdfast-")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        assert node.stdout.readline().strip() == ALIVE
        assert remove_abandoned(tmp_path) == []
        assert names(tmp_path) == {ALIVE}
        node.send_signal(signal.SIGKILL)
        node.wait(10)
    assert remove_abandoned(tmp_path) == [ALIVE]
    assert names(tmp_path) == set()


def test_empty_groups_of_its_containers_go_with_it(tmp_path: Path) -> None:
    (tmp_path / GONE / "pod-main").mkdir(parents=True)
    assert remove_abandoned(tmp_path) == [GONE]
    assert names(tmp_path) == set()


def test_what_is_in_use_or_not_ours_stays(tmp_path: Path) -> None:
    used = tmp_path / GONE / "pod-main" / "inner"
    used.mkdir(parents=True)
    others = {"holdfast-prod", "holdfast-0123456789abc", "holdfast-0123456789AB", "system.slice"}
    for name in others:
        (tmp_path / name).mkdir()
    (tmp_path / ALIVE).symlink_to(tmp_path / "system.slice")
    (tmp_path / "holdfast-ffffffffffff").write_text("a file")
    before = names(tmp_path)
    assert remove_abandoned(tmp_path) == []
    assert names(tmp_path) == before
    assert used.is_dir()


def test_a_machine_without_the_controller_is_no_error(tmp_path: Path) -> None:
    assert remove_abandoned(tmp_path / "none") == []
