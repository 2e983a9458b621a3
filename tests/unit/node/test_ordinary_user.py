"""The node without root: the pod tests again, as an ordinary user of a user namespace that has no privileges."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.tools import ROOT

pytestmark = pytest.mark.run


def test_pods_run_for_an_ordinary_user(tmp_path: Path) -> None:
    # A real user may be unable to read this interpreter; a mapped one is nobody special and can.
    become = ["unshare", "--user", "--map-user=12345", "--map-group=12345", "--"]
    tests = [sys.executable, "-m", "pytest", "tests/unit/node/test_pod_runs.py", f"--basetemp={tmp_path / 'pods'}"]
    done = subprocess.run([*become, *tests], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
