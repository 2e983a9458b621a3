"""Options that all commands share, and those that choose snapshots.

They may stand before or after the name of the command. Absent ones leave no trace in the namespace, so that the value given
first is not overwritten by the default of the second parser: read them through `CommonOptions`.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec

from holdfast.repo.snapshot import Filter
from holdfast.repo.stores.options import NAMES

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


class CommonOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The shared options as given; an empty text was not given. Limits are bytes a second, 0 for none."""

    repo: str = ""
    repository_file: str = ""
    password_file: str = ""
    password_command: str = ""
    cacert: str = ""
    no_lock: bool = False
    retry_lock: timedelta = timedelta()
    limit_upload: int = 0
    limit_download: int = 0
    store_options: Sequence[tuple[str, str]] = ()
    json: bool = False
    quiet: bool = False
    verbose: int = 0


def common_options(arguments: argparse.Namespace) -> CommonOptions:
    """The shared options of a parsed command line."""
    given = vars(arguments)
    return CommonOptions(**{name: given[name] for name in CommonOptions.__struct_fields__ if name in given})


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the shared options."""
    group = parser.add_argument_group("options of all commands", argument_default=argparse.SUPPRESS)
    group.add_argument("-r", "--repo", metavar="URL", help="where the repository is: a path, s3:endpoint/bucket/prefix, ...")
    group.add_argument("--repository-file", metavar="FILE", help="a file that holds the URL")
    group.add_argument("-p", "--password-file", metavar="FILE", help="a file that holds the password")
    group.add_argument("--password-command", metavar="COMMAND", help="a command that prints the password")
    group.add_argument("--cacert", metavar="FILE", help="certificates of authorities to trust, in PEM")
    group.add_argument("--no-lock", action="store_true", help="take no lock: for repositories that can't be written")
    group.add_argument(
        "--retry-lock", type=checked(duration), metavar="TIME", help="wait this long for locks of others: 90s, 5m, 2h"
    )
    group.add_argument("--limit-upload", type=checked(_rate), metavar="KIB", help="send at most so many KiB a second")
    group.add_argument("--limit-download", type=checked(_rate), metavar="KIB", help="fetch at most so many KiB a second")
    group.add_argument(
        "-o",
        "--option",
        dest="store_options",
        action="append",
        type=checked(_named),
        metavar="NAME=VALUE",
        help="a setting of the store: " + ", ".join(NAMES),
    )
    group.add_argument("--json", action="store_true", help="print JSON documents for programs")
    group.add_argument("-q", "--quiet", action="store_true", help="print results and errors only")
    group.add_argument("-v", "--verbose", action="count", help="say which repository and key are used")


def add_filters(parser: argparse.ArgumentParser, purpose: str, *, short_host: bool = True) -> None:
    """Add --host, --tag and --path; `purpose` says when they count, `short_host` whether -H is free."""
    group = parser.add_argument_group(f"which snapshots ({purpose})")
    group.add_argument(
        *(["-H"] if short_host else []),
        "--host",
        dest="hosts",
        action="append",
        default=[],
        help="of this host (repeat for several)",
    )
    group.add_argument(
        "--tag",
        dest="tags",
        action="append",
        default=[],
        metavar="TAG[,TAG]",
        help="with all of these tags (repeatable; empty: with none)",
    )
    group.add_argument("--path", dest="paths", action="append", default=[], help="of this absolute path (repeat: all of them)")


def chosen(arguments: argparse.Namespace) -> Filter:
    """The filter that --host, --tag and --path ask for."""
    return Filter(tuple(arguments.hosts), tuple(map(tag_list, arguments.tags)), tuple(arguments.paths))


def tag_list(text: str) -> tuple[str, ...]:
    """The tags of one `TAG,TAG`."""
    return tuple(tag.strip() for tag in text.split(","))


def checked(parse: Callable[[str], object]) -> Callable[[str], object]:
    """A parser of values whose ValueError becomes the message of the command line's error."""

    def parsed(text: str) -> object:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def _named(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or name not in NAMES:
        raise ValueError(f"{text!r} is no setting of a store: write NAME=VALUE, with one of {', '.join(NAMES)}")
    return name, value


def _rate(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ValueError(f"{text!r} is not a rate: give a number of KiB a second, 1 or more")
    return int(text) << 10


def duration(text: str) -> timedelta:
    """Read `90s`, `5m`, `2h30m`. Raises ValueError."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 90s, 5m or 2h")
    return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))


def size(text: str) -> int:
    """Read `500`, `10k`, `3M`, `2GiB` as bytes, in steps of 1024. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 500k, 10M or 2G")
    return int(match[1]) << 10 * " kmgt".index(match[2].lower() or " ")
