"""`holdfast node`: register this machine as a Node of an API server and run the pods that are bound to it."""

import argparse
import asyncio
import socket
import sys
from pathlib import Path

import msgspec

from holdfast.cli.datadir import DEFAULT
from holdfast.cli.service import add_kubeconfig, announce, connect, serve
from holdfast.embedded.node.images import ImageTable, own_image
from holdfast.embedded.node.run import run_node
from holdfast.kube.client import Client
from holdfast.kube.config import ClusterConfig

TOOLS = Path(".tools") / "bin"
"""Where `make setup` puts stock programs, beside the virtual environment: the retention mover prunes with restic."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_kubeconfig(parser)
    parser.add_argument("--name", default=socket.gethostname().lower(), help="the Node's name (default: %(default)s)")
    parser.add_argument("--root-dir", type=Path, default=DEFAULT / "node", help="the node's own files (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop."""
    root: Path = arguments.root_dir.expanduser()
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    return serve(_node(arguments, connect(arguments), root))


def images() -> ImageTable:
    """Return the node's images: our own sees the stock programs of `make setup` too."""
    image = own_image()
    tools = Path(sys.prefix).parent / TOOLS
    if tools.is_dir():
        image = msgspec.structs.replace(image, paths=(*image.paths, str(tools)), path=(*image.path, str(tools)))
    return ImageTable({"holdfast": image})


async def _node(arguments: argparse.Namespace, config: ClusterConfig, root: Path) -> None:
    ready = asyncio.Event()
    async with announce(ready, arguments.ready_fd), Client(config, field_manager="holdfast-node") as client:
        await run_node(client, config, root, arguments.name, images=images(), ready=ready)
