"""The image's entry points, run inside of its own file system: a file or library that is missing shows here.

`make image` builds the file system first and names it in HOLDFAST_IMAGE. Everything runs as user 65532 on a read-only root.
"""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.e2e.test_install import account, free_port, install, works
from tests.embedded_fixture import api_server

from holdfast.embedded.apiserver.server import ApiServer

__all__ = ["api_server"]

ROOT = Path(os.environ["HOLDFAST_IMAGE"]).resolve() / "root"


def inside(*command: str, binds: tuple[Path, ...] = (), env: dict[str, str] | None = None) -> list[str]:
    words = ["bwrap", "--ro-bind", str(ROOT), "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--unshare-pid"]
    words += ["--unshare-user", "--uid", "65532", "--gid", "65532", "--die-with-parent", "--clearenv"]
    for name, value in {"PATH": "/opt/holdfast/bin:/usr/bin:/bin", "HOME": "/tmp", **(env or {})}.items():
        words += ["--setenv", name, value]
    for path in binds:
        words += ["--bind", str(path), f"/tmp/{path.name}"]
    return [*words, *command]


def run(*command: str, **more: dict[str, str]) -> str:
    done = subprocess.run(inside(*command, **more), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("holdfast", "--version"), "holdfast "),
        (("holdfast", "operator", "--help"), "--lease-namespace"),
        (("holdfast", "node", "--help"), "--root-dir"),
        (("python3", "-c", "from holdfast.repo import native; print(native.status())"), "native, with zstd"),
        (("restic", "version"), "restic"),
        (("rclone", "version"), "rclone"),
        (("etcdctl", "version"), "etcdctl"),
        (("tini", "--version"), "tini"),
    ],
)
def test_what_a_job_may_call_is_there(command: tuple[str, ...], words: str) -> None:
    assert words in run(*command)


def test_a_repository_is_written_and_checked(tmp_path: Path) -> None:
    script = (
        "mkdir /tmp/s && echo text > /tmp/s/file && holdfast repo init && holdfast repo backup /tmp/s && "
        "holdfast repo check --read-data && restic check --read-data --no-lock && "
        "holdfast repo restore latest --target /tmp/t && cat /tmp/t/tmp/s/file"
    )
    env = {"RESTIC_REPOSITORY": "/tmp/r", "RESTIC_PASSWORD": "secret", "RESTIC_CACHE_DIR": "/tmp/c"}
    assert "\ntext\n" in run("sh", "-ec", script, env=env)


async def test_the_operator_works_from_the_image(api_server: ApiServer, tmp_path: Path) -> None:
    await install(api_server)
    kubeconfig = await account(api_server, tmp_path)
    kubeconfig.chmod(0o644)
    holder = tmp_path / "holder"
    holder.mkdir()
    kubeconfig.rename(holder / "kubeconfig")
    words = ("tini", "-s", "--", "holdfast", "operator", "--kubeconfig", "/tmp/holder/kubeconfig")
    more = ("--lease-namespace", "holdfast-system", "--listen", f"127.0.0.1:{free_port()}")
    process = await asyncio.create_subprocess_exec(*inside(*words, *more, binds=(holder,)))
    try:
        await works(api_server)
    finally:
        process.terminate()
        await process.wait()


def test_the_list_of_parts_names_python_and_debian_packages() -> None:
    document = json.loads((ROOT / "opt/holdfast/sbom.json").read_text())
    parts = {part["name"] for part in document["components"]}
    assert {"aiohttp", "holdfast", "restic", "python3"} <= parts
    assert document["bomFormat"] == "CycloneDX"
