"""Running the stock program on a repository of ours: how it gets at the store and the password, and how it ends.

The password and the keys of S3 travel in anonymous memory files that only the child inherits; they are never an argument, never
on a disk, and the keys of S3 not even in its environment. Other settings of stores go as the environment variables that both
programs know. The child is asked to stop with SIGINT, at which it gives its locks back.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from holdfast.repo.errors import MissingProgram, Stopped
from holdfast.repo.stores.http import is_on
from holdfast.repo.stores.rclone_process import find_rclone

PROGRAM = "restic"
EXIT_LOCKED, EXIT_PASSWORD = 11, 12
"""Exit codes since 0.17; older releases say 1 for everything."""

STOP_SECONDS = 30.0
"""How long the child may take to stop by itself."""

_POLL_SECONDS = 0.2
_PREFIXES = ("AWS_", "AZURE_", "GOOGLE_", "B2_", "OS_", "ST_", "RCLONE_", "RESTIC_REST_", "SSL_", "SSH_")
_PLAIN = ("PATH", "HOME", "TMPDIR", "LANG")
_AWS = {
    "AWS_ACCESS_KEY_ID": "aws_access_key_id",
    "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key",
    "AWS_SESSION_TOKEN": "aws_session_token",
}


class Access(msgspec.Struct, frozen=True):
    """How another program reaches a repository: the URL and the settings that `open_store` takes, and the password.

    `upload_rate` and `download_rate` are the most bytes a second, 0 for no limit; restic keeps them to whole KiB.
    """

    url: str
    env: Mapping[str, str]
    password: str
    upload_rate: int = 0
    download_rate: int = 0

    def __repr__(self) -> str:
        return f"Access({self.url!r}, ...)"


class Ended(NamedTuple):
    """A finished child: its exit code, and both its streams as they came."""

    code: int
    output: str

    @property
    def last_words(self) -> str:
        """The last lines that say something, for a message."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return "; ".join(lines[-2:]) or "it said nothing"


def find_program(name: str = PROGRAM) -> str:
    """The path of the stock program. Raises MissingProgram."""
    found = shutil.which(name)
    if found is None:
        raise MissingProgram(f"{name} is not installed here: install release 0.14 or newer (Debian: apt-get install restic)")
    return found


def run_stock(program: str, access: Access, words: Sequence[str], stop: threading.Event | None = None) -> Ended:
    """Run `program` with `words` on a repository, to its end. Raises Stopped when `stop` was set meanwhile."""
    with contextlib.ExitStack() as held:
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-stock-"))
        password = held.enter_context(_secret("password", access.password))
        env, handles = _environment(access, held, folder)
        env["RESTIC_PASSWORD_FILE"] = f"/dev/fd/{password}"
        output = held.enter_context(tempfile.TemporaryFile("w+", dir=folder, errors="replace"))
        child = subprocess.Popen(
            [program, *_options(access), *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            pass_fds=(password, *handles),
        )
        try:
            code = _wait(child, stop)
        except BaseException:
            _end(child)
            raise
        output.seek(0)
        return Ended(code, output.read())


def _wait(child: "subprocess.Popen[bytes]", stop: threading.Event | None) -> int:
    while True:
        try:
            return child.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if stop is not None and stop.is_set():
                raise Stopped("the prune was asked to stop; what it has not removed yet stays for the next one") from None


def _end(child: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + STOP_SECONDS
    child.send_signal(signal.SIGINT)
    try:
        child.wait(max(deadline - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _options(access: Access) -> list[str]:
    found: list[str] = ["--no-cache"]
    if authority := access.env.get("RESTIC_CACERT") or access.env.get("AWS_CA_BUNDLE"):
        found += ["--cacert", authority]
    if is_on(access.env, "AWS_INSECURE_TLS"):
        found.append("--insecure-tls")
    if access.env.get("AWS_S3_ADDRESSING_STYLE") and access.url.startswith("s3:"):
        found += ["-o", f"s3.bucket-lookup={'dns' if access.env['AWS_S3_ADDRESSING_STYLE'] == 'virtual' else 'path'}"]
    for name, rate in (("--limit-upload", access.upload_rate), ("--limit-download", access.download_rate)):
        found += [name, str(max(rate // 1024, 1))] if rate else []
    if access.url.startswith("rclone:"):
        found += ["-o", f"rclone.program={find_rclone(access.env)}"]
    return found


def _environment(access: Access, held: contextlib.ExitStack, folder: str) -> tuple[dict[str, str], list[int]]:
    """What the child sees, and the descriptors it inherits for that."""
    env = {name: os.environ[name] for name in _PLAIN if name in os.environ}
    env |= {name: value for name, value in access.env.items() if name in _PLAIN or name.startswith(_PREFIXES)}
    env.setdefault("HOME", folder)
    env["RESTIC_REPOSITORY"] = access.url
    keys = {_AWS[name]: value for name in _AWS if (value := env.pop(name, ""))}
    if not keys:
        return env, []
    text = "\n".join(["[default]", *(f"{name} = {value}" for name, value in keys.items()), ""])
    handle = held.enter_context(_secret("credentials", text))
    env["AWS_SHARED_CREDENTIALS_FILE"] = f"/dev/fd/{handle}"
    return env, [handle]


@contextlib.contextmanager
def _secret(name: str, text: str) -> Generator[int]:
    """A descriptor of a file in memory that holds `text`."""
    handle = os.memfd_create(name)
    try:
        os.write(handle, text.encode())
        os.lseek(handle, 0, os.SEEK_SET)
        yield handle
    finally:
        os.close(handle)
