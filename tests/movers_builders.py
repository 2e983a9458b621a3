"""Builders and stand-ins for tests of movers."""

import contextlib
import os
import select
import signal
import subprocess
import threading
from collections.abc import Generator
from pathlib import Path

from holdfast.core.calls import Call, RepositoryTarget, StorageTarget, VolumeBackup, VolumeRestore
from holdfast.core.report import Progress, Report
from holdfast.movers.context import Context
from holdfast.movers.entry import perform
from tests import tools

KEY, SECRET = "AKIDHOLDFAST", "not-a-real-secret-key"


class Run:
    """A mover's surroundings: what it said, and how it is told to stop."""

    def __init__(self) -> None:
        self.progress: list[Progress] = []
        self.context = Context(self.progress.append, threading.Event())

    def __call__(self, call: Call) -> Report:
        return perform(call.MOVER, call, self.context)


def perform_call(call: Call) -> Report:
    return Run()(call)


def password_file(folder: Path, text: str = "a password for tests") -> str:
    path = folder / "secrets" / "RESTIC_PASSWORD"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


def credentials_dir(folder: Path, key: str = KEY, secret: str = SECRET) -> str:
    path = folder / f"keys-{key}-{len(secret)}"
    path.mkdir(exist_ok=True)
    (path / "AWS_ACCESS_KEY_ID").write_text(key)
    (path / "AWS_SECRET_ACCESS_KEY").write_text(secret)
    return str(path)


def repository(folder: Path, name: str = "repo", url: str = "", *, credentials: str = "") -> RepositoryTarget:
    store = StorageTarget(url or str(folder / "store" / name), {}, credentials)
    return RepositoryTarget(name, store, password_file(folder), "dump-pod-0")


def volume_backup(*targets: RepositoryTarget, paths: list[Path], excludes: tuple[str, ...] = ()) -> VolumeBackup:
    return VolumeBackup(targets, tuple(map(str, paths)), excludes, host="demo-host")


def volume_restore(target: RepositoryTarget, ids: tuple[str, ...], into: Path) -> VolumeRestore:
    return VolumeRestore(target, ids, str(into))


def source(folder: Path) -> Path:
    """A small tree with most of what a volume can hold."""
    root = folder / "source" / "data"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "plain.txt").write_text("hello\n")
    (root / "empty").touch()
    (root / "deep" / "er" / "odd 'name\n\"é").write_bytes(os.urandom(5000))
    (root / "link").symlink_to("plain.txt")
    os.link(root / "plain.txt", root / "hard")
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 20)
    (root / "plain.txt").chmod(0o640)
    os.utime(root / "plain.txt", ns=(10**18 + 7, 10**18 + 123456789))
    return root


@contextlib.contextmanager
def s3_server(folder: Path) -> Generator[str]:
    """Serve a folder as S3 on a free port of 127.0.0.1; yields the endpoint."""
    folder.mkdir(exist_ok=True)
    command = [tools.rclone(), "serve", "s3", "--addr", "127.0.0.1:0", "--auth-key", f"{KEY},{SECRET}", str(folder)]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder.parent), "RCLONE_CONFIG": "/dev/null"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        yield _endpoint(process.stderr.fileno())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stderr.close()


def _endpoint(pipe: int) -> str:
    text = b""
    while b"/]" not in text:
        ready, _, _ = select.select([pipe], [], [], 10)
        chunk = os.read(pipe, 4096) if ready else b""
        assert chunk, f"rclone does not serve: {text!r}"
        text += chunk
    return text.partition(b"[")[2].partition(b"/]")[0].decode()
