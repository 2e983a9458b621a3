"""Where a control plane of this machine keeps everything, and the lock that keeps a second one out.

    pki/ state.db *.kubeconfig node/ volumes/ run/

`run/` holds what lives as long as the supervisor: its lock, its pid, the logs of its children.
"""

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path

from holdfast.cli.errors import HoldfastError


class DataDir:
    """The paths below one data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        self.kubeconfig = self.root / "admin.kubeconfig"
        self.controllers_kubeconfig = self.root / "controllers.kubeconfig"
        self.operator_kubeconfig = self.root / "operator.kubeconfig"
        self.node_kubeconfig = self.root / "node.kubeconfig"
        self.rest_kubeconfig = self.root / "rest.kubeconfig"
        self.node = self.root / "node"
        self.rest_url = self.root / "cloudcasa.url"
        self.rest_key = self.root / "cloudcasa.key"
        self.run = self.root / "run"
        self.pid_file = self.run / "supervisor.pid"

    def __str__(self) -> str:
        return str(self.root)

    def create(self) -> None:
        """Make the directory, for its owner only: it will hold keys and the data of volumes."""
        try:
            self.run.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.root.chmod(0o700)
        except OSError as error:
            raise HoldfastError(f"data directory {self}: {error.strerror}; choose another with --data-dir") from error

    def log(self, child: str) -> Path:
        """Return the log file of a child."""
        return self.run / f"{child}.log"

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Hold the directory. Raises HoldfastError when another supervisor does."""
        handle = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = self.holder() or "unknown"
                raise HoldfastError(
                    f"data directory {self} is in use by process {pid}: stop it with `holdfast down --data-dir {self}`,"
                    " or choose another directory with --data-dir"
                ) from None
            self.pid_file.write_text(str(os.getpid()))
            try:
                yield
            finally:
                self.pid_file.unlink(missing_ok=True)
        finally:
            os.close(handle)

    def held(self) -> bool:
        """Whether a supervisor holds the directory now."""
        try:
            handle = os.open(self.run / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def holder(self) -> int | None:
        """Return the pid of the supervisor that holds the directory, as it wrote it."""
        with contextlib.suppress(OSError, ValueError):
            return int(self.pid_file.read_text())
        return None


DEFAULT = Path("~/.holdfast")
