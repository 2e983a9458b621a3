"""`holdfast repo dump`: a file or a folder as a stream."""

import argparse
import os
import sys
from pathlib import Path
from typing import IO

from holdfast.cli.errors import HoldfastError
from holdfast.cli.repo.context import Context
from holdfast.cli.repo.options import add_filters, chosen
from holdfast.repo.browse import Trees, start
from holdfast.repo.dump import dump
from holdfast.repo.repository import Repository

HELP = """\
A file comes out as it is. A folder becomes an archive: tar with owners, attributes, hard links
and special files, or zip with files, folders and symbolic links. / is the whole snapshot. Every
blob is checked before it is written. With --target the file gets its name only when it is
complete.

Examples:
  holdfast repo dump latest /etc/fstab
  holdfast repo dump latest:/home/anna /mail | tar -x -C /tmp/mail
  holdfast repo dump -a zip -t photos.zip latest /home/anna/photos
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("snapshot", help="an id, the beginning of one, or latest; with :/folder for a part of it")
    parser.add_argument("path", help="the file or folder, as an absolute path within the snapshot")
    parser.add_argument("-a", "--archive", choices=("tar", "zip"), default="tar", help="for folders (default: tar)")
    parser.add_argument("-t", "--target", type=Path, metavar="FILE", help="write to a file instead of standard output")
    add_filters(parser, "for latest")


def run(context: Context) -> int:
    """Write it."""
    target: Path | None = context.arguments.target
    with context.reading() as repo:
        if target is None:
            _dump(context, repo, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return 0
        partial = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with partial.open("xb") as out:
                _dump(context, repo, out)
                out.flush()
                os.fsync(out.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return 0


def _dump(context: Context, repo: Repository, out: IO[bytes]) -> None:
    arguments = context.arguments
    trees = Trees(repo)
    snapshot, subfolder = context.snapshot(repo, arguments.snapshot, chosen(arguments))
    tree = start(trees, snapshot, subfolder)
    item = trees.resolve(tree, arguments.path)
    if out.isatty() and (item is None or item.is_folder):
        raise HoldfastError("an archive is nothing to look at: send it to a program or a file, or use --target")
    dump(repo, trees, tree, arguments.path, out, archive=arguments.archive)
