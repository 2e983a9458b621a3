"""The stock program on one repository: run a command, expect success or failure, read its JSON."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from holdfast.repo import keys
from holdfast.repo.repository import Repository
from holdfast.repo.stores import open_store
from tests import tools
from tests.movers_builders import KEY, SECRET
from tests.repo_trees import PASSWORD

S3_ENV = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


class Stock:
    """restic on the repository at `url`; `program` is that of the tests unless another version is named."""

    def __init__(self, url: str, cache: Path, *, program: str = "", zone: str = "UTC") -> None:
        self.url, self.program = url, program or tools.restic()
        self.env = {
            **os.environ,
            **S3_ENV,
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_CACHE_DIR": str(cache),
            "RESTIC_PROGRESS_FPS": "0.1",
            "TZ": zone,
        }

    def __call__(self, *words: str) -> str:
        done = self._run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [self.program, "-r", self.url, *words]
        return subprocess.run(
            command, env=self.env, capture_output=True, encoding="utf-8", errors="surrogateescape", check=False
        )

    def init(self) -> None:
        """Make the repository as this program does, then give it a key that costs next to nothing to open."""
        self("init")
        with Repository.open(open_store(self.url, S3_ENV), PASSWORD) as repo:
            keys.change(repo.store, repo.key, repo.key_id, PASSWORD)

    def fails(self, *words: str) -> str:
        done = self._run(*words)
        assert done.returncode != 0, done.stdout
        return done.stdout + done.stderr

    def backup(self, path: Path, *words: str) -> dict[str, Any]:
        lines = self("backup", str(path), "--json", *words).splitlines()
        return next(found for line in lines if (found := json.loads(line))["message_type"] == "summary")

    def snapshots(self) -> list[dict[str, Any]]:
        return json.loads(self("snapshots", "--json"))
