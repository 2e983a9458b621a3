"""Where files lie, and how they are sealed: read from the environment and the INI file of a tool config Secret.

| variable | meaning |
| --- | --- |
| `DATASAFED_LOCAL_BACKEND_PATH` | a directory (a mounted repository); then no file is read |
| `DATASAFED_BACKEND_BASE_PATH` | prefix of every path |
| `DATASAFED_ENCRYPTION_ALGORITHM`, `_PASS_PHRASE` | seal contents (see `codecs`) |
| `DATASAFED_KOPIA_REPO_ROOT`, `DATASAFED_KOPIA_PASSWORD` | keep contents in a deduplicating repository at that path |

The file's section `[storage]` is a remote as rclone describes it, and `root` the folder or bucket in it. A key that ends in
`.need_obscure` holds a clear password which rclone wants disguised. The remote must be reachable from this pod: on a node whose
pods have a network of their own, `HOLDFAST_LOOPBACK` names the machine, and stands for a loopback host in the file.
"""

import configparser
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from holdfast.movers.datasafed.faults import DatasafedError

CONFIG = "/etc/datasafed/datasafed.conf"
STORAGE = "storage"
OBSCURE = ".need_obscure"
LOCAL = "DATASAFED_LOCAL_BACKEND_PATH"
BASE = "DATASAFED_BACKEND_BASE_PATH"
ALGORITHM = "DATASAFED_ENCRYPTION_ALGORITHM"
PASS_PHRASE = "DATASAFED_ENCRYPTION_PASS_PHRASE"
KOPIA_ROOT = "DATASAFED_KOPIA_REPO_ROOT"
KOPIA_PASSWORD = "DATASAFED_KOPIA_PASSWORD"
LOOPBACK = "HOLDFAST_LOOPBACK"

_LOOPBACK_HOST = re.compile(r"(?<![\w.])(127\.0\.0\.1|localhost)(?![\w.])")
_WITH_HOSTS = ("endpoint", "host", "url")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says. Its repr shows no secret."""

    local: str = ""
    base: str = ""
    algorithm: str = ""
    pass_phrase: str = ""
    kopia_root: str = ""
    kopia_password: str = ""
    loopback: str = ""
    config: str = CONFIG

    def __repr__(self) -> str:
        return f"Settings(local={self.local!r}, base={self.base!r}, config={self.config!r})"


def read_settings(env: Mapping[str, str], config: str = CONFIG) -> Settings:
    """Read the environment. Raises DatasafedError for encryption without a pass phrase."""
    if env.get(ALGORITHM) and not env.get(PASS_PHRASE):
        raise DatasafedError(f"{ALGORITHM} is set but {PASS_PHRASE} is empty: set both or none")
    return Settings(
        local=env.get(LOCAL, "").strip(),
        base=env.get(BASE, "").strip(),
        algorithm=env.get(ALGORITHM, ""),
        pass_phrase=env.get(PASS_PHRASE, ""),
        kopia_root=env.get(KOPIA_ROOT, "").strip(),
        kopia_password=env.get(KOPIA_PASSWORD, "").strip(),
        loopback=env.get(LOOPBACK, "").strip(),
        config=config,
    )


def read_sections(path: str) -> Mapping[str, Mapping[str, str]]:
    """Read an INI file as sections of keys. Raises DatasafedError when it is missing or is no INI file."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = _unchanged
    try:
        parser.read_string(Path(path).read_text())
    except OSError as error:
        raise DatasafedError(f"config file {path}: {error.strerror}: mount the tool config Secret there") from error
    except configparser.Error as error:
        line = getattr(error, "lineno", "?")
        raise DatasafedError(f"config file {path} is not an INI file (line {line})") from None
    return {name: {key: _unquoted(value) for key, value in parser[name].items()} for name in parser.sections()}


def storage_of(settings: Settings) -> tuple[Mapping[str, str], str]:
    """Return the options of the remote and its root. Raises DatasafedError when the file describes none."""
    section = dict(read_sections(settings.config).get(STORAGE, {}))
    root = section.pop("root", "")
    if not section.get("type"):
        raise DatasafedError(f"config file {settings.config}: section [{STORAGE}] has no key type: name a kind of storage")
    if settings.loopback:
        for key in _WITH_HOSTS:
            if key in section:
                section[key] = _LOOPBACK_HOST.sub(settings.loopback, section[key])
    return section, root


def _unchanged(optionstr: str) -> str:
    return optionstr


def _unquoted(value: str) -> str:
    """Take off one pair of quotes, as INI files in Go's manner have them."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'`" else value
