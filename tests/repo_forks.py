"""`holdfast repo` in forked children of one process that has imported it already: what a shell sees, at a tenth of the cost.

The server reads one command a line and answers with the exit code: `python -m tests.repo_forks`. Each command runs in a child
of its own with the environment, folder and files that it was given, and ends as the console script does.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from holdfast.repo.arrays import without_threads

_COMMANDS = ("backup", "check", "copy", "dump", "find", "forget", "init", "keys", "ls", "restore", "snapshots", "stats")


@cache
def _server() -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "tests.repo_forks"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def run(words: Sequence[str], env: Mapping[str, str], stdin: bytes) -> "subprocess.CompletedProcess[bytes]":
    """Run `holdfast repo` with these words to its end."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        files = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (given, out, err)]
        job = {"words": list(words), "env": dict(env), "cwd": os.getcwd(), "files": files}
        server.stdin.write(json.dumps(job).encode() + b"\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        texts = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0) for file in (out, err)]
    return subprocess.CompletedProcess(list(words), code, *texts)


def _serve() -> None:
    with without_threads():
        for name in _COMMANDS:
            importlib.import_module(f"holdfast.cli.repo.{name}")
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _be_the_command(json.loads(line))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _be_the_command(job: dict[str, Any]) -> None:
    for number, path in enumerate(job["files"]):
        os.dup2(os.open(path, os.O_RDWR), number)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    time.tzset()
    sys.stdin = os.fdopen(0)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", errors="surrogateescape") for number in (1, 2))
    try:
        code = importlib.import_module("holdfast.cli.main").main(["repo", *job["words"]])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
