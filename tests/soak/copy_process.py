"""The engine with the CloudCasa API as a process of its own: `python -m tests.soak.copy_process KUBECONFIG`, until killed."""

import asyncio
import sys

from holdfast.cli.dialects import resources
from holdfast.dialects.cloudcasa.dialect import CloudCasa
from holdfast.engine.shell import Engine
from holdfast.kube.client import Client
from holdfast.kube.config import load_kubeconfig
from holdfast.kube.events import EventRecorder
from holdfast.movers.fills import movers


async def main(kubeconfig: str) -> None:
    """Run until killed."""
    async with Client(load_kubeconfig(kubeconfig), field_manager="holdfast") as client:
        recorder = EventRecorder(client, component="soak")
        await Engine(client, [CloudCasa()], movers(), resources(), image="holdfast:soak", recorder=recorder).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
