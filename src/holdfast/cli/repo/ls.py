"""`holdfast repo ls`: what is in a snapshot."""

import argparse
import os
from collections.abc import Callable, Iterable

from holdfast.cli.errors import HoldfastError
from holdfast.cli.repo.context import Context
from holdfast.cli.repo.groups import document
from holdfast.cli.repo.nodes import line, node_json
from holdfast.cli.repo.options import add_filters, chosen
from holdfast.cli.repo.output import local_time, shown
from holdfast.repo.browse import Item, Trees, ls
from holdfast.repo.times import parse_ns

HELP = """\
Without folders everything is listed. With folders (absolute paths as the snapshot has them)
each of them and what is directly in it, or all below with --recursive.

Examples:
  holdfast repo ls latest
  holdfast repo ls -l latest /etc /home/anna --recursive
  holdfast repo ls latest:/var/lib/postgresql --sort size --reverse --long
"""

_ORDERS: dict[str, Callable[[Item], tuple[int, str, str]]] = {
    "name": lambda item: (0, "", item.path),
    "size": lambda item: (item.node.size, "", item.path),
    "time": lambda item: (_mtime(item), "", item.path),
    "extension": lambda item: (0, os.path.splitext(item.path)[1], item.path),
}


def _mtime(item: Item) -> int:
    try:
        return parse_ns(item.node.mtime)
    except ValueError:
        return 0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("snapshot", help="an id, the beginning of one, or latest; with :/folder for a part of it")
    parser.add_argument("folder", nargs="*", help="list these folders only")
    parser.add_argument("-l", "--long", action="store_true", help="show mode, owner, size and time")
    parser.add_argument("--recursive", action="store_true", help="with folders: list everything below them")
    parser.add_argument("--human-readable", action="store_true", help="show sizes in KiB, MiB, ...")
    parser.add_argument("-s", "--sort", choices=tuple(_ORDERS), help="order by this instead of as stored, folder by folder")
    parser.add_argument("--reverse", action="store_true", help="with --sort: the other way round")
    add_filters(parser, "for latest")


def run(context: Context) -> int:
    """List it as it is read; only a sort needs all of it first."""
    arguments, output = context.arguments, context.output
    relative = next((folder for folder in arguments.folder if not folder.startswith("/")), None)
    if relative is not None:
        raise HoldfastError(f"{relative!r} is no absolute path: folders are given as the snapshot has them, from /")
    with context.reading() as repo:
        trees = Trees(repo)
        snapshot, subfolder = context.snapshot(repo, arguments.snapshot, chosen(arguments))
        items: Iterable[Item] = ls(trees, snapshot, subfolder, arguments.folder, recursive=arguments.recursive)
        if arguments.sort:
            items = sorted(items, key=_ORDERS[str(arguments.sort)], reverse=bool(arguments.reverse))
        if output.json:
            output.document({"message_type": "snapshot", **document(snapshot)})
        else:
            paths = ", ".join(map(shown, snapshot.paths))
            output.say(f"snapshot {snapshot.short_id} of {paths} at {local_time(snapshot.time)} on {snapshot.hostname}:")
        for item in items:
            if output.json:
                output.document(node_json(item))
            else:
                output.line(line(item, long=arguments.long, human=arguments.human_readable))
    return 0
