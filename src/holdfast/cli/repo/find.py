"""`holdfast repo find`: which snapshots have a file."""

import argparse
from datetime import datetime

from holdfast.cli.errors import HoldfastError
from holdfast.cli.repo.context import Context
from holdfast.cli.repo.nodes import line, node_json
from holdfast.cli.repo.options import add_filters, chosen
from holdfast.cli.repo.output import local_time
from holdfast.repo.browse import Finder, Query, Trees

HELP = """\
A pattern without a slash at its beginning matches at any depth: names, or several components of
a path. *, ? and [...] stay within one component, ** spans any number. What lies below a folder
that matches is found too. The newest snapshot comes first.

Examples:
  holdfast repo find config.json
  holdfast repo find '*.sql' '*.dump' --oldest '2026-01-31 18:00' --long
  holdfast repo find -i '/home/*/README*' --host web-0
"""

_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("pattern", nargs="+", help="what to look for")
    parser.add_argument("-i", "--ignore-case", action="store_true", help="take upper and lower case as the same")
    parser.add_argument("-l", "--long", action="store_true", help="show mode, owner, size and time")
    parser.add_argument("--human-readable", action="store_true", help="show sizes in KiB, MiB, ...")
    parser.add_argument("-O", "--oldest", metavar="TIME", help="modified at this time or later")
    parser.add_argument("-N", "--newest", metavar="TIME", help="modified at this time or earlier")
    parser.add_argument("-R", "--reverse", action="store_true", help="the oldest snapshot first")
    parser.add_argument("-s", "--snapshot", action="append", default=[], metavar="ID", help="search this snapshot (repeatable)")
    add_filters(parser, "without --snapshot")


def run(context: Context) -> int:
    """Search them all; finding nothing is no failure."""
    arguments, output = context.arguments, context.output
    query = Query(
        tuple(arguments.pattern),
        arguments.ignore_case,
        _moment(arguments.oldest) if arguments.oldest else None,
        _moment(arguments.newest) if arguments.newest else None,
    )
    documents: list[dict[str, object]] = []
    with context.reading() as repo:
        trees = Trees(repo)
        finder = Finder(trees, query)
        found = context.snapshots(repo, arguments.snapshot, chosen(arguments))
        for snapshot in found if arguments.reverse else reversed(found):
            items = finder.search(snapshot)
            if items and output.json:
                matches = [node_json(item) for item in items]
                documents.append({"matches": matches, "hits": len(items), "snapshot": snapshot.id})
            elif items:
                output.say(f"in snapshot {snapshot.short_id} of {local_time(snapshot.time)} on {snapshot.hostname}:")
                for item in items:
                    output.line(line(item, long=arguments.long, human=arguments.human_readable))
                output.say("")
    if output.json:
        output.document(documents)
    return 0


def _moment(text: str) -> datetime:
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).astimezone()
        except ValueError:
            continue
    raise HoldfastError(f"{text!r} is no time: write it as '2026-01-31 18:00:00' or 2026-01-31, in the zone of this machine")
