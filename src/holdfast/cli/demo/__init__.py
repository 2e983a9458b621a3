"""`holdfast demo`: the whole promise in about a minute, on real data of this machine, with real kubectl.

It starts a control plane and an S3 server of its own, backs a StatefulSet's volume up twice into two repositories, restores
the newest snapshot into a new volume, and lets programs that are not ours judge the result. It leaves nothing behind.
"""

import argparse
import contextlib
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

from holdfast.cli.demo.failure import DemoFailed

FILES, BYTES = 30_000, 500_000_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--files", type=int, default=FILES, help="at least so many files (default: %(default)s)")
    parser.add_argument("--bytes", type=int, default=BYTES, help="at least so many bytes (default: %(default)s)")
    parser.add_argument("--directory", type=Path, help="where to work (default: a new folder in /var/tmp, removed at the end)")


def run(arguments: argparse.Namespace) -> int:
    """Run it; the last line says how it went."""
    from holdfast.cli.demo.story import tell

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with workplace(arguments.directory, 6 * arguments.bytes) as folder:
            files = tell(folder, arguments.files, arguments.bytes)
    except DemoFailed as error:
        print(f"demo: FAILED {error}", flush=True)
        return 1
    except KeyboardInterrupt:
        print("demo: FAILED interrupted", flush=True)
        return 130
    print(f"demo: verified {files:,} files identical".replace(",", " "), flush=True)
    return 0


@contextlib.contextmanager
def workplace(wanted: Path | None, room: int) -> Generator[Path]:
    """Make an empty folder with enough room, and remove it at the end with all that is in it."""
    parent = wanted or Path("/var/tmp")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(parent).free
        if free < room:
            raise DemoFailed(f"{parent} has {free >> 20} MiB free, {room >> 20} are needed: name another --directory")
        folder = Path(tempfile.mkdtemp(prefix="holdfast-demo-", dir=parent))
    except OSError as error:
        raise DemoFailed(f"{parent}: {error.strerror}: name another --directory") from error
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a tree of many files quickly; folders that a restored mode keeps closed are opened for it."""
    command = ["/bin/rm", "-rf", "--", str(folder)]
    if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
        subprocess.run(["/bin/chmod", "-R", "u+rwX", "--", str(folder)], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(command, check=False)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
