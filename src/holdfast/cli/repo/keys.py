"""`holdfast repo keys`: the passwords of a repository."""

import argparse

import msgspec

from holdfast.cli.errors import HoldfastError
from holdfast.cli.repo import credentials
from holdfast.cli.repo.context import Context
from holdfast.cli.repo.output import local_time
from holdfast.repo import keys
from holdfast.repo.repository import Repository
from holdfast.repo.times import parse_time

HELP = """\
Every key opens the same data with its own password. `change` adds a key with the new password,
proves that it opens, and then removes the one in use. The new password comes from
--new-password-file, --new-password-command or the variables HOLDFAST_NEW_PASSWORD_FILE,
_COMMAND and HOLDFAST_NEW_PASSWORD, else it is asked for twice. Who knew an old password and
copied its key file could still open a copy of the repository: for a leaked password make a new
repository and copy the snapshots.

Examples:
  holdfast repo keys list
  holdfast repo keys add --new-password-file /etc/backup/second --host restore-box
  holdfast repo keys remove 4d3a7648
  holdfast repo keys change
"""


class _KeyJson(msgspec.Struct, frozen=True):
    current: bool
    id: str
    user_name: str = msgspec.field(name="userName")
    host_name: str = msgspec.field(name="hostName")
    created: str


class _Done(msgspec.Struct, frozen=True):
    """What `add`, `remove` and `change` tell programs."""

    message_type: str
    id: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("action", choices=("list", "add", "remove", "change"), help="what to do")
    parser.add_argument("id", nargs="?", default="", help="with remove: the key's id or its beginning")
    parser.add_argument("--new-password-file", default="", metavar="FILE", help="with add and change: the new password")
    parser.add_argument("--new-password-command", default="", metavar="COMMAND", help="a command that prints it")
    parser.add_argument("--host", default="", help="with add and change: shown in the list")
    parser.add_argument("--user", default="", help="with add and change: shown in the list")


def run(context: Context) -> int:
    """Do it under the lock that it needs: nobody may open the repository with a key that is just going."""
    action = context.arguments.action
    if (action == "remove") != bool(context.arguments.id):
        raise HoldfastError("remove needs the id of a key, the other actions take none; see `keys list`")
    if action != "list":
        context.insist_on_locks()
    with context.open() as repo:
        if action == "list":
            return _list(context, repo)
        with context.locked(repo, exclusive=action != "add"):
            return _alter(context, repo, action)


def _list(context: Context, repo: Repository) -> int:
    found = keys.listing(repo.store)
    if context.output.json:
        context.output.document([_KeyJson(k.id == repo.key_id, k.id, k.username, k.hostname, k.created) for k in found])
        return 0
    heads = ("", "ID", "User", "Host", "Created")
    rows = [("*" if k.id == repo.key_id else "", k.id[:8], k.username, k.hostname, _time(k.created)) for k in found]
    context.output.table(heads, rows)
    return 0


def _time(text: str) -> str:
    try:
        return local_time(parse_time(text))
    except ValueError:
        return text


def _alter(context: Context, repo: Repository, action: str) -> int:
    arguments, output = context.arguments, context.output
    if action == "remove":
        ident = keys.find(repo.store, arguments.id)
        keys.remove(repo.store, ident, repo.key_id)
        return _tell(context, "removed", ident, f"removed key {ident[:8]}")
    password = _new_password(context)
    who = {"host": arguments.host, "user": arguments.user}
    if action == "add":
        ident = keys.add_proven(repo.store, repo.key, password, **who)
        return _tell(context, "added", ident, f"added key {ident[:8]}")
    ident = keys.change(repo.store, repo.key, repo.key_id, password, **who)
    output.say("the old password no longer opens this repository")
    return _tell(context, "changed", ident, f"the key in use is now {ident[:8]}")


def _tell(context: Context, what: str, ident: str, text: str) -> int:
    if context.output.json:
        context.output.document(_Done(f"key_{what}", ident))
    else:
        context.output.line(text)
    return 0


def _new_password(context: Context) -> str:
    source = credentials.Source(
        password_file=context.arguments.new_password_file,
        password_command=context.arguments.new_password_command,
        infix="NEW_",
    )
    return credentials.password(source, context.env, twice=True, prompt="the new password")
