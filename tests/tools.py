"""Where the stock programs that judge us are found.

`make setup` puts kubectl and three releases of restic into `.tools/` and rclone into the virtual environment. A missing
program is an error with the command that installs it, never a skip: a suite that passes without its judge proves nothing.
"""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _find(program: str, *places: Path) -> str:
    for place in places:
        if (place / program).is_file():
            return str(place / program)
    found = shutil.which(program)
    if found is None:
        raise RuntimeError(f"{program} is not installed: run `make setup`")
    return found


def kubectl() -> str:
    return _find("kubectl", ROOT / ".tools" / "bin")


def restic() -> str:
    return _find("restic", ROOT / ".tools" / "bin")


def restics() -> dict[str, str]:
    """Every restic that judges us by its version, oldest first: what Debian 12, Debian 13 and sid have."""
    found = {path.parent.name: str(path) for path in (ROOT / ".tools" / "restic").glob("[0-9]*/restic")}
    if len(found) < 3:
        raise RuntimeError(f"of restic only {sorted(found)} are there, not the three releases: run `make setup`")
    return {version: found[version] for version in sorted(found, key=lambda text: [int(part) for part in text.split(".")])}


def newest_restic() -> str:
    return list(restics().values())[-1]


def rclone() -> str:
    return _find("rclone", Path(sys.executable).parent, ROOT / ".tools" / "bin")


def bwrap() -> str:
    return _find("bwrap")


def getfattr() -> str:
    return _find("getfattr")


def strace() -> str:
    return _find("strace")
