"""How each program is asked for the same thing. Each gets its password from the environment, and a repository of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from tests import tools

PASSWORD = "benchmark-only"


class Program(Protocol):
    """Commands as argument lists; `restore` writes the data set's content somewhere below its target."""

    name: str
    env: dict[str, str]

    def init(self) -> None:
        """Make the repository."""
        ...

    def backup(self, data: Path) -> list[str]:
        """Store a folder."""
        ...

    def restore(self, data: Path, target: Path) -> list[str]:
        """Write the newest copy of the folder below `target`; it is run in `target`."""
        ...


class Restic:
    """Stock restic, the newest at hand, with its write-time self-check on as by default."""

    def __init__(self, url: str, work: Path, program: str = "") -> None:
        self.program = program or tools.newest_restic()
        version = subprocess.run([self.program, "version"], capture_output=True, text=True, check=True).stdout.split()[1]
        self.name = f"restic {version}"
        self.env = {**os.environ, "RESTIC_PASSWORD": PASSWORD, "RESTIC_CACHE_DIR": str(work / "restic-cache")}
        self._base = [self.program, "-q", "-r", url]

    def init(self) -> None:
        """Make the repository."""
        subprocess.run([*self._base, "init"], env=self.env, check=True)

    def backup(self, data: Path) -> list[str]:
        """Store a folder."""
        return [*self._base, "backup", str(data)]

    def restore(self, data: Path, target: Path) -> list[str]:
        """Write the newest copy."""
        return [*self._base, "restore", f"latest:{data}", "--target", str(target)]

    def stream(self) -> list[str]:
        """Store standard input as one file."""
        return [*self._base, "backup", "--stdin", "--stdin-filename", "dump.sql"]

    def check(self) -> list[str]:
        """Read and verify everything."""
        return [*self._base, "check", "--read-data"]


class Holdfast(Restic):
    """Ours, as a user calls it: its repository commands take the same words."""

    def __init__(self, url: str, work: Path) -> None:
        self.name = "holdfast"
        self.env = {**os.environ, "RESTIC_PASSWORD": PASSWORD, "RESTIC_CACHE_DIR": str(work / "restic-cache")}
        self.env.pop("PYTHONDONTWRITEBYTECODE", None)  # else every start compiles all modules anew
        self._base = [str(Path(sys.executable).with_name("holdfast")), "repo", "-q", "-r", url]


class Borg:
    """Borg with zstd level 3, which makes repositories of about the same size."""

    def __init__(self, url: str, work: Path) -> None:
        self.name = "borg"
        self.env = {
            **os.environ,
            "BORG_PASSPHRASE": PASSWORD,
            "BORG_BASE_DIR": str(work / "borg-home"),
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }
        self._url = url
        self._runs = 0

    def init(self) -> None:
        """Make the repository."""
        subprocess.run(["borg", "init", "-e", "repokey-blake2", self._url], env=self.env, check=True, stderr=subprocess.DEVNULL)

    def backup(self, data: Path) -> list[str]:
        """Store a folder."""
        self._runs += 1
        return ["borg", "create", "--compression", "zstd,3", f"{self._url}::run{self._runs}", str(data)]

    def restore(self, data: Path, target: Path) -> list[str]:
        """Write the newest copy."""
        del data, target
        return ["borg", "extract", f"{self._url}::run{self._runs}"]


class Rclone:
    """rclone's encrypted copy: no deduplication, no compression, no snapshots, one object per file."""

    def __init__(self, url: str, work: Path) -> None:
        del work
        self.name = "rclone crypt"
        self._program = tools.rclone()
        secret = subprocess.run([self._program, "obscure", PASSWORD], capture_output=True, text=True, check=True).stdout.strip()
        self.env = {
            **os.environ,
            "RCLONE_CONFIG": "/nonexistent",
            "RCLONE_CONFIG_PEER_TYPE": "crypt",
            "RCLONE_CONFIG_PEER_REMOTE": url,
            "RCLONE_CONFIG_PEER_PASSWORD": secret,
        }

    def init(self) -> None:
        """Nothing to make."""

    def backup(self, data: Path) -> list[str]:
        """Store a folder."""
        return [self._program, "-q", "sync", "--metadata", str(data), "peer:"]

    def restore(self, data: Path, target: Path) -> list[str]:
        """Write the newest copy."""
        del data
        return [self._program, "-q", "copy", "--metadata", "peer:", str(target)]


def missing_peers() -> list[str]:
    """Names of the programs to compare with that this machine lacks."""
    return [name for name in ("borg",) if shutil.which(name) is None]
