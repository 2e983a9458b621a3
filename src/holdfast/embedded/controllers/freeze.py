"""A copy of a volume as it was at one moment: everything that uses it is stopped while its files are copied.

`python -m holdfast.embedded.controllers.freeze SOURCE TARGET` copies and ends. It is a process of its own, so that what it
stopped goes on when the controllers are killed in between; `thaw` continues what a killed copy left stopped. Files share
their blocks where the file system can (reflink). The target appears by rename, complete and durable, or not at all.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path


def users_of(volume: Path) -> set[int]:
    """Process ids of all that have the volume, or a folder of it, mounted. Names of volumes hold a uid: they are unique."""
    found: set[int] = set()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            mounts = Path(entry.path, "mountinfo").read_text(errors="surrogateescape")
        except OSError:
            continue
        roots = (line.split(" ", 4)[3] for line in mounts.splitlines())
        if any(f"/{volume.name}/" in f"{root}/" for root in roots):
            found.add(int(entry.name))
    return found


@contextlib.contextmanager
def frozen(volume: Path) -> Generator[None]:
    """Stop every user of the volume in a `with` block; those that come up meanwhile too."""
    stopped: set[int] = set()
    try:
        while fresh := users_of(volume) - stopped:
            for pid in fresh:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGSTOP)
            stopped |= fresh
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGCONT)


def copy(source: Path, target: Path) -> None:
    """Copy a volume's folder to a new one. Raises CalledProcessError or OSError; then nothing appears."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        draft.mkdir()
        with frozen(source):
            subprocess.run(["cp", "-a", "--reflink=auto", f"{source}/.", str(draft)], check=True, capture_output=True)
        subprocess.run(["sync", "-f", str(draft)], check=True, capture_output=True)
        os.rename(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def thaw(volumes: Path) -> None:
    """Continue what a copy that was killed left stopped: every stopped user of a volume below this folder."""
    for volume in volumes.glob("pvc-*"):
        for pid in users_of(volume):
            with contextlib.suppress(OSError, IndexError):
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                if state == "T":
                    os.kill(pid, signal.SIGCONT)


def sweep(*folders: Path) -> None:
    """Remove drafts whose copy is no more, and what was being removed when the controllers ended."""
    for folder in folders:
        for draft in folder.glob(".*.part"):
            pid = draft.name.split(".")[-2]
            if not Path("/proc", pid).exists():
                shutil.rmtree(draft, ignore_errors=True)
        for doomed in folder.glob(".*.removed"):
            shutil.rmtree(doomed, ignore_errors=True)


def main() -> int:
    """Copy argv[1] to argv[2]."""
    try:
        copy(Path(sys.argv[1]), Path(sys.argv[2]))
    except (OSError, subprocess.CalledProcessError) as error:
        words = getattr(error, "stderr", None)
        print(words.decode(errors="replace").strip() if words else error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
