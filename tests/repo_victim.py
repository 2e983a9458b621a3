"""Reads hostile repositories in every way, each in a process whose memory is limited, and tells how it ended.

`python -m tests.repo_victim` takes jobs, one JSON list a line: repository, target, operations. For each it forks, so that a job
costs no start of Python, and answers with one line: by operation the outcome (`ok`, `partial` or the error's class), message
and seconds, and the peak of resident memory in MiB; or the traceback of what was no error of ours.
"""

import json
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from holdfast.repo import keys
from holdfast.repo.browse import Trees, start
from holdfast.repo.check import check
from holdfast.repo.copy import copy
from holdfast.repo.errors import RepositoryError
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.stores.local import LocalStore
from tests.repo_trees import PASSWORD

ADDRESS_SPACE = 3 << 30
"""Hard limit of the process; what it may really use is asserted by the tests."""


def listed(repo: Repository) -> tuple[str, str]:
    """Walk the newest snapshot, at most a hundred thousand entries of it."""
    trees, snapshot = Trees(repo), repo.snapshot("latest")
    for number, _ in enumerate(trees.walk(start(trees, snapshot, ""))):
        if number > 100_000:
            return "ok", "many entries"
    return "ok", ""


def checked(repo: Repository, read_data: bool) -> tuple[str, str]:
    """Problems count as `partial`."""
    found = check(repo, read_data=read_data)
    return ("ok", "") if found.ok else ("partial", "\n".join(found.problems))


def restored(repo: Repository, target: str) -> tuple[str, str]:
    """Errors of files count as `partial`."""
    done = restore(repo, "latest", target)
    return ("partial", "\n".join(f"{error.path}: {error.message}" for error in done.errors)) if done.partial else ("ok", "")


def copied(repo: Repository) -> tuple[str, str]:
    """Failures count as `partial`."""
    keys.SCRYPT_N = 256
    with tempfile.TemporaryDirectory() as folder:
        done = copy(repo, Repository.init(LocalStore(Path(folder)), PASSWORD))
    return ("partial", "\n".join(failure.message for failure in done.failures)) if done.failures else ("ok", "")


def run(repository: str, target: str, operations: list[str]) -> dict[str, object]:
    """Do the operations in turn; each opens the repository anew."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    actions: dict[str, Callable[[Repository], tuple[str, str]]] = {
        "ls": listed,
        "check": lambda repo: checked(repo, False),
        "read-data": lambda repo: checked(repo, True),
        "copy": copied,
        "restore": lambda repo: restored(repo, target),
    }
    told: dict[str, object] = {}
    for operation in operations or actions:
        began = time.monotonic()
        try:
            with Repository.open(LocalStore(Path(repository)), PASSWORD) as repo:
                outcome, message = actions[operation](repo)
        except RepositoryError as error:
            outcome, message = type(error).__name__, str(error)
        told[operation] = {"outcome": outcome, "message": message[:5000], "seconds": time.monotonic() - began}
    return {"operations": told, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def serve() -> None:
    """Fork for each job."""
    for line in sys.stdin:
        pid = os.fork()
        if pid:
            _, status = os.waitpid(pid, 0)
            if status:
                print(json.dumps({"crash": f"ended with wait status {status}"}), flush=True)
            continue
        try:
            answer = run(*json.loads(line))
        except BaseException:
            answer = {"crash": traceback.format_exc()}
        print(json.dumps(answer), flush=True)
        os._exit(0)


if __name__ == "__main__":
    serve()
