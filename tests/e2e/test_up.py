"""`holdfast up` and `down`: one control plane per data directory, which survives restarts and leaves nothing behind."""

import os
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.e2e.plane import HOLDFAST, Plane, eventually

pytestmark = pytest.mark.run

KEPT = """
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, namespace: default}
data: {key: value}
"""


@pytest.fixture
def plane(tmp_path: Path) -> Generator[Plane]:
    made = Plane(tmp_path / "one")
    yield made
    made.down()


def test_up_says_ready_when_everything_serves(plane: Plane) -> None:
    done = plane.up()

    ready, kubeconfig, rest = done.stdout.splitlines()
    assert (ready, kubeconfig) == ("ready", str(plane.kubeconfig))
    assert rest.startswith("CloudCasa API: https://127.0.0.1:")
    assert (plane.data / "cloudcasa.key").stat().st_mode & 0o777 == 0o600
    assert plane.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert "True" in plane.kubectl("get", "nodes", "-o", "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}")
    assert "workload-addon" in plane.kubectl("get", "addons.addons.kubestash.com")
    assert "backupconfigurations" in plane.kubectl("api-resources", "--api-group=core.kubestash.com")


def test_a_restart_finds_its_state_at_the_same_address(plane: Plane) -> None:
    plane.up()
    plane.apply(KEPT)
    before = plane.kubeconfig.read_bytes()

    assert plane.down().stdout == "stopped\n"
    assert plane.processes() == []
    plane.up()

    assert plane.kubeconfig.read_bytes() == before
    assert plane.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.key}") == "value"


def test_two_live_side_by_side(plane: Plane, tmp_path: Path) -> None:
    other = Plane(tmp_path / "two")
    plane.up()
    try:
        assert other.up().returncode == 0
        plane.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: only-in-one}\n")

        assert "only-in-one" in plane.kubectl("get", "namespaces")
        assert "only-in-one" not in other.kubectl("get", "namespaces")
    finally:
        other.down()


def test_a_directory_is_not_opened_twice(plane: Plane) -> None:
    plane.up()

    for words in (("--detach",), ()):
        refused = plane.run("up", *words)
        assert refused.returncode == 1
        assert "in use by process" in refused.stderr
    assert "default" in plane.kubectl("get", "namespaces")


def test_kill_of_the_supervisor_takes_everything_with_it(plane: Plane) -> None:
    plane.up()
    plane.apply(KEPT)

    os.kill(plane.pid_of("up"), signal.SIGKILL)

    plane.outlive_nobody()
    assert plane.up().returncode == 0
    assert plane.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.key}") == "value"


@pytest.mark.parametrize("part", ["apiserver", "operator", "node"])
def test_a_part_that_dies_is_started_again(plane: Plane, part: str) -> None:
    plane.up()
    first = plane.pid_of(part)

    os.kill(first, signal.SIGKILL)

    eventually(lambda: _other(plane, part, first), f"{part} stays dead")
    eventually(lambda: "default" in plane.kubectl("get", "namespaces"), "the API does not answer")


def _other(plane: Plane, part: str, first: int) -> bool:
    try:
        return plane.pid_of(part) != first
    except AssertionError:
        return False


def test_ctrl_c_stops_it_cleanly(plane: Plane) -> None:
    command = [HOLDFAST, "up", "--data-dir", str(plane.data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)

    assert process.returncode == 0
    assert out.endswith("stopped\n")
    assert plane.processes() == []


def test_the_kubeconfig_goes_where_it_is_wanted_but_never_over_somebody_elses(plane: Plane, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "configs" / "mine", tmp_path / "theirs"
    theirs.write_text("clusters: [{name: production, cluster: {}}]\n")

    refused = plane.up("--kubeconfig", str(theirs))
    done = plane.up("--kubeconfig", str(mine))

    assert refused.returncode == 1
    assert "production" in theirs.read_text()
    assert done.stdout.splitlines()[:2] == ["ready", str(mine)]
    assert mine.read_bytes() == plane.kubeconfig.read_bytes()
    assert mine.stat().st_mode & 0o777 == 0o600


def test_down_of_nothing_says_so(plane: Plane) -> None:
    done = plane.down()

    assert done.returncode == 0
    assert "nothing runs" in done.stdout
