"""`holdfast up`: a control plane on this machine, as one supervisor and four children.

The API server, the operator (built-in controllers and the backup engine), the CloudCasa REST API and the node talk the
Kubernetes protocol over TLS, as they would in a cluster. The supervisor holds the data directory, starts them in order, says
`ready` once all of them serve, starts again what dies, and stops them in the opposite order.
"""

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from holdfast.cli.children import Child, signal_ready, tail
from holdfast.cli.datadir import DEFAULT, DataDir
from holdfast.cli.errors import HoldfastError
from holdfast.embedded.node.machine import inspect


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--data-dir", type=Path, default=DEFAULT, help="where everything is kept (default: %(default)s)")
    parser.add_argument("--kubeconfig", type=Path, help="also write the kubeconfig to this file")
    parser.add_argument("--detach", action="store_true", help="return once it serves, and keep it running")
    parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Run the control plane until it is told to stop."""
    data = DataDir(arguments.data_dir)
    if arguments.kubeconfig:
        check_replaceable(arguments.kubeconfig, data)
    data.create()
    if arguments.ready_fd is None and (problem := inspect().problem):
        _say(problem)
    if arguments.detach:
        return detach(data, arguments.kubeconfig)
    with data.locked():
        return asyncio.run(supervise(data, arguments.kubeconfig, arguments.ready_fd))


async def supervise(data: DataDir, kubeconfig: Path | None, ready_fd: int | None) -> int:
    """Start the children in order, wait for a signal, stop them in the opposite order."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    running: list[Child] = []
    try:
        starting = asyncio.create_task(_start(data, running))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            print(f"ready\n{publish(data, kubeconfig)}\n{rest_line(data)}", flush=True)
            signal_ready(ready_fd)
        await stopping
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    finally:
        for child in reversed(running):
            await child.stop()
    print("stopped", flush=True)
    return 0


async def _start(data: DataDir, running: list[Child]) -> None:
    root = str(data.root)
    for name, command in {
        "apiserver": ("apiserver", "--data-dir", root),
        "operator": ("operator", "--kubeconfig", str(data.operator_kubeconfig), "--data-dir", root),
        "rest": ("rest", "--kubeconfig", str(data.rest_kubeconfig), "--data-dir", root),
        "node": ("node", "--kubeconfig", str(data.node_kubeconfig), "--root-dir", str(data.node)),
    }.items():
        child = Child(name, command, data.log(name))
        running.append(child)
        await child.start(_say)


def detach(data: DataDir, kubeconfig: Path | None) -> int:
    """Start the supervisor in a session of its own and wait until it serves."""
    if data.held():
        raise HoldfastError(f"data directory {data} is in use by process {data.holder()}; `holdfast down` stops it")
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "holdfast.cli.main", "up", "--data-dir", str(data.root), "--ready-fd", str(writing)]
    if kubeconfig:
        command += ["--kubeconfig", str(kubeconfig)]
    log = data.log("supervisor")
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=(writing,), start_new_session=True
        )
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        ready = pipe.readline()
    if not ready:
        process.wait()
        raise HoldfastError(f"the control plane did not start:\n{tail(log, 12)}")
    print(f"ready\n{kubeconfig or data.kubeconfig}\n{rest_line(data)}")
    return 0


def rest_line(data: DataDir) -> str:
    """Say where the CloudCasa API is, and which file holds its first key."""
    return f"CloudCasa API: {data.rest_url.read_text().strip()} (API key: {data.rest_key})"


def publish(data: DataDir, kubeconfig: Path | None) -> Path:
    """Write the kubeconfig where the user wants it; returns its path."""
    if kubeconfig is None:
        return data.kubeconfig
    check_replaceable(kubeconfig, data)
    kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    temporary = kubeconfig.with_name(f".{kubeconfig.name}.{os.getpid()}")
    temporary.touch(mode=0o600)
    shutil.copyfile(data.kubeconfig, temporary)
    temporary.replace(kubeconfig)
    return kubeconfig.resolve()


def check_replaceable(kubeconfig: Path, data: DataDir) -> None:
    """Raise HoldfastError when the file holds clusters of somebody else, which replacing it would lose."""
    if not kubeconfig.exists():
        return
    try:
        document = yaml.safe_load(kubeconfig.read_text())
        names = [entry["name"] for entry in document["clusters"]]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        names = ["?"]
    if names != ["holdfast"]:
        raise HoldfastError(
            f"{kubeconfig} holds other clusters, and would be replaced: name a file of its own with --kubeconfig,"
            f" or use {data.kubeconfig} by KUBECONFIG={kubeconfig}:{data.kubeconfig}"
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
