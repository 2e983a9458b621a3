"""The command line: `datasafed push|pull|list|stat|rm|rmdir|mkdir|getconf`.

Exit code 0 means done; 1 that one line on standard error says why not; 2 that the line itself makes no sense. Printed paths are
relative to the base path. `Streams` says where local files and the three standard streams are, since in a sidecar they belong
to another container.
"""

import argparse
import contextlib
import fnmatch
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import msgspec

from holdfast.movers.datasafed import codecs
from holdfast.movers.datasafed.faults import DatasafedError, NotThere
from holdfast.movers.datasafed.listing import FORMATS, SORTS, Listing, render
from holdfast.movers.datasafed.paths import clean, clean_file
from holdfast.movers.datasafed.places import BLOCK, Item, Place
from holdfast.movers.datasafed.sealed import open_place
from holdfast.movers.datasafed.settings import CONFIG, Settings, read_sections, read_settings


class Streams(msgspec.Struct, frozen=True):
    """Where the command reads and writes: `open_file` opens a path of the caller for reading (`rb`) or writing (`wb`).

    `confirm` returns if the caller is there to say that the end of its input is the end of the file, and raises DatasafedError
    if it isn't: of a pipeline that is killed, input and caller end in any order.
    """

    stdin: IO[bytes]
    stdout: IO[bytes]
    open_file: Callable[[str, str], IO[bytes]]
    confirm: Callable[[], None] = lambda: None


class _Usage(Exception):
    """The command line makes no sense."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise _Usage(f"{self.prog}: {message}")


def main(words: Sequence[str], env: Mapping[str, str], streams: Streams) -> int:
    """Carry out one command line. Returns the exit code; what is wrong goes to standard error."""
    try:
        arguments = _parser().parse_args(_plain_first(words))
        arguments.run(arguments, env, streams)
        streams.stdout.flush()
    except _Usage as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 1
    except DatasafedError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def local_streams() -> Streams:
    """Return the streams of this process."""
    return Streams(sys.stdin.buffer, sys.stdout.buffer, _open_here)


def _open_here(path: str, mode: str) -> IO[bytes]:
    try:
        return open(path, mode)  # type: ignore[return-value]
    except OSError as error:
        raise DatasafedError(f"{path}: {error.strerror}") from error


def _plain_first(words: Sequence[str]) -> list[str]:
    """Let `-c FILE` stand before or behind the command, as the documented program takes it."""
    rest, config = list(words), []
    for flag in ("-c", "--conf"):
        while flag in rest[:-1]:
            at = rest.index(flag)
            config = ["--conf", rest[at + 1]]
            del rest[at : at + 2]
    for word in [word for word in rest if word.startswith("--conf=")]:
        config = ["--conf", word.partition("=")[2]]
        rest.remove(word)
    return [*config, *rest]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="datasafed", description="Move files into and out of a backup repository.")
    parser.add_argument("--conf", default=CONFIG, metavar="FILE", help=f"configuration file ({CONFIG})")
    commands = parser.add_subparsers(metavar="command", required=True, parser_class=_Parser)
    for name, (text, run, arguments) in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        for flags, options in arguments:
            command.add_argument(*flags, **options)
    return parser


def _place(arguments: argparse.Namespace, env: Mapping[str, str]) -> Place:
    return open_place(read_settings(env, arguments.conf), env)


def _push(arguments: argparse.Namespace, env: Mapping[str, str], streams: Streams) -> None:
    place, path = _place(arguments, env), clean_file(arguments.rpath)
    with contextlib.ExitStack() as stack:
        source = streams.stdin
        if arguments.lpath != "-":
            source = stack.enter_context(streams.open_file(arguments.lpath, "rb"))
        blocks: Iterable[bytes] = _blocks(source, streams.confirm)
        size = _size(source)
        if arguments.compress:
            blocks, size = codecs.compressor(arguments.compress)(blocks), None
        place.write(path, blocks, size)


def _pull(arguments: argparse.Namespace, env: Mapping[str, str], streams: Streams) -> None:
    place, path = _place(arguments, env), clean_file(arguments.rpath)
    blocks: Iterable[bytes] = place.read(path)
    if arguments.decompress:
        blocks = codecs.decompressor(arguments.decompress)(blocks)
    blocks = iter(blocks)
    first = next(blocks, b"")
    with contextlib.ExitStack() as stack:
        target = streams.stdout
        if arguments.lpath != "-":
            target = stack.enter_context(streams.open_file(arguments.lpath, "wb"))
        target.write(first)
        for block in blocks:
            target.write(block)


def _list(arguments: argparse.Namespace, env: Mapping[str, str], streams: Streams) -> None:
    place, path = _place(arguments, env), clean(arguments.rpath)
    file = place.find(path) if path and not arguments.rpath.endswith("/") else None
    listed: Iterable[Item] = [file] if file else place.list(path, recursive=arguments.recursive)
    wanted = Listing(
        folders_only=arguments.dirs_only,
        files_only=arguments.files_only,
        newer=arguments.newer_than,
        older=arguments.older_than,
        name=arguments.name,
        sort=arguments.sort,
        reverse=arguments.reverse,
    )
    depth = arguments.max_depth
    if depth > 0 and not file:
        above = path.count("/") + 1 if path else 0
        listed = (item for item in listed if item.path.count("/") - above < depth)
    streams.stdout.write(render(wanted.select(listed), arguments.output_format).encode(errors="surrogateescape"))


def _stat(arguments: argparse.Namespace, env: Mapping[str, str], streams: Streams) -> None:
    size, files, folders = measure(_place(arguments, env), clean(arguments.rpath), folder=arguments.rpath.endswith("/"))
    if arguments.json:
        found = {"dirs": folders, "entries": files + folders, "files": files, "total_size": size}
        text = msgspec.json.encode(found).decode()
    else:
        text = f"TotalSize: {size}\nEntries: {files + folders}\nDirs: {folders}\nFiles: {files}"
    streams.stdout.write(f"{text}\n".encode())


def measure(place: Place, path: str, *, folder: bool = False) -> tuple[int, int, int]:
    """Return bytes, files and folders at and below a path."""
    file = place.find(path) if path and not folder else None
    size = files = folders = 0
    for item in [file] if file else place.list(path, recursive=True):
        size += item.size
        files += not item.is_folder
        folders += item.is_folder
    return size, files, folders


def _rm(arguments: argparse.Namespace, env: Mapping[str, str], _: Streams) -> None:
    place = _place(arguments, env)
    if arguments.recursive:
        place.delete_tree(clean(arguments.rpath))
    else:
        place.delete(clean_file(arguments.rpath))


def _rmdir(arguments: argparse.Namespace, env: Mapping[str, str], _: Streams) -> None:
    _place(arguments, env).remove_folder(clean(arguments.rpath))


def _mkdir(arguments: argparse.Namespace, env: Mapping[str, str], _: Streams) -> None:
    _place(arguments, env).make_folder(clean(arguments.rpath))


def _getconf(arguments: argparse.Namespace, env: Mapping[str, str], streams: Streams) -> None:
    section, _, key = arguments.item.partition(".")
    settings: Settings = read_settings(env, arguments.conf)
    found = read_sections(settings.config).get(section, {})
    if key not in found:
        raise NotThere(f"config file {settings.config} has no {arguments.item}")
    streams.stdout.write(f"{found[key]}\n".encode())


def _blocks(source: IO[bytes], confirm: Callable[[], None]) -> Iterator[bytes]:
    """Read to the end, and end only if that is confirmed: else the place that stores the blocks gives up its draft."""
    read = getattr(source, "read1", source.read)
    while block := read(BLOCK):
        yield block
    confirm()


def _size(source: IO[bytes]) -> int | None:
    """Return how much a regular file holds from here on; None for a pipe, whose end is not known."""
    try:
        found = os.fstat(source.fileno())
        return found.st_size - source.tell() if stat.S_ISREG(found.st_mode) else None
    except OSError:
        return None


def _pattern(text: str) -> str:
    fnmatch.translate(text)
    return text


_Argument = tuple[tuple[str, ...], dict[str, Any]]
_RPATH: _Argument = (("rpath",), {"help": "path in the repository"})
_LOCAL: _Argument = (("lpath",), {"help": "a file, or - for the standard stream"})

_COMMANDS: Mapping[str, tuple[str, Callable[[argparse.Namespace, Mapping[str, str], Streams], None], list[_Argument]]] = {
    "push": (
        "store a file or standard input",
        _push,
        [(("-z", "--compress"), {"metavar": "ALGORITHM", "help": ", ".join(codecs.ALGORITHMS)}), _LOCAL, _RPATH],
    ),
    "pull": (
        "fetch a file, or print it",
        _pull,
        [(("-d", "--decompress"), {"metavar": "ALGORITHM", "help": ", ".join(codecs.ALGORITHMS)}), _RPATH, _LOCAL],
    ),
    "list": (
        "list a folder, or a file by its own path",
        _list,
        [
            (("-d", "--dirs-only"), {"action": "store_true", "help": "folders only"}),
            (("-f", "--files-only"), {"action": "store_true", "help": "files only"}),
            (("-r", "--recursive"), {"action": "store_true", "help": "with everything below"}),
            (("--max-depth",), {"type": int, "default": 0, "help": "how deep a recursive listing goes"}),
            (("-s", "--sort"), {"choices": SORTS, "default": "path", "help": "order"}),
            (("--reverse",), {"action": "store_true", "help": "in the opposite order"}),
            (("--newer-than",), {"type": int, "default": 0, "help": "changed after this Unix time"}),
            (("--older-than",), {"type": int, "default": 0, "help": "changed before this Unix time"}),
            (("--name",), {"type": _pattern, "default": "", "help": "only names that match a pattern such as *.zst"}),
            (("-o", "--output-format"), {"choices": FORMATS, "default": "short", "help": "how to print"}),
            _RPATH,
        ],
    ),
    "stat": ("sum up a file or folder", _stat, [(("--json",), {"action": "store_true", "help": "as JSON"}), _RPATH]),
    "rm": ("delete a file", _rm, [(("-r", "--recursive"), {"action": "store_true", "help": "a whole folder"}), _RPATH]),
    "rmdir": ("remove an empty folder", _rmdir, [_RPATH]),
    "mkdir": ("make a folder", _mkdir, [_RPATH]),
    "getconf": ("print a value of the configuration file", _getconf, [(("item",), {"help": "section.key"})]),
}
