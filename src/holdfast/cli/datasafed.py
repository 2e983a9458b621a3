"""`holdfast datasafed ...`: the command line of KubeBlocks' data protection, by hand (see docs/kubeblocks-actionsets.md)."""

import argparse
import os

from holdfast.movers.datasafed.command import local_streams, main


def configure(parser: argparse.ArgumentParser) -> None:
    """Take the line as it is: `datasafed` has its own options."""
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="...", help="push, pull, list, stat, rm, rmdir, mkdir, getconf"
    )


def run(arguments: argparse.Namespace) -> int:
    """Carry it out."""
    return main(arguments.words, os.environ, local_streams())
