"""Where the address and the password of a repository come from.

What stands on the command line wins, then HOLDFAST_* variables, then RESTIC_*. A password is never an argument. One that
comes from a file or a command loses the white space around it, as the stock program does it; one from a variable or the
terminal is taken as it is.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from holdfast.cli.errors import HoldfastError

PREFIXES = ("HOLDFAST_", "RESTIC_")
_SECRETS = ("PASSWORD", "FROM_PASSWORD", "NEW_PASSWORD")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The options for one repository, and how its variables and options are called: `FROM_` for the source of a copy."""

    repo: str = ""
    repository_file: str = ""
    password_file: str = ""
    password_command: str = ""
    infix: str = ""

    def option(self, name: str) -> str:
        """The option's spelling, for messages."""
        return f"--{self.infix.lower().replace('_', '-')}{name}"

    def variable(self, name: str) -> str:
        """The variable's spelling, for messages."""
        return f"RESTIC_{self.infix}{name}"


def location(source: Source, env: Mapping[str, str]) -> str:
    """The repository's URL. Raises HoldfastError."""
    _not_both(source.option("repo"), source.repo, source.option("repository-file"), source.repository_file)
    if source.repo or source.repository_file:
        return source.repo or _read(source.repository_file, "repository")
    for prefix in PREFIXES:
        url, file = (env.get(f"{prefix}{source.infix}{name}", "") for name in ("REPOSITORY", "REPOSITORY_FILE"))
        _not_both(f"{prefix}{source.infix}REPOSITORY", url, f"{prefix}{source.infix}REPOSITORY_FILE", file)
        if url or file:
            return url or _read(file, "repository")
    raise HoldfastError(
        f"which repository? Give {source.option('repo')}, or set {source.variable('REPOSITORY')} "
        f"or {source.variable('REPOSITORY_FILE')}"
    )


def password(source: Source, env: Mapping[str, str], *, twice: bool = False, prompt: str = "password") -> str:
    """The password; asked for at a terminal, `twice` where a typing error would be costly. Raises HoldfastError."""
    found = _given_password(source, env)
    if found is None:
        found = _ask(source, prompt, twice)
    if not found:
        raise HoldfastError("the password is empty: a repository is never opened or made without one")
    return found


def _given_password(source: Source, env: Mapping[str, str]) -> str | None:
    file, command = source.password_file, source.password_command
    _not_both(source.option("password-file"), file, source.option("password-command"), command)
    if file or command:
        return _read(file, "password") if file else _ask_command(command)
    for prefix in PREFIXES:
        name = f"{prefix}{source.infix}PASSWORD"
        file, command = env.get(f"{name}_FILE", ""), env.get(f"{name}_COMMAND", "")
        _not_both(f"{name}_FILE", file, f"{name}_COMMAND", command)
        if file or command:
            return _read(file, "password") if file else _ask_command(command)
        if name in env:
            return env[name]
    return None


def without_secrets(env: Mapping[str, str]) -> dict[str, str]:
    """The environment for a command that we start and that has no business with the passwords of repositories."""
    hidden = {f"{prefix}{name}" for prefix in PREFIXES for name in _SECRETS}
    return {name: value for name, value in env.items() if name not in hidden}


def _not_both(one: str, first: str, other: str, second: str) -> None:
    if first and second:
        raise HoldfastError(f"{one} and {other} are both given: leave one out")


def _read(path: str, what: str) -> str:
    try:
        text = Path(path).read_bytes().decode("utf-8-sig").strip()
    except OSError as error:
        raise HoldfastError(f"the {what} file {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise HoldfastError(f"the {what} file {path} is not text in UTF-8") from None
    if not text:
        raise HoldfastError(f"the {what} file {path} is empty")
    return text


def _ask_command(command: str) -> str:
    """The output of a command, which is not given to a shell and whose own messages are passed on."""
    import shlex
    import subprocess

    try:
        words = shlex.split(command)
        done = subprocess.run(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
    except ValueError as error:
        raise HoldfastError(f"the password command can't be split into words: {error}") from error
    except (OSError, IndexError) as error:
        raise HoldfastError(f"the password command can't be run: {error}") from error
    if done.returncode:
        raise HoldfastError(f"the password command {words[0]} failed with exit code {done.returncode}")
    text = done.stdout.decode("utf-8", "replace").strip()
    if not text:
        raise HoldfastError(f"the password command {words[0]} printed nothing")
    return text


def _ask(source: Source, prompt: str, twice: bool) -> str:
    import getpass

    if not sys.stdin.isatty():
        raise HoldfastError(
            f"no password: give {source.option('password-file')} or {source.option('password-command')}, or set "
            f"{source.variable('PASSWORD_FILE')}, {source.variable('PASSWORD_COMMAND')} or {source.variable('PASSWORD')}"
        )
    try:
        found = getpass.getpass(f"enter {prompt}: ")
        if twice and found and getpass.getpass(f"enter {prompt} again: ") != found:
            raise HoldfastError("the two passwords differ: nothing was done")
    except EOFError:
        raise HoldfastError("no password was typed") from None
    return found
