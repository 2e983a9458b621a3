"""`holdfast repo <command>`: a repository by hand, without a cluster.

One module per command, each with `HELP`, `configure(parser)` and `run(context) -> int`. Addresses, passwords and exit codes
follow the habits of the stock program, so that scripts written for it need little change. Only the module that is asked for
is imported: listing snapshots must not pay for what a backup needs.
"""

import argparse
import importlib
from collections.abc import Mapping
from typing import Any, Protocol, cast

from holdfast.cli.repo.context import Context
from holdfast.cli.repo.options import add_common
from holdfast.cli.repo.outcome import describe_exit_codes, run_guarded
from holdfast.repo.arrays import without_threads


class RepoCommand(Protocol):
    """What a command's module offers."""

    HELP: str
    """What it does at length, with examples, below its options."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own options."""
        ...

    def run(self, context: Context) -> int:
        """Do it; returns the exit code."""
        ...


COMMANDS: Mapping[str, str] = {
    "init": "make a new repository",
    "backup": "store files and folders as a new snapshot",
    "snapshots": "list the snapshots",
    "ls": "list the files in a snapshot",
    "find": "search all snapshots for files",
    "diff": "show what changed between two snapshots",
    "cat": "print an object of the repository as JSON, or a blob as it is",
    "dump": "write a file, or a folder as an archive, to standard output",
    "restore": "bring files back into a folder",
    "check": "prove that the repository is whole",
    "forget": "remove snapshots, by rules or by name",
    "prune": "give back the space of what no snapshot needs",
    "copy": "copy snapshots from another repository",
    "retain": "keep snapshots for longer, in a bucket with object lock",
    "recover": "bring back what was deleted or overwritten in a bucket with object lock",
    "unlock": "remove the locks of holders that are gone",
    "stats": "count files and bytes",
    "keys": "list, add, remove and change passwords",
}

_EPILOG = f"""\
Where the repository is and what opens it:
  -r, RESTIC_REPOSITORY or RESTIC_REPOSITORY_FILE; --password-file, --password-command, RESTIC_PASSWORD_FILE,
  RESTIC_PASSWORD_COMMAND or RESTIC_PASSWORD, else a question at the terminal. HOLDFAST_REPOSITORY and so on win over
  RESTIC_*. Stores read their own variables: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ...

Exit codes:
{describe_exit_codes()}

Examples:
  export RESTIC_REPOSITORY=/srv/backup RESTIC_PASSWORD_FILE=/etc/backup/password
  holdfast repo init
  holdfast repo backup /etc --tag nightly
  holdfast repo ls latest /etc
  holdfast repo restore latest:/etc --target /tmp/etc
"""


class _Later:
    """Stands for the parser of a command, which is made, and the command's module imported, when it is asked to parse."""

    def __init__(self, *, module: str, **settings: Any) -> None:
        self._module, self._settings = module, settings

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As the parser does that has the command's options."""
        command = _command(self._module)
        plain = argparse.RawDescriptionHelpFormatter
        parser = argparse.ArgumentParser(formatter_class=plain, epilog=command.HELP, **self._settings)
        command.configure(parser)
        add_common(parser)
        return parser.parse_known_args(args, namespace)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the commands."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    add_common(parser)
    commands = parser.add_subparsers(dest="repo_command", metavar="command", required=True, parser_class=cast(Any, _Later))
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", module=name)


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen command; its errors become messages and exit codes here."""
    command = _command(arguments.repo_command)
    return run_guarded(arguments, command.run)


def _command(name: str) -> RepoCommand:
    with without_threads():
        return cast(RepoCommand, importlib.import_module(f"holdfast.cli.repo.{name}"))
