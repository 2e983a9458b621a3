"""`holdfast <command>`: finds the module of a command and runs it.

Every command is a module with `configure(parser)` and `run(arguments) -> int`. Only the module that is asked for is imported,
so that `holdfast --help` answers at once.
"""

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn, Protocol, cast

from holdfast.cli.errors import HoldfastError
from holdfast.cli.imports import import_msgspec, importing


class Command(Protocol):
    """What a command's module offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; returns the exit code."""
        ...


COMMANDS: Mapping[str, str] = {
    "demo": "back up and restore real data of this machine, and prove it",
    "up": "run a control plane on this machine: API server, operator, REST API, node",
    "down": "stop the control plane that `up` started",
    "apiserver": "run the API server alone",
    "operator": "run the controllers and the backup engine alone",
    "rest": "serve the CloudCasa REST API of any Kubernetes API server",
    "agent": "report to the CloudCasa REST API of another installation, and carry out its jobs here",
    "webhook": "judge objects at kubectl apply, for a cluster of others",
    "node": "run pods of any Kubernetes API server as sandboxed processes of this machine",
    "repo": "work with a backup repository by hand: back up, browse, restore, check, forget",
    "datasafed": "move files into and out of a KubeBlocks backup repository: push, pull, list, stat",
    "kubestash": "trigger, pause, resume and download KubeStash backups, and see what retention would do",
    "cluster-restore": "restore the control plane of a cluster from a backup of it",
    "gen": "write the CRDs and the reference pages from the types",
}


def program() -> NoReturn:
    """The console script: `main`, and the end of the process.

    After a repository command that is an end at once: its files are closed and its threads have ended, and the kernel takes
    memory back faster than the interpreter does, object by object. Commands that leave more behind end the usual way.
    """
    _keep_standard_streams()
    code = main()
    if sys.argv[1:2] == ["repo"]:
        with contextlib.suppress(OSError):  # of output that can't be written the usual end tells
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)


def _keep_standard_streams() -> None:
    """Open what the caller closed of 0 to 2 on the null device, lest a file of a repository gets that number.

    A program that we start, such as rclone, would write its messages into that file.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - for as long as the process lives


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. Raises SystemExit for words that can't be read, and after --help."""
    given = list(sys.argv[1:] if words is None else words)
    if given == ["--version"]:
        print(f"holdfast {importlib.import_module('importlib.metadata').version('holdfast')}")
        return 0
    with importing():
        arguments = _parser(given[0] if given else "").parse_args(given)
    if not arguments.command:
        _parser("").print_help()
        return 2
    try:
        return _module(arguments.command).run(arguments)
    except HoldfastError as error:
        print(f"holdfast {arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser(chosen: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="holdfast", description="Backup and recovery for Kubernetes.")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="command")
    for name, text in COMMANDS.items() if chosen not in COMMANDS else [(chosen, COMMANDS[chosen])]:
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if name == chosen:
            import_msgspec()
            _module(name).configure(command)
    return parser


def _module(name: str) -> Command:
    return cast(Command, importlib.import_module(f"holdfast.cli.{name.replace('-', '_')}"))


if __name__ == "__main__":
    program()
