"""A node in a process of its own, so that a test can kill it: `python -m tests.e2e.node_process KUBECONFIG DIRECTORY`."""

import asyncio
import sys
from pathlib import Path

from holdfast.embedded.node.run import run_node
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from tests.e2e.cluster import NODE


async def main(kubeconfig: str, directory: str) -> None:
    config = load_kubeconfig(kubeconfig)
    ready = asyncio.Event()
    async with Client(config, field_manager="node") as client, asyncio.TaskGroup() as group:
        group.create_task(run_node(client, config, Path(directory), "here", settings=NODE, ready=ready))
        await ready.wait()
        print("ready", flush=True)


asyncio.run(main(*sys.argv[1:]))
