"""What the demo runs beside kubectl: its own control plane, and an S3 server by rclone. Both die with the demo."""

import contextlib
import ctypes
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

import msgspec

from holdfast.cli.demo.failure import DemoFailed

_START_SECONDS, _STOP_SECONDS = 60.0, 60.0
_PR_SET_PDEATHSIG = 1


class S3(msgspec.Struct, frozen=True):
    """A running S3 server: where it is, and a key that was drawn for it."""

    endpoint: str
    key: str
    secret: str

    def __repr__(self) -> str:
        return f"S3({self.endpoint})"


@contextlib.contextmanager
def control_plane(data: Path) -> Generator[Path]:
    """Run `holdfast up`; yields its kubeconfig once it serves."""
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "holdfast.cli.main", "up", "--data-dir", str(data), "--ready-fd", str(writing)]
    log = data.with_suffix(".log")
    with log.open("wb") as out, _running(command, os.environ, out.fileno(), (writing,)) as process:
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            ready, _, _ = select.select([pipe], [], [], _START_SECONDS)
            if not ready or not pipe.readline():
                process.terminate()
                process.wait()
                raise DemoFailed(f"the control plane did not start: {_end(log)}")
        yield data / "admin.kubeconfig"


@contextlib.contextmanager
def s3_server(folder: Path) -> Generator[S3]:
    """Run `rclone serve s3` on a folder, on a free port, with random keys."""
    key, secret = secrets.token_hex(10).upper(), secrets.token_urlsafe(30)
    folder.mkdir()
    command = [find("rclone"), "serve", "s3", "--addr", "127.0.0.1:0", "--config", os.devnull, str(folder)]
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder.parent), "RCLONE_AUTH_KEY": f'"{key},{secret}"'}
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, _running(command, environment, writing):
        os.close(writing)
        yield S3(_endpoint(pipe.fileno()), key, secret)


def find(program: str) -> str:
    """Find a stock program where `make setup` puts it, or on the PATH."""
    prefix = Path(sys.prefix)
    for folder in (prefix / "bin", prefix.parent / ".tools" / "bin"):
        if (folder / program).is_file():
            return str(folder / program)
    found = shutil.which(program)
    if found is None:
        raise DemoFailed(f"{program} is not installed: run `make setup`")
    return found


@contextlib.contextmanager
def _running(
    command: Sequence[str], environment: Mapping[str, str], output: int, descriptors: tuple[int, ...] = ()
) -> Generator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=descriptors,
        start_new_session=True,
        preexec_fn=_die_with_parent(),
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _die_with_parent() -> Callable[[], object]:
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _endpoint(pipe: int) -> str:
    """Read the address that rclone says it serves at."""
    text = b""
    while b"/]" not in text:
        ready, _, _ = select.select([pipe], [], [], _START_SECONDS)
        chunk = os.read(pipe, 4096) if ready else b""
        if not chunk:
            raise DemoFailed(f"rclone does not serve S3: {text.decode(errors='replace').strip()}")
        text += chunk
    return text.partition(b"[")[2].partition(b"/]")[0].decode()


def _end(log: Path) -> str:
    return "; ".join(log.read_text(errors="replace").splitlines()[-4:])
