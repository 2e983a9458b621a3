"""The rclone behind a store: it ends with us, starts again when it dies, and tells nobody a secret."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.repo.errors import BadLocation, ObjectNotFound
from holdfast.repo.stores import open_store
from holdfast.repo.stores.rclone import RcloneStore
from holdfast.repo.stores.wrapped import find_inner

DISK = {"RCLONE_CONFIG_DISK_TYPE": "local", "RCLONE_CONFIG": "/notfound", "RESTIC_PASSWORD": "topsecret"}


def servers(folder: Path) -> dict[int, str]:
    """The rclone processes that serve a folder, and their command lines."""
    found: dict[int, str] = {}
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit():
                words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"rclone") and f"disk:{folder}".encode() in words:
                    found[int(entry)] = b" ".join(words).decode()
    return found


def ended(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        select.select([handle], [], [], 20)
        os.close(handle)


def test_it_is_started_at_the_first_use_and_ends_with_the_store(tmp_path: Path) -> None:
    folder, sockets = tmp_path / "repo", tmp_path / "t"
    sockets.mkdir()
    store = open_store(f"rclone:disk:{folder}", {**DISK, "TMPDIR": str(sockets)})
    assert servers(folder) == {}
    with pytest.raises(ObjectNotFound):
        store.get("config")
    ((pid, command),) = servers(folder).items()
    assert "topsecret" not in command
    assert "topsecret" not in Path(f"/proc/{pid}/environ").read_text()
    assert [oct(path.stat().st_mode & 0o777) for path in sockets.iterdir()] == ["0o700"]
    store.close()

    assert servers(folder) == {}
    assert list(sockets.iterdir()) == []


def test_it_ends_when_we_are_killed(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from holdfast.repo.stores import open_store\n"
        "store = open_store(sys.argv[1], os.environ)\n"
        "store.create()\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    folder, sockets = tmp_path / "repo", tmp_path / "t"
    sockets.mkdir()
    command = [sys.executable, "-c", script, f"rclone:disk:{folder}"]
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(sockets), **DISK}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        (pid,) = servers(folder)
        process.send_signal(signal.SIGKILL)
    ended(pid)

    assert servers(folder) == {}


def test_it_is_started_again_when_it_died(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    store = open_store(f"rclone:disk:{folder}", DISK)
    store.create()
    store.put("keys/" + "ab" * 32, b"key")
    (pid,) = servers(folder)
    os.kill(pid, signal.SIGKILL)
    ended(pid)

    assert store.get("keys/" + "ab" * 32) == b"key"
    assert pid not in servers(folder)
    store.close()


def test_a_temporary_file_of_a_dead_writer_goes_after_a_day(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    (folder / "tmp").mkdir(parents=True)
    (folder / "tmp" / "old").touch()
    (folder / "tmp" / "young").touch()
    os.utime(folder / "tmp" / "old", (0, 0))
    with contextlib.closing(open_store(f"rclone:disk:{folder}", DISK)) as store:
        store.put("keys/" + "ab" * 32, b"key")
        assert find_inner(store, RcloneStore) is not None

    assert [path.name for path in (folder / "tmp").iterdir()] == ["young"]


def test_a_remote_that_nobody_configured_is_named() -> None:
    with (
        contextlib.closing(open_store("rclone:nowhere:x", {"RCLONE_CONFIG": "/notfound"})) as store,
        pytest.raises(BadLocation, match=r"rclone:nowhere:x.*name of the remote"),
    ):
        store.get("config")


@pytest.mark.parametrize("url", ["rclone::sftp,host=h,pass=topsecret:/x", "rclone:mine,pass=topsecret:/x"])
def test_settings_in_the_url_are_refused_unseen(url: str) -> None:
    with pytest.raises(BadLocation) as caught:
        open_store(url, {})
    assert "topsecret" not in str(caught.value)
