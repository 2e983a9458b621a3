"""`holdfast repo` and stock restic as subprocesses on the same repository, for tests that compare the two."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.repo.repository import Repository
from holdfast.repo.stores import open_store
from tests import repo_forks, tools
from tests.movers_builders import KEY, SECRET
from tests.repo_trees import PASSWORD

HOLDFAST = str(Path(sys.executable).parent / "holdfast")


def environment(url: str, home: Path, password: str = PASSWORD) -> dict[str, str]:
    """What both programs get: nothing of the environment that the tests run in but the path."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "RESTIC_REPOSITORY": url,
        "RESTIC_PASSWORD": password,
        "RESTIC_CACHE_DIR": str(home / "cache"),
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


class Program:
    """One of the programs on one repository."""

    def __init__(self, command: Sequence[str], env: dict[str, str]) -> None:
        self.command, self.env = list(command), env

    def run(self, *words: str, stdin: bytes = b"", **env: str) -> "subprocess.CompletedProcess[bytes]":
        command = [*self.command, *words]
        return subprocess.run(command, env=self.env | env, capture_output=True, input=stdin, timeout=60, check=False)

    def bytes(self, *words: str, **env: str) -> bytes:
        """Standard output of a run that must succeed."""
        done = self.run(*words, **env)
        assert done.returncode == 0, (words, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def __call__(self, *words: str, **env: str) -> str:
        return self.bytes(*words, **env).decode("utf-8", "surrogateescape")

    def fails(self, code: int, *words: str, **env: str) -> str:
        """What a run that must fail with this code says on standard error."""
        done = self.run(*words, **env)
        assert done.returncode == code, (words, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done.stderr.decode("utf-8", "surrogateescape")

    def json(self, *words: str, **env: str) -> Any:
        """The one document of a run."""
        return json.loads(self(*words, "--json", **env))

    def documents(self, *words: str, **env: str) -> list[dict[str, Any]]:
        """The documents of a run that prints one on each line."""
        return [json.loads(line) for line in self(*words, "--json", **env).split("\n") if line]


def init_cheap(url: str) -> None:
    """Make a repository whose password costs next to nothing to try: each program tries it a hundred times in these tests."""
    Repository.init(open_store(url, {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}), PASSWORD).close()


class Forked(Program):
    """`holdfast repo`, forked from a process that has imported it; see `repo_forks`."""

    def run(self, *words: str, stdin: bytes = b"", **env: str) -> "subprocess.CompletedProcess[bytes]":
        return repo_forks.run(words, self.env | env, stdin)


def ours(url: str, home: Path) -> Program:
    """`holdfast repo`."""
    return Forked([HOLDFAST, "repo"], environment(url, home))


def stock(url: str, home: Path) -> Program:
    """The stock program."""
    return Program([tools.restic()], environment(url, home))
