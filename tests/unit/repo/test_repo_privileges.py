"""A root without rights, as containers have it: what it restores is whole, but for owners, and it says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RESTORE = """
import sys
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.stores import open_store
with Repository.open(open_store(sys.argv[1], {}), "secret") as repo:
    result = restore(repo, "latest", sys.argv[3], subfolder=sys.argv[2])
print(result.error_count, result.unowned)
"""
BACKUP = """
import sys
from holdfast.repo.backup import backup
from holdfast.repo.repository import Repository
from holdfast.repo.stores import open_store
backup(Repository.init(open_store(sys.argv[1], {}), "secret"), [sys.argv[2]])
"""
POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--securebits=+noroot,+noroot_locked"]


@pytest.mark.parametrize("pure", ["0", "1"])
def test_a_root_that_may_not_change_owners_restores_the_rest(tmp_path: Path, pure: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name in ("one", "two"):
        path = source / name
        path.write_text(name)
        path.chmod(0o640)
        os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(source / "one", 1234, 1234)
    env = {**os.environ, "HOLDFAST_PURE": pure}
    python = [sys.executable, "-c"]
    subprocess.run([*python, BACKUP, str(tmp_path / "r"), str(source)], env=env, check=True)
    argv = [*python, RESTORE, str(tmp_path / "r"), str(source), str(target)]
    done = subprocess.run([*(POWERLESS if is_root else []), *argv], env=env, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["0", "1" if is_root else "0"]
    for name in ("one", "two"):
        stat = (target / name).stat()
        assert (target / name).read_text() == name
        assert (stat.st_mode & 0o777, stat.st_mtime_ns) == (0o640, 1_700_000_000_123_456_789)
